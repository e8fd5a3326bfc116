"""Kerberos, for people whose computer has signed them in: their browser shows a ticket.

A ticket says who somebody is, and is good for hours whatever becomes of them. So the KDC is asked
about them at the sign-in, and again for each certificate; or a directory is, or both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.backends import (
    Carried,
    Challenge,
    Denial,
    DeniedError,
    Identity,
    Known,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.child_process import ChildProcess
from browserid_sasl.idp.backends.kerberos_directory import People
from browserid_sasl.idp.backends.kerberos_principals import Principals
from browserid_sasl.idp.backends.kerberos_tickets import Acceptor, More, in_one_line
from browserid_sasl.negotiate import header

_ASK: Final = "WWW-Authenticate"
_NOBODY: Final = "browserid-nobody"
_NTLM: Final = b"NTLMSSP\0"

# RFC 4120 section 7.5.9.
_DENIALS: Final[Mapping[int, Denial]] = {
    1: Denial.EXPIRED,
    6: Denial.GONE,
    18: Denial.DISABLED,
    23: Denial.PASSWORD_EXPIRED,
}
"""What a KDC says of a person. All else it says is about the service, or is its own trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kdc:
    """How the KDC is asked about somebody.

    :param keytab: file with the service's keys.
    :param service: the principal that asks, which has a key there.
    :param timeout: ms that it may take.
    """

    keytab: Path
    service: str
    timeout: int

    def check(self, principal: str) -> str:
        """See that it would give somebody tickets.

        :returns: what it calls them.
        :raises DeniedError: it would not.
        :raises UnavailableError: it cannot be asked, or refuses to be.
        """
        said = self._ask(principal)
        if "unavailable" in said:
            raise UnavailableError(in_one_line(said["unavailable"]))
        if "error" in said:
            denial = _DENIALS.get(said["error"])
            if denial is None:
                raise UnavailableError(
                    f"the KDC tells nothing of people: {in_one_line(said['meaning'])}"
                )
            raise DeniedError(denial)
        return str(said["known"])

    def _ask(self, principal: str) -> Mapping[str, Any]:
        until = time.monotonic() + self.timeout / 1000
        task = {
            "keytab": str(self.keytab),
            "service": self.service,
            "principal": principal,
            "patience": self.timeout // 1000 + 5,
        }
        process = ChildProcess("the KDC", _PROGRAM, task)
        try:
            return process.hear(until)
        finally:
            process.end()


class KerberosBackend:
    """See `RequestBackend`.

    :param name: what the configuration calls it.
    :param acceptor: takes tickets.
    :param principals: whose are good, and what their addresses are.
    :param kdc: is asked whether that still holds, if it is to be.
    :param people: likewise; it says what certificates say of people.
    :param label: see `RequestBackend`.
    :param at_once: likewise.
    """

    method: Final = "kerberos"

    def __init__(
        self,
        name: str,
        acceptor: Acceptor,
        principals: Principals,
        kdc: Kdc | None,
        people: People | None = None,
        *,
        label: str = "",
        at_once: bool = False,
    ) -> None:
        self.name = name
        self.label = label
        self.at_once = at_once
        self._acceptor = acceptor
        self._principals = principals
        self._kdc = kdc
        self._people = people

    def look(self, carried: Carried) -> Known | Challenge:
        """See `RequestBackend.look`."""
        try:
            token = header.read(carried.only("authorization"))
        except BrowserIDError:
            token = None
        # Browsers show NTLM where they have no ticket, which proves nothing to anybody here.
        if not token or token.startswith(_NTLM):
            return Challenge({_ASK: header.SCHEME})
        ticket = self._acceptor.step(token, carried.exchange)
        if isinstance(ticket, More):
            return Challenge({_ASK: header.write(ticket.answer)}, ticket.exchange)
        answer = {_ASK: header.write(ticket.answer)} if ticket.answer else {}
        return Known(self._vouched_at_sign_in(ticket.principal), answer)

    def check(self, identity: Identity) -> Vouched:
        """See `Backend.check`."""
        principal, _, _ = identity.subject.partition(" ")
        return self._vouched(principal)

    def probe(self) -> list[str]:
        """See `ProbedBackend`: the KDC is asked about nobody, of whom it knows nothing."""
        self._acceptor.check()
        if self._kdc is not None:
            with suppress(DeniedError):
                self._kdc.check(f"{_NOBODY}@{self._kdc.service.rpartition('@')[2]}")
        return self._people.directory.probe() if self._people else []

    def _vouched_at_sign_in(self, principal: str) -> Vouched:
        try:
            return self._vouched(self._principals.subject(principal))
        except DeniedError as error:
            # There is a ticket, so there is somebody, who is told what that means.
            if error.denial is Denial.GONE:
                raise DeniedError(Denial.NOT_ADMITTED) from None
            raise

    def _vouched(self, principal: str) -> Vouched:
        """What there is to say of a principal now; its name has no space where it is admitted."""
        email = self._principals.address(principal)
        if self._kdc is not None:
            # As it writes the name, which it may tell no more by capital letters than we do.
            known = self._kdc.check(principal)
            if self._principals.subject(known) != principal:
                raise DeniedError(Denial.RENAMED)
        if self._people is None:
            return Vouched(email, principal)
        found = self._people.look(email, principal)
        return replace(found, subject=f"{principal} {found.subject}")


_PROGRAM: Final = (
    sys.executable,
    "-I",
    str(Path(__file__).with_name("kerberos_child.py").resolve()),
)
