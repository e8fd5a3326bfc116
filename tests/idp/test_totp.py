"""The second factor: codes of six digits, each good once and for about as long as it is shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.schema import bring_up_to_date
from browserid_sasl.idp.totp import SETUP_MS, STEP_MS, SecondFactors
from browserid_sasl.web.refusal import RefusedError
from tests.support.auditing import audit_log
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN

BOB = f"bob@{DOMAIN}"
CLIENT = "192.0.2.1"
NOW = 1_800_000_000_000


def code(secret: str, now: int) -> str:
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(now // 1000).decode()


def another(right: str) -> str:
    return f"{(int(right) + 1) % 1_000_000:06}"


@pytest.fixture
def factors(tmp_path: Path) -> SecondFactors:
    database = Database(tmp_path / "provider.sqlite")
    bring_up_to_date(database)
    accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
    for address in (ALICE, BOB):
        accounts.add_without_password(address, NOW)
    return SecondFactors(database, audit_log(database, tmp_path), DOMAIN)


@pytest.fixture
def secret(factors: SecondFactors) -> str:
    """Alice's, which she confirmed an hour ago."""
    made = factors.begin(ALICE, NOW - 3_600_000)
    assert factors.confirm(ALICE, code(made, NOW - 3_600_000), CLIENT, NOW - 3_600_000)
    return made


class TestSetUp:
    def test_it_is_of_no_effect_until_it_is_confirmed(self, factors: SecondFactors) -> None:
        secret = factors.begin(ALICE, NOW)
        assert factors.pending(ALICE, NOW) == secret
        assert not factors.has(ALICE)
        assert not factors.check(ALICE, code(secret, NOW), NOW)
        assert not factors.confirm(ALICE, another(code(secret, NOW)), CLIENT, NOW)
        assert factors.confirm(ALICE, code(secret, NOW), CLIENT, NOW)
        assert factors.has(ALICE)
        assert factors.pending(ALICE, NOW) is None

    def test_a_secret_has_160_bits_and_is_another_each_time(self, factors: SecondFactors) -> None:
        secrets = {factors.begin(ALICE, NOW) for _ in range(3)}
        assert len(secrets) == 3
        assert {len(base64.b32decode(secret)) for secret in secrets} == {20}

    def test_only_the_last_one_can_be_confirmed(self, factors: SecondFactors) -> None:
        first, last = factors.begin(ALICE, NOW), factors.begin(ALICE, NOW)
        assert not factors.confirm(ALICE, code(first, NOW), CLIENT, NOW)
        assert factors.confirm(ALICE, code(last, NOW), CLIENT, NOW)

    def test_not_after_an_hour(self, factors: SecondFactors) -> None:
        secret = factors.begin(ALICE, NOW)
        late = NOW + SETUP_MS
        assert factors.pending(ALICE, late) is None
        assert not factors.confirm(ALICE, code(secret, late), CLIENT, late)

    def test_the_old_one_works_until_another_is_confirmed(
        self, factors: SecondFactors, secret: str
    ) -> None:
        new = factors.begin(ALICE, NOW)
        assert factors.check(ALICE, code(secret, NOW), NOW)
        assert factors.confirm(ALICE, code(new, NOW), CLIENT, NOW)
        later = NOW + STEP_MS
        assert not factors.check(ALICE, code(secret, later), later)
        assert factors.check(ALICE, code(new, later), later)

    def test_the_code_that_confirms_signs_nobody_in(self, factors: SecondFactors) -> None:
        secret = factors.begin(ALICE, NOW)
        assert factors.confirm(ALICE, code(secret, NOW), CLIENT, NOW)
        assert not factors.check(ALICE, code(secret, NOW), NOW)

    def test_there_is_none_without_an_account(self, factors: SecondFactors) -> None:
        with pytest.raises(RefusedError) as caught:
            factors.begin(f"nobody@{DOMAIN}", NOW)
        assert caught.value.word == "no-account"

    def test_what_apps_are_told(self, factors: SecondFactors) -> None:
        email = f"o'neil+x&y@{DOMAIN}"
        parts = urlsplit(factors.uri(email, "A" * 32))
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
        assert unquote(parts.path) == f"/{DOMAIN}:{email}"
        told = parse_qs(parts.query)
        assert (told["secret"], told["issuer"]) == (["A" * 32], [DOMAIN])
        assert (told["digits"], told["period"], told["algorithm"]) == (["6"], ["30"], ["SHA1"])

    @pytest.mark.parametrize("local", ["alice", "x" * 64])
    def test_the_picture_is_nothing_but_one(self, factors: SecondFactors, local: str) -> None:
        picture = ElementTree.fromstring(factors.qr_code(f"{local}@{DOMAIN}", "A" * 32))
        assert {element.tag.rpartition("}")[2] for element in picture.iter()} == {
            "svg",
            "g",
            "path",
        }
        names = {name for element in picture.iter() for name in element.attrib}
        assert not {name for name in names if name.startswith("on") or name == "style"}


class TestCheck:
    def test_a_code_is_good_once(self, factors: SecondFactors, secret: str) -> None:
        right = code(secret, NOW)
        assert factors.check(ALICE, right, NOW)
        assert not factors.check(ALICE, right, NOW)
        assert not factors.check(ALICE, right, NOW + STEP_MS)

    @pytest.mark.parametrize("steps", [-1, 0, 1])
    def test_clocks_may_differ_by_one_step(
        self, factors: SecondFactors, secret: str, steps: int
    ) -> None:
        assert factors.check(ALICE, code(secret, NOW + steps * STEP_MS), NOW)

    @pytest.mark.parametrize("steps", [-2, 2])
    def test_and_not_by_two(self, factors: SecondFactors, secret: str, steps: int) -> None:
        assert not factors.check(ALICE, code(secret, NOW + steps * STEP_MS), NOW)

    def test_one_older_than_the_last_is_no_good(self, factors: SecondFactors, secret: str) -> None:
        assert factors.check(ALICE, code(secret, NOW), NOW)
        assert not factors.check(ALICE, code(secret, NOW - STEP_MS), NOW)
        assert factors.check(ALICE, code(secret, NOW + STEP_MS), NOW)

    def test_people_type_spaces(self, factors: SecondFactors, secret: str) -> None:
        right = code(secret, NOW)
        assert factors.check(ALICE, f" {right[:3]} {right[3:]}\n", NOW)

    def test_what_is_no_code(self, factors: SecondFactors, secret: str) -> None:
        right = code(secret, NOW)
        wide = right.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
        for wrong in ("", another(right), right + "0", right[:5], "x" * 100_000, "\ud800", wide):
            assert not factors.check(ALICE, wrong, NOW)
        assert factors.check(ALICE, right, NOW)

    def test_another_s_is_not_alice_s(self, factors: SecondFactors, secret: str) -> None:
        assert not factors.check(BOB, code(secret, NOW), NOW)
        assert not factors.check(f"nobody@{DOMAIN}", code(secret, NOW), NOW)

    def test_it_is_removed(self, factors: SecondFactors, secret: str, tmp_path: Path) -> None:
        factors.begin(ALICE, NOW)
        assert factors.remove(ALICE, CLIENT, NOW)
        assert not factors.remove(ALICE, CLIENT, NOW)
        assert not factors.has(ALICE)
        assert factors.pending(ALICE, NOW) is None
        assert not factors.check(ALICE, code(secret, NOW), NOW)
        lines = (tmp_path / "audit.log").read_text()
        events = [json.loads(line)["event"] for line in lines.splitlines()]
        assert events == ["second-factor-added", "second-factor-removed"]
        assert secret not in lines
