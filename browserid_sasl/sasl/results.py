"""The one table from errors to the results of SASL: the numbers of sasl.h, and Cyrus's texts.

Programs that use Cyrus SASL learn a number of the library's and the text it has for it. Every door
of this package names a failure in these terms: the sample programs by the text, what runs behind
libsasl2 by the number. What a service says of an exception, whatever it is, comes from `explain`
alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
    Major,
    PeerRefusedError,
    RemoteProtocolError,
    StoreError,
)


class Sasl(IntEnum):
    """The results of sasl.h that exchanges can have, each with its text of ``sasl_errstring``."""

    text: str

    def __new__(cls, code: int, text: str) -> Self:
        """A result by its number."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    INTERACT = 2, "needs user interaction"
    CONTINUE = 1, "another step is needed in authentication"
    OK = 0, "successful result"
    FAIL = -1, "generic failure"
    NOMEM = -2, "no memory available"
    NOMECH = -4, "no mechanism available"
    BADPROT = -5, "bad protocol / cancel"
    NOTDONE = -6, "can't request information until later in exchange"
    BADPARAM = -7, "invalid parameter supplied"
    BADSERV = -10, "server failed mutual authentication step"
    BADAUTH = -13, "authentication failure"
    NOAUTHZ = -14, "authorization failure"
    EXPIRED = -18, "passphrase expired, has to be reset"
    UNAVAIL = -24, "remote authentication server unavailable"
    BADBINDING = -32, "channel binding failure"
    CONFIGERR = -100, "error when parsing configuration file"

    @property
    def of_mechanism(self) -> Sasl:
        """What a mechanism returns to libsasl2, where that differs from what a program says."""
        return _OF_MECHANISM.get(self, self)


class LogLevel(IntEnum):
    """The levels of saslplug.h that are used here."""

    ERR = 1
    FAIL = 2


_OF_MECHANISM: Final = {
    # A program takes it for a list of questions, which we do not have, and calls again for ever.
    Sasl.INTERACT: Sasl.NOTDONE,
    # What libsasl2 says of its own configuration, and of a list that lacks what was asked for. A
    # mechanism that is being run was on that list.
    Sasl.CONFIGERR: Sasl.BADPARAM,
    Sasl.NOMECH: Sasl.BADPARAM,
}

_CODES: Final = {
    Code.NO_MEMORY: Sasl.NOMEM,
    Code.WRONG_MECH: Sasl.NOMECH,
    Code.HTTP_ERROR: Sasl.UNAVAIL,
    Code.UNTRUSTED_ISSUER: Sasl.BADAUTH,
    Code.NO_LOCAL_MAPPING: Sasl.NOAUTHZ,
    Code.INTERACT_REQUIRED: Sasl.INTERACT,
    Code.INTERACT_UNAVAILABLE: Sasl.INTERACT,
    Code.INTERACT_FAILURE: Sasl.INTERACT,
    Code.MISSING_CHANNEL_BINDINGS: Sasl.BADBINDING,
    Code.UNTRUSTED_X509_CERT: Sasl.BADSERV,
    Code.BAD_SUBJECT: Sasl.BADSERV,
}
"""What the reason alone decides."""

_FAMILIES: Final[tuple[tuple[type[BrowserIDError], Sasl], ...]] = (
    (ConfigurationError, Sasl.CONFIGERR),
    (DiscoveryError, Sasl.UNAVAIL),
    (StoreError, Sasl.UNAVAIL),
    (CredentialError, Sasl.INTERACT),
    (LocalProtocolError, Sasl.BADPARAM),
)
"""What is no fault of the other side's, whatever the reason."""

_MAJORS: Final[dict[int, Sasl]] = {
    Major.BAD_MECH: Sasl.NOMECH,
    Major.BAD_BINDINGS: Sasl.BADBINDING,
    Major.CREDENTIALS_EXPIRED: Sasl.EXPIRED,
    Major.CONTEXT_EXPIRED: Sasl.EXPIRED,
    Major.DEFECTIVE_TOKEN: Sasl.BADPROT,
    Major.UNAUTHORIZED: Sasl.NOAUTHZ,
    Major.UNAVAILABLE: Sasl.UNAVAIL,
}
"""What the kind of reason decides. Everything else is a failed authentication."""

_NOT_GENUINE: Final = frozenset(
    {
        Code.MISMATCHED_RP_RESPONSE,
        Code.REFLECTED_RP_RESPONSE,
        Code.MISSING_SIGNATURE,
        Code.INVALID_SIGNATURE,
    }
)
"""Reasons for which a client does not believe a server."""


def sasl_result(error: BrowserIDError, *, is_client: bool) -> Sasl:
    """The result that a failure of the protocol, or of what it needs, is on one of the sides."""
    not_believed = isinstance(error, RemoteProtocolError) and error.code in _NOT_GENUINE
    if is_client and not_believed:
        return Sasl.BADSERV
    if error.code in _CODES:
        return _CODES[error.code]
    for family, result in _FAMILIES:
        if isinstance(error, family):
            return result
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an exception means to a program that somebody logs in with.

    :param code: the reason.
    :param result: the result of SASL, as a program says it.
    :param level: how important it is.
    :param reason: what was wrong, in a sentence.
    :param remedy: what to do about it, may be empty.
    :param detail: both, and where; for a log, or the person whose program it is.
    :param family: the name of the kind of project error.
    :param major: the GSS major status.
    """

    code: Code
    result: Sasl
    level: LogLevel
    reason: str
    remedy: str
    detail: str
    family: str
    major: int


def explain(error: BaseException, *, is_client: bool) -> Explanation:
    """What to say of an exception, on one of the sides: this project's or anybody's."""
    level = level_of(error, is_client=is_client)
    if isinstance(error, BrowserIDError):
        result, text = sasl_result(error, is_client=is_client), str(error)
        family = _family_of(error)
        return Explanation(
            error.code, result, level, error.message, error.remedy, text, family, error.major
        )
    result, text = describe_surprise(error)
    family = LocalProtocolError.__name__
    return Explanation(Code.UNAVAILABLE, result, level, text, "", text, family, Major.FAILURE)


def _family_of(error: BrowserIDError) -> str:
    """The class right below the root of the project's errors: programs know no finer ones."""
    kinds = type(error).__mro__
    return kinds[max(0, kinds.index(BrowserIDError) - 1)].__name__


def level_of(error: BaseException, *, is_client: bool) -> LogLevel:
    """Whether it is for somebody to see to, or on a server some stranger's affair.

    On a client all of it is: many programs show no more of a failure than libsasl2's own words
    for the result, and libsasl2's own log drops what is not an error.
    """
    of_stranger = isinstance(error, RemoteProtocolError | PeerRefusedError)
    return LogLevel.FAIL if of_stranger and not is_client else LogLevel.ERR
