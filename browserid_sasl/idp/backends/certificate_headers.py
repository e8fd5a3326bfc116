"""A person's TLS certificate in headers, as a front server writes it.

| form | who writes it |
| --- | --- |
| `rfc9440` | RFC 9440: a byte sequence of DER, and a list of those that came with it |
| `nginx` | `$ssl_client_escaped_cert`: PEM, escaped as in a URL |
| `apache` | `%{SSL_CLIENT_CERT}s`: PEM, with a space for each end of a line |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.x509.paths import MAX_CHAIN

Form = Literal["rfc9440", "nginx", "apache"]

MOST: Final = 16_384
"""Characters of a header at the most."""

_NONE_IN_APACHE: Final = "(null)"
_SEQUENCE: Final = re.compile(r":([A-Za-z0-9+/=]*):")
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*"
)


def read_certificate(form: Form, value: str) -> bytes | None:
    """The certificate in a header, in DER.

    :param value: the header's.
    :returns: None if it says that nobody has shown one.
    :raises RemoteProtocolError: it is not of that form: untrusted-x509-cert, invalid-base64.
    """
    if not value or (form == "apache" and value == _NONE_IN_APACHE):
        return None
    if len(value) > MOST:
        raise _malformed(f"it has more than {MOST} characters")
    return _READERS[form](value)


def read_chain(values: Sequence[str]) -> list[bytes]:
    """The certificates in `Client-Cert-Chain`, which may be several headers (RFC 9440 section 2.3).

    :raises RemoteProtocolError: untrusted-x509-cert, invalid-base64.
    """
    parts = [part.strip(" \t") for value in values for part in value.split(",")]
    if len(parts) >= MAX_CHAIN or sum(map(len, parts)) > MOST:
        raise _malformed("the chain in it is too long")
    return [_byte_sequence(part) for part in parts]


def _byte_sequence(text: str) -> bytes:
    """RFC 8941 section 3.3.5."""
    found = _SEQUENCE.fullmatch(text)
    if found is None:
        raise _malformed("it has to be a byte sequence, between two colons")
    return b64.decode_standard(found[1], "the certificate")


def _escaped_pem(text: str) -> bytes:
    return _pem(unquote_to_bytes(text).decode("ascii", "replace"))


def _pem(text: str) -> bytes:
    found = _PEM.fullmatch(text)
    if found is None:
        raise _malformed("it has to be one certificate in PEM")
    return b64.decode_standard("".join(found[1].split()), "the certificate")


def _malformed(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNTRUSTED_X509_CERT,
        f"a header does not have a certificate in the form that is configured: {why}",
        "have `form` be what the web server writes",
    )


_READERS: Final[Mapping[Form, Callable[[str], bytes]]] = {
    "rfc9440": _byte_sequence,
    "nginx": _escaped_pem,
    "apache": _pem,
}
