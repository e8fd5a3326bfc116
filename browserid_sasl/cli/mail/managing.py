"""Accounts that are there: shown, tried, removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from browserid_sasl.agent.autostart import Autostart
from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.cli.mail.group import (
    Writing,
    accounts_of_person,
    members_of,
    members_of_service,
    program_options,
    refreshed,
    tell,
)
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.tables import cell, empty_table, show
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.proxy.accounts import Account, Service
from browserid_sasl.proxy.programs import LOOPBACK, Settings

_UNKNOWN: Final = "unknown"

States = Mapping[tuple[str, str], Mapping[str, str]]


@click.command("list")
@output_options
def list_accounts(output: Output) -> None:
    """Show the accounts, and how their services are."""
    accounts = accounts_of_person().read()
    states = _states(output) if accounts else {}
    output.give({"accounts": [_members(each, states) for each in accounts]})
    if output.as_json:
        return
    table = empty_table("account", "service", "server", "here", "state", "last error")
    for account in accounts:
        for service in account.services:
            state = states.get((account.name, service.kind), {})
            row = (
                *(account.name, service.kind, f"{service.host}:{service.port}"),
                *(f"{LOOPBACK}:{service.local_port}", _state(state), state.get("last_error", "")),
            )
            table.add_row(*map(cell, row))
    show(table, "there are no mail accounts: `browserid mail add ADDRESS` makes one")


def _states(output: Output) -> States:
    try:
        found = refreshed()
    except BrowserIDError as error:
        output.note(f"browserid: {error}")
        return {}
    if found.answer_reason:
        output.note(f"browserid: no mail program is told its settings: {found.answer_reason}")
    return {(each["account"], each["kind"]): each for each in found.services}


def _state(state: Mapping[str, str]) -> str:
    if "state" not in state:
        return _UNKNOWN
    if "reason" in state:
        return f"{state['state']}: {state['reason']}"
    return f"{state['state']}, {state['connections']} connected"


def _members(account: Account, states: States) -> dict[str, object]:
    services = [
        members_of_service(each) | _members_of_state(states.get((account.name, each.kind), {}))
        for each in account.services
    ]
    return members_of(account) | {"services": services}


def _members_of_state(state: Mapping[str, str]) -> dict[str, object]:
    return {
        "state": state.get("state", _UNKNOWN),
        "reason": state.get("reason", ""),
        "socket": state.get("socket", ""),
        "connections": int(state.get("connections", "0")),
        "last_error": state.get("last_error", ""),
    }


@click.command()
@output_options
@click.argument("account")
def remove(output: Output, account: str) -> None:
    """Forget ACCOUNT and its password. You stay signed in."""
    accounts = accounts_of_person()
    gone = accounts.remove(account)
    try:
        refreshed()
    except BrowserIDError as error:
        output.note(f"browserid: the agent could not be told, and will see it by itself: {error}")
    if not accounts.read():
        _end_autostart(output)
    output.give({"account": gone.name})
    output.say(f"removed {gone.name}; remove it from your mail program too")


def _end_autostart(output: Output) -> None:
    """Nobody needs the agent to be there before it is asked for."""
    try:
        entry = Autostart.of_agent()
        if entry.remove():
            output.note(f"your desktop does not start the agent any more: removed {entry.path}")
    except BrowserIDError as error:
        output.note(f"browserid: {error}")


@click.command()
@output_options
@click.argument("account", required=False)
def test(output: Output, account: str | None) -> int:
    """Log in to each server of ACCOUNT, or of all, and out again; say what happened.

    The exit status is 0 if all logins succeeded.
    """
    accounts = accounts_of_person()
    chosen = accounts.read() if account is None else (accounts.get(account),)
    results = [
        (each, service, _tried(each, service)) for each in chosen for service in each.services
    ]
    output.give(
        {
            "results": [
                members_of_service(service) | {"account": each.name, "good": not said, "said": said}
                for each, service, said in results
            ]
        }
    )
    for each, service, said in results:
        output.say(
            f"{each.name}, {service.kind} at {service.host}:{service.port}: {said or 'logged in'}"
        )
    if not results:
        output.note("there are no mail accounts: `browserid mail add ADDRESS` makes one")
    return 1 if any(said for _, _, said in results) else 0


def _tried(account: Account, service: Service) -> str:
    """Why a login fails; empty if it does not."""
    try:
        with Caller() as agent:
            agent.ask("TRY", account=account.name, kind=service.kind)
    except BrowserIDError as error:
        return str(error)
    return ""


@click.command()
@output_options
@click.argument("account")
def password(output: Output, account: str) -> None:
    """Print the password that mail programs use here for ACCOUNT, and nothing else.

    It is good on this machine only, and no server knows it.
    """
    secret = accounts_of_person().password(account)
    output.give({"password": secret})
    if output.is_text:
        click.echo(secret)


@click.command()
@program_options
@output_options
@click.argument("account")
def settings(
    *,
    program: str | None,
    file: Path | None,
    profile: Path | None,
    force: bool,
    output: Output,
    account: str,
) -> None:
    """Show what to type into a mail program for ACCOUNT, or write it in the program's format."""
    writing = Writing(program, file, profile, force=force)
    accounts = accounts_of_person()
    known = accounts.get(account)
    written = writing.write(Settings(known, lambda: accounts.password(known.name)))
    tell(output, known, written)
