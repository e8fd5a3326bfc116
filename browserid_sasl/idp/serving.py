"""The domains of a configuration as one running service.

Each domain is served for itself. One whose database, keys or settings cannot be used is answered
for with 503 and tried again now and then, and the others do not notice: what they share is the
process, its sockets, and how many passwords are hashed at a time (`accounts`).
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from browserid_sasl.config import Config, IdpConfig
from browserid_sasl.config.domains import hosts_of, section_of
from browserid_sasl.errors import BrowserIDError, ConfigurationError
from browserid_sasl.identity.look_alikes import look_alikes, shown_domain
from browserid_sasl.idp.app import TRY_AGAIN_S, AppSettings, create_app, longest_in_memory
from browserid_sasl.idp.folder import Provider
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

    def try_to_open(self) -> BrowserIDError | None:
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
        provider = open_to_serve(self._config, folder)
        self.domain = provider.domain
        self._owners.claim(provider.domain, provider.keys.published(system_clock()))
        folder.audit.listener = self._metrics.counting(provider.domain)
        if provider.fallback is not None:
            self._work.enter_context(provider.fallback.postman.at_work())
        self._provider = provider
        self._app = create_app(provider, _settings(self._config.idp))


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
    own = {each.idp.domain: _configured_certificate(each.idp) for each in configs}
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


def _certificates(
    configs: Sequence[Config], own: Mapping[str, ServerCertificate | None]
) -> ServerCertificate | HostCertificates:
    """What is presented: of a domain its own, or else the first there is."""
    found = {each.idp.domain: own[each.idp.domain] or _local_certificate(each) for each in configs}
    present = [each for each in found.values() if each is not None]
    if not present:
        raise _no_certificate(configs[0])
    if len(configs) == 1:
        return present[0]
    hosts = {
        host: certificate
        for each in configs
        for host in hosts_of(each.idp)
        if (certificate := found[each.idp.domain]) is not None
    }
    return HostCertificates(present[0], hosts)


def _configured_certificate(options: IdpConfig) -> ServerCertificate | None:
    if options.tls_certificate and options.tls_key:
        return ServerCertificate(options.tls_certificate, options.tls_key)
    return None


def _local_certificate(config: Config) -> ServerCertificate | None:
    """What `init --local-tls` has made."""
    server = folder_of(config.idp).tls.server
    return ServerCertificate(server, server) if server.exists() else None


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
