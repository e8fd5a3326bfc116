"""The commands of `bidtool` for caches by the names that the first implementation gave them.

A line names the cache, and a table follows: tickets, the assertions that were presented, and
identity providers' documents. ``list`` looks, ``purge`` removes what has expired, and ``destroy``
removes all of it, and nothing of another kind.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.cells import cell_len, set_cell_size

from browserid_sasl.api.caches import (
    Cache,
    PersonCache,
    ServerCache,
    named_cache,
    person_cache,
    server_cache,
)
from browserid_sasl.cli.stores import (
    Ticket,
    Whose,
    configuration_of,
    forget,
    store_options,
)
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.identity.support import Delegation, Disabled, parse_support_document
from browserid_sasl.printer import describe, lines
from browserid_sasl.printer.node import harmless
from browserid_sasl.store.base import system_clock

F = TypeVar("F", bound=Callable[..., Any])

_EXPIRED: Final = ">>> Expired <<<"
_INDENT: Final = 18
_FOR_EVER_MS: Final = sys.maxsize
_ASSERTIONS_ARE_NEW: Final = (
    "An assertion that was presented before is new to this server until it has expired: that is"
    " after the lifetime that clients give it (`assertion_lifetime`, 5 minutes) and `clock_skew`"
    " (5 minutes)."
)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says of the caches that are meant.

    :param whose: whose, if not this person's.
    :param config_file: the configuration, in place of the machine's and the person's.
    :param cache_file: a cache, in place of those of the configuration.
    """

    whose: Whose | None
    config_file: Path | None
    cache_file: Path | None

    def of_tickets(self) -> Cache:
        """The cache with the tickets."""
        named = self._named()
        if named is not None:
            return named
        return self._server() if self.whose is not None else self._person()

    def of_assertions(self) -> ServerCache:
        """The cache with the assertions that were presented, which only servers have.

        :raises LocalProtocolError: a person's is named.
        """
        named = self._named()
        if isinstance(named, PersonCache):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{named.path} is a person's, and only servers remember assertions",
                "name a server's cache, which is called server.db",
            )
        return named or self._server()

    def of_documents(self) -> tuple[Cache, ...]:
        """The caches with documents: a person's own and that of the servers they run."""
        named = self._named()
        if named is not None:
            return (named,)
        return (self._server(),) if self.whose is not None else (self._person(), self._server())

    def _named(self) -> Cache | None:
        if self.cache_file is None:
            return None
        return named_cache(self.cache_file, configuration_of(self.config_file, self.whose))

    def _server(self) -> ServerCache:
        return server_cache(configuration_of(self.config_file, self.whose))

    def _person(self) -> PersonCache:
        return person_cache(configuration_of(self.config_file, self.whose))


def cache_options(function: F) -> F:
    """Add ``-cache``, and what `store_options` adds."""
    named = click.option(
        "-cache",
        "--cache",
        "cache_file",
        metavar="NAME",
        type=click.Path(path_type=Path),
        help="File of the cache, in place of the one that the configuration names.",
    )
    return named(store_options(function))


verbose_option = click.option(
    "-verbose", "--verbose", is_flag=True, help="Say all that is known of each."
)


@click.command("tlist")
@cache_options
@verbose_option
def list_tickets(verbose: bool, **which: Any) -> None:
    """Show the tickets, those that have expired too."""
    cache = Request(**which).of_tickets()
    _name("Ticket cache", cache)
    tickets: Iterable[Ticket] = cache.look().tickets.all(0)
    if verbose:
        _show_each(map(_ticket_fields, tickets), "there are no tickets")
    else:
        headings = ("Identity", "Audience", "Issuer", "Expires")
        _show_table(headings, map(_ticket_row, tickets), "there are no tickets")


@click.command("tpurge")
@cache_options
def purge_tickets(**which: Any) -> None:
    """Forget the tickets that have expired."""
    cache = Request(**which).of_tickets()
    _told(cache, cache.open().tickets.purge(system_clock()), "expired ticket")


@click.command("tdestroy")
@cache_options
def destroy_tickets(**which: Any) -> None:
    """Forget all tickets, and nothing else: nobody is signed out, no assertion is new."""
    cache = Request(**which).of_tickets()
    stores = cache.open()
    every: Iterable[Ticket] = stores.tickets.all(0)
    _told(cache, sum(forget(stores, ticket) for ticket in list(every)), "ticket")


@click.command("rlist")
@cache_options
@verbose_option
def list_assertions(verbose: bool, **which: Any) -> None:
    """Show the assertions that the server remembers, so that none is accepted twice.

    A person has no such cache: without --server it is that of the servers that run as this account.
    """
    cache = Request(**which).of_assertions()
    _name("Replay cache", cache)
    nothing = "no assertion is remembered"
    if verbose:
        _show_each(map(_assertion_fields, cache.presented()), nothing)
    else:
        rows = ((_moment(until), digest.hex().upper()) for digest, until in cache.presented())
        _show_table(("Expires", "Assertion ID"), rows, nothing)


@click.command("rpurge")
@cache_options
def purge_assertions(**which: Any) -> None:
    """Forget the assertions that cannot be accepted any more, as they have expired."""
    cache = Request(**which).of_assertions()
    _told(cache, cache.open().replay.purge(system_clock()), "expired assertion")


@click.command("rdestroy")
@cache_options
def destroy_assertions(**which: Any) -> None:
    """Forget all assertions. Whoever has recorded one can present it again until it expires."""
    cache = Request(**which).of_assertions()
    gone = cache.open().replay.purge(_FOR_EVER_MS)
    _told(cache, gone, "assertion")
    if gone:
        click.echo(_ASSERTIONS_ARE_NEW, err=True)


@click.command("certlist")
@cache_options
@verbose_option
def list_documents(verbose: bool, **which: Any) -> None:
    """Show the keys of identity providers that are kept, by the documents they came in.

    Without --server these are the person's and those of the servers that run as this account.
    """
    for number, cache in enumerate(Request(**which).of_documents()):
        if number:
            click.echo()
        _name("Authority cache", cache)
        documents = cache.look().authorities.all(0)
        if verbose:
            _show_documents(documents)
        else:
            headings = ("Issuer", "ALG", "Expires")
            _show_table(headings, map(_document_row, documents), "there are no documents")


@click.command("certpurge")
@cache_options
def purge_documents(**which: Any) -> None:
    """Forget the documents that have expired."""
    now = system_clock()
    _remove_documents(which, lambda document: document.expires <= now, "expired document")


@click.command("certdestroy")
@cache_options
def destroy_documents(**which: Any) -> None:
    """Forget all documents. They are fetched again when they are needed."""
    _remove_documents(which, lambda _: True, "document")


COMMANDS: Final = (
    list_tickets,
    purge_tickets,
    destroy_tickets,
    list_assertions,
    purge_assertions,
    destroy_assertions,
    list_documents,
    purge_documents,
    destroy_documents,
)


def _remove_documents(
    which: dict[str, Any], unwanted: Callable[[CachedDocument], bool], noun: str
) -> None:
    for cache in Request(**which).of_documents():
        stores = cache.open()
        domains = [name for name, document in stores.authorities.all(0) if unwanted(document)]
        _told(cache, sum(map(stores.authorities.delete, domains)), noun)


def _ticket_row(ticket: Ticket) -> Sequence[str]:
    return _owner(ticket), ticket.audience, ticket.issuer, _moment(ticket.expires)


def _ticket_fields(ticket: Ticket) -> Iterator[tuple[str, str]]:
    flags = {"MUTUAL": ticket.mutual, "RENEWED": ticket.renewed}
    yield "Audience", ticket.audience
    yield "Subject", _owner(ticket)
    yield "Issuer", ticket.issuer
    yield "ECDH curve", ticket.curve
    yield "Issue time", _date(ticket.issued_at)
    yield "Ticket expiry", _moment(ticket.expires)
    if isinstance(ticket, AcceptorTicket):
        yield "Renewable until", _date(ticket.renew_until)
    yield "Ticket flags", " ".join(word for word, yes in flags.items() if yes)
    yield "Ticket ID", ticket.tid


def _owner(ticket: Ticket) -> str:
    return ticket.subject if isinstance(ticket, AcceptorTicket) else ticket.identity


def _assertion_fields(entry: tuple[bytes, int]) -> Iterator[tuple[str, str]]:
    digest, until = entry
    yield "Assertion ID", digest.hex().upper()
    yield "Assertion expiry", _date(until)
    yield "Accepted again", "no"


def _document_row(entry: tuple[str, CachedDocument]) -> Sequence[str]:
    domain, document = entry
    return domain, _algorithms(document), _moment(document.expires)


def _algorithms(document: CachedDocument) -> str:
    """What a domain's keys sign with, or what it says in place of keys."""
    try:
        parsed = parse_support_document(document.body, allow_legacy=True)
    except BrowserIDError:
        return "not readable"
    if isinstance(parsed, Disabled):
        return "none"
    if isinstance(parsed, Delegation):
        return f"as {parsed.authority}"
    return ",".join(sorted({key.algorithm.name for key in parsed.keys}))


def _show_documents(documents: Iterable[tuple[str, CachedDocument]]) -> None:
    for number, (domain, document) in enumerate(documents):
        if number:
            click.echo()
        _line("Issuer", domain)
        _line("Expires", _moment(document.expires))
        node = describe(document.body, system_clock())
        for text in lines(node, "  ") if node else ("  not readable",):
            click.echo(text)


def _name(kind: str, cache: Cache) -> None:
    _line(kind, str(cache.path))
    click.echo()


def _line(label: str, value: str) -> None:
    click.echo(f"{label + ':':<{_INDENT}}{harmless(value)}".rstrip())


def _show_each(records: Iterable[Iterable[tuple[str, str]]], nothing: str) -> None:
    number = 0
    for number, record in enumerate(records, 1):
        if number > 1:
            click.echo()
        for label, value in record:
            _line(label, value)
    if not number:
        click.echo(nothing, err=True)


def _show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> None:
    cells = [[harmless(text) for text in row] for row in rows]
    if not cells:
        click.echo(nothing, err=True)
        return
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    for number, row in enumerate((headings, *cells)):
        padded = map(set_cell_size, row, widths)
        click.echo(" ".join(padded).rstrip())
        if not number:
            click.echo("-" * (sum(widths) + len(widths) - 1))


def _moment(moment: int) -> str:
    return _date(moment) if moment > system_clock() else _EXPIRED


def _date(moment: int) -> str:
    """A time in ms as ctime(3) writes it, here and now."""
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment / 1000))


def _told(cache: Cache, number: int, noun: str) -> None:
    plural = noun if number == 1 else f"{noun}s"
    click.echo(f"{number} {plural} forgotten in {harmless(str(cache.path))}")
