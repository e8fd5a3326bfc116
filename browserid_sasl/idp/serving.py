"""The domains of a configuration as one running service.

Each domain is served for itself. One whose database, keys or settings cannot be used is answered
for with 503 and tried again now and then, and the others do not notice: what they share is the
process, its sockets, and how many passwords are hashed at a time (`accounts`).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from browserid_sasl.config import Config, IdpConfig
from browserid_sasl.config.domains import hosts_of, section_of
from browserid_sasl.errors import BrowserIDError, ConfigurationError
from browserid_sasl.identity.look_alikes import look_alikes, shown_domain
from browserid_sasl.idp.app import TRY_AGAIN_S, AppSettings, create_app, longest_in_memory
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.front import Front, bare_answer, misdirected
from browserid_sasl.idp.opening import folder_of, open_to_serve
from browserid_sasl.idp.status import Metrics, Watched, create_status_app, fault_of
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.store.base import system_clock
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.door import Capacity
from browserid_sasl.web.quiet import log_quietly
from browserid_sasl.web.refusal import RefusedError
from browserid_sasl.web.server import Aside, Terms
from browserid_sasl.web.server import serve as run_server
from browserid_sasl.web.server_certificate import HostCertificates, ServerCertificate

_AGAIN_S: Final = 10.0
"""How often it is tried to open a domain that could not be."""

_logger = logging.getLogger(__name__)


class KeyOwners:
    """Whose keys are whose: one that signs for two domains could sign for either."""

    def __init__(self) -> None:
        self._owners: dict[bytes, str] = {}

    def claim(self, domain: str, keys: Iterable[PublicKey]) -> None:
        """Note that these are a domain's.

        :raises ConfigurationError: one is another domain's.
        """
        for key in keys:
            owner = self._owners.setdefault(key.thumbprint, domain)
            if owner != domain:
                raise ConfigurationError(
                    f"a signing key of {domain} is one of {owner}, too: whoever has one of the two"
                    " folders can sign for both",
                    f"make another one with `browserid-idp rotate-key --domain {domain}"
                    " --withdraw-old`",
                )


class ServedDomain:
    """A domain that is served, from when its provider can be opened (ASGI).

    :param config: in which `idp` is the domain's.
    :param metrics: counts what happens.
    :param owners: of the keys of all domains.
    :param work: where what goes on besides is entered, until the service ends.
    """

    def __init__(
        self, config: Config, metrics: Metrics, owners: KeyOwners, work: ExitStack
    ) -> None:
        self._work = work
        self._config = config
        self._metrics = metrics
        self._owners = owners
        self._provider: Provider | None = None
        self._app: ASGIApp | None = None
        self._fault = ""
        self._tried = 0.0
        self._opening = CapacityLimiter(1)
        self.domain = config.idp.domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None and time.monotonic() >= self._tried + _AGAIN_S:
            # At once, so that of those who ask meanwhile nobody waits for it, and nobody tries it.
            self._tried = time.monotonic()
            await to_thread.run_sync(self.try_to_open, limiter=self._opening)
        await (self._app or _closed)(scope, receive, send)

    def try_to_open(self) -> Exception | None:
        """Open the provider.

        :returns: why it cannot be, which is in the log, too.
        """
        self._tried = time.monotonic()
        try:
            self.open()
        except BrowserIDError as error:
            self._fault = str(error).replace("[idp]", section_of(self._config))
            _logger.error("%s is not served: %s", self.domain, self._fault)
            return error
        except Exception as error:
            # Whatever it is, it is no reason for the others not to be served.
            self._fault = f"it cannot be opened ({type(error).__name__}): see the log"
            _logger.exception("%s is not served", self.domain)
            return error
        return None

    def fault(self) -> str:
        """What is wrong with the domain now, empty if nothing."""
        if self._provider is None:
            return self._fault
        in_memory = longest_in_memory(self._config.idp.document_life_ms)
        return fault_of(self._provider, system_clock(), in_memory)

    def open(self) -> None:
        """Open the provider.

        :raises ConfigurationError: it is not configured as it has to be.
        :raises StoreError: its database cannot be used, or others than its owner have access.
        """
        folder = folder_of(self._config.idp)
        try:
            self._serve(folder)
        except BaseException:
            # It is tried again and again: nothing of it stays open.
            folder.close()
            raise

    def _serve(self, folder: ProviderFolder) -> None:
        provider = open_to_serve(self._config, folder)
        self.domain = provider.domain
        self._owners.claim(provider.domain, provider.keys.published(system_clock()))
        folder.audit.listener = self._metrics.counting(provider.domain)
        app = create_app(provider, _settings(self._config.idp))
        # Last: it goes on until the service ends.
        if provider.fallback is not None:
            self._work.enter_context(provider.fallback.postman.at_work())
        self._provider, self._app = provider, app


def serve_domains(
    configs: Sequence[Config],
    listening: socket.socket,
    status: socket.socket | None,
    ready: Callable[[Sequence[str]], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param configs: of the domains, one at the least, in each of which `idp` is one domain's.
    :param listening: where.
    :param status: where monitoring asks, None for nowhere.
    :param ready: told the domains that are served.
    :raises ConfigurationError: none of them can be.
    :raises StoreError: likewise.
    """
    shared = configs[0].idp
    log_quietly(shared.log_format)
    # Where it is root that runs this, what only root can do comes first: a key of root's.
    own = {each.idp.domain: _tried(partial(_configured_certificate, each.idp)) for each in configs}
    metrics, owners = Metrics(), KeyOwners()
    with ExitStack() as work:
        homes = [ServedDomain(each, metrics, owners, work) for each in configs]
        served = _open(homes)
        _warn_of_look_alikes([each.domain for each in homes])
        telling = create_status_app([Watched(each.domain, each.fault) for each in homes], metrics)
        run_server(
            _front(configs, homes, metrics),
            listening,
            _terms(shared, _certificates(configs, own)),
            lambda: ready(served),
            aside=Aside(telling, status) if status else None,
            log=shared.log_format,
        )


def _terms(shared: IdpConfig, certificate: ServerCertificate | HostCertificates) -> Terms:
    capacity = Capacity(shared.max_connections, shared.max_connections_per_client)
    return Terms(certificate, capacity, Proxies(shared.proxies))


def _open(homes: Sequence[ServedDomain]) -> list[str]:
    """Open what can be; the domains that could."""
    if len(homes) == 1:
        homes[0].open()
        return [homes[0].domain]
    errors = [each.try_to_open() for each in homes]
    served = [each.domain for each, error in zip(homes, errors, strict=True) if error is None]
    if not served:
        raise next(error for error in errors if error is not None)
    return served


def _front(configs: Sequence[Config], homes: Sequence[ServedDomain], metrics: Metrics) -> ASGIApp:
    apps = [metrics.measuring(each, each.domain) for each in homes]
    if len(apps) == 1:
        # By whatever name it is reached: there is no other domain that could be meant.
        return Front({}, apps[0])
    hosts = {
        host: app for each, app in zip(configs, apps, strict=True) for host in hosts_of(each.idp)
    }
    return Front(hosts, metrics.measuring(misdirected, ""))


def _settings(options: IdpConfig) -> AppSettings:
    return AppSettings(
        options.certificate_life_ms,
        options.document_life_ms,
        options.key_spelling,
        Proxies(options.proxies),
        options.embedders,
    )


_Tried = ServerCertificate | ConfigurationError | None
"""A certificate, why it cannot be used, or None where there is none."""


def _certificates(
    configs: Sequence[Config], own: Mapping[str, _Tried]
) -> ServerCertificate | HostCertificates:
    """What is presented: of a domain its own, or else the first there is.

    :param own: of each domain what is configured for it.
    :raises ConfigurationError: there is none that can be used.
    """
    found = {
        each.idp.domain: own[each.idp.domain] or _tried(partial(_local_certificate, each))
        for each in configs
    }
    present = {name: one for name, one in found.items() if isinstance(one, ServerCertificate)}
    errors = {name: one for name, one in found.items() if isinstance(one, ConfigurationError)}
    default = next(iter(present.values()), None)
    if default is None:
        raise next(iter(errors.values()), None) or _no_certificate(configs[0])
    for domain, error in errors.items():
        _logger.error("the default TLS certificate is presented for %s: %s", domain, error)
    if len(configs) == 1:
        return default
    hosts = {
        host: present[each.idp.domain]
        for each in configs
        if each.idp.domain in present
        for host in hosts_of(each.idp)
    }
    return HostCertificates(default, hosts)


def _tried(find: Callable[[], ServerCertificate | None]) -> _Tried:
    try:
        return find()
    except ConfigurationError as error:
        # One domain's is no reason for the others not to be served.
        return error


def _configured_certificate(options: IdpConfig) -> ServerCertificate | None:
    if options.tls_certificate and options.tls_key:
        return ServerCertificate(options.tls_certificate, options.tls_key)
    return None


def _local_certificate(config: Config) -> ServerCertificate | None:
    """What `init --local-tls` has made, None if nothing of that can be seen."""
    server = folder_of(config.idp).tls.server
    return ServerCertificate(server, server) if os.path.exists(server) else None


def _no_certificate(config: Config) -> ConfigurationError:
    return ConfigurationError(
        "there is no TLS certificate to serve with: none is configured, and there is no"
        f" {folder_of(config.idp).tls.server}",
        "give --tls-certificate and --tls-key, or make one with `init --local-tls`",
    )


def _warn_of_look_alikes(domains: Sequence[str]) -> None:
    for pair in look_alikes(domains):
        one, other = (f"{each} ({shown_domain(each)})" for each in pair)
        _logger.warning("people may take the domains %s and %s for one another", one, other)


_CLOSED: Final = RefusedError(
    503,
    "unavailable",
    "the identity provider of this domain cannot be opened at the moment; its administrator finds"
    " out why in its log",
    retry_after=TRY_AGAIN_S,
)


async def _closed(scope: Scope, receive: Receive, send: Send) -> None:
    await bare_answer(scope, _CLOSED)(scope, receive, send)
