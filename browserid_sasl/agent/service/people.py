"""Signing in and out, and who is signed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from browserid_sasl.agent import presence
from browserid_sasl.agent.application import Application, KeyType, Provider, machine_name
from browserid_sasl.agent.flows import password as password_flow
from browserid_sasl.agent.flows import renewal
from browserid_sasl.agent.flows.browser import BrowserFlow
from browserid_sasl.agent.flows.choice import Way, demand, ways_of
from browserid_sasl.agent.flows.device import DeviceFlow
from browserid_sasl.agent.flows.prompt import Flow
from browserid_sasl.agent.naming import SignInRequiredError, choose, matching
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.api.stores import person_stores, sound_person_stores
from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import BrowserIDError, Code, CredentialError
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.store.base import InitiatorStores, system_clock

ASKED_LIFE_S: Final = 900
"""How long a page waits that somebody has asked for."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has signed in.

    :param identity: their e-mail address.
    :param expires: ms, of the certificate.
    :param renewal_expires: ms until which it is renewed without a question, 0 if it is not.
    :param told: what else the person should know, empty for nothing.
    """

    identity: str
    expires: int
    renewal_expires: int = 0
    told: str = ""

    @classmethod
    def of(cls, record: IdentityRecord, told: str = "") -> SignedIn:
        """What is shown of a record."""
        return cls(record.identity, record.expires, record.renewal_expires, told)


@dataclass(frozen=True, slots=True)
class Ways:
    """How somebody can sign in.

    :param identity: their address.
    :param offered: what their provider has.
    :param preferred: what the configuration says.
    """

    identity: str
    offered: tuple[Way, ...]
    preferred: Way | Literal["auto"]


@dataclass(frozen=True, slots=True)
class SignedOut:
    """Somebody who has signed out.

    :param identity: their e-mail address.
    :param told: what else the person should know, empty for nothing.
    """

    identity: str
    told: str = ""


def ways(config: Config, name: str) -> Ways:
    """How somebody can sign in.

    :param name: their address; empty for the configured one, or the only one that is known.
    :raises CredentialError: it is not clear who is meant, or there is no provider for them.
    :raises DiscoveryError: it cannot be reached.
    """
    identity = name or _default(config)
    provider = Provider.of(identity, _fetcher(config), system_clock(), config.client.fallback)
    return Ways(identity, ways_of(provider.document), config.client.sign_in)


def sign_in_with_password(
    config: Config, address: str, password: str, key_type: KeyType
) -> SignedIn:
    """Have a new key certified by the identity provider of an address.

    :raises BrowserIDError: see `agent.flows.password.sign_in`.
    """
    return keep(config, password_flow.sign_in(_application(config, address, key_type), password))


def flow(config: Config, address: str, way: Way, key_type: KeyType, life: int) -> Flow:
    """A sign-in that asks its person in a browser or on a device.

    :param life: seconds that a page in the browser may wait.
    :raises BrowserIDError: see `agent.application.Application.make`.
    """
    application = _application(config, address, key_type)
    demand(way, ways_of(application.provider.document))
    if way == "device":
        return DeviceFlow(application)
    return BrowserFlow(application, config.client.redirect_port, life)


def keep(config: Config, record: IdentityRecord) -> SignedIn:
    """Keep what a sign-in brought, in place of what is there of this identity.

    A store that is damaged is kept aside, and begun anew.

    :raises StoreError: it cannot be kept.
    """
    stores, told = sound_person_stores(config)
    stores.identities.put(record)
    _tell(config, stores)
    return SignedIn.of(record, told)


def signed_in(config: Config) -> list[SignedIn]:
    """Who is signed in, those with an expired certificate too.

    :raises StoreError: the store cannot be read.
    """
    return [SignedIn.of(each) for each in person_stores(config).identities.all()]


def sign_out(config: Config, name: str) -> SignedOut:
    """Forget somebody's key, certificate and tickets, and have their provider end the renewal.

    What is here is gone in any case.

    :param name: the address, or its local part.
    :raises CredentialError: nobody of that name is signed in, or more than one.
    :raises StoreError: the store cannot be written to.
    """
    stores = person_stores(config)
    identity = _one_of(set(_known(stores)), name)
    record = stores.identities.get(identity)
    stores.identities.delete(identity)
    for ticket in list(stores.tickets.all(0)):
        if ticket.identity == identity:
            stores.tickets.delete(ticket.identity, ticket.audience, ticket.tid)
    _tell(config, stores)
    return SignedOut(identity, _end_renewal(config, record))


def renew(config: Config, stores: InitiatorStores, identity: str, before: int) -> bool:
    """Renew somebody's certificate, if it can be.

    :param before: ms; one that expires later is good enough.
    :returns: whether there is a good one now.
    :raises RenewalOverError: it is renewed no more.
    :raises BrowserIDError: it cannot be renewed just now.
    """
    record = stores.identities.get(identity)
    if record is None or (record.expires <= before and not record.renewal):
        return False
    if record.expires <= before:
        fallback = config.client.fallback
        renewal.renewed(record, stores.identities, _fetcher(config), system_clock, fallback)
    return True


def _end_renewal(config: Config, record: IdentityRecord | None) -> str:
    """Have the renewal ended; what to tell the person if that was not possible."""
    if record is None or not record.renewal:
        return ""
    try:
        renewal.end(record, _fetcher(config), system_clock, config.client.fallback)
    except BrowserIDError as error:
        return (
            f"the identity provider could not be told to end the renewal: {error.message}; nothing"
            " here can use it any more, and its page of your account shows it until it ends"
        )
    return ""


def _application(config: Config, address: str, key_type: KeyType) -> Application:
    machine = machine_name(config.client.machine)
    fallback = config.client.fallback
    return Application.make(address, _fetcher(config), system_clock, key_type, machine, fallback)


def _fetcher(config: Config) -> HttpsFetcher:
    return HttpsFetcher(config.discovery, config.authorities)


def _default(config: Config) -> str:
    known = [each.identity for each in signed_in(config)]
    try:
        return choose(known, "", config.client.identity, tuple)
    except SignInRequiredError as error:
        return error.identity


def _known(stores: InitiatorStores) -> Iterator[str]:
    yield from (record.identity for record in stores.identities.all())
    yield from (ticket.identity for ticket in stores.tickets.all(0))


def _one_of(known: set[str], name: str) -> str:
    found = matching(sorted(known), name)
    if len(found) == 1:
        return found[0]
    raise CredentialError(
        Code.NO_DEFAULT_IDENTITY if found else Code.INTERACT_REQUIRED,
        f"{name} may be {' or '.join(found)}" if found else f"{name} is not signed in",
        "give one of the addresses that `browserid list` shows",
    )


def _tell(config: Config, stores: InitiatorStores) -> None:
    presence.tell(stores.identities, config.store.directory / CLIENT_DATABASE)
