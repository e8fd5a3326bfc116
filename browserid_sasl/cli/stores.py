"""What commands about stores have in common: whose it is about, and how a ticket is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import click

from browserid_sasl import config
from browserid_sasl.cli.options import config_option
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.store.base import AcceptorStores, InitiatorStores

F = TypeVar("F", bound=Callable[..., Any])

Stores = AcceptorStores | InitiatorStores
Ticket = AcceptorTicket | InitiatorTicket


class Whose(Enum):
    """Whose store it is about, if not a person's."""

    SERVER = "server"
    ACCEPTOR = "acceptor"


def store_options(function: F) -> F:
    """Add ``--server``, ``--acceptor`` and ``--config``."""
    for whose, help in (
        (
            Whose.ACCEPTOR,
            "The store of this host's browserid-acceptor, for the account it runs as.",
        ),
        (Whose.SERVER, "The server's store, in place of this user's."),
    ):
        flag = click.option(f"--{whose.value}", "whose", flag_value=whose, help=help)
        function = flag(function)
    return config_option(function)


def configuration_of(config_file: Path | None, whose: Whose | None) -> config.Config:
    """The configuration of whose store it is about.

    :raises ConfigurationError: it cannot be used.
    """
    return config.load(config_file, user=whose is not Whose.ACCEPTOR)


def forget(stores: Stores, ticket: Ticket) -> bool:
    """Delete a ticket from the stores it came from; whether it was still there.

    :raises StoreError: they cannot be written.
    """
    if isinstance(stores, AcceptorStores):
        return stores.tickets.delete(ticket.tid)
    assert isinstance(ticket, InitiatorTicket)  # noqa: S101 - which of the two stores it is from
    return stores.tickets.delete(ticket.identity, ticket.audience, ticket.tid)
