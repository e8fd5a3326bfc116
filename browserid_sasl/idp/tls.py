"""A private certification authority for the provider's own web server.

For closed networks and demonstrations: who is to believe the server gets `ca.pem`. The authority
can vouch for nothing but the provider's domain and this machine (RFC 5280 section 4.2.1.10).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.private_files import (
    PUBLIC_FILE,
    make_private_folder,
    read_private,
    write_atomically,
)

_AUTHORITY_LIFE: Final = timedelta(days=3650)
_SERVER_LIFE: Final = timedelta(days=397)
_RENEW_BEFORE: Final = timedelta(days=30)
_CLOCKS_DIFFER: Final = timedelta(hours=1)

_LOOPBACK: Final = ("127.0.0.1", "::1")
_LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority that signs.

    :param certificate: its own.
    :param key: secret.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def to_pem(self) -> bytes:
        """Key and certificate, for a file that nobody else reads."""
        return _pem(self.key) + self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def from_pem(cls, pem: bytes) -> Issuer:
        """Read what `to_pem` wrote.

        :raises ValueError: it is something else.
        """
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("not an EC key")
        return cls(x509.load_pem_x509_certificate(pem), key)


_T = TypeVar("_T")


class LocalTls:
    """The files of the private authority and of the server's certificate.

    :param folder: only its owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = folder / "authority.pem"

    @property
    def anchor(self) -> Path:
        """The authority's certificate, for those who are to believe the server."""
        return self._folder / "ca.pem"

    @property
    def server(self) -> Path:
        """The server's certificate and its private key."""
        return self._folder / "server.pem"

    def create(self, domain: str, now: int) -> bool:
        """Make what is not there; a server certificate about to expire is made anew.

        :param domain: DNS name of the server.
        :param now: ms.
        :returns: whether the authority is a new one.
        :raises ConfigurationError: the files cannot be read or written.
        """
        moment = datetime.fromtimestamp(now // 1000, UTC)
        try:
            make_private_folder(self._folder)
            made = not self._authority.exists()
            issuer = self._issuer(domain, moment)
            self._check_vouches(issuer, domain)
            if not self._is_current(issuer, moment):
                write_atomically(self.server, _server_pem(issuer, domain, moment))
            return made
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def _issuer(self, domain: str, moment: datetime) -> Issuer:
        if self._authority.exists():
            issuer = self._read(self._authority, Issuer.from_pem)
        else:
            issuer = _new_issuer(domain, moment)
            write_atomically(self._authority, issuer.to_pem())
        public = issuer.certificate.public_bytes(serialization.Encoding.PEM)
        if not self.anchor.exists() or self.anchor.read_bytes() != public:
            write_atomically(self.anchor, public, PUBLIC_FILE)
        return issuer

    def _check_vouches(self, issuer: Issuer, domain: str) -> None:
        """See that an authority that is there may vouch for the host the provider has now."""
        constraints = issuer.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        if x509.DNSName(domain) not in (constraints.value.permitted_subtrees or ()):
            raise ConfigurationError(
                f"the private authority in {self._folder} cannot vouch for {domain}: it was made"
                " for another host",
                f"remove {self._folder} to have another one made, which nobody believes yet",
            )

    def _is_current(self, issuer: Issuer, moment: datetime) -> bool:
        if not self.server.exists():
            return False
        certificate = self._read(self.server, x509.load_pem_x509_certificate)
        try:
            certificate.verify_directly_issued_by(issuer.certificate)
        except (InvalidSignature, ValueError, TypeError):
            # The authority's file was missing, and there is another one now.
            return False
        return certificate.not_valid_after_utc > moment + _RENEW_BEFORE

    def _read(self, file: Path, parse: Callable[[bytes], _T]) -> _T:
        try:
            return parse(read_private(file))
        except ValueError:
            raise ConfigurationError(
                f"the file {file} is damaged: it has not what was written to it",
                "put it back from the backup, or remove it to have another one made",
            ) from None

    def _unusable(self, why: str | None) -> ConfigurationError:
        return ConfigurationError(
            f"the TLS certificates in {self._folder} cannot be used ({why})",
            "remove the folder to have new ones made",
        )


def _new_issuer(domain: str, moment: datetime) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Private authority of {domain}")
    constraints: list[x509.GeneralName] = [x509.DNSName(domain), x509.DNSName("localhost")]
    constraints += [x509.IPAddress(ipaddress.ip_network(net)) for net in _LOOPBACK_NETWORKS]
    builder = (
        _builder(name, name, key, moment, _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(constraints, None), critical=True)
    )
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def _server_pem(issuer: Issuer, domain: str, moment: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(domain), x509.DNSName("localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _LOOPBACK]
    certificate = (
        _builder(_name(domain), issuer.certificate.subject, key, moment, _SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    moment: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _CLOCKS_DIFFER)
        .not_valid_after(moment + life)
        .add_extension(identifier, critical=False)
    )


def _authority_identifier(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    extension = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    # An X.509 common name has 64 characters at the most; nobody reads it by program.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
