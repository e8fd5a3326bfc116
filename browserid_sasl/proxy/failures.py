"""What goes wrong on the way to a server, and whether it is worth trying again."""

from __future__ import annotations

from typing import Final

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    DiscoveryError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.proxy.stream import EndedError, TooSlowError

_PASSING: Final = frozenset({Code.UNAVAILABLE, Code.INTERACT_UNAVAILABLE, Code.HTTP_ERROR})


class MailServerError(RemoteProtocolError):
    """A server cannot be used.

    :param passes: whether it may be otherwise in a while.
    """

    def __init__(self, code: Code, message: str, remedy: str = "", *, passes: bool = False) -> None:
        super().__init__(code, message, remedy)
        self.passes = passes


def not_available(words: bytes, *, passes: bool = True) -> MailServerError:
    """A server has nothing for anybody, and says so.

    :param words: its own.
    """
    return MailServerError(
        Code.UNAVAILABLE, f"the server is not available: {said(words)}", passes=passes
    )


def not_begun(words: bytes) -> MailServerError:
    """A server does not begin TLS, without which nothing is said to it."""
    return MailServerError(Code.WRONG_MECH, f"the server does not begin TLS: {said(words)}")


def no_reply(words: bytes) -> MailServerError:
    """A server says what its protocol does not know."""
    return MailServerError(Code.BAD_CONTEXT_TOKEN, f"this is no reply: {said(words)}")


class WrongPasswordError(RemoteProtocolError):
    """A program's password is not the one of the account's loopback side."""

    def __init__(self, account: str) -> None:
        super().__init__(
            Code.REMOTE_VERIFY_FAILURE,
            f"this is not the password that mail programs use here for {account}",
            f"browserid mail password {account}",
        )


def passes(error: BrowserIDError) -> bool:
    """Whether trying again later may help, without anything being done about it."""
    if isinstance(error, MailServerError):
        return error.passes
    lasting = not isinstance(error, DiscoveryError | StoreError | EndedError | TooSlowError)
    return not lasting or error.code in _PASSING


def said(octets: bytes, most: int = 300) -> str:
    """What a server says, as part of a sentence."""
    text = octets[: 4 * most].decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text)[:most].strip()
