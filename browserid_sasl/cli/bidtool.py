"""The command `bidtool`: looks into tokens, tickets and caches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from browserid_sasl.api.caches import Cache, person_cache, server_cache
from browserid_sasl.api.stores import reset
from browserid_sasl.cli import assertions, caches
from browserid_sasl.cli.options import version_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.program import run
from browserid_sasl.cli.stores import (
    Stores,
    Ticket,
    Whose,
    configuration_of,
    forget,
    store_options,
)
from browserid_sasl.cli.tables import ANY_WIDTH, cell, empty_table, local_time, show
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.printer import Encoding, Mood, Node, decode, describe
from browserid_sasl.printer.node import harmless
from browserid_sasl.printer.recognition import MAX_SIZE
from browserid_sasl.store.base import system_clock

_AFTER_SERVER: Final = (
    "An assertion that was presented before is new to it. Start the services when all of those have"
    " expired: that is after the lifetime that clients give them (`assertion_lifetime`, 5 minutes)"
    " and `clock_skew` (5 minutes). Or start them now with `extra_round_trip` on."
)
_AFTER_SHARED: Final = (
    "All hosts of the site have lost their tickets. For the next twenty minutes logins may take an"
    " extra round trip, so that no assertion is accepted twice."
)
_AFTER_CLIENT: Final = "Nobody is signed in: `browserid login ADDRESS` does that."

_STYLES: Final = {Mood.PLAIN: "", Mood.GOOD: "green", Mood.BAD: "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, "bidtool", arguments)


@click.group()
@version_option
def command() -> None:
    """Look into tokens, tickets and caches."""


for each in (*caches.COMMANDS, *assertions.COMMANDS):
    command.add_command(each)


# Tokens


def _time(_: object, __: object, given: str | None) -> int:
    if given is None:
        return system_clock()
    try:
        if given.isascii() and given.isdigit():
            return int(given)
        return int(datetime.fromisoformat(given).timestamp() * 1000)
    except (ValueError, OverflowError):  # also of a year that is out of the calendar by the zone
        raise click.BadParameter(
            f"{given!r} is neither a date such as 2026-11-21T16:07:24Z nor milliseconds since 1970"
        ) from None


@command.command("token")
@click.option(
    "--file",
    "file",
    metavar="FILE",
    type=click.File("rb"),
    help="Read the token from a file; - is standard input.",
)
@click.option(
    "--encoding",
    type=click.Choice([each.value for each in Encoding]),
    default=Encoding.AUTO.value,
    show_default=True,
    help="How the token is written.",
)
@click.option(
    "--at",
    metavar="TIME",
    callback=_time,
    help="Judge validity at this time, in place of now: a date, in local time unless it says, or"
    " milliseconds since 1970.",
)
@output_options
@click.argument("token", required=False)
def show_token(
    file: IO[bytes] | None, encoding: str, at: int, output: Output, token: str | None
) -> None:
    """Show what TOKEN says; without it, what standard input says.

    Takes a SASL message, a GSS-API token, a wrap or MIC token, a backed assertion, a JSON web
    token, a key or support document, an exported name or context. Nothing in it is verified but
    signatures whose key comes with it, and nothing secret is shown.
    """
    if token is not None and file is not None:
        raise click.UsageError("give the token or --file, not both")
    written = os.fsencode(token) if token is not None else _read(file)
    node = describe(decode(written, Encoding(encoding)), at)
    if node is None:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER, "this is no token of the protocol", "see --encoding"
        )
    output.give(_node_members(node))
    if output.is_text:
        Console(width=ANY_WIDTH, highlight=False).print(_tree(node))


def _node_members(node: Node) -> dict[str, object]:
    return {
        "label": node.label,
        "value": node.value,
        "mood": node.mood.name.lower(),
        "children": [_node_members(child) for child in node.children],
    }


def _read(file: IO[bytes] | None) -> bytes:
    if file is None and sys.stdin is None:
        raise click.UsageError("there is no standard input: give the token, or --file")
    # Some files have no end.
    return (file or sys.stdin.buffer).read(MAX_SIZE + 1)


def _tree(node: Node, parent: Tree | None = None) -> Tree:
    text = Text(node.text, style=_STYLES[node.mood])
    tree = Tree(text) if parent is None else parent.add(text)
    for child in node.children:
        _tree(child, tree)
    return tree


# Stores


@command.command("list")
@store_options
@output_options
def list_all(whose: Whose | None, config_file: Path | None, output: Output) -> None:
    """Show the tickets and the identity providers' documents that are kept."""
    stores = _look(config_file, whose)
    _list(output, stores, tickets=True, documents=True)


@command.command()
@store_options
@output_options
def destroy(whose: Whose | None, config_file: Path | None, output: Output) -> None:
    """Forget all tickets and documents. Keys are kept: `browserid logout` forgets those."""
    stores = _stores(config_file, whose)
    gone = sum(forget(stores, ticket) for ticket in _tickets(stores, None, at=0))
    documents = _delete_documents(stores)
    output.give({"tickets": gone, "documents": documents})
    output.say(f"{_count(gone, 'ticket')} forgotten")
    output.say(f"{_count(documents, 'document')} forgotten")


@command.command("reset")
@store_options
@output_options
def reset_store(whose: Whose | None, config_file: Path | None, output: Output) -> None:
    """Move a store aside, damaged or not, and begin an empty one.

    Stop what uses it first. A server's new store does not know which assertions were presented
    before. One that several hosts share is not kept, and they need not be stopped.
    """
    server = whose is not None
    configuration = configuration_of(config_file, whose)
    kept = reset(configuration, server=server)
    output.give({"kept": [str(moved) for moved in kept]})
    for moved in kept:
        output.say(f"kept as {moved}")
    output.say("the store is empty")
    shared = _AFTER_SHARED if configuration.store.url else _AFTER_SERVER
    output.note(shared if server else _AFTER_CLIENT)


@command.group()
def tickets() -> None:
    """The tickets with which later logins are quick."""


@tickets.command("list")
@store_options
@output_options
def list_tickets(whose: Whose | None, config_file: Path | None, output: Output) -> None:
    """Show the tickets that have not expired."""
    _list(output, _look(config_file, whose), tickets=True)


# An identifier is base64url, and may begin with a dash.
@tickets.command("delete", context_settings={"ignore_unknown_options": True})
@store_options
@click.option("--all", "everything", is_flag=True, help="Forget every ticket.")
@click.option("--service", metavar="NAME", help="Only among the tickets for this service.")
@output_options
@click.argument("identifier", required=False)
def delete_tickets(
    *,
    whose: Whose | None,
    config_file: Path | None,
    output: Output,
    everything: bool,
    service: str | None,
    identifier: str | None,
) -> None:
    """Forget the ticket whose identifier begins with IDENTIFIER.

    Servers choose the identifiers. Where two have chosen the same, --service tells them apart.
    A server that has forgotten a ticket asks its owner to log in with the certificate.
    """
    if everything == (identifier is not None):
        raise click.UsageError("give an identifier or --all")
    stores = _stores(config_file, whose)
    if identifier is None:
        gone = sum(forget(stores, ticket) for ticket in _tickets(stores, service, at=0))
        output.give({"removed": gone})
        output.say(f"{_count(gone, 'ticket')} forgotten")
        return
    ticket = _find_ticket(stores, service, identifier)
    forget(stores, ticket)
    output.give({"removed": 1})
    output.say(f"the ticket for {harmless(ticket.audience)} is forgotten")


@command.group()
def cache() -> None:
    """The documents that identity providers publish."""


@cache.command("list")
@store_options
@output_options
def list_documents(whose: Whose | None, config_file: Path | None, output: Output) -> None:
    """Show the documents that have not expired, and what they say."""
    _list(output, _look(config_file, whose), documents=True)


@cache.command("delete")
@store_options
@click.option("--all", "everything", is_flag=True, help="Forget every document.")
@output_options
@click.argument("domain", required=False)
def delete_documents(
    *,
    whose: Whose | None,
    config_file: Path | None,
    output: Output,
    everything: bool,
    domain: str | None,
) -> None:
    """Forget the document of DOMAIN. It is fetched again when it is needed."""
    if everything == (domain is not None):
        raise click.UsageError("give a domain or --all")
    stores = _stores(config_file, whose)
    if domain is None:
        gone = _delete_documents(stores)
        output.give({"removed": gone})
        output.say(f"{_count(gone, 'document')} forgotten")
    elif stores.authorities.delete(domain.lower()):
        output.give({"removed": 1})
        output.say(f"the document of {domain.lower()} is forgotten")
    else:
        raise _unknown(f"there is no document of {domain}", "`bidtool cache list` shows them")


def _cache(config_file: Path | None, whose: Whose | None) -> Cache:
    configuration = configuration_of(config_file, whose)
    return person_cache(configuration) if whose is None else server_cache(configuration)


def _look(config_file: Path | None, whose: Whose | None) -> Stores:
    return _cache(config_file, whose).look()


def _stores(config_file: Path | None, whose: Whose | None) -> Stores:
    return _cache(config_file, whose).open()


def _list(
    output: Output, stores: Stores, *, tickets: bool = False, documents: bool = False
) -> None:
    """Show what there is of these kinds."""
    now = system_clock()
    members: dict[str, object] = {}
    if tickets:
        members["tickets"] = [caches.ticket_members(each) for each in stores.tickets.all(now)]
    if documents:
        kept = stores.authorities.all(now)
        members["documents"] = [caches.document_members(*each) for each in kept]
    output.give(members)
    if tickets and output.is_text:
        _list_tickets(stores)
    if documents and output.is_text:
        _list_documents(stores)


def _list_tickets(stores: Stores) -> None:
    now = system_clock()
    found = empty_table("identity", "service", "ticket", "expires", "notes")
    for ticket in stores.tickets.all(now):
        whose = ticket.subject if isinstance(ticket, AcceptorTicket) else ticket.identity
        found.add_row(
            *map(cell, (whose, ticket.audience, ticket.tid[:12], local_time(ticket.expires))),
            cell(_notes(ticket)),
        )
    show(found, "there are no tickets")


def _notes(ticket: Ticket) -> str:
    words = {"mutual": ticket.mutual, "renewed": ticket.renewed}
    return ", ".join(
        [f"from {ticket.issuer}", ticket.curve, *(w for w, yes in words.items() if yes)]
    )


def _list_documents(stores: Stores) -> None:
    now = system_clock()
    found = empty_table("domain", "expires", "says")
    for domain, document in stores.authorities.all(now):
        node = describe(document.body, now)
        says = _summary(node) if node else "not readable"
        found.add_row(*map(cell, (domain, local_time(document.expires), says)))
    show(found, "there are no documents")


def _summary(node: Node) -> str:
    """The first line of a document that says something."""
    return node.value or ", ".join(child.text for child in node.children[:1])


def _delete_documents(stores: Stores) -> int:
    return sum(stores.authorities.delete(domain) for domain, _ in list(stores.authorities.all(0)))


def _tickets(stores: Stores, service: str | None, *, at: int) -> list[Ticket]:
    """Those that have not expired at a time (ms), for one service or for all."""
    found: Iterable[Ticket] = stores.tickets.all(at)
    return [ticket for ticket in found if service in (None, ticket.audience)]


def _find_ticket(stores: Stores, service: str | None, beginning: str) -> Ticket:
    found = _tickets(stores, service, at=system_clock())
    matching = [ticket for ticket in found if ticket.tid.startswith(beginning)]
    if not matching or not beginning:
        raise _unknown(
            f"no ticket's identifier begins with {beginning!r}", "`bidtool tickets list` shows them"
        )
    if len(matching) > 1:
        raise _unknown(
            f"{len(matching)} tickets' identifiers begin with {beginning!r}",
            "give more of it, or the service by --service",
        )
    return matching[0]


def _unknown(message: str, remedy: str) -> LocalProtocolError:
    return LocalProtocolError(Code.INVALID_PARAMETER, message, remedy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
