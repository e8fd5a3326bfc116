"""What `browserid-idp` can do: set an identity provider up, look after it, run it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, get_args

import click

from browserid_sasl.cli.options import version_option, web_server_options
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.passwords import password_options, password_source
from browserid_sasl.config import IdpConfig
from browserid_sasl.config.syntax import Unfit, network
from browserid_sasl.errors import Code, ConfigurationError, LocalProtocolError
from browserid_sasl.identity.addresses import in_lower_case, is_domain
from browserid_sasl.idp.administration import Actor, Administration
from browserid_sasl.idp.audit import TIMES, AuditLog, Entry, Event, Question
from browserid_sasl.idp.backends import (
    Backend,
    Denial,
    DeniedError,
    Roll,
    RollBackend,
    UnavailableError,
)
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.backup import Content, back_up, restore
from browserid_sasl.idp.bounces import MAX_SIZE, is_failure, token_of
from browserid_sasl.idp.delegation import delegation_document
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.health import State
from browserid_sasl.idp.invitations import LIFE_MS, MAX_LIFE_MS
from browserid_sasl.idp.opening import check_spelling, folder_of, mail_limits_of, open_to_look_after
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.paths import WELL_KNOWN
from browserid_sasl.idp.people import Person
from browserid_sasl.idp.people_file import Fault, read_people
from browserid_sasl.idp.people_import import Outcome, PeopleImport, new_invitation_list
from browserid_sasl.idp.place import Place, place_options
from browserid_sasl.idp.renewals import Renewal
from browserid_sasl.idp.serving import serve_domains
from browserid_sasl.idp.signing_keys import Algorithm, ListedKey, SigningKey
from browserid_sasl.printer.node import inert
from browserid_sasl.private_files import PUBLIC_FILE, write_atomically
from browserid_sasl.store.base import system_clock
from browserid_sasl.web.server import Listener, place_of

F = TypeVar("F", bound=Callable[..., Any])

_DAY_S: Final = 86_400
_MOST_SHOWN: Final = 100_000
_OPERATOR: Final = f"uid {os.getuid()}"
"""Who runs the command, before it may go on as the owner of the provider's folder."""


@click.group()
@version_option
def command() -> None:
    """Run an identity provider for the e-mail addresses of a domain."""


def _checked_proxies(_: object, __: object, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(map(network, given))
    except Unfit as unfit:
        raise click.BadParameter(unfit.reason) from None


@command.command()
@place_options
@click.option("--local-tls", is_flag=True, help="Make a private TLS authority and certificate.")
@click.option(
    "--key-type",
    type=click.Choice(get_args(Algorithm)),
    default="ES256",
    show_default=True,
    help="What the signing key signs with. ES256 (P-256) makes short messages; the implementation "
    "in C and old libraries know RS256 (RSA) only.",
)
@output_options
def init(
    *,
    place: Place,
    local_tls: bool,
    key_type: Algorithm,
    output: Output,
) -> None:
    """Make a provider's folder, with its signing key. What is there already is kept."""
    options = place.options
    check_spelling(options, key_type)
    name = options.domain
    if not is_domain(name):
        raise ConfigurationError(
            f"{name!r} is not a domain" if name else "no domain is given",
            "name one with --domain example.org",
        )
    folder = folder_of(options)
    now = system_clock()
    with output.working("making the keys"):
        made = folder.create(name, key_type, now, local_tls=local_tls, authority=options.authority)
    if made.provider:
        output.say(f"made an identity provider for {name} in {folder.path}")
    else:
        output.say(f"there is an identity provider for {name} in {folder.path}")
    if made.key and not made.provider:
        _record_key(folder.audit, made.key, now)
        output.say(
            f"made the signing key {made.key.name}, since the one that signed was missing: what"
            " that one has signed is void"
        )
    if made.authority and not made.provider:
        output.say("made a private TLS authority: nobody believes what one before it has signed")
    if local_tls:
        output.say(f"who is to believe its server needs {folder.tls.anchor}")
    output.give(
        {
            "domain": name,
            "directory": str(folder.path),
            "made": made.provider,
            "key": made.key.name if made.key else "",
            "authority": made.authority,
            "ca_file": str(folder.tls.anchor) if local_tls else "",
        }
    )


@command.command()
@place_options
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it there, for a web server to read, in place of printing it.",
)
@output_options
def delegation(place: Place, file: Path | None, output: Output) -> None:
    """Print the document with which the domain's own web server says where its provider is.

    It is published at https://DOMAIN/.well-known/browserid as application/json, without a redirect.
    `browserid doctor` looks whether it is.
    """
    options = place.options
    document = json.dumps(delegation_document(options))
    url = f"https://{options.domain}{WELL_KNOWN}"
    output.give({"domain": options.domain, "authority": options.authority, "url": url})
    if file is not None:
        write_atomically(file, f"{document}\n".encode(), PUBLIC_FILE)
        output.say(f"wrote {file}, which is to be published at {url}")
    elif output.is_text:
        click.echo(document)


@command.command("add-user")
@place_options
@password_options
@output_options
@click.argument("address")
def add_user(
    *,
    place: Place,
    password_file: Path | None,
    password_fd: int | None,
    address: str,
    output: Output,
) -> None:
    """Make an account for ADDRESS."""
    source = password_source(password_file, password_fd).opened()
    provider = _open(place, invites=True)
    email = provider.accounts.address(address)
    password = source.read(f"Password for {email}", confirm=True)
    record = partial(_record, provider, Event.ACCOUNT_ADDED, email)
    if not provider.accounts.add(email, password, system_clock(), record):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"there is an account {email} already",
            f"change its password with `browserid-idp set-password {email}`",
        )
    output.give({"identity": email})
    output.say(f"added {email}")


@command.command("set-password")
@place_options
@password_options
@output_options
@click.argument("address")
def set_password(
    *,
    place: Place,
    password_file: Path | None,
    password_fd: int | None,
    address: str,
    output: Output,
) -> None:
    """Give the account ADDRESS another password.

    Who is signed in on the pages is signed out. Machines keep what they have: see `revoke`.
    """
    source = password_source(password_file, password_fd).opened()
    provider = _open(place, invites=True)
    email = provider.accounts.address(address)
    password = source.read(f"New password for {email}", confirm=True)

    def record() -> None:
        provider.sessions.end_all(email)
        _record(provider, Event.PASSWORD_CHANGED, email)

    provider.accounts.set_password(email, password, system_clock(), record)
    provider.limits.succeeded(email)
    output.give({"identity": email})
    output.say(f"changed the password of {email}")


@command.command("remove-user")
@place_options
@output_options
@click.argument("address")
def remove_user(place: Place, address: str, output: Output) -> None:
    """Remove the account ADDRESS, and revoke all that its machines have."""
    provider = _open(place)
    email = provider.accounts.address(address)
    _administration(provider).remove(email, system_clock())
    output.give({"identity": email})
    output.say(f"removed {email}")


@command.command("list-users")
@place_options
@output_options
def list_users(place: Place, output: Output) -> None:
    """Show the accounts, one a line."""
    people = [account.email for account in _open(place).accounts.all()]
    output.give({"identities": people})
    for email in people if output.is_text else ():
        click.echo(email)


@command.command()
@place_options
@click.option("--search", metavar="TEXT", default="", help="Only those with this in the address.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, _MOST_SHOWN),
    default=_MOST_SHOWN,
    show_default=True,
    help="How many, in the order of their addresses.",
)
@output_options
def people(
    *,
    place: Place,
    search: str,
    limit: int,
    output: Output,
) -> None:
    """Show the accounts, and what can be signed in to them with, one a line."""
    options = place.options
    provider = open_to_look_after(options)
    found = provider.people.search(search, system_clock(), limit)
    output.give({"people": [asdict(each) for each in found]})
    for each in found if output.is_text else ():
        click.echo(f"{each.email}: {', '.join(_means(each)) or 'nothing to sign in with'}")


def _means(person: Person) -> Iterator[str]:
    if person.backend:
        yield f"vouched for by {person.backend}"
    if person.password:
        yield "password"
    if person.second_factor:
        yield "second factor"
    if person.passkeys:
        yield "1 passkey" if person.passkeys == 1 else f"{person.passkeys} passkeys"
    if person.invited:
        yield "invited"
    if person.administrator:
        yield "administrator"


@command.group()
def administrator() -> None:
    """Say who may administrate on the provider's pages."""


@administrator.command("add")
@place_options
@output_options
@click.argument("address")
def add_administrator(place: Place, address: str, output: Output) -> None:
    """Let ADDRESS administrate on the pages, who has to have an account.

    They need a passkey for it. A link that was made for the account before is no longer good:
    invite them after this.
    """
    provider = _open(place, invites=True)
    email = provider.accounts.address(address)
    added = provider.administrators.add(email, _OPERATOR, system_clock())
    output.give({"identity": email, "changed": added})
    output.say(f"{email} is an administrator" + ("" if added else " already"))


@administrator.command("remove")
@place_options
@output_options
@click.argument("address")
def remove_administrator(place: Place, address: str, output: Output) -> None:
    """Do not let ADDRESS administrate any more, from their next request on."""
    provider = _open(place)
    email = provider.accounts.address(address)
    if not provider.administrators.remove(email, _OPERATOR, system_clock()):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{email} is no administrator",
            "see `browserid-idp administrator list`",
        )
    output.give({"identity": email, "changed": True})
    output.say(f"{email} is no administrator any more")


@administrator.command("list")
@place_options
@output_options
def list_administrators(place: Place, output: Output) -> None:
    """Show the administrators, one a line."""
    found = _open(place).administrators.all()
    output.give({"administrators": [asdict(each) for each in found]})
    for each in found if output.is_text else ():
        click.echo(f"{each.email}: since {_shown(each.since)}, by {each.by}")


@command.command()
@place_options
@output_options
def invitations(place: Place, output: Output) -> None:
    """Show the invitations that can be accepted yet, one a line."""
    provider = _open(place)
    found = provider.invitations.open(system_clock(), _MOST_SHOWN)
    output.give({"invitations": [asdict(each) for each in found]})
    for each in found if output.is_text else ():
        click.echo(f"{each.email}: made {_shown(each.created)}, until {_shown(each.expires)}")


@command.command()
@place_options
@output_options
@click.argument("address")
def withdraw(place: Place, address: str, output: Output) -> None:
    """Have the link that was made for ADDRESS with `invite` be good no more."""
    provider = _open(place)
    email = provider.accounts.address(address)
    _administration(provider).withdraw(email, system_clock())
    output.give({"identity": email})
    output.say(f"the invitation of {email} is withdrawn")


@command.command()
@place_options
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, _MOST_SHOWN),
    default=100,
    show_default=True,
    help="How many, of the newest.",
)
@output_options
@click.argument("address")
def certificates(place: Place, limit: int, address: str, output: Output) -> None:
    """Show the certificates that ADDRESS was given, as the audit log has them, the oldest first."""
    provider = _open(place)
    question = Question(Event.CERTIFIED.value, provider.accounts.address(address))
    entries = provider.audit.search(question, limit)[::-1]
    output.give({"entries": [each.members() for each in entries]})
    for each in entries if output.is_text else ():
        click.echo(_entry(each))


@command.command()
@place_options
@output_options
def backends(place: Place, output: Output) -> None:
    """Ask each backend whether it would answer now, and say what is wrong with it.

    The exit status is 1 if something is.
    """
    configuration = place.one()
    provider = folder_of(configuration.idp).open(backends=configured_backends(configuration))
    states = provider.health.of_all()
    output.give({"backends": [asdict(each) for each in states]})
    for each in states if output.is_text else ():
        click.echo(inert(f"{each.name}: {_condition(each)}"))
    if any(each.faults for each in states):
        click.get_current_context().exit(1)


def _condition(state: State) -> str:
    if state.faults:
        return "; ".join(state.faults)
    return "answers" if state.asked else "comes with requests, and cannot be asked"


@command.command()
@place_options
@output_options
def keys(place: Place, output: Output) -> None:
    """Show the signing keys, one a line, the one that signs first."""
    provider, now = _open(place), system_clock()
    found = provider.keys.listed(now)
    output.give({"keys": [asdict(each) for each in found]})
    for each in found if output.is_text else ():
        click.echo(f"{each.name}: {each.algorithm}, {_use(each, now)}")


def _use(key: ListedKey, now: int) -> str:
    until = f", published until {_shown(key.published_until)}" if key.published_until else ""
    if key.signs:
        return f"signs{until}"
    if key.signs_from > now:
        return f"signs from {_shown(key.signs_from)} on"
    return f"signs no more{until}"


@command.command()
@place_options
@output_options
@click.argument("address")
def sessions(place: Place, address: str, output: Output) -> None:
    """Show the machines that have a certificate of the account ADDRESS, one a line."""
    provider = _open(place)
    machines = list(provider.renewals.all(provider.accounts.address(address), system_clock()))
    output.give({"machines": [_machine(each) for each in machines]})
    for each in machines if output.is_text else ():
        ends = f"renews until {_shown(each.expires)}" if each.expires else "does not renew"
        click.echo(
            f"{each.id}: {each.machine or 'no name'}, {each.client}, key {each.key},"
            f" signed in {_shown(each.created)}, last certificate {_shown(each.last)}"
            f" until {_shown(each.certificate)}, {ends}"
        )


@command.command()
@place_options
@click.option("--machine", metavar="ID", type=int, help="A machine that `sessions` shows.")
@click.option("--all", "everything", is_flag=True, help="All of them, and who is on the pages.")
@output_options
@click.argument("address")
def revoke(
    *,
    place: Place,
    machine: int | None,
    everything: bool,
    address: str,
    output: Output,
) -> None:
    """End what machines have of the account ADDRESS: certificates, renewals, tickets.

    Renewals end at once. Services that look at the list of revoked keys refuse the rest within a
    minute, others take a certificate until it expires, and its tickets.
    """
    if everything == (machine is not None):
        raise click.UsageError("give one of --machine ID and --all")
    provider = _open(place)
    email, now = provider.accounts.address(address), system_clock()
    if machine is None:
        count = _administration(provider).revoke_all(email, now)
        output.give({"revoked": count})
        output.say(f"revoked {count} keys of {email}")
    elif provider.renewals.revoke(machine, email, now, by=_OPERATOR):
        output.give({"revoked": 1})
        output.say(f"revoked the key of machine {machine} of {email}")
    else:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{email} has no machine {machine}",
            f"see `browserid-idp sessions {email}`",
        )


def _machine(renewal: Renewal) -> dict[str, object]:
    """A machine for programs; times are in ms."""
    return {
        "id": renewal.id,
        "machine": renewal.machine,
        "client": renewal.client,
        "key": renewal.key,
        "created": renewal.created,
        "last": renewal.last,
        "certificate": renewal.certificate,
        "expires": renewal.expires,
    }


def _shown(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M} UTC"


@command.command()
@place_options
@click.option(
    "--expires",
    metavar="SECONDS",
    type=click.IntRange(1, MAX_LIFE_MS // 1000),
    default=LIFE_MS // 1000,
    show_default=True,
    help="How long the link is good for.",
)
@output_options
@click.argument("address")
def invite(place: Place, expires: int, address: str, output: Output) -> None:
    """Print a link with which ADDRESS sets up their account, once.

    They choose a passkey or a password, which takes the place of all with which the account could
    be signed in to before. The account is made if there is none. A link that was made for it
    before is no longer good.
    """
    options = place.options
    _check_invites(options)
    provider = open_to_look_after(options)
    email = provider.accounts.address(address)
    link = _administration(provider).invite(email, system_clock(), expires * 1000)
    output.give({"link": link})
    if output.is_text:
        click.echo(link)


@command.command("import-people")
@place_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--invitations",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a link for each new account to a new file that only you can read.",
)
@click.option(
    "--ldap",
    "backend",
    metavar="NAME",
    default="",
    help='The people of this directory, a section such as [ldap."staff"], in place of a file.',
)
@output_options
@click.argument("file", type=click.File("rb"), required=False)
def import_people(
    *,
    place: Place,
    dry_run: bool,
    invitations: Path | None,
    backend: str,
    file: BinaryIO | None,
    output: Output,
) -> None:
    """Make accounts for the people in FILE, which a spreadsheet has written as CSV (UTF-8).

    Its first line names the columns: `address`, and `invite` (yes or no) if you like. If anything
    is wrong in it, that is said with the line's number, and nothing is done. Accounts that are
    there already stay as they are, so it can be done again. Nobody can sign in to the new ones
    without an invitation, but those of a directory, who need none.
    """
    if bool(backend) == bool(file) or (backend and invitations):
        raise click.UsageError("give one of FILE and --ldap, and --invitations with a file only")
    configuration = place.one()
    _check_invites(configuration.idp)
    # The file is made by who runs this, and not by the owner of the provider's folder.
    with new_invitation_list(invitations, dry=dry_run) as links:
        backends = configured_backends(configuration) if backend else Backends()
        provider = open_to_look_after(configuration.idp, backends)
        importing = PeopleImport(provider, Actor(_OPERATOR), dry=dry_run)
        outcome, faults = Outcome(), list[Fault]()
        if file is None:
            roll = _roll_of(provider, backend)
            outcome = importing.from_directory(backend, roll, system_clock())
        else:
            people, found = read_people(file, provider.accounts.address)
            faults.extend(found)
            if not faults:
                outcome = importing.from_file(people, links, system_clock())
    output.give(asdict(outcome) | {"dry_run": dry_run, "faults": [asdict(each) for each in faults]})
    for fault in faults:
        name = file.name if file else ""
        click.echo(inert(f"{name}:{fault.line}: {fault.message}: {fault.remedy}"), err=True)
    if faults:
        click.get_current_context().exit(1)
    _tell_outcome(output, outcome, dry=dry_run)


def _roll_of(provider: Provider, name: str) -> Roll:
    """The people of a directory."""
    try:
        return provider.outside.backends.try_out(name, partial(_call_the_roll, provider.domain))
    except DeniedError:
        message = f"there is no directory {name!a} among the backends"
    except UnavailableError as error:
        message = f"the people of {name} cannot be listed: {error}"
    raise LocalProtocolError(
        Code.INVALID_PARAMETER, message, "see `backends` in [idp], and `browserid-idp backends`"
    )


def _call_the_roll(domain: str, backend: Backend) -> Roll:
    if not isinstance(backend, RollBackend):
        raise DeniedError(Denial.NOT_CONFIGURED)
    return backend.call_the_roll(domain)


def _tell_outcome(output: Output, outcome: Outcome, *, dry: bool) -> None:
    would = "would be " if dry else ""
    for email, why in outcome.left_out.items():
        output.say(inert(f"{email}: left out: {why}"))
    for email in outcome.gone:
        output.say(inert(f"{email}: the directory does not let them in any more"))
    if not outcome.complete:
        output.say("the directory has not shown all: nobody can be said to have gone")
    output.say(
        f"{would}added: {outcome.added}, {would}invited: {outcome.invited},"
        f" there already: {outcome.existing}"
    )


@command.command()
@place_options
@click.option(
    "--file",
    "mail",
    metavar="FILE",
    type=click.File("rb"),
    default="-",
    help="The mail, in place of standard input.",
)
@output_options
@click.argument("recipient")
def bounce(
    *,
    place: Place,
    mail: BinaryIO,
    recipient: str,
    output: Output,
) -> None:
    """Take in a mail that has come back to RECIPIENT.

    RECIPIENT is the address it was delivered to, `mail_bounces` with its token. If it says that
    a mail could not be delivered, for good, a fallback provider sends that address none for a week.
    Whatever else comes is taken in, and changes nothing.
    """
    options = place.options
    token = token_of(recipient)
    failed = is_failure(mail.read(MAX_SIZE))
    provider = _open(place)
    email = mail_limits_of(options, provider).bounced(token, system_clock()) if failed else None
    output.give({"identity": email or ""})
    output.say(f"{email} gets no mail for a week" if email else "nothing is changed")


@command.command("allow-mail")
@place_options
@output_options
@click.argument("address")
def allow_mail(place: Place, address: str, output: Output) -> None:
    """Send mail to ADDRESS again, which has wanted none, or from which one has come back."""
    options = place.options
    provider = _open(place)
    email = provider.accounts.address(address)
    if not mail_limits_of(options, provider).allow(email, _OPERATOR, system_clock()):
        raise LocalProtocolError(Code.INVALID_PARAMETER, f"mail to {email} is not held back")
    output.give({"identity": email})
    output.say(f"{email} gets mail again")


@command.command("confirm-rp-id")
@place_options
@output_options
def confirm_rp_id(place: Place, output: Output) -> None:
    """Have passkeys for the configured RP ID from now on.

    Those for another one do not sign anybody in any more.
    """
    provider = open_to_look_after(place.options)
    broken = provider.passkeys.confirm_rp_id(_OPERATOR, system_clock())
    rp_id = provider.passkeys.rp_id
    output.give({"rp_id": rp_id, "broken": broken})
    output.say(f"the RP ID is {rp_id}; passkeys that no longer work: {broken}")


@command.command("rotate-key")
@place_options
@click.option("--key-type", type=click.Choice(get_args(Algorithm)), help="Type of the new key.")
@click.option(
    "--after",
    metavar="SECONDS",
    type=click.IntRange(0, _DAY_S),
    default=0,
    help="Publish the key now and sign with it only then, when no copy of the document without "
    "it is in use any more.",
)
@click.option(
    "--withdraw-old",
    is_flag=True,
    help="Stop publishing the old keys: what they signed is void, and everybody has to sign in"
    " again. For keys that were stolen.",
)
@output_options
def rotate_key(
    *,
    place: Place,
    key_type: Algorithm | None,
    after: int,
    withdraw_old: bool,
    output: Output,
) -> None:
    """Make a new signing key.

    The old one is published until the certificates it signed have expired. A provider that runs
    need not be restarted.
    """
    if after and withdraw_old:
        raise click.UsageError("--after and --withdraw-old exclude each other")
    options = place.options
    provider = open_to_look_after(options)
    now = system_clock()
    check_spelling(options, key_type or provider.keys.active(now).algorithm)
    with output.working("making the key"):
        key = provider.keys.rotate(key_type, now, lead=after * 1000, withdraw=withdraw_old)
    _record_key(provider.audit, key, now, withdrawn=withdraw_old)
    if withdraw_old:
        for account in provider.accounts.all():
            provider.renewals.revoke_all(account.email, now, by=_OPERATOR)
    algorithm = key.private_key.algorithm.name
    output.give({"key": key.name, "algorithm": algorithm})
    output.say(f"made the signing key {key.name} ({algorithm})")


def _moment(_: object, __: object, given: datetime | None) -> int | None:
    """Ms of what somebody has given in UTC."""
    return None if given is None else int(given.replace(tzinfo=UTC).timestamp() * 1000)


def _moment_option(name: str, help_: str) -> Callable[[F], F]:
    return click.option(
        name, metavar="TIME", type=click.DateTime(TIMES), callback=_moment, help=help_
    )


@command.command()
@place_options
@click.option(
    "--event",
    type=click.Choice([event.value for event in Event]),
    metavar="WORD",
    help="Only events with this word, such as `sign-in-failed`.",
)
@click.option("--email", metavar="ADDRESS", default="", help="Only those about this account.")
@click.option("--client", metavar="ADDR", default="", help="Only those from this IP address.")
@_moment_option("--since", "Only those from this time on, UTC: 2026-11-28, or 2026-11-28T17:00:00.")
@_moment_option("--until", "Only those before this time.")
@click.option(
    "--text", metavar="TEXT", default="", help="Only those with this in address or details."
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, _MOST_SHOWN),
    default=100,
    show_default=True,
    help="How many, of the newest.",
)
@output_options
def audit(
    *,
    place: Place,
    event: str | None,
    email: str,
    client: str,
    since: int | None,
    until: int | None,
    text: str,
    limit: int,
    output: Output,
) -> None:
    """Search what happened, on all hosts: the audit log, the oldest of what is shown first."""
    provider = _open(place)
    question = Question(event or "", in_lower_case(email), client, since, until, text)
    entries = provider.audit.search(question, limit)[::-1]
    output.give({"entries": [each.members() for each in entries]})
    for each in entries if output.is_text else ():
        click.echo(_entry(each))


def _entry(entry: Entry) -> str:
    """An entry for people; what strangers have named is quoted."""
    members = entry.members()
    time, event = members.pop("time"), members.pop("event")
    del members["id"]
    return " ".join(
        [time, event, *(f"{name}={json.dumps(each)}" for name, each in members.items())]
    )


@command.command()
@place_options
@output_options
def reseal(place: Place, output: Output) -> None:
    """Encrypt what is secret in the database with the first key of `key_encryption_file`.

    That is for after another key was put there: then the others are of no use any more. The
    provider may be serving.
    """
    sealed = folder_of(place.options).reseal(_OPERATOR, system_clock())
    output.give({"secrets": sealed})
    output.say(f"encrypted {sealed} secrets and keys")


@command.command()
@place_options
@output_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(place: Place, file: Path, output: Output) -> None:
    """Write accounts, what they sign in with, and signing keys to FILE, which is not there yet.

    The provider may be serving. Who has the file can log in as everybody of the domain, unless the
    keys in it are encrypted, which they are where the database has them.
    """
    folder = folder_of(place.options)
    content = back_up(folder, file, _OPERATOR, system_clock())
    _tell(output, content, f"backed up {content.domain} to {file}")


@command.command("restore")
@place_options
@output_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore_(place: Place, file: Path, output: Output) -> None:
    """Make a provider of FILE, which `backup` has written, where there is none.

    It may be on another host, or have its database and its keys elsewhere than before. What was
    revoked after the backup was made has to be revoked again.
    """
    folder = folder_of(place.options)
    content = restore(folder, file, _OPERATOR, system_clock())
    _tell(output, content, f"made an identity provider for {content.domain} of {file}")


def _tell(output: Output, content: Content, done: str) -> None:
    output.give({"domain": content.domain, "keys": content.keys, "rows": content.rows})
    output.say(f"{done}: {content.keys} signing keys, {content.rows} rows")


@command.command()
@place_options
@web_server_options
@click.option(
    "--document-life",
    metavar="SECONDS",
    type=click.IntRange(0, _DAY_S),
    help="How long others may keep a copy of the support document.",
)
@click.option(
    "--proxy",
    metavar="ADDR",
    multiple=True,
    callback=_checked_proxies,
    help="Address or network of a proxy before this server that says in X-Forwarded-For who its "
    "clients are. Can be repeated.",
)
@output_options
def serve(
    *,
    place: Place,
    given: dict[str, Any],
    document_life: int | None,
    proxy: tuple[str, ...],
    output: Output,
) -> None:
    """Run the provider until SIGTERM or SIGINT.

    When it is ready it says where, in one line on standard output.
    """
    if document_life is not None:
        given["document_life_ms"] = document_life * 1000
    if proxy:
        given["proxies"] = proxy
    domains = place.domains(**given)
    if place.directory and len(domains) > 1:
        raise click.UsageError("--directory is the folder of one domain: say which with --domain")
    options = domains[0].idp
    with ExitStack() as sockets:
        listening = sockets.enter_context(Listener(options.listen, options.port).open())
        status = None
        if options.status_port:
            aside = Listener(options.status_listen, options.status_port)
            status = sockets.enter_context(aside.open())
        serve_domains(domains, listening, status, partial(_tell_place, output, listening))


def _tell_place(output: Output, listening: socket.socket, domains: Sequence[str]) -> None:
    place = place_of(listening)
    output.announce(
        f"serving {', '.join(domains)} at {place['url']}",
        {"domain": domains[0], "domains": list(domains), **place},
    )


def _check_invites(options: IdpConfig) -> None:
    if options.fallback:
        raise ConfigurationError(
            "a fallback provider has no passwords and no invitations: whoever gets mail at an"
            " address signs in",
            "leave out `fallback` in [idp], or use a provider for the domain",
        )


def _open(place: Place, *, invites: bool = False) -> Provider:
    """Open the provider.

    :param invites: whether it has to be one that knows its people.
    """
    options = place.options
    if invites:
        _check_invites(options)
    return open_to_look_after(options)


def _administration(provider: Provider) -> Administration:
    return Administration(provider, Actor(_OPERATOR))


def _record(provider: Provider, event: Event, email: str) -> None:
    provider.audit.write(event, system_clock(), email=email, by=_OPERATOR)


def _record_key(audit: AuditLog, key: SigningKey, now: int, *, withdrawn: bool = False) -> None:
    audit.write(Event.KEY_CREATED, now, key=key.name, by=_OPERATOR, withdrawn=withdrawn)
