"""An identity provider that really runs: on loopback, with TLS, in a folder of the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from argon2 import PasswordHasher

from browserid_sasl.agent.application import Application, Clock, KeyType, ProviderAccess
from browserid_sasl.agent.flows import password as password_flow
from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.app import AppSettings, create_app
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.second_steps import SecondStep
from browserid_sasl.idp.signing_keys import Algorithm
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.door import Capacity
from browserid_sasl.web.server import Listener, Terms, make_server, url_of
from browserid_sasl.web.server_certificate import ServerCertificate
from tests.support.patience import PATIENCE

DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"
PASSWORD = "correct horse battery staple"

CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes as nobody should who has something to protect, and in no time."""


class SettableClock:
    """A clock that stands at the time it was made until it is moved."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class RunningProvider:
    """A provider and where it is.

    :param url: of its server.
    :param ca_file: what to believe its server by.
    :param folder: of its data.
    :param provider: its parts.
    :param clock: its clock.
    """

    url: str
    ca_file: Path
    folder: ProviderFolder
    provider: Provider
    clock: SettableClock

    def get(self, path: str) -> requests.Response:
        """Ask for a path."""
        return requests.get(self.url + path, verify=str(self.ca_file), timeout=PATIENCE)

    def post(self, path: str, **content: object) -> requests.Response:
        """Send something to a path."""
        return requests.post(self.url + path, verify=str(self.ca_file), timeout=PATIENCE, **content)  # type: ignore[arg-type]

    def fetcher(self) -> HttpsFetcher:
        """Reaches this provider under its domain's name."""
        override = AuthorityOverride(url=self.url, ca_file=self.ca_file)
        return HttpsFetcher(DiscoveryConfig(), {self.provider.domain: override})

    def audit_log(self) -> str:
        """What the audit log has."""
        return (self.folder.path / "audit.log").read_text()


def sign_in(
    identity: str,
    password: str,
    *,
    http: ProviderAccess,
    store: IdentityStore,
    clock: Clock,
    key_type: KeyType = "ES256",
) -> IdentityRecord:
    """Sign in with a password, and keep what it brings."""
    application = Application.make(identity, http, clock, key_type)
    record = password_flow.sign_in(application, password)
    store.put(record)
    return record


@contextmanager
def running_provider(
    path: Path,
    *,
    domain: str = DOMAIN,
    algorithm: Algorithm = "ES256",
    settings: AppSettings | None = None,
    policy: Policy | None = None,
    clock: SettableClock | None = None,
    proxies: tuple[str, ...] = (),
    capacity: Capacity | None = None,
    public_url: str = "",
    backends: Backends | None = None,
    second_step: SecondStep = "code",
    complete: Callable[[Provider], Provider] | None = None,
) -> Iterator[RunningProvider]:
    """Run a provider in a folder, made if it is not there, until the block ends.

    It has an account for Alice.

    :param complete: makes a fallback provider of it, with people everywhere.
    """
    clock = clock or SettableClock()
    folder = ProviderFolder(path)
    folder.create(domain, algorithm, clock.now, local_tls=True)
    everywhere = complete is not None
    provider = folder.open(
        policy,
        public_url=public_url,
        backends=backends or Backends(),
        second_step=second_step,
        everywhere=everywhere,
    )
    # The same database: who opens and closes its file once more takes the locks of the first away.
    database = provider.database
    accounts = Accounts(database, domain, everywhere=everywhere, hasher=CHEAP_HASHER)
    provider = replace(provider, accounts=accounts)
    provider.accounts.add(f"alice@{domain}", PASSWORD, clock.now)
    provider = complete(provider) if complete else provider
    trusted = Proxies(proxies)
    app = create_app(provider, replace(settings or AppSettings(), proxies=trusted), clock)
    certificate = ServerCertificate(folder.tls.server, folder.tls.server)
    terms = Terms(certificate, capacity or Capacity(), trusted)
    ready = threading.Event()
    server = make_server(app, terms, ready.set)
    with Listener("127.0.0.1", 0).open() as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield RunningProvider(url_of(listening), folder.tls.anchor, folder, provider, clock)
        finally:
            server.stop()
            thread.join(PATIENCE)
