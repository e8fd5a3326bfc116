"""Channel bindings for TLS."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.sasl.channel_binding import (
    TLS_SERVER_END_POINT,
    ChannelBinding,
    tls_server_end_point,
)
from tests.support.certificates import DAY, NOW
from tests.support.refusal import refused
from tests.support.world import key


def certificate(digest: Any, private: Any = None) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    signer = private or key("server").key
    builder = x509.CertificateBuilder(name, name, signer.public_key(), 1, NOW - DAY, NOW + DAY)
    return builder.sign(signer, digest).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (hashes.SHA256(), "sha256"),
        (hashes.SHA384(), "sha384"),
        (hashes.SHA512(), "sha512"),
        (hashes.SHA224(), "sha224"),
    ],
)
def test_the_certificate_is_hashed_as_it_was_signed(digest: Any, expected: str) -> None:
    der = certificate(digest)
    binding = tls_server_end_point(der)
    assert binding == ChannelBinding(TLS_SERVER_END_POINT, hashlib.new(expected, der).digest())


def test_a_weak_hash_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    # Certificates signed with SHA-1 are no longer made, not even for a test.
    der = certificate(hashes.SHA256())
    for weak in (hashes.SHA1(), hashes.MD5()):

        class Old:
            signature_hash_algorithm = weak
            fingerprint = x509.load_der_x509_certificate(der).fingerprint

        monkeypatch.setattr(x509, "load_der_x509_certificate", lambda _: Old())
        assert tls_server_end_point(der).data == hashlib.sha256(der).digest()
        monkeypatch.undo()


def test_a_signature_without_a_hash_of_its_own_has_no_binding() -> None:
    der = certificate(None, ed25519.Ed25519PrivateKey.generate())
    with refused(Code.INVALID_PARAMETER, "no single hash function", LocalProtocolError):
        tls_server_end_point(der)


@pytest.mark.parametrize(
    "octets",
    [b"", b"garbage", certificate(hashes.SHA256())[:-1]],
    ids=["nothing", "garbage", "one that is cut short"],
)
def test_what_is_no_certificate_has_none(octets: bytes) -> None:
    with refused(Code.INVALID_PARAMETER, "cannot be read", LocalProtocolError):
        tls_server_end_point(octets)


def test_the_data_is_not_shown() -> None:
    assert "secret" not in repr(ChannelBinding("tls-unique", b"secret"))


def test_rsa_keys_of_servers_are_read_too() -> None:
    der = certificate(hashes.SHA256(), rsa.generate_private_key(65537, 2048))
    assert len(tls_server_end_point(der).data) == 32
