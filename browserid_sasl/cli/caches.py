"""The commands of `bidtool` for caches by the names that the first implementation gave them.

A line names the cache, and a table follows: tickets, the assertions that were presented, and
identity providers' documents. ``list`` looks, ``purge`` removes what has expired, and ``destroy``
removes all of it, and nothing of another kind.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.cells import cell_len, set_cell_size

from browserid_sasl.api.caches import (
    Cache,
    PersonCache,
    ServerCache,
    SharedCache,
    named_cache,
    person_cache,
    server_cache,
)
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.stores import (
    Ticket,
    Whose,
    configuration_of,
    forget,
    store_options,
)
from browserid_sasl.database_url import DatabaseUrl
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.identity.support import Delegation, Disabled, parse_support_document
from browserid_sasl.printer import describe
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

    def of_assertions(self) -> ServerCache | SharedCache:
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

    def _server(self) -> ServerCache | SharedCache:
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
@output_options
def list_tickets(verbose: bool, output: Output, **which: Any) -> None:
    """Show the tickets, those that have expired too."""
    cache = Request(**which).of_tickets()
    tickets: list[Ticket] = list(cache.look().tickets.all(0))
    output.give({"cache": str(cache.path), "tickets": [*map(ticket_members, tickets)]})
    if output.is_text:
        shown = _Shown("Ticket cache", cache, "there are no tickets", output)
        if verbose:
            shown.each(map(_ticket_fields, tickets))
        else:
            headings = ("Identity", "Audience", "Issuer", "Expires")
            shown.table(headings, map(_ticket_row, tickets))


@click.command("tpurge")
@cache_options
@output_options
def purge_tickets(output: Output, **which: Any) -> None:
    """Forget the tickets that have expired."""
    cache = Request(**which).of_tickets()
    _tell(output, "expired ticket", {cache.path: cache.open().tickets.purge(system_clock())})


@click.command("tdestroy")
@cache_options
@output_options
def destroy_tickets(output: Output, **which: Any) -> None:
    """Forget all tickets, and nothing else: nobody is signed out, no assertion is new."""
    cache = Request(**which).of_tickets()
    stores = cache.open()
    every: Iterable[Ticket] = stores.tickets.all(0)
    gone = sum(forget(stores, ticket) for ticket in list(every))
    _tell(output, "ticket", {cache.path: gone})


@click.command("rlist")
@cache_options
@verbose_option
@output_options
def list_assertions(verbose: bool, output: Output, **which: Any) -> None:
    """Show the assertions that the server remembers, so that none is accepted twice.

    A person has no such cache: without --server it is that of the servers that run as this account.
    """
    cache = Request(**which).of_assertions()
    entries = [(digest.hex().upper(), until) for digest, until in cache.presented()]
    members = [{"id": number, "expires": until} for number, until in entries]
    output.give({"cache": str(cache.path), "assertions": members})
    if output.is_text:
        shown = _Shown("Replay cache", cache, "no assertion is remembered", output)
        if verbose:
            shown.each(map(_assertion_fields, entries))
        else:
            rows = ((_moment(until), number) for number, until in entries)
            shown.table(("Expires", "Assertion ID"), rows)


@click.command("rpurge")
@cache_options
@output_options
def purge_assertions(output: Output, **which: Any) -> None:
    """Forget the assertions that cannot be accepted any more, as they have expired."""
    cache = Request(**which).of_assertions()
    _tell(output, "expired assertion", {cache.path: cache.open().replay.purge(system_clock())})


@click.command("rdestroy")
@cache_options
@output_options
def destroy_assertions(output: Output, **which: Any) -> None:
    """Forget all assertions. Whoever has recorded one can present it again until it expires."""
    cache = Request(**which).of_assertions()
    gone = cache.open().replay.purge(_FOR_EVER_MS)
    _tell(output, "assertion", {cache.path: gone})
    if gone:
        output.note(_ASSERTIONS_ARE_NEW)


@click.command("certlist")
@cache_options
@verbose_option
@output_options
def list_documents(verbose: bool, output: Output, **which: Any) -> None:
    """Show the keys of identity providers that are kept, by the documents they came in.

    Without --server these are the person's and those of the servers that run as this account.
    """
    caches = Request(**which).of_documents()
    kept = [(cache, [*cache.look().authorities.all(0)]) for cache in caches]
    output.give(
        {
            "caches": [
                {"cache": str(cache.path), "documents": [document_members(*each) for each in them]}
                for cache, them in kept
            ]
        }
    )
    for number, (cache, documents) in enumerate(kept if output.is_text else ()):
        if number:
            click.echo()
        shown = _Shown("Authority cache", cache, "there are no documents", output)
        if verbose:
            shown.each(map(_document_fields, documents))
        else:
            shown.table(("Issuer", "ALG", "Expires"), map(_document_row, documents))


@click.command("certpurge")
@cache_options
@output_options
def purge_documents(output: Output, **which: Any) -> None:
    """Forget the documents that have expired."""
    now = system_clock()
    gone = _remove_documents(which, lambda document: document.expires <= now)
    _tell(output, "expired document", gone)


@click.command("certdestroy")
@cache_options
@output_options
def destroy_documents(output: Output, **which: Any) -> None:
    """Forget all documents. They are fetched again when they are needed."""
    _tell(output, "document", _remove_documents(which, lambda _: True))


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


def ticket_members(ticket: Ticket) -> dict[str, object]:
    """A ticket for programs; times are in ms."""
    members: dict[str, object] = {
        "id": ticket.tid,
        "identity": _owner(ticket),
        "audience": ticket.audience,
        "issuer": ticket.issuer,
        "curve": ticket.curve,
        "issued": ticket.issued_at,
        "expires": ticket.expires,
        "mutual": ticket.mutual,
        "renewed": ticket.renewed,
    }
    if isinstance(ticket, AcceptorTicket):
        members["renewable_until"] = ticket.renew_until
    return members


def document_members(domain: str, document: CachedDocument) -> dict[str, object]:
    """A document for programs; times are in ms."""
    return {"domain": domain, "expires": document.expires, "says": _algorithms(document)}


def _remove_documents(
    which: dict[str, Any], unwanted: Callable[[CachedDocument], bool]
) -> dict[Path | DatabaseUrl, int]:
    gone: dict[Path | DatabaseUrl, int] = {}
    for cache in Request(**which).of_documents():
        stores = cache.open()
        domains = [name for name, document in stores.authorities.all(0) if unwanted(document)]
        gone[cache.path] = sum(map(stores.authorities.delete, domains))
    return gone


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


def _assertion_fields(entry: tuple[str, int]) -> Iterator[tuple[str, str]]:
    number, until = entry
    yield "Assertion ID", number
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


def _document_fields(entry: tuple[str, CachedDocument]) -> Iterator[tuple[str, str]]:
    domain, document = entry
    yield "Issuer", domain
    yield "Expires", _moment(document.expires)
    node = describe(document.body, system_clock())
    if node is None:
        yield "Says", "not readable"
        return
    for text in [node.text] if node.value else [child.text for child in node.children]:
        yield "Says", text


@dataclass(frozen=True, slots=True)
class _Shown:
    """What people see of a cache: a line that names it, and what is in it.

    :param kind: of the cache.
    :param cache: that it is about.
    :param nothing: to say on standard error when there is nothing in it.
    :param output: how much is printed.
    """

    kind: str
    cache: Cache
    nothing: str
    output: Output

    def each(self, records: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Everything that is known of each."""
        found = [list(record) for record in records]
        self._begin(found)
        for number, record in enumerate(found):
            if number:
                click.echo()
            for label, value in record:
                _line(label, value)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A line for each."""
        cells = [[harmless(text) for text in row] for row in rows]
        self._begin(cells)
        if not cells:
            return
        widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
        for number, row in enumerate((headings, *cells)):
            click.echo(" ".join(map(set_cell_size, row, widths)).rstrip())
            if not number:
                click.echo("-" * (sum(widths) + len(widths) - 1))

    def _begin(self, found: Sequence[object]) -> None:
        _line(self.kind, str(self.cache.path))
        click.echo()
        if not found:
            self.output.note(self.nothing)


def _line(label: str, value: str) -> None:
    click.echo(f"{label + ':':<{_INDENT}}{harmless(value)}".rstrip())


def _moment(moment: int) -> str:
    return _date(moment) if moment > system_clock() else _EXPIRED


def _date(moment: int) -> str:
    """A time in ms as ctime(3) writes it, here and now."""
    try:
        return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment / 1000))
    except (OverflowError, ValueError, OSError):
        return f"{moment} ms, which is no date"


def _tell(output: Output, noun: str, gone: Mapping[Path | DatabaseUrl, int]) -> None:
    removed = [{"cache": str(path), "number": number} for path, number in gone.items()]
    output.give({"removed": removed})
    for path, number in gone.items():
        plural = noun if number == 1 else f"{noun}s"
        output.say(f"{number} {plural} forgotten in {harmless(str(path))}")
