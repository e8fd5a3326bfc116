"""What was found: a verdict, a sentence, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from browserid_sasl.errors import BrowserIDError, ConfigurationError


class Verdict(IntEnum):
    """How something is, the worst last. The numbers are the command's exit statuses."""

    GOOD = 0
    DOUBTFUL = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    :param check: what it is about, one word or two.
    :param verdict: how it is.
    :param message: one sentence on that.
    :param remedy: what mends it, a command where there is one; empty if nothing has to be mended.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def good(check: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Verdict.GOOD, message)


def doubtful(check: str, message: str, remedy: str) -> Finding:
    """It works, and may not for long, or not for everybody."""
    return Finding(check, Verdict.DOUBTFUL, message, remedy)


def bad(check: str, message: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.BAD, message, remedy)


def of_error(check: str, error: BrowserIDError, otherwise: str = "") -> Finding:
    """An error that was met, with its file and line where it has them.

    :param otherwise: what mends it if the error does not say.
    """
    message = error.message
    if isinstance(error, ConfigurationError) and error.file:
        place = f"{error.file}:{error.line}" if error.line else error.file
        message = f"{place}: {message}"
    return bad(check, message, error.remedy or otherwise)


def findings_of(check: str, look: Check) -> Iterator[Finding]:
    """What a check finds, up to where it cannot go on."""
    try:
        yield from look()
    except BrowserIDError as error:
        yield of_error(check, error, "see docs/troubleshooting.md")
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        yield bad(
            check,
            f"it cannot be looked at: {error.strerror or error}{what}",
            "run this as the account that it belongs to, or as root",
        )
    except Exception as error:
        # Whoever runs this has trouble enough, and the other checks go on.
        yield bad(
            check,
            f"it cannot be looked at: {type(error).__name__}: {str(error)[:200]}",
            "please report this, with what is special about this machine",
        )


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst of the verdicts."""
    return max((each.verdict for each in findings), default=Verdict.GOOD)
