"""What all commands about mail have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click

from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.cli.output import Output
from browserid_sasl.cli.tables import cell, empty_table, show
from browserid_sasl.config import load
from browserid_sasl.errors import Code, LocalProtocolError, StoreError
from browserid_sasl.private_files import write_atomically
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Service
from browserid_sasl.proxy.answer import PATHS, address_at
from browserid_sasl.proxy.programs import FORMATS, LOOPBACK, Profile, Settings

F = TypeVar("F", bound=Callable[..., Any])

_TITLES: Final = {
    Kind.IMAP: "incoming (IMAP)",
    Kind.POP: "incoming (POP3)",
    Kind.SUBMISSION: "outgoing (SMTP)",
    Kind.SIEVE: "filters (ManageSieve)",
}
_THUNDERBIRD: Final = "thunderbird"


@click.group()
def mail() -> None:
    """Let mail programs that know passwords log in with your identity."""


def accounts_of_person() -> Accounts:
    """The accounts where the configuration says they are.

    :raises ConfigurationError: it is not valid.
    """
    return Accounts.of(load())


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How what the agent does for mail programs is.

    :param services: of the accounts, each as docs/agent.md has it.
    :param answer_reason: why no mail program is told the settings; empty if they are.
    """

    services: Sequence[Mapping[str, str]]
    answer_reason: str


def refreshed() -> Refreshed:
    """Have the agent look at the accounts again.

    :raises BrowserIDError: there is no agent, or it cannot read them.
    """
    with Caller() as agent:
        *states, end = agent.ask("MAIL")
    return Refreshed(states, end.get("reason", ""))


def answer_to(account: Account, port: int | None) -> str:
    """Where a mail program is told the settings of an account; empty for nowhere."""
    address = quote(account.identity, safe="")
    return "" if port is None else f"{address_at(port)}{PATHS[0]}?emailaddress={address}"


def program_options(function: F) -> F:
    """Add what says for which mail program settings are written, and where."""
    for option in (
        click.option(
            "--write",
            "program",
            type=click.Choice([_THUNDERBIRD, *FORMATS]),
            help="Write the settings in the format of a mail program.",
        ),
        click.option(
            "--to",
            "file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Where to; without it they are printed.",
        ),
        click.option(
            "--profile",
            metavar="FOLDER",
            type=click.Path(path_type=Path),
            help="Profile of Thunderbird's; without it the only one that you have.",
        ),
        click.option("--force", is_flag=True, help="Replace FILE if it is there."),
    ):
        function = option(function)
    return function


class Writing:
    """Settings for a mail program, and where they go.

    :param program: its name; None for none.
    :param file: to write; None to print them.
    :param profile: of Thunderbird's; None for the only one.
    :param force: whether `file` may be replaced.
    :raises click.UsageError: the options do not fit.
    """

    def __init__(
        self, program: str | None, file: Path | None, profile: Path | None, *, force: bool
    ) -> None:
        if file is not None and program in (None, _THUNDERBIRD):
            raise click.UsageError("--to needs --write with a program that reads a file")
        if profile is not None and program != _THUNDERBIRD:
            raise click.UsageError("--profile needs --write thunderbird")
        if force and file is None:
            raise click.UsageError("--force needs --to")
        self._program = program
        self._file = file
        self._force = force
        self._profile: Profile | None = None
        if program == _THUNDERBIRD:
            self._profile = Profile(profile) if profile else Profile.find(Path.home())

    def check(self, settings: Settings) -> None:
        """See that they can be written, before anything is done.

        :raises BrowserIDError: they cannot.
        """
        if self._profile is not None:
            self._profile.check(settings)
        elif self._program is not None:
            FORMATS[self._program](settings)
        if (
            self._file is not None
            and not self._force
            and self._file.is_symlink() | self._file.exists()
        ):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{self._file} is there already",
                "name another file, put into it what is printed without --to, or say --force",
            )

    def write(self, settings: Settings) -> Written:
        """Write them.

        :raises BrowserIDError: they cannot be written; nothing is.
        """
        self.check(settings)
        if self._profile is not None:
            asks = self._profile.add(settings)
            return Written(str(self._profile.path), asks=asks)
        if self._program is None:
            return Written()
        octets = FORMATS[self._program](settings)
        if self._file is None:
            return Written(text=octets.decode())
        try:
            write_atomically(self._file, octets)
        except OSError as error:
            raise StoreError(
                Code.CACHE_ERROR,
                f"{self._file} cannot be written ({error.strerror or error})",
                "see that its folder is there and yours, and that there is room on the disk",
            ) from None
        return Written(str(self._file))


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    :param path: where to; empty for nowhere.
    :param text: to print; empty for nothing.
    :param asks: why the mail program asks for the password; empty if that was written or is in it.
    """

    path: str = ""
    text: str = ""
    asks: str = ""


def members_of(account: Account) -> dict[str, object]:
    """An account for programs to read."""
    return {
        "name": account.name,
        "identity": account.identity,
        "user": account.authzid,
        "services": [members_of_service(each) for each in account.services],
    }


def members_of_service(service: Service) -> dict[str, object]:
    """A service for programs to read."""
    return {
        "kind": service.kind,
        "host": service.host,
        "port": service.port,
        "security": service.security,
        "local_port": service.local_port,
    }


def tell(output: Output, account: Account, written: Written) -> None:
    """Say what to type into a mail program, or where it was written."""
    answer = answer_to(account, accounts_of_person().answer_port)
    members = {"written": written.path, "settings": written.text, "answer": answer}
    members["asks"] = written.asks
    output.give(members_of(account) | members)
    if output.as_json:
        return
    if written.text:
        click.echo(written.text, nl=False)
    elif written.path:
        output.say(f"written to {written.path}")
        if written.asks:
            output.note(f"browserid: {written.asks}")
    elif not output.quiet:
        _show(account, answer)


def _show(account: Account, answer: str) -> None:
    table = empty_table("server", "name", "port", "user", "security", "authentication")
    for each in account.services:
        row = (_TITLES[each.kind], LOOPBACK, str(each.local_port), account.name)
        table.add_row(*map(cell, (*row, "none", "normal password")))
    click.echo("In your mail program:\n")
    show(table, "")
    click.echo(
        "\nSecurity is none since this does not leave the machine; beyond it all is under TLS."
        f"\nThe password is what this prints: {Settings(account, str).command}"
    )
    if answer:
        click.echo(f"A program that asks for these settings finds them here: {answer}")
