"""Which acceptors' certificates an initiator trusts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    LocalProtocolError,
    RemoteProtocolError,
)
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.x509.trust import X509Trust
from tests.support import vectors
from tests.support.certificates import (
    DAY,
    NOW,
    Issued,
    authority,
    curve_key,
    forge,
    issue,
    names,
    oddly_named,
    resign,
    srv_name,
    tags_in,
    usage,
)
from tests.support.dsa_group import dsa_key
from tests.support.world import IMAP, START

HOST = "mail.example.com"
ROOT = authority("root")
HOST_NAME = names([HOST])
CLIENT_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SIP_DOMAIN = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20")


def verify(
    chain: Sequence[Issued | bytes],
    anchors: Sequence[Issued] = (ROOT,),
    target: ServiceName = IMAP,
    now: int = START,
) -> Any:
    der = tuple(each if isinstance(each, bytes) else each.der for each in chain)
    return X509Trust([anchor.certificate for anchor in anchors]).verify(der, target, now)


def refuse(*arguments: Any, **further: Any) -> BrowserIDError:
    with pytest.raises(BrowserIDError) as caught:
        verify(*arguments, **further)
    return caught.value


def refuse_untrusted(reason: str, *arguments: Any, **further: Any) -> None:
    error = refuse(*arguments, **further)
    assert error.code is Code.UNTRUSTED_X509_CERT
    assert reason in error.message
    assert error.remedy


def refuse_name(*arguments: Any, **further: Any) -> BrowserIDError:
    error = refuse(*arguments, **further)
    assert error.code is Code.BAD_SUBJECT
    return error


def leaf(*extensions: x509.ExtensionType, issuer: Issued = ROOT, **further: Any) -> Issued:
    return issue("leaf", issuer, HOST_NAME, *extensions, **further)


class TestRecordedCertificates:
    @pytest.mark.parametrize(
        ("name", "target"),
        [
            ("gss-aes128-mutual-initial", "imap/mail.example.com"),
            ("gss-aes128-mutual-cert-eku-http", "http/mail.example.com"),
            ("gss-aes128-mutual-cert-eku-http", "imap/mail.example.com"),
            ("sasl-aes128-mutual-initial", "host/vm"),
        ],
    )
    def test_are_trusted(self, name: str, target: str) -> None:
        vector = vectors.load(name)
        trust, credential = vectors.server_trust(vector), vectors.server_credential(vector)
        assert trust and credential
        key = trust.verify(credential.chain, ServiceName.parse(target), vector.now)
        key.verify(credential.key.sign(b"response"), b"response")

    def test_one_for_another_host_is_not(self) -> None:
        vector = vectors.load("gss-aes128-mutual-cert-other")
        trust, credential = vectors.server_trust(vector), vectors.server_credential(vector)
        assert trust and credential
        with pytest.raises(BrowserIDError) as caught:
            trust.verify(credential.chain, vector.target, vector.now)
        assert caught.value.code is Code.BAD_SUBJECT
        assert "'other.example.com'" in caught.value.message


class TestChain:
    def test_the_key_of_a_trusted_certificate_is_returned(self) -> None:
        assert verify([leaf()]).key == curve_key("leaf").public_key()

    def test_intermediates_come_in_any_order_and_with_the_anchor_or_without(self) -> None:
        first = authority("first", ROOT)
        second = authority("second", first)
        server = leaf(issuer=second)
        assert verify([server, second, first])
        assert verify([server, first, second, ROOT])

    def test_an_intermediate_can_be_the_anchor(self) -> None:
        middle = authority("middle", ROOT)
        assert verify([leaf(issuer=middle)], [middle])

    def test_a_pinned_certificate_needs_no_authority(self) -> None:
        pinned = issue("pinned", None, HOST_NAME)
        assert verify([pinned], [pinned])

    def test_a_self_signed_certificate_is_refused(self) -> None:
        refuse_untrusted("no trust anchor", [issue("selfish", None, HOST_NAME)])

    def test_an_unknown_authority_is_refused(self) -> None:
        other = authority("other")
        refuse_untrusted("issued by 'CN=other'", [leaf(issuer=other), other])

    def test_an_authority_that_only_has_the_anchor_s_name_is_refused(self) -> None:
        impostor = authority("root", key=curve_key("impostor"))
        refuse_untrusted("", [leaf(issuer=impostor)])
        refuse_untrusted("", [leaf(issuer=impostor), impostor])

    def test_a_missing_intermediate_is_named(self) -> None:
        middle = authority("middle", ROOT)
        refuse_untrusted("issued by 'CN=middle'", [leaf(issuer=middle)])

    def test_an_altered_certificate_is_refused(self) -> None:
        der = bytearray(leaf().der)
        der[-1] ^= 1
        refuse_untrusted("signature", [bytes(der)])

    def test_another_certificate_of_the_anchor_does_not_issue(self) -> None:
        sibling = issue("sibling", ROOT, HOST_NAME)
        refuse_untrusted("basicConstraints", [leaf(issuer=sibling), sibling])

    def test_an_intermediate_without_the_authority_bit_is_refused(self) -> None:
        middle = issue("middle", ROOT, x509.BasicConstraints(False, None))
        refuse_untrusted("", [leaf(issuer=middle), middle])

    def test_an_anchor_without_basic_constraints_does_not_issue(self) -> None:
        plain = issue("plain")
        refuse_untrusted("basicConstraints", [leaf(issuer=plain)], [plain])

    @pytest.mark.parametrize("place", ["anchor", "intermediate"])
    def test_the_path_length_is_kept(self, place: str) -> None:
        root = authority("short", path_length=0 if place == "anchor" else None)
        first = authority("first", root, path_length=0 if place == "intermediate" else None)
        assert verify([leaf(issuer=root)], [root])
        second = authority("second", first)
        refuse_untrusted("path length", [leaf(issuer=second), second, first], [root])

    @pytest.mark.parametrize(("intermediates", "accepted"), [(8, True), (9, False)])
    def test_a_chain_has_ten_certificates_at_most(self, intermediates: int, accepted: bool) -> None:
        chain: list[Issued] = [ROOT]
        for number in range(intermediates):
            chain.insert(0, authority(f"ca {number}", chain[0]))
        chain.insert(0, leaf(issuer=chain[0]))
        if accepted:
            assert verify(chain)
        else:
            refuse_untrusted("11 certificates", chain)
            refuse_untrusted("depth", chain[:-1])

    def test_an_empty_chain_is_refused(self) -> None:
        refuse_untrusted("0 certificates", [])

    def test_an_authority_s_key_usage_has_to_permit_issuing(self) -> None:
        assert verify_through(usage("key_cert_sign"))
        middle = authority("middle", ROOT, usage("digital_signature", "crl_sign"))
        refuse_untrusted("'CN=middle' may not issue", [leaf(issuer=middle), middle])

    def test_an_authority_s_extended_key_usage_has_to_permit_servers(self) -> None:
        assert verify_through(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
        middle = authority("middle", ROOT, CLIENT_ONLY)
        refuse_untrusted("'CN=middle' may not issue", [leaf(issuer=middle), middle])

    @pytest.mark.parametrize("place", ["leaf", "intermediate"])
    def test_an_unknown_critical_extension_is_refused(self, place: str) -> None:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        if place == "leaf":
            chain = [leaf(unknown, critical=True)]
        else:
            middle = authority("middle", ROOT, unknown, critical=True)
            chain = [leaf(issuer=middle), middle]
        refuse_untrusted("critical", chain)

    def test_an_unknown_extension_that_is_not_critical_is_ignored(self) -> None:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        assert verify([leaf(unknown)])

    def test_without_anchors_nothing_can_be_checked(self) -> None:
        with pytest.raises(LocalProtocolError, match="trust_anchors"):
            X509Trust([])


def verify_through(extension: x509.ExtensionType) -> Any:
    middle = authority("middle", ROOT, extension)
    return verify([leaf(issuer=middle), middle])


class TestOddNames:
    """What `cryptography` raises for them is not always what one expects."""

    BIT_STRING, OCTET_STRING = 3, 4

    def test_a_common_name_of_bits(self) -> None:
        odd = oddly_named(ROOT, self.BIT_STRING)
        refuse_untrusted("cannot be read", [odd])
        refuse_untrusted("cannot be read", [leaf(), odd])

    def test_a_common_name_of_octets_is_none_of_our_business(self) -> None:
        assert verify([oddly_named(ROOT, self.OCTET_STRING)])


class TestOddTypes:
    """Every value of a certificate in turn is of another type than it should be."""

    SERVER = issue(
        "leaf",
        ROOT,
        names([HOST], [f"_imap.{HOST}"]),
        usage("digital_signature"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    TBS = SERVER.certificate.tbs_certificate_bytes

    @pytest.mark.parametrize("tag", [*range(1, 7), 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1E, 0x30, 0xA0])
    def test_it_is_for_this_server_or_it_is_refused(self, tag: int) -> None:
        refused = 0
        for place in tags_in(self.TBS):
            altered = resign(self.TBS[:place] + bytes([tag]) + self.TBS[place + 1 :], ROOT)
            try:
                verify([altered])
            except RemoteProtocolError as error:
                refused += 1
                assert error.code in (Code.UNTRUSTED_X509_CERT, Code.BAD_SUBJECT)
        assert refused > 20

    def test_the_one_that_was_not_altered_is_believed(self) -> None:
        assert verify([resign(self.TBS, ROOT)])


class TestValidity:
    def test_both_ends_are_included(self) -> None:
        server = leaf()
        last = int(server.certificate.not_valid_after_utc.timestamp()) * 1000
        first = int(server.certificate.not_valid_before_utc.timestamp()) * 1000
        assert verify([server], now=first)
        assert verify([server], now=last)
        refuse_untrusted("not valid before", [server], now=first - 1000)
        refuse_untrusted("expired at", [server], now=last + 1000)

    def test_an_expired_intermediate_is_named(self) -> None:
        middle = authority("middle", ROOT, ends=NOW - DAY / 2)
        refuse_untrusted("'CN=middle' expired at 2026", [leaf(issuer=middle), middle])

    def test_an_intermediate_of_the_future_is_named(self) -> None:
        middle = authority("middle", ROOT, begins=NOW + DAY)
        refuse_untrusted("'CN=middle' is not valid before", [leaf(issuer=middle), middle])

    def test_an_expired_anchor_is_refused(self) -> None:
        old = authority("old", ends=NOW - DAY / 2)
        refuse_untrusted("not valid at", [leaf(issuer=old)], [old])

    def test_an_expired_pinned_certificate_is_refused(self) -> None:
        pinned = issue("pinned", None, HOST_NAME, ends=NOW - DAY / 2)
        refuse_untrusted("expired", [pinned], [pinned])


class TestAlgorithms:
    def test_rsa_and_p256_keys_sign_responses(self) -> None:
        assert verify([leaf(key=rsa.generate_private_key(65537, 2048))])
        assert verify([leaf(key=curve_key("leaf"))])

    def test_a_short_rsa_key_is_refused(self) -> None:
        refuse_untrusted("1024 bits", [leaf(key=rsa.generate_private_key(65537, 1024))])

    def test_a_short_rsa_key_of_an_authority_is_refused(self) -> None:
        weak = authority("weak", key=rsa.generate_private_key(65537, 1024))
        refuse_untrusted("weak", [leaf(issuer=weak)], [weak])

    @pytest.mark.parametrize(
        "key",
        [
            ec.generate_private_key(ec.SECP384R1()),
            ed25519.Ed25519PrivateKey.generate(),
            dsa_key(),
        ],
        ids=["P-384", "Ed25519", "DSA"],
    )
    def test_other_keys_do_not_sign_responses(self, key: Any) -> None:
        refuse_untrusted("", [leaf(key=key)])

    def test_a_short_hash_is_refused(self) -> None:
        refuse_untrusted("too weak", [leaf(digest=hashes.SHA224())])

    def test_sha1_is_refused(self) -> None:
        der = leaf(issuer=RSA_ROOT).der
        assert der.count(SHA256_WITH_RSA) == 2
        refuse_untrusted("too weak", [der.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)], [RSA_ROOT])

    def test_an_unknown_algorithm_is_refused(self) -> None:
        known, unknown = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f")
        refuse_untrusted("", [leaf().der.replace(known, unknown)])


SHA256_WITH_RSA = bytes.fromhex("2a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("2a864886f70d010105")
RSA_ROOT = authority("rsa root", key=rsa.generate_private_key(65537, 2048))


class TestPurpose:
    @pytest.mark.parametrize(
        "extension",
        [
            usage("digital_signature"),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
        ],
    )
    def test_certificates_for_servers_serve(self, extension: x509.ExtensionType) -> None:
        assert verify([leaf(extension)])

    def test_a_key_that_may_not_sign_is_refused(self) -> None:
        refuse_untrusted("key usage", [leaf(usage("key_encipherment", "key_agreement"))])

    @pytest.mark.parametrize(
        "purpose", [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING, SIP_DOMAIN]
    )
    def test_other_purposes_are_refused(self, purpose: x509.ObjectIdentifier) -> None:
        refuse_untrusted("extended key usage", [leaf(x509.ExtendedKeyUsage([purpose]))])

    def test_a_purpose_registered_for_the_service_serves_it(self) -> None:
        certificate = leaf(x509.ExtendedKeyUsage([SIP_DOMAIN]))
        assert verify([certificate], target=ServiceName("sip", HOST))


class TestHostNames:
    @pytest.mark.parametrize(
        ("name", "host"),
        [
            (HOST, HOST),
            ("MAIL.Example.COM", HOST),
            ("*.example.com", HOST),
            ("vm", "vm"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ],
    )
    def test_a_matching_name(self, name: str, host: str) -> None:
        assert verify([issue("leaf", ROOT, names([name]))], target=ServiceName.make("imap", host))

    @pytest.mark.parametrize(
        "name",
        [
            "other.example.com",
            "example.com",
            "mail.example.com.evil.org",
            "evilmail.example.com",
            "*.com",
            "*.mail.example.com",
            "m*.example.com",
            "*.*.com",
            "*",
            "mail.*.com",
            "mail.example.co",
        ],
    )
    def test_another_name(self, name: str) -> None:
        error = refuse_name([issue("leaf", ROOT, names([name]))])
        assert repr(name) in error.message
        assert "imap/mail.example.com" in error.message

    def test_a_wildcard_covers_one_label(self) -> None:
        certificate = issue("leaf", ROOT, names(["*.example.com"]))
        refuse_name([certificate], target=ServiceName("imap", "a.mail.example.com"))

    def test_one_of_several_names_is_enough_and_odd_ones_do_no_harm(self) -> None:
        assert verify([issue("leaf", ROOT, names(["*.org", "10.0.0.1", HOST]))])

    def test_the_subject_is_never_consulted(self) -> None:
        error = refuse_name([issue(HOST, ROOT)])
        assert "for no host" in error.message
        refuse_name([issue(HOST, ROOT, names(["other.example.com"]))])

    @pytest.mark.parametrize(
        "other",
        [
            x509.RFC822Name("alice@mail.example.com"),
            x509.UniformResourceIdentifier("imap://mail.example.com:993/"),
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])),
        ],
    )
    def test_names_of_other_kinds_do_not_count(self, other: x509.GeneralName) -> None:
        refuse_name([issue("leaf", ROOT, x509.SubjectAlternativeName([other]))])

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_an_address_is_no_host_name(self, host: str) -> None:
        error = refuse_name([leaf()], target=ServiceName.make("imap", host))
        assert "host name" in error.remedy

    def test_many_names_are_not_all_listed(self) -> None:
        hosts = [f"host{number}.example.com" for number in range(9)]
        error = refuse_name([issue("leaf", ROOT, names(hosts))])
        assert "'host4.example.com', 4 more" in error.message


class TestServiceNames:
    def test_the_service_has_to_match(self) -> None:
        certificate = issue("leaf", ROOT, names(services=[f"_imap.{HOST}"]))
        assert verify([certificate])
        refuse_name([certificate], target=ServiceName("smtp", HOST))
        refuse_name([certificate], target=ServiceName("imap", "other.example.com"))

    def test_case_does_not_matter(self) -> None:
        assert verify([issue("leaf", ROOT, names(services=["_IMAP.Mail.Example.COM"]))])

    def test_dns_names_do_not_count_beside_a_service_name(self) -> None:
        certificate = issue("leaf", ROOT, names([HOST], [f"_smtp.{HOST}"]))
        error = refuse_name([certificate])
        assert f"'_smtp.{HOST}'" in error.message

    def test_any_of_several_matches(self) -> None:
        assert verify([issue("leaf", ROOT, names(services=[f"_smtp.{HOST}", f"_imap.{HOST}"]))])

    @pytest.mark.parametrize(
        "service",
        [
            f"imap.{HOST}",
            f"_*.{HOST}",
            "_imap.*.example.com",
            "_imap",
            "",
            "_imap.",
            f"_imap.{HOST}\0.evil.org",
            "_imap.10.0.0.1",
        ],
    )
    def test_a_malformed_service_name_matches_nothing(self, service: str) -> None:
        refuse_name([issue("leaf", ROOT, names([HOST], [service]))])

    @pytest.mark.parametrize(
        "value",
        [
            b"\x05\x00",
            b"\x0c\x16_imap.mail.example.com",
            b"\x16\x06_imap\xe9",
            b"\x36\x0a\x16\x88" + b"\xff" * 8,
            b"\x16\x82\x04\x00" + b"_" * 1024,
        ],
        ids=["nothing", "another type", "not ASCII", "too long inside", "too long"],
    )
    def test_a_service_name_that_cannot_be_read_is_one_all_the_same(self, value: bytes) -> None:
        unreadable = x509.OtherName(srv_name("").type_id, value)
        certificate = issue(
            "leaf", ROOT, x509.SubjectAlternativeName([x509.DNSName(HOST), unreadable])
        )
        refuse_name([certificate])

    def test_other_names_of_other_kinds_are_not_service_names(self) -> None:
        other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a")
        san = x509.SubjectAlternativeName([x509.DNSName(HOST), other])
        assert verify([issue("leaf", ROOT, san)])

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_an_address_is_no_host_name(self, host: str) -> None:
        certificate = issue("leaf", ROOT, names(services=[f"_imap.{HOST}"]))
        refuse_name([certificate], target=ServiceName.make("imap", host))

    def test_a_service_with_a_dot_has_no_service_name(self) -> None:
        # It would read as the service `imap` of the host `mail.example.com`.
        certificate = issue("leaf", ROOT, names(services=["_imap.mail.example.com"]))
        refuse_name([certificate], target=ServiceName("imap.mail", "example.com"))


def constrained(permitted: str | None = None, excluded: str | None = None) -> Issued:
    constraints = x509.NameConstraints(
        None if permitted is None else [x509.DNSName(permitted)],
        None if excluded is None else [x509.DNSName(excluded)],
    )
    return authority("constrained", ROOT, constraints)


class TestNameConstraints:
    @pytest.mark.parametrize("permitted", ["example.com", "mail.example.com"])
    @pytest.mark.parametrize("kind", ["host", "service"])
    def test_names_inside(self, permitted: str, kind: str) -> None:
        middle = constrained(permitted)
        assert verify([self.certificate(kind, middle), middle])

    @pytest.mark.parametrize(
        ("permitted", "excluded"),
        [
            ("example.org", None),
            ("ample.com", None),
            (None, "example.com"),
            ("example.com", "mail.example.com"),
        ],
    )
    def test_host_names_outside(self, permitted: str | None, excluded: str | None) -> None:
        middle = constrained(permitted, excluded)
        refuse_untrusted("name constraint", [self.certificate("host", middle), middle])

    @pytest.mark.parametrize(
        ("permitted", "excluded"),
        [
            ("example.org", None),
            ("ample.com", None),
            (None, "example.com"),
            (None, ""),
            ("example.com", "mail.example.com"),
        ],
    )
    def test_service_names_outside(self, permitted: str | None, excluded: str | None) -> None:
        middle = constrained(permitted, excluded)
        error = refuse_name([self.certificate("service", middle), middle])
        assert "'CN=constrained' may not certify" in error.message

    def test_constraints_on_service_names_are_not_understood_and_refused(self) -> None:
        constraints = x509.NameConstraints([srv_name("_imap.example.com")], None)
        middle = authority("constrained", ROOT, constraints)
        refuse_untrusted("name constraint", [self.certificate("service", middle), middle])

    @staticmethod
    def certificate(kind: str, issuer: Issued) -> Issued:
        san = names([HOST]) if kind == "host" else names(services=[f"_imap.{HOST}"])
        return issue("leaf", issuer, san)


class TestInputThatIsNoCertificate:
    @pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"hello", bytes(1000)])
    def test_is_refused(self, octets: bytes) -> None:
        refuse_untrusted("cannot be read", [octets])
        refuse_untrusted("cannot be read", [leaf(), octets])

    def test_an_extension_that_is_there_twice(self) -> None:
        # Two extensions of equal size: one OID is overwritten with the other's.
        once = leaf(usage("digital_signature"), x509.BasicConstraints(False, None))
        key_usage, constraints = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13")
        twice = forge(once, ROOT, constraints, key_usage)
        refuse_untrusted("cannot be read", [twice])

    def test_a_key_of_an_unknown_kind(self) -> None:
        kind = bytes.fromhex("06072a8648ce3d0201")
        unknown = forge(leaf(), ROOT, kind, kind[:-1] + b"\x7f")
        refuse_untrusted("key cannot be read", [unknown])

    def test_a_name_that_cannot_be_read(self) -> None:
        service = b"_imap.mail.example.com"
        certificate = issue("leaf", ROOT, names(services=[service.decode()]))
        header = bytes([22, len(service)])
        longer = bytes([22, len(service) + 1])
        refuse_untrusted("cannot be read", [certificate.der.replace(header, longer)])

    @given(st.sampled_from([0, 1]), st.data())
    def test_whatever_is_altered_gives_an_error_of_ours(
        self, place: int, data: st.DataObject
    ) -> None:
        chain = [each.der for each in CHAIN]
        der = bytearray(chain[place])
        for _ in range(data.draw(st.integers(1, 4))):
            der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
        end = data.draw(st.integers(0, len(der)))
        altered = bytes(der[:end]) if data.draw(st.booleans()) else bytes(der)
        if altered != chain[place]:
            chain[place] = altered
            refuse(chain)


MIDDLE = authority("middle", ROOT, usage("key_cert_sign"))
CHAIN = (leaf(usage("digital_signature"), issuer=MIDDLE), MIDDLE)
