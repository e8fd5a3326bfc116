"""The GS2 header in front of the first message (RFC 5801 section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError

MAX_LENGTH: Final = 2048

_HEADER: Final = re.compile(
    rb"(?:(?P<flag>[ny])|p=(?P<binding>[A-Za-z0-9.-]{1,64})),(?:a=(?P<authzid>[^,]*))?,"
)
_BAD_ESCAPE: Final = re.compile(r"=(?!2C|3D)")


class BindingFlag(Enum):
    """What the client says about channel binding."""

    NONE = "n"
    NOT_OFFERED = "y"
    USED = "p"


@dataclass(frozen=True, slots=True)
class Gs2Header:
    """A GS2 header.

    :param flag: what the client says about channel binding.
    :param binding_type: type of the channel binding when it is used, for example
        ``tls-exporter``; else empty.
    :param authzid: the identity to act as; empty for the authenticated one.
    """

    flag: BindingFlag
    binding_type: str = ""
    authzid: str = ""

    def encode(self) -> bytes:
        """The header as it goes in front of the message.

        :raises LocalProtocolError: invalid-parameter when the authorization identity, or the
            type, cannot be written.
        """
        head = f"p={self.binding_type}" if self.flag is BindingFlag.USED else self.flag.value
        escaped = self.authzid.replace("=", "=3D").replace(",", "=2C")
        try:
            octets = f"{head},{'a=' + escaped if escaped else ''},".encode()
        except UnicodeEncodeError:
            raise _not_writable("is not Unicode text") from None
        if "\0" in self.authzid:
            raise _not_writable("has a NUL character in it")
        if len(octets) > MAX_LENGTH:
            raise _not_writable("is too long")
        if not _HEADER.fullmatch(octets):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"there is no type of channel binding {self.binding_type[:40]!r}",
            )
        return octets


def split(message: bytes) -> tuple[Gs2Header, bytes, bytes]:
    """Take the first message apart.

    :returns: the header, its octets as they came, and the token after it.
    :raises RemoteProtocolError: bad-token-header.
    """
    if message.startswith(b"F,"):
        raise _bad("the non-standard flag `F` is not supported")
    match = _HEADER.match(message, 0, MAX_LENGTH)
    if match is None:
        raise _bad("it is not n, y or p=type, then an authorization identity, then a comma")
    octets = match.group()
    if match["flag"] is None:
        flag, binding_type = BindingFlag.USED, match["binding"].decode("ascii")
    else:
        flag, binding_type = BindingFlag(match["flag"].decode("ascii")), ""
    authzid = "" if match["authzid"] is None else _unescape(match["authzid"])
    return Gs2Header(flag, binding_type, authzid), octets, message[len(octets) :]


def _unescape(octets: bytes) -> str:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("the authorization identity is not UTF-8") from None
    if not text or "\0" in text:
        raise _bad("the authorization identity is empty or has a NUL character in it")
    if _BAD_ESCAPE.search(text):
        raise _bad("the authorization identity has `=` that is not =2C or =3D")
    return text.replace("=2C", ",").replace("=3D", "=")


def _not_writable(why: str) -> LocalProtocolError:
    return LocalProtocolError(Code.INVALID_PARAMETER, f"the authorization identity {why}")


def _bad(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_TOKEN_HEADER, f"the GS2 header cannot be read: {why}")
