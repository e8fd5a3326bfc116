"""An authority that issues certificates to people, revokes them, and says what it has revoked."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyasn1.codec.der import encoder
from pyasn1.type.char import UTF8String

from browserid_sasl.idp.backends.certificate_names import UPN
from tests.support.certificates import Issued, PrivateKey, sign, usage

SECRET: Final = "0123456789abcdef0123456789abcdef"
SECRET_HEADER: Final = "front-server-secret"
DAY: Final = timedelta(days=1)
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def upn(text: str) -> x509.OtherName:
    return x509.OtherName(UPN, bytes(encoder.encode(UTF8String(text))))


@dataclass(frozen=True)
class Card(Issued):
    """A certificate of somebody's, and its key."""

    @property
    def text(self) -> str:
        return self.pem.decode()

    @property
    def rfc9440(self) -> str:
        """As RFC 9440 has it in a header."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def nginx(self) -> str:
        """As `$ssl_client_escaped_cert` has it."""
        return quote(self.text, safe="")

    @property
    def apache(self) -> str:
        """As mod_headers has `SSL_CLIENT_CERT`."""
        return self.text.replace("\n", " ")

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Files of the certificate and of its key."""
        number = f"{self.certificate.serial_number:x}"
        certificate, key = folder / f"{number}.pem", folder / f"{number}.key"
        certificate.write_bytes(self.pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return certificate, key

    def pkcs12(self) -> bytes:
        """As browsers take it."""
        nobody = NoEncryption()
        return serialize_key_and_certificates(b"card", self.key, self.certificate, None, nobody)


class CardAuthority:
    """The authority.

    :param name: of it.
    :param issuer: an authority above it, None: it is one by itself.
    :param extensions: further ones of its certificate.
    :param signs_lists: whether that permits to sign lists of what it has revoked.
    """

    def __init__(
        self,
        name: str = "Cards",
        issuer: CardAuthority | None = None,
        *extensions: Any,
        signs_lists: bool = True,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        further = (
            x509.BasicConstraints(ca=True, path_length=None),
            usage("key_cert_sign", *(("crl_sign",) if signs_lists else ())),
            *extensions,
        )
        above = issuer.issued if issuer else None
        self.issued: Issued = sign(
            subject, key, above, further, now() - 100 * DAY, now() + 1000 * DAY
        )
        self._revoked: list[x509.RevokedCertificate] = []

    @property
    def itself(self) -> Card:
        """Its own certificate, as those of people are."""
        return Card(self.issued.certificate, self.issued.key)

    def card(
        self,
        *names: x509.GeneralName,
        serial: str = "",
        person: str = "Lena",
        key: PrivateKey | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
        purposes: Sequence[x509.ObjectIdentifier] = (CLIENT,),
        further: Sequence[x509.ExtensionType] = (),
        user_id: str = "",
    ) -> Card:
        """A certificate of somebody's, for signing in unless it is said otherwise."""
        fields = {NameOID.COMMON_NAME: person, NameOID.SERIAL_NUMBER: serial}
        fields[NameOID.USER_ID] = user_id
        subject = x509.Name([x509.NameAttribute(oid, each) for oid, each in fields.items() if each])
        extensions = list(further)
        if names:
            extensions.append(x509.SubjectAlternativeName(names))
        if purposes:
            extensions.append(x509.ExtendedKeyUsage(purposes))
        begins, ends = begins or now() - DAY, ends or now() + 30 * DAY
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = sign(subject, key, self.issued, extensions, begins, ends)
        return Card(made.certificate, made.key)

    def revoke(self, issued: Issued) -> None:
        """Have it be on the lists from now on."""
        builder = x509.RevokedCertificateBuilder(issued.certificate.serial_number, now())
        self._revoked.append(builder.build())

    def crl(
        self,
        *,
        begins: datetime | None = None,
        ends: datetime | None = None,
        further: Sequence[tuple[x509.ExtensionType, bool]] = (),
        key: PrivateKey | None = None,
        digest: Any = None,
    ) -> bytes:
        """A list of what it has revoked, in PEM."""
        builder = x509.CertificateRevocationListBuilder(
            self.issued.certificate.subject, begins or now() - DAY, ends or now() + DAY
        )
        for each in self._revoked:
            builder = builder.add_revoked_certificate(each)
        for extension, critical in further:
            builder = builder.add_extension(extension, critical)
        made = builder.sign(key or self.issued.key, digest or hashes.SHA256())
        return made.public_bytes(Encoding.PEM)
