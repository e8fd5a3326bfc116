"""The command `browserid status`: who can log in from here, at a glance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from browserid_sasl import config
from browserid_sasl.agent.service.place import socket_path
from browserid_sasl.api.caches import person_cache
from browserid_sasl.cli.options import config_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.tables import cell, empty_table, local_time, show
from browserid_sasl.doctor.sockets import greeting
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.store.base import system_clock

_GOOD: Final = "good"
_RENEWABLE: Final = "renewed when needed"
_EXPIRED: Final = "expired"


@click.command()
@config_option
@output_options
def status(config_file: Path | None, output: Output) -> int:
    """Show who is signed in, for how long, and whether the agent runs.

    Nothing is started and nothing changed. The exit status is 0 if somebody can log in, and 77 if
    nobody can without signing in first.
    """
    configuration = config.load(config_file)
    stores = person_cache(configuration).look()
    records = [each for each in stores.identities.all() if each.certificate]
    tickets = len(list(stores.tickets.all(system_clock())))
    agent = _agent_release(socket_path())
    output.give(
        {
            "identities": [_members(each) for each in records],
            "default": configuration.client.identity,
            "tickets": tickets,
            "agent": {"running": agent is not None, "release": agent or ""},
        }
    )
    if output.is_text:
        _show(records)
        output.say(f"tickets: {tickets}")
        output.say(f"agent: {'not running' if agent is None else f'running, release {agent}'}")
    return 0 if any(_state(each) != _EXPIRED for each in records) else os.EX_NOPERM


def _show(records: list[IdentityRecord]) -> None:
    table = empty_table("identity", "certificate expires", "state")
    for each in records:
        table.add_row(*map(cell, (each.identity, local_time(each.expires), _state(each))))
    show(table, "nobody is signed in")


def _members(record: IdentityRecord) -> dict[str, object]:
    return {
        "identity": record.identity,
        "expires": record.expires,
        "renewal_expires": record.renewal_expires,
        "state": _state(record),
    }


def _state(record: IdentityRecord) -> str:
    now = system_clock()
    if record.expires > now:
        return _GOOD
    return _RENEWABLE if record.renewal_expires > now else _EXPIRED


def _agent_release(path: Path) -> str | None:
    """The release of the agent that runs, None if none does."""
    words = [line.split("\t") for line in greeting(path).lines]
    return next((each[2] for each in words if each[0] == "AGENT" and len(each) > 2), None)
