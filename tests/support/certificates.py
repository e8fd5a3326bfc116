"""X.509 certificates made to order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pyasn1.codec.der import decoder, encoder
from pyasn1.type.char import IA5String
from pyasn1.type.univ import BitString

from browserid_sasl.x509.names import ID_ON_DNS_SRV
from tests.support.world import START

PrivateKey = (
    rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
)

NOW = datetime.fromtimestamp(START / 1000, UTC)
DAY = timedelta(days=1)

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def curve_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of this name."""
    return ec.generate_private_key(ec.SECP256R1())


def issue(
    name: str,
    issuer: Issued | None = None,
    *extensions: x509.ExtensionType,
    key: PrivateKey | None = None,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 30 * DAY,
    digest: hashes.SHA224 | hashes.SHA256 | None = None,
    critical: bool = False,
) -> Issued:
    """A certificate; one that signs itself without an issuer."""
    key = key or curve_key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return sign(subject, key, issuer, extensions, begins, ends, digest, critical=critical)


def sign(
    subject: x509.Name,
    key: PrivateKey,
    issuer: Issued | None,
    extensions: Iterable[x509.ExtensionType],
    begins: datetime,
    ends: datetime,
    digest: hashes.SHA224 | hashes.SHA256 | None = None,
    *,
    critical: bool = False,
) -> Issued:
    """A certificate for a subject and a key; one that signs itself without an issuer."""
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=begins,
        not_valid_after=ends,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else key, digest or hashes.SHA256())
    return Issued(certificate, key)


def forge(issued: Issued, issuer: Issued, old: bytes, new: bytes) -> bytes:
    """A certificate with other octets in it, as many, that its issuer has signed nevertheless."""
    parts, _ = decoder.decode(issued.der)
    altered = issued.certificate.tbs_certificate_bytes.replace(old, new)
    parts[0], _ = decoder.decode(altered)
    assert len(old) == len(new) and bytes(encoder.encode(parts[0])) == altered
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(altered, ec.ECDSA(hashes.SHA256()))
    parts[2] = BitString(hexValue=signature.hex())
    return bytes(encoder.encode(parts))


def resign(tbs: bytes, issuer: Issued) -> bytes:
    """A certificate of these octets, whatever they are, that its issuer has signed."""
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = b"\0" + issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return _tlv(0x30, tbs + _ECDSA_WITH_SHA256 + _tlv(0x03, signature))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content).to_bytes(2, "big")
    return bytes([tag]) + (b"\x82" + length if len(content) > 127 else length[1:]) + content


_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def tags_in(der: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where the tags are in some DER, outside of strings."""
    end = len(der) if end is None else end
    while start < end:
        yield start
        size = der[start + 1] & 0x7F if der[start + 1] & 0x80 else 0
        content = start + 2 + size
        length = int.from_bytes(der[start + 2 : content], "big") if size else der[start + 1]
        if der[start] & 0x20:
            yield from tags_in(der, content, content + length)
        start = content + length


def oddly_named(issuer: Issued, tag: int) -> bytes:
    """A certificate whose common name is of this type of ASN.1, where it is a text otherwise."""
    usual = issue("eight...", issuer, names(["mail.example.com"]))
    return forge(usual, issuer, b"\x0c\x08eight...", bytes([tag, 8, 0]) + b"ight...")


def authority(
    name: str,
    issuer: Issued | None = None,
    *extensions: x509.ExtensionType,
    path_length: int | None = None,
    **further: Any,
) -> Issued:
    """A certificate that may issue others."""
    return issue(name, issuer, x509.BasicConstraints(True, path_length), *extensions, **further)


def names(hosts: Iterable[str] = (), services: Iterable[str] = ()) -> x509.SubjectAlternativeName:
    """DNS names and SRVNames."""
    return x509.SubjectAlternativeName(
        [*map(x509.DNSName, hosts), *(srv_name(service) for service in services)]
    )


def srv_name(service: str) -> x509.OtherName:
    return x509.OtherName(ID_ON_DNS_SRV, bytes(encoder.encode(IA5String(service))))


def usage(*names: str) -> x509.KeyUsage:
    """A key usage extension with only these."""
    return x509.KeyUsage(**{name: name in names for name in _USAGES})
