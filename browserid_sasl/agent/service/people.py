"""Signing in and out, and who is signed in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from browserid_sasl.agent import presence
from browserid_sasl.agent.naming import matching
from browserid_sasl.agent.signin import KeyType, sign_in
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.api.stores import person_stores, sound_person_stores
from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.store.base import InitiatorStores, system_clock


class SignIns:
    """Sign-ins under way: one at a time for an address, whoever else asks gets its result.

    Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[SignedIn]] = {}

    def run(self, address: str, sign_in: Callable[[], SignedIn]) -> SignedIn:
        """Sign in, or wait for who does already.

        :raises BrowserIDError: what the sign-in raised.
        """
        key = in_lower_case(address)
        with self._lock:
            mine: Future[SignedIn] = Future()
            running = self._running.setdefault(key, mine)
        if running is mine:
            self._finish(key, mine, sign_in)
        return running.result()

    def _finish(self, key: str, mine: Future[SignedIn], sign_in: Callable[[], SignedIn]) -> None:
        try:
            mine.set_result(sign_in())
        except BaseException as error:
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._running[key]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has signed in.

    :param identity: their e-mail address.
    :param expires: ms, of the certificate.
    :param told: what else the person should know, empty for nothing.
    """

    identity: str
    expires: int
    told: str = ""


def sign_in_with_password(
    config: Config, address: str, password: str, key_type: KeyType
) -> SignedIn:
    """Have a new key certified by the identity provider of an address.

    A store that is damaged is kept aside, and begun anew.

    :raises BrowserIDError: see `agent.signin.sign_in`.
    """
    stores, told = sound_person_stores(config)
    record = sign_in(
        address,
        password,
        http=HttpsFetcher(config.discovery, config.authorities),
        store=stores.identities,
        clock=system_clock,
        key_type=key_type,
    )
    _tell(config, stores)
    return SignedIn(record.identity, record.expires, told)


def signed_in(config: Config) -> list[SignedIn]:
    """Who is signed in, those with an expired certificate too.

    :raises StoreError: the store cannot be read.
    """
    return [
        SignedIn(each.identity, each.expires) for each in person_stores(config).identities.all()
    ]


def sign_out(config: Config, name: str) -> str:
    """Forget somebody's key, certificate and tickets.

    :param name: the address, or its local part.
    :returns: the address.
    :raises CredentialError: nobody of that name is signed in, or more than one.
    :raises StoreError: the store cannot be written to.
    """
    stores = person_stores(config)
    identity = _one_of(set(_known(stores)), name)
    stores.identities.delete(identity)
    for ticket in list(stores.tickets.all(0)):
        if ticket.identity == identity:
            stores.tickets.delete(ticket.identity, ticket.audience, ticket.tid)
    _tell(config, stores)
    return identity


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
