"""`browserid mail add`: from an address to an account that mail programs can use."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from browserid_sasl.agent.autostart import Autostart
from browserid_sasl.cli.mail.group import (
    Writing,
    accounts_of_person,
    program_options,
    refreshed,
    tell,
)
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.people import people_of
from browserid_sasl.cli.signing_in import sign_in
from browserid_sasl.config import Config, load
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, LocalProtocolError
from browserid_sasl.identity.addresses import (
    domain_of,
    in_lower_case,
    read_port,
    without_needless_quotes,
)
from browserid_sasl.proxy.accounts import (
    Account,
    Accounts,
    Kind,
    Service,
    check,
    is_same_name,
    make_password,
)
from browserid_sasl.proxy.finding import autoconfig, records
from browserid_sasl.proxy.finding.candidates import Candidate, read_option
from browserid_sasl.proxy.finding.search import Found, Search
from browserid_sasl.proxy.programs import Settings
from browserid_sasl.proxy.programs.settings import KINDS, OPTIONS
from browserid_sasl.proxy.upstream import mail_tls, meet
from browserid_sasl.store.base import system_clock

_FIRST_PORTS: Final = {
    Kind.IMAP: 1143,
    Kind.POP: 1110,
    Kind.SUBMISSION: 1587,
    Kind.SIEVE: 14190,
}
"""Where the search for a free local port begins: what the usual one reminds of."""

_TRIED_PORTS: Final = 500
_TRIES: Final = 4


def _ports(_: object, __: object, given: Sequence[str]) -> dict[Kind, int]:
    ports: dict[Kind, int] = {}
    for each in given:
        word, _, port = each.partition("=")
        number = read_port(port)
        if word not in KINDS or number is None:
            raise click.BadParameter(f"{each!r} is not like imap=1143")
        ports[KINDS[word]] = number
    return ports


@click.command()
@click.option("--imap", metavar="PLACE", help="IMAP server: HOST[:PORT][/tls|/starttls].")
@click.option("--smtp", metavar="PLACE", help="Server for outgoing mail, written likewise.")
@click.option("--pop", metavar="PLACE", help="POP3 server, written likewise.")
@click.option("--sieve", metavar="PLACE", help="ManageSieve server, written likewise.")
@click.option(
    "--server",
    "hosts",
    metavar="HOST",
    multiple=True,
    help="Host that may be the server although its name is not the domain's; others are not"
    " looked at.",
)
@click.option("--name", metavar="NAME", help="What to call the account; without it ADDRESS.")
@click.option("--user", metavar="USER", default="", help="Your name on the servers, if another.")
@click.option(
    "--port",
    "ports",
    metavar="KIND=PORT",
    multiple=True,
    callback=_ports,
    help="Local port of imap, smtp, pop or sieve; without it one that is free.",
)
@click.option(
    "--autostart",
    is_flag=True,
    help="Have your desktop start the agent when you sign in there, for your mail program to find.",
)
@program_options
@output_options
@click.argument("address")
def add(
    *,
    imap: str | None,
    smtp: str | None,
    pop: str | None,
    sieve: str | None,
    hosts: Sequence[str],
    name: str | None,
    user: str,
    ports: Mapping[Kind, int],
    autostart: bool,
    program: str | None,
    file: Path | None,
    profile: Path | None,
    force: bool,
    output: Output,
    address: str,
) -> None:
    """Make ADDRESS usable by mail programs that know passwords.

    Its domain's servers are looked for: in DNS, in the document that the domain has for mail
    programs, and at the usual names. Options name them in place of that. What is taken proves its
    name by TLS and offers a login with your identity. You are signed in if you are not; your mail
    program gets a password that is good on this machine only.
    """
    if domain_of(address) is None:
        raise click.UsageError(f"{address!r} is not an e-mail address such as you@example.org")
    address = without_needless_quotes(address)
    config = load()
    accounts = accounts_of_person()
    name = name or address
    _see_that_it_is_free(accounts, name)
    writing = Writing(program, file, profile, force=force)
    entries = [Autostart.of_agent()] if autostart else []
    for each in entries:
        each.check()
    named = {Kind.IMAP: imap, Kind.POP: pop, Kind.SUBMISSION: smtp, Kind.SIEVE: sieve}
    options = [each for kind, place in named.items() if place for each in read_option(place, kind)]
    found = _found(config, address, options, [in_lower_case(each) for each in hosts], output)
    password = make_password()

    def with_ports() -> Account:
        return Account(name, address, user, _with_ports(found.servers, ports, accounts))

    def settings_of(account: Account) -> Settings:
        return Settings(account, lambda: password)

    account = with_ports()
    check(account)
    writing.check(settings_of(account))
    _see_that_somebody_is_signed_in(address, output)
    account = _kept(account, with_ports, accounts, password)
    new = [each for each in entries if not each.is_there]
    try:
        for each in new:
            each.write()
        written = writing.write(settings_of(account))
    except BaseException:
        for each in new:
            each.remove()
        _take_back(accounts, name)
        raise
    for each in entries:
        output.note(f"your desktop starts the agent from now on: {each.path}")
    output.note(f"added {name}")
    tell(output, account, written)


def _see_that_it_is_free(accounts: Accounts, name: str) -> None:
    if any(is_same_name(each.name, name) for each in accounts.read()):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"there is an account called {name} already",
            "`browserid mail settings` shows it; `browserid mail remove` it first, or give this one"
            " another name by `--name`",
        )


def _found(
    config: Config,
    address: str,
    options: Sequence[Candidate],
    hosts: Sequence[str],
    output: Output,
) -> Found:
    """The servers, all of them good and the person's choice.

    :raises DiscoveryError: none is, or one that was named is not.
    """
    with output.working("looking for the mail servers"):
        found = asyncio.run(_searched(_search(config), address, options, hosts))
    missing = {each.kind for each in options} - {each.kind for each in found.servers}
    if missing:
        raise _none(address, found, missing)
    if not found.servers:
        raise _none(address, found, set(Kind))
    if found.silent:
        output.note(f"browserid: {found.silent}: other servers may have been meant")
    _confirm(address, found, hosts)
    for kind in (Kind.IMAP, Kind.SUBMISSION):
        if not options and kind not in {each.kind for each in found.servers}:
            output.note(
                f"browserid: no server for {kind} was found; `--{OPTIONS[kind]} HOST` names one"
            )
    return found


async def _searched(
    search: Search, address: str, options: Sequence[Candidate], hosts: Sequence[str]
) -> Found:
    """What was named is seen to; the rest is looked for, unless names were all that was given."""
    if not options:
        return await search.find(address, hosts)
    named = await search.see(options)
    if not hosts:
        return named
    further = await search.find(address, hosts)
    kinds = {each.kind for each in options}
    servers = (each for each in further.servers if each.kind not in kinds)
    return Found((*named.servers, *servers), (*named.tried, *further.tried), further.silent)


def _search(config: Config) -> Search:
    fetcher = HttpsFetcher(config.discovery, config.authorities)
    context = mail_tls(config)

    async def probe(candidate: Candidate) -> Sequence[str]:
        place = (candidate.host, candidate.port, candidate.security)
        link = await meet(Service(candidate.kind, *place, 0), context)
        link.end.transport.abort()
        return link.server.mechanisms

    return Search(
        records.look_up,
        lambda address: autoconfig.fetch(fetcher, address),
        probe,
        config.client.mechanisms,
    )


def _none(address: str, found: Found, kinds: Iterable[Kind]) -> DiscoveryError:
    tried = "; ".join(
        f"{each.candidate.kind} at {each.candidate}: {each.why}" for each in found.told(kinds)
    )
    return DiscoveryError(
        Code.UNAVAILABLE,
        f"no mail server for {address} can be used. {tried or 'None was found'}",
        found.silent
        or "name the right ones, as in `--imap mail.example.org --smtp mail.example.org`; a server"
        " that does not offer it needs its administrator",
    )


def _confirm(address: str, found: Found, hosts: Sequence[str]) -> None:
    """Have the person judge servers that are another domain's (RFC 6186 section 6)."""
    others = [each for each in found.elsewhere(address) if each.host not in hosts]
    names = ", ".join(dict.fromkeys(each.host for each in others))
    if not names:
        return
    said = f"the mail of {domain_of(address)} is said to be at {names}, which is another domain"
    if sys.stdin is not None and sys.stdin.isatty():
        click.confirm(f"{said[:1].upper()}{said[1:]}. Use it?", abort=True, err=True)
        return
    raise LocalProtocolError(
        Code.INTERACT_REQUIRED,
        f"{said}; whoever can answer in place of the domain can say so",
        "if it is right, " + " ".join(f"--server {name}" for name in names.split(", ")),
    )


def _see_that_somebody_is_signed_in(address: str, output: Output) -> None:
    people = people_of(None)
    now = system_clock()
    if any(
        in_lower_case(each.identity) == in_lower_case(address)
        and max(each.expires, each.renewal_expires) > now
        for each in people.all()
    ):
        return
    told = sign_in(people, address, output).told
    if told:
        output.note(f"browserid: {told}")


def _with_ports(
    servers: Iterable[Candidate], ports: Mapping[Kind, int], accounts: Accounts
) -> tuple[Service, ...]:
    taken = {each.local_port for account in accounts.read() for each in account.services}
    if (answer_port := accounts.answer_port) is not None:
        taken.add(answer_port)
    services: list[Service] = []
    for each in servers:
        port = ports.get(each.kind) or _free_port(_FIRST_PORTS[each.kind], taken)
        if port not in taken and not _is_free(port):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"the local port {port} is in use by another program, or not for you",
                "choose another one, above 1023, or leave out --port",
            )
        services.append(Service(each.kind, each.host, each.port, each.security, port))
    return tuple(services)


def _free_port(first: int, taken: set[int]) -> int:
    for port in range(first, first + _TRIED_PORTS):
        if port not in taken and _is_free(port):
            taken.add(port)
            return port
    raise LocalProtocolError(
        Code.UNAVAILABLE, f"no port from {first} on is free", "choose one by --port"
    )


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.create_server((address, port), family=family):
                pass
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True


class _PortGoneError(LocalProtocolError):
    """A port that was free belongs to another program now."""


def _kept(
    account: Account, with_ports: Callable[[], Account], accounts: Accounts, password: str
) -> Account:
    """Keep an account for which the agent listens.

    :param with_ports: makes it anew, with ports that are free then: somebody else may be quicker.
    :returns: it, as it is kept.
    """
    for tries_left in reversed(range(_TRIES)):
        accounts.add(account, password)
        try:
            _see_that_it_listens(account)
        except BaseException as error:
            _take_back(accounts, account.name)
            if not (isinstance(error, _PortGoneError) and tries_left):
                raise
            account = with_ports()
        else:
            break
    return account


def _see_that_it_listens(account: Account) -> None:
    for state in refreshed().services:
        if is_same_name(state["account"], account.name) and "reason" in state:
            raise _PortGoneError(
                Code.UNAVAILABLE,
                f"the agent cannot listen for {state['kind']}: {state['reason']}",
                "choose another port by --port",
            )


def _take_back(accounts: Accounts, name: str) -> None:
    with suppress(BrowserIDError):
        accounts.remove(name)
        refreshed()
