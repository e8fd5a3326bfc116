"""The one line that the log has of each login's outcome (docs/acceptor.md)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from browserid_sasl.acceptor.answers import Failure
from browserid_sasl.acceptor.failures import Attempt, printable
from browserid_sasl.acceptor.log import Log, Priority
from browserid_sasl.acceptor.requests import Begin
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.sasl import gs2
from browserid_sasl.wire.peer import Peer

_LONGEST_NAME: Final = 254
_LONGEST_WORD: Final = 64
_NO_WORD: Final = r"[^A-Za-z0-9_.-]"


class Journal:
    """Writes down how logins end.

    What comes from outside stands between angle brackets or behind the colon, after everything
    that a filter looks for: nobody can write a line that reads like another's.

    :param log: where to.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def succeeded(self, begin: Begin, login: Attempt, peer: Peer) -> None:
        """Somebody has logged in."""
        result = login.result
        assert result is not None  # noqa: S101 - the caller has seen it succeed
        acting = "" if result.authzid == result.identity else f" as={_name(result.authzid)}"
        how = "ticket" if result.ticket_used else "certificate"
        bound = f" bound={result.channel_binding}" if result.channel_binding else ""
        place = _place(begin, peer)
        text = f"login succeeded: {place} by={how}{bound} user={_name(result.identity)}{acting}"
        self._log(Priority.INFO, text)

    def failed(self, begin: Begin, failure: Failure, message: bytes, peer: Peer) -> None:
        """A login has failed.

        :param message: the person's first, which may claim a name.
        """
        what = "undecided" if failure.temporary else "refused"
        priority = Priority.ERROR if failure.temporary else Priority.NOTICE
        claimed = _claimed(message)
        who = f" claimed={_name(claimed)}" if claimed else ""
        place = _place(begin, peer)
        self._log(priority, f"login {what}: {place} code={failure.code}{who}: {failure.detail}")

    def misunderstood(self, peer: Peer, reason: str) -> None:
        """A program speaks something else than the protocol."""
        self._log(Priority.WARNING, f"program {peer} is not understood: {reason}")

    def abandoned(self, begin: Begin, peer: Peer, why: str) -> None:
        """A login has ended without an outcome."""
        self._log(Priority.INFO, f"login abandoned: {_place(begin, peer)}: {why}")


def _place(begin: Begin, peer: Peer) -> str:
    service, mechanism = _word(begin.service), _word(begin.mechanism)
    rip = begin.remote or "-"
    return f"rip={rip} service={service} mechanism={mechanism} program={peer}"


@lru_cache(maxsize=256)
def _word(text: str) -> str:
    return re.sub(_NO_WORD, "", text[:_LONGEST_WORD]) or "?"


def _name(text: str) -> str:
    return f"<{printable(text[:_LONGEST_NAME]).replace('<', '?').replace('>', '?')}>"


def _claimed(message: bytes) -> str:
    """The address that a certificate in a first message is for, whoever may have signed it."""
    try:
        _, _, token = gs2.split(message)
        backed = BackedAssertion.parse(token[2:])
        if not backed.certificates:
            return ""
        certificate = Jwt.parse(backed.certificates[0], "the certificate").claims
    except BrowserIDError:
        return ""
    principal = certificate.get("principal")
    email = principal.get("email") if isinstance(principal, dict) else certificate.get("sub")
    return email if isinstance(email, str) else ""
