"""What a mail program has to know of an account."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.proxy.accounts import Account, Kind

LOOPBACK: Final = "127.0.0.1"

_ODD: Final = re.compile(r"[^A-Za-z0-9@._+-]")


@dataclass(frozen=True, slots=True)
class Settings:
    """An account as a mail program is told of it.

    :param ask: gives the password of its loopback side, for formats that cannot do without.
    """

    account: Account
    ask: Callable[[], str]

    @property
    def user(self) -> str:
        """The user's name."""
        return self.account.name

    @property
    def label(self) -> str:
        """A name that no format has to quote."""
        return _ODD.sub("-", self.account.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The command that prints the password."""
        return "browserid", "mail", "password", self.account.name

    @property
    def command(self) -> str:
        """The same for a shell."""
        return shlex.join(self.words)

    def port(self, kind: Kind) -> int:
        """The local port of a service.

        :raises LocalProtocolError: the account has none of this kind.
        """
        service = self.account.service(kind)
        if service is None:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"the account {self.account.name} has no server for {kind}",
                f"remove it, and add it again with `--{OPTIONS[kind]} HOST`",
            )
        return service.local_port


OPTIONS: Final = {
    Kind.IMAP: "imap",
    Kind.POP: "pop",
    Kind.SUBMISSION: "smtp",
    Kind.SIEVE: "sieve",
}
"""What the command line calls each kind."""

KINDS: Final = {word: kind for kind, word in OPTIONS.items()}
