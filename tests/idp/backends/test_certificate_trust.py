"""Whether people's certificates are good, whatever a front server says of them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.idp.backends.certificate_lists import RevocationLists
from browserid_sasl.idp.backends.certificate_trust import (
    ExpiredError,
    PeopleTrust,
    RevokedError,
)
from browserid_sasl.x509.names import UNREADABLE
from browserid_sasl.x509.paths import UntrustedError
from tests.support.cards import CLIENT, DAY, Card, CardAuthority, now
from tests.support.certificates import PrivateKey, usage

LENA = x509.RFC822Name("lena@example.test")
ROOT = CardAuthority("Root")
BELOW = CardAuthority("Below", ROOT)
NOW = int(now().timestamp() * 1000)
DAY_MS = 86_400_000


def trust(*authorities: CardAuthority, file: Path | None = None) -> PeopleTrust:
    anchors = [each.issued.certificate for each in authorities or (ROOT,)]
    return PeopleTrust(anchors, RevocationLists(file) if file else None)


def verify(card: Card, *others: CardAuthority, at: int = NOW, file: Path | None = None) -> int:
    """The length of the path of a certificate that is good."""
    return len(trust(file=file).verify([card.der, *(each.issued.der for each in others)], at))


class TestWhichAreGood:
    def test_those_of_the_authority_and_of_those_below_it(self) -> None:
        assert verify(ROOT.card(LENA)) == 2
        assert verify(BELOW.card(LENA), BELOW) == 3
        assert len(trust(BELOW).verify([BELOW.card(LENA).der], NOW)) == 2

    @pytest.mark.parametrize(
        "purposes",
        [
            (ExtendedKeyUsageOID.SMARTCARD_LOGON,),
            (ExtendedKeyUsageOID.EMAIL_PROTECTION, CLIENT),
        ],
    )
    def test_those_for_signing_in(self, purposes: tuple[x509.ObjectIdentifier, ...]) -> None:
        assert verify(ROOT.card(LENA, purposes=purposes))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ec.generate_private_key(ec.SECP384R1()),
            lambda: rsa.generate_private_key(65537, 2048),
            ed25519.Ed25519PrivateKey.generate,
        ],
    )
    def test_those_of_a_strong_key(self, make: Callable[[], PrivateKey]) -> None:
        assert verify(ROOT.card(LENA, key=make()))


def of_another_authority() -> Card:
    return CardAuthority("Root").card(LENA)


BAD: dict[str, Callable[[], Card]] = {
    "of another authority with the same name": of_another_authority,
    "of an authority below that was not sent": lambda: BELOW.card(LENA),
    "a web server's": lambda: ROOT.card(LENA, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for mail": lambda: ROOT.card(LENA, purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,)),
    "for anything": lambda: ROOT.card(LENA, purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "for nothing in particular": lambda: ROOT.card(LENA, purposes=()),
    "an authority's": lambda: ROOT.card(LENA, further=(x509.BasicConstraints(True, None),)),
    "for encryption": lambda: ROOT.card(LENA, further=(usage("key_encipherment"),)),
    "of a short key": lambda: ROOT.card(LENA, key=rsa.generate_private_key(65537, 1536)),
    "of a key for DSA": lambda: ROOT.card(LENA, key=dsa.generate_private_key(2048)),
    "of a weak curve": lambda: ROOT.card(LENA, key=ec.generate_private_key(ec.SECP192R1())),
}


class TestWhichAreNot:
    @pytest.mark.parametrize("bad", BAD)
    def test_those_that_are_something_else(self, bad: str) -> None:
        with pytest.raises(UntrustedError):
            verify(BAD[bad]())

    def test_those_that_a_person_has_issued(self) -> None:
        card = ROOT.card(LENA)
        person = CardAuthority("Lena")
        person.issued = card
        with pytest.raises(UntrustedError):
            trust().verify([person.card(LENA).der, card.der], NOW)

    def test_one_that_has_issued_itself(self) -> None:
        itself = CardAuthority("Root")
        with pytest.raises(UntrustedError):
            verify(itself.card(LENA), itself)

    @pytest.mark.parametrize("days", [-2, 31])
    def test_those_of_another_time(self, days: int) -> None:
        with pytest.raises(ExpiredError, match="it is good from"):
            verify(ROOT.card(LENA), at=NOW + days * DAY_MS)

    def test_those_that_nobody_can_read(self) -> None:
        for octets in (b"", b"\x30\x00", ROOT.card(LENA).der[:-1], b"x" * 100):
            with pytest.raises(UntrustedError, match="cannot be read"):
                trust().verify([octets], NOW)

    def test_names_for_mail_that_an_authority_may_not_give(self) -> None:
        permitted = x509.NameConstraints([x509.RFC822Name("other.test")], None)
        bound = CardAuthority("Bound", ROOT, permitted)
        with pytest.raises(UntrustedError):
            verify(bound.card(LENA), bound)
        assert verify(bound.card(x509.RFC822Name("mia@other.test")), bound)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lists.pem"


class TestLists:
    def test_what_is_on_one_was_revoked(self, file: Path) -> None:
        authority = CardAuthority()
        good, bad = authority.card(LENA), authority.card(LENA)
        authority.revoke(bad)
        file.write_bytes(authority.crl())
        anchored = trust(authority, file=file)
        assert anchored.verify([good.der], NOW)
        with pytest.raises(RevokedError):
            anchored.verify([bad.der], NOW)

    def test_so_was_what_an_authority_has_issued_that_is_on_one(self, file: Path) -> None:
        root = CardAuthority("Root")
        below = CardAuthority("Below", root)
        chain = [below.card(LENA).der, below.issued.der]
        anchored = trust(root, file=file)
        file.write_bytes(root.crl() + below.crl())
        assert anchored.verify(chain, NOW)
        root.revoke(below.issued)
        file.write_bytes(root.crl() + below.crl())
        with pytest.raises(RevokedError):
            anchored.verify(chain, NOW)

    def test_of_several_of_an_authority_the_newest_counts(self, file: Path) -> None:
        authority = CardAuthority()
        card = authority.card(LENA)
        before = authority.crl(begins=now() - 2 * DAY)
        authority.revoke(card)
        for both in (before + authority.crl(), authority.crl() + before):
            file.write_bytes(both)
            with pytest.raises(RevokedError):
                trust(authority, file=file).verify([card.der], NOW)

    def test_a_file_that_changes_is_read_again(self, file: Path) -> None:
        authority = CardAuthority()
        card = authority.card(LENA)
        anchored = trust(authority, file=file)
        file.write_bytes(authority.crl())
        assert anchored.verify([card.der], NOW)
        authority.revoke(card)
        new = file.with_suffix(".new")
        new.write_bytes(authority.crl())
        os.replace(new, file)
        with pytest.raises(RevokedError):
            anchored.verify([card.der], NOW)

    def test_that_of_an_authority_whose_name_nobody_can_read_is_let_be(self, file: Path) -> None:
        authority, other = CardAuthority(), CardAuthority("Caf\u00e9")
        pem = x509.load_pem_x509_crl(other.crl())
        # A T61String with an octet of Latin-1, and a length that stays.
        odd = pem.public_bytes(Encoding.DER).replace(b"\x0c\x05Caf\xc3\xa9", b"\x14\x05Caf\xe9 ")
        text = base64.encodebytes(odd)
        file.write_bytes(
            b"-----BEGIN X509 CRL-----\n" + text + b"-----END X509 CRL-----\n" + authority.crl()
        )
        with pytest.raises(UNREADABLE):
            x509.load_der_x509_crl(odd).issuer  # noqa: B018 - it raises
        assert trust(authority, file=file).verify([authority.card(LENA).der], NOW)

    def test_it_may_be_in_der(self, file: Path) -> None:
        authority = CardAuthority()
        pem = x509.load_pem_x509_crl(authority.crl())
        file.write_bytes(pem.public_bytes(Encoding.DER))
        assert trust(authority, file=file).verify([authority.card(LENA).der], NOW)


ELSEWHERE = x509.IssuingDistributionPoint(
    full_name=[x509.UniformResourceIdentifier("http://crl.test/part")],
    relative_name=None,
    only_contains_user_certs=False,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)

USELESS: dict[str, Callable[[CardAuthority], bytes]] = {
    "too old": lambda each: each.crl(begins=now() - 2 * DAY, ends=now() - DAY / 2),
    "of tomorrow": lambda each: each.crl(begins=now() + DAY, ends=now() + 2 * DAY),
    "another authority's": lambda each: CardAuthority("Other").crl(),
    "signed by another": lambda each: each.crl(key=ec.generate_private_key(ec.SECP256R1())),
    "of a weak hash": lambda each: each.crl(digest=hashes.SHA224()),
    "of a part": lambda each: each.crl(further=[(ELSEWHERE, True)]),
    "of what is new": lambda each: each.crl(further=[(x509.DeltaCRLIndicator(1), True)]),
    "none": lambda each: b"",
    "something else": lambda each: each.issued.pem,
    "broken": lambda each: each.crl().replace(b"A", b"B"),
}


class TestWhereNobodyCanSay:
    """Nobody gets in, and nothing is ended."""

    @pytest.mark.parametrize("useless", USELESS)
    def test_a_list_that_is_of_no_use(self, file: Path, useless: str) -> None:
        authority = CardAuthority()
        file.write_bytes(USELESS[useless](authority))
        with pytest.raises(UnavailableError):
            trust(authority, file=file).verify([authority.card(LENA).der], NOW)

    def test_no_file(self, file: Path) -> None:
        with pytest.raises(UnavailableError, match="cannot be read"):
            verify(ROOT.card(LENA), file=file)

    def test_a_file_that_others_can_write_to(self, file: Path) -> None:
        file.write_bytes(ROOT.crl())
        assert verify(ROOT.card(LENA), file=file)
        file.chmod(0o666)
        with pytest.raises(UnavailableError, match="others can write"):
            verify(ROOT.card(LENA), file=file)

    def test_a_list_is_missing_of_one_of_two(self, file: Path) -> None:
        file.write_bytes(BELOW.crl())
        with pytest.raises(UnavailableError, match="Root"):
            verify(BELOW.card(LENA), BELOW, file=file)

    def test_an_authority_that_may_not_sign_lists(self, file: Path) -> None:
        authority = CardAuthority(signs_lists=False)
        file.write_bytes(authority.crl())
        with pytest.raises(UnavailableError):
            trust(authority, file=file).verify([authority.card(LENA).der], NOW)
