"""The numbers of sasl.h and saslplug.h, and what every failure is in them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
    Major,
    RemoteProtocolError,
    StoreError,
)


class Sasl(IntEnum):
    """The codes of sasl.h that are returned here."""

    CONTINUE = 1
    OK = 0
    FAIL = -1
    NOMEM = -2
    BADPROT = -5
    NOTDONE = -6
    BADPARAM = -7
    BADSERV = -10
    WRONGMECH = -11
    BADAUTH = -13
    NOAUTHZ = -14
    EXPIRED = -18
    UNAVAIL = -24
    BADBINDING = -32


class LogLevel(IntEnum):
    """The levels of saslplug.h that are used here."""

    ERR = 1
    FAIL = 2


class Disposition(IntEnum):
    """What a client does about channel binding (saslplug.h, the flags of RFC 5801 section 5)."""

    NONE = 0
    WANT = 1
    USED = 2


_MAJORS: Final[dict[int, Sasl]] = {
    Major.BAD_BINDINGS: Sasl.BADBINDING,
    Major.CREDENTIALS_EXPIRED: Sasl.EXPIRED,
    Major.CONTEXT_EXPIRED: Sasl.EXPIRED,
    Major.DEFECTIVE_TOKEN: Sasl.BADPROT,
    Major.UNAUTHORIZED: Sasl.NOAUTHZ,
    Major.UNAVAILABLE: Sasl.UNAVAIL,
}
"""What is a matter of the reason alone. Everything else is a failed authentication."""

_CODES: Final = {
    Code.NO_MEMORY: Sasl.NOMEM,
    Code.HTTP_ERROR: Sasl.UNAVAIL,
    Code.UNTRUSTED_ISSUER: Sasl.BADAUTH,
    Code.INTERACT_REQUIRED: Sasl.NOTDONE,
    Code.INTERACT_UNAVAILABLE: Sasl.NOTDONE,
    Code.INTERACT_FAILURE: Sasl.NOTDONE,
}

_CLASSES: Final[tuple[tuple[type[BrowserIDError], Sasl], ...]] = (
    (ConfigurationError, Sasl.BADPARAM),
    (DiscoveryError, Sasl.UNAVAIL),
    (StoreError, Sasl.UNAVAIL),
    (CredentialError, Sasl.NOTDONE),
    (LocalProtocolError, Sasl.BADPARAM),
)

_NOT_GENUINE: Final = frozenset(
    {
        Code.UNTRUSTED_X509_CERT,
        Code.BAD_SUBJECT,
        Code.MISMATCHED_RP_RESPONSE,
        Code.REFLECTED_RP_RESPONSE,
        Code.MISSING_SIGNATURE,
        Code.INVALID_SIGNATURE,
    }
)
"""Reasons for which a client does not believe a server."""


def code_of(error: BrowserIDError, *, is_client: bool) -> Sasl:
    """The code for a failure of the protocol or of what it needs, on one of the sides."""
    not_believed = isinstance(error, RemoteProtocolError) and error.code in _NOT_GENUINE
    if is_client and not_believed:
        return Sasl.BADSERV
    if error.code in _CODES:
        return _CODES[error.code]
    for kind, code in _CLASSES:
        if isinstance(error, kind):
            return code
    return _MAJORS.get(error.major, Sasl.BADAUTH)


def describe_surprise(error: BaseException) -> tuple[Sasl, str]:
    """What to say of an exception that is nobody's protocol error.

    Its own words may hold anything, and stay out of the log unless the system spoke them.
    """
    if isinstance(error, MemoryError):
        return Sasl.NOMEM, "out of memory"
    if isinstance(error, ImportError):
        return Sasl.UNAVAIL, f"the installation is damaged, run `make install` again: {error}"
    if isinstance(error, OSError):
        return Sasl.UNAVAIL, f"{error.strerror or type(error).__name__}: {error.filename or ''}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return Sasl.FAIL, f"internal error, please report it: {type(error).__name__} at {place}"


def level_of(code: Sasl, *, is_client: bool) -> LogLevel:
    """Whether it is for somebody to see to, or on a server some stranger's affair.

    On a client all of it is: many programs show no more of a failure than libsasl2's own words
    for the code, and libsasl2's own log drops what is not an error.
    """
    ours = (Sasl.BADPARAM, Sasl.UNAVAIL, Sasl.NOMEM, Sasl.FAIL)
    return LogLevel.ERR if is_client or code in ours else LogLevel.FAIL
