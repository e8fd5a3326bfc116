"""TLS for the sample programs, with the channel binding data of its connections."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.errors import ConfigurationError, LocalProtocolError
from browserid_sasl.sasl.channel_binding import (
    TLS_SERVER_END_POINT,
    TLS_UNIQUE,
    tls_server_end_point,
)
from browserid_sasl.trusted_files import read_anchors

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HAVE_TLS_UNIQUE: Final = frozenset({"TLSv1.2"})


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A server's TLS settings.

    :param context: for its connections.
    :param certificate: the certificate it presents, DER.
    """

    context: ssl.SSLContext
    certificate: bytes

    @classmethod
    def load(cls, certificate: Path, key: Path | None, latest: str) -> ServerTls:
        """Read the server's files.

        :param certificate: PEM file with its certificate, and the chain to its trust anchor.
        :param key: PEM file with its private key, None if it is in the same file.
        :param latest: latest TLS version to use, ``1.2`` or ``1.3``.
        :raises ConfigurationError: a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = _VERSIONS[latest]
        try:
            context.load_cert_chain(certificate, key)
            leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{certificate} and its private key cannot be used for TLS: {error}",
                "give PEM files: the server's certificate first, and the key that belongs to it",
            ) from error
        return cls(context, leaf.public_bytes(Encoding.DER))


def client_context(ca_file: Path | None, latest: str) -> ssl.SSLContext:
    """A client's TLS settings: the server has to prove its name.

    :param ca_file: PEM file with the authorities to believe, None for the system's.
    :param latest: latest TLS version to use, ``1.2`` or ``1.3``.
    :raises ConfigurationError: the file cannot be used.
    """
    anchors = None if ca_file is None else read_anchors(ca_file)
    try:
        context = ssl.create_default_context(cadata=anchors)
    except OSError as error:
        raise ConfigurationError(
            f"{ca_file} cannot be used as a file of certificate authorities: {error}",
            "give a file of PEM certificates",
        ) from error
    context.maximum_version = _VERSIONS[latest]
    return context


def channel_bindings(
    connection: ssl.SSLSocket | ssl.SSLObject, certificate: bytes
) -> dict[str, bytes]:
    """The channel binding data of a TLS connection by type, the type to prefer first.

    ``tls-unique`` (RFC 5929 section 3) is bound to the one connection, but is not there in
    TLS 1.3, for which it is not defined (RFC 9266 section 3). ``tls-server-end-point`` is not
    there with certificates that are signed without a hash function of their own (RFC 5929
    section 4.1).

    :param certificate: the certificate the server presented, DER.
    """
    bindings = {}
    if connection.version() in _HAVE_TLS_UNIQUE:
        unique = connection.get_channel_binding(TLS_UNIQUE)
        if unique is not None:
            bindings[TLS_UNIQUE] = unique
    with suppress(LocalProtocolError):
        bindings[TLS_SERVER_END_POINT] = tls_server_end_point(certificate).data
    return bindings
