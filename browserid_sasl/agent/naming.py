"""Which of the identities that are signed in a name means.

Programs name people in three ways: by an e-mail address, by its local part alone, and, where nobody
said anything, by the name of the Unix account, which they fill in by themselves. A name that means
nobody who is signed in is refused: whoever wrote ``bob`` must not be logged in as alice.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from browserid_sasl.config import ClientConfig
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.addresses import in_lower_case

_MAX_SHOWN: Final = 200

_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (
    # From the exact one on: two identities that differ in case only are told apart where the name
    # does, and confused nowhere.
    str,
    lambda address: "@".join(_with_domain_in_lower_case(address)),
    in_lower_case,
)


class SignInRequiredError(CredentialError):
    """Somebody is meant who has to sign in first. Its code is interact-required.

    :param identity: their address.
    """

    def __init__(self, identity: str, message: str, remedy: str) -> None:
        super().__init__(Code.INTERACT_REQUIRED, message, remedy)
        self.identity = identity


def choose(
    signed_in: Collection[str], name: str, default: str, accounts: Callable[[], Collection[str]]
) -> str:
    """The identity that logs in.

    1. A name is an address that is signed in, or the local part of exactly one. Case counts as far
       as it is needed to tell them apart: a provider may spell an address differently.
    2. The name of the Unix account stands for the default identity if it means nobody by that rule.
    3. The default is the configured one, else the only one that is signed in.

    :param signed_in: e-mail addresses.
    :param name: what the program or the person said; empty for nothing.
    :param default: the configured identity, a name too; empty without one.
    :param accounts: names of the Unix account.
    :raises CredentialError: interact-required when the one that is meant is not signed in,
        no-default-identity when it is not clear who is meant.
    """
    for wanted in filter(None, (name, default)):
        found = matching(signed_in, wanted)
        if len(found) == 1:
            return found[0]
        if wanted not in accounts():
            raise _no_such(signed_in, wanted, found)
    if len(signed_in) != 1:
        raise _no_default(signed_in)
    return next(iter(signed_in))


def default_at(options: ClientConfig, service: str, host: str) -> str:
    """The configured identity for a service; empty if there is none."""
    for pattern, identity in options.identities:
        if _fits(pattern, service, host):
            return identity
    return options.identity


def with_choice(identities: Mapping[str, str], pattern: str, identity: str) -> dict[str, str]:
    """Identities for services, with one more that counts.

    It stands before what would come first in its place. So `imap/*`, which is there, does not keep
    `imap/mail.example.org` from having an effect.

    :param identities: by audience pattern, the first that fits first.
    """
    service, _, host = pattern.partition("/")
    order = list(identities)
    wider = [order.index(each) for each in order if each != pattern and _fits(each, service, host)]
    if pattern in order and not (wider and wider[0] < order.index(pattern)):
        return {**identities, pattern: identity}
    place = wider[0] if wider else len(order)
    kept = [each for each in order if each != pattern]
    chosen = {**identities, pattern: identity}
    return {each: chosen[each] for each in (*kept[:place], pattern, *kept[place:])}


def _fits(pattern: str, service: str, host: str) -> bool:
    of_service, _, of_host = pattern.partition("/")
    parts = map(re.escape, of_host.split("*"))
    return of_service in ("*", service) and bool(re.fullmatch(".*".join(parts), host.lower()))


def matching(signed_in: Collection[str], name: str) -> Sequence[str]:
    """Those of some addresses that a name means, by the spelling that is nearest to it.

    :param name: an address, or the local part of one.
    """
    for spelled in _SPELLINGS:
        wanted = spelled(name)
        found = [each for each in signed_in if spelled(_part_like(name, each)) == wanted]
        if found:
            return found
    return ()


def acting_as(identity: str, name: str, authzid: str) -> str:
    """Who to ask to act as, empty for oneself.

    Anybody but oneself is named in the server's own words, which are sent as they are.

    :param identity: the address that logs in.
    :param name: what the program called it, which chose `identity`.
    :param authzid: what the program said; the name of the Unix account, where it has called the
        other one that too or nothing, is nothing said.
    """
    if authzid == name or matching((identity,), authzid):
        return ""
    return "" if not name and authzid in account_names() else authzid


def account_names() -> Collection[str]:
    """The names of the Unix account that this process runs as; none where there is no entry."""
    names = set()
    for number in (os.getuid(), os.geteuid()):
        with suppress(KeyError):
            names.add(pwd.getpwuid(number).pw_name)
    return names


def _part_like(name: str, address: str) -> str:
    return address if "@" in name else address.rpartition("@")[0]


def _with_domain_in_lower_case(address: str) -> tuple[str, ...]:
    local, at, domain = address.rpartition("@")
    return (local, in_lower_case(domain)) if at else (address,)


def _no_such(signed_in: Collection[str], name: str, found: Sequence[str]) -> CredentialError:
    shown = name[:_MAX_SHOWN] if name.isprintable() else repr(name[:_MAX_SHOWN])
    if found:
        return CredentialError(
            Code.NO_DEFAULT_IDENTITY,
            f"{shown} may be {' or '.join(found)}: all of them are signed in",
            "give the whole address, spelled as `browserid list` shows it",
        )
    if "@" in name:
        return SignInRequiredError(
            name, f"{shown} is not signed in", f"sign in first: browserid login {shown}"
        )
    if not signed_in:
        return _sign_in_first("nobody is signed in", f"{shown}@example.org")
    return CredentialError(
        Code.INTERACT_REQUIRED,
        f"{shown} is nobody who is signed in: that is {', '.join(signed_in)}",
        f"give the address to log in as, or sign in first: browserid login {shown}@example.org",
    )


def _no_default(signed_in: Collection[str]) -> CredentialError:
    if not signed_in:
        return _sign_in_first("nobody is signed in", "you@example.org")
    return CredentialError(
        Code.NO_DEFAULT_IDENTITY,
        "more than one identity is signed in: " + ", ".join(signed_in),
        "choose one, in the program or by `browserid use ADDRESS`",
    )


def _sign_in_first(message: str, identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_REQUIRED, message, f"sign in first: browserid login {identity}"
    )
