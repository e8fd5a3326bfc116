"""What is said of a login that fails, and to whom (docs/wire.md)."""

from __future__ import annotations

from typing import Final, Protocol

from browserid_sasl.acceptor.answers import Answer, Failure, Refusal
from browserid_sasl.acceptor.requests import Continue
from browserid_sasl.discovery.arrivals import DocumentNeeded
from browserid_sasl.gss.steps import Steps
from browserid_sasl.sasl.result import Result
from browserid_sasl.sasl.results import Sasl, explain

_LONGEST_TEXT: Final = 600
_TEMPORARY: Final = frozenset({Sasl.UNAVAIL, Sasl.BADPARAM, Sasl.CONFIGERR, Sasl.NOMEM, Sasl.FAIL})
"""What is not the person's fault: a store, a name server, a provider, a disk, a configuration."""

_TRY_AGAIN: Final = "temporary failure, try again later"


class Attempt(Protocol):
    """Somebody's attempt to log in, with SASL around it or without.

    Its steps come to the answer. One that raises `DocumentNeeded` has changed nothing, and can be
    made again.

    :param claimed: the person's first message, as SASL has it.
    :param failure: why it fails, once it does.
    :param result: the login, once it has succeeded.
    """

    claimed: bytes
    failure: Failure | None
    result: Result | None

    def start(self) -> Steps[Answer]:
        """Answer the request with which it began."""

    def proceed(self, request: Continue) -> Steps[Answer]:
        """Take a further message."""


def refusing(attempt: Attempt, steps: Steps[Answer]) -> Steps[Answer]:
    """Make these steps, and of whatever they raise a refusal."""
    try:
        return (yield from steps)
    except DocumentNeeded:
        raise
    except Exception as error:
        if attempt.failure is None:
            attempt.failure = failure_of(error)
        return Refusal(attempt.failure)


def failure_of(error: BaseException) -> Failure:
    """What an exception means for the login in which it came up."""
    said = explain(error, is_client=False)
    temporary = said.result in _TEMPORARY
    return Failure(
        temporary=temporary,
        code=said.code.text,
        sasl=said.result.of_mechanism,
        level=said.level,
        # Whoever stands outside need not know of our paths and our providers' troubles.
        reason=_TRY_AGAIN if temporary else printable(said.reason),
        detail=printable(said.detail),
        major=said.major,
        minor=said.code.wire,
    )


def printable(text: str) -> str:
    """Text that cannot forge a line of a log, and is not too long for one."""
    if text.isprintable() and len(text) <= _LONGEST_TEXT:
        return text
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 3] + "..."
