"""Channel bindings for TLS (RFC 5929, RFC 9266)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from browserid_sasl.errors import Code, LocalProtocolError

TLS_UNIQUE: Final = "tls-unique"
TLS_SERVER_END_POINT: Final = "tls-server-end-point"


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """What ties an authentication to the channel it runs in.

    :param type: its registered name.
    :param data: its octets.
    """

    type: str
    data: bytes = field(repr=False)


def tls_server_end_point(certificate: bytes) -> ChannelBinding:
    """The binding to a server's certificate (RFC 5929 section 4).

    :param certificate: the TLS server's own certificate, DER.
    :raises LocalProtocolError: invalid-parameter when the certificate cannot be read, or its
        signature has no single hash function, for which RFC 5929 defines no binding.
    """
    # Servers are told their binding by the program they run in: only clients of ours come here.
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        algorithm = parsed.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _unusable("it cannot be read") from None
    if algorithm is None:
        raise _unusable("its signature has no single hash function")
    if algorithm.name in ("md5", "sha1"):
        algorithm = hashes.SHA256()
    return ChannelBinding(TLS_SERVER_END_POINT, parsed.fingerprint(algorithm))


def _unusable(why: str) -> LocalProtocolError:
    return LocalProtocolError(
        Code.INVALID_PARAMETER, f"no channel binding to the TLS server's certificate: {why}"
    )
