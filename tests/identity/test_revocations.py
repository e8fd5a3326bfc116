"""A provider's list of revoked keys, as it comes (PROTOCOL.md section 8)."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity import revocations as module
from browserid_sasl.identity.revocations import (
    MAX_LIST_LIFE_MS,
    RevocationList,
    parse_revocation_list,
)
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey
from tests.support.refusal import refused
from tests.support.revocations import LIFE, thumbprint
from tests.support.world import START, key

ALICE_KEY = key("alice").public_key
KEYS = (key("second", "ES256").public_key, key("idp").public_key)
SKEW = 300_000


def signed(by: PrivateKey | None = None, **changes: Any) -> bytes:
    claims = {
        "iss": "idp.test",
        "iat": START,
        "exp": START + LIFE,
        "revoked": [thumbprint(ALICE_KEY)],
    }
    given = {name: value for name, value in (claims | changes).items() if value is not ...}
    return jwt.sign(given, by or key("idp")).encode()


def parse(octets: bytes, now: int = START) -> RevocationList:
    return parse_revocation_list(octets, "idp.test", KEYS, now, SKEW)


@pytest.mark.parametrize("by", [key("idp"), key("second", "ES256")], ids=["first", "second"])
def test_any_key_that_is_published_may_sign_it(by: PrivateKey) -> None:
    found = parse(signed(by))
    assert (found.issued_at, found.expires) == (START, START + LIFE)
    assert found.thumbprints == {thumbprint(ALICE_KEY)}


def test_nobody_else_may() -> None:
    with refused(Code.INVALID_SIGNATURE, kind=DiscoveryError):
        parse(signed(key("forger")))
    with refused(Code.UNKNOWN_ALGORITHM, kind=DiscoveryError):
        parse_revocation_list(signed(), "idp.test", KEYS[:1], START, SKEW)
    with refused(Code.NO_KEY, kind=DiscoveryError):
        parse_revocation_list(signed(), "idp.test", (), START, SKEW)


def test_it_is_signed() -> None:
    with refused(Code.MISSING_SIGNATURE, kind=DiscoveryError):
        parse(jwt.unsigned({"iss": "idp.test", "iat": START, "exp": START + 1}).encode())


@pytest.mark.parametrize("issuer", ["elsewhere.test", "sub.idp.test", "", "idp.test.", "\n"])
def test_that_of_another_provider_is_none_of_this_one(issuer: str) -> None:
    with refused(Code.INVALID_ISSUER, kind=DiscoveryError):
        parse(signed(iss=issuer))


def test_it_holds_for_the_time_it_says() -> None:
    parse(signed(), START + LIFE + SKEW - 1)
    with refused(Code.EXPIRED_CERT, "expired", DiscoveryError):
        parse(signed(), START + LIFE + SKEW)
    with refused(Code.CERT_NOT_YET_VALID, kind=DiscoveryError):
        parse(signed(), START - SKEW - 1)


@pytest.mark.parametrize("exp", [START, START + MAX_LIST_LIFE_MS + 1])
def test_that_is_a_sane_time(exp: int) -> None:
    with refused(Code.INVALID_JSON, kind=DiscoveryError):
        parse(signed(exp=exp), START - 1)


@pytest.mark.parametrize("name", ["iss", "iat", "exp"])
def test_it_says_whose_it_is_and_when(name: str) -> None:
    with refused(Code.UNKNOWN_JSON_KEY, kind=DiscoveryError):
        parse(signed(**{name: ...}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "revoked", [..., None, "x" * 43, {}, [5], [None], ["x" * 42], ["x" * 44], [["x" * 43]]]
)
def test_it_is_a_list_of_thumbprints(revoked: Any) -> None:
    with refused(Code.INVALID_JSON, kind=DiscoveryError):
        parse(signed(revoked=revoked))


def test_it_may_be_empty() -> None:
    assert parse(signed(revoked=[])).thumbprints == frozenset()


@pytest.mark.parametrize("octets", [b"", b"a.b.c", b"\xff", b"{}", b"..", "\u00e4.b.c".encode()])
def test_something_that_is_no_token(octets: bytes) -> None:
    with pytest.raises(DiscoveryError):
        parse(octets)


def test_it_has_only_so_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REVOKED", 2)
    parse(signed(revoked=["a" * 43, "b" * 43]))
    with refused(Code.INVALID_JSON, "at most 2", DiscoveryError):
        parse(signed(revoked=["a" * 43, "b" * 43, "c" * 43]))


def test_it_has_only_so_many_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIST", 1_000)
    with refused(Code.BUFFER_TOO_LONG, kind=DiscoveryError):
        parse(signed(revoked=["a" * 43] * 20))


def test_as_many_as_are_permitted_can_be_read() -> None:
    """A full list is larger than any other token may be."""
    names = [f"{number:043d}" for number in range(module.MAX_REVOKED)]
    octets = signed(revoked=names)
    assert len(octets) <= module.MAX_LIST
    assert len(parse(octets).thumbprints) == module.MAX_REVOKED
