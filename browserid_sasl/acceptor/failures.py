"""What is said of a login that fails, and to whom (docs/wire.md)."""

from __future__ import annotations

from typing import Final

from browserid_sasl.acceptor.answers import Failure
from browserid_sasl.sasl.results import Sasl, explain

_LONGEST_TEXT: Final = 600
_TEMPORARY: Final = frozenset({Sasl.UNAVAIL, Sasl.BADPARAM, Sasl.CONFIGERR, Sasl.NOMEM, Sasl.FAIL})
"""What is not the person's fault: a store, a name server, a provider, a disk, a configuration."""

_TRY_AGAIN: Final = "temporary failure, try again later"


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
    )


def printable(text: str) -> str:
    """Text that cannot forge a line of a log, and is not too long for one."""
    if text.isprintable() and len(text) <= _LONGEST_TEXT:
        return text
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 3] + "..."
