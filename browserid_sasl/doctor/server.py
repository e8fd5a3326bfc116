"""A server's set-up: one service of this host, and whom it asks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl import __version__
from browserid_sasl.acceptor.accounts import account_of
from browserid_sasl.acceptor.listeners import wanted
from browserid_sasl.api.allowed import Allowed
from browserid_sasl.api.caches import SharedCache, server_cache
from browserid_sasl.config import Config
from browserid_sasl.doctor import configured, peers, places, shared_store, sockets, starttls
from browserid_sasl.doctor.certificates import addresses, certificate, listens
from browserid_sasl.doctor.findings import (
    Check,
    Finding,
    Verdict,
    bad,
    doubtful,
    findings_of,
    good,
    worst,
)
from browserid_sasl.doctor.gss_module import gss_module, may_accept
from browserid_sasl.doctor.plugin import only_by_gs2, plugin
from browserid_sasl.doctor.providers import provider
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.identity.allow_list import EVERYONE
from browserid_sasl.x509.files import load_server_credential

TLS_PORTS: Final = {"imap": 993, "pop": 995, "smtp": 465, "ldap": 636, "xmpp": 5223}
"""Where a service speaks TLS from the first octet, if it does."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the programs have theirs.

    :param postfix: main.cf.
    :param imapd: imapd.conf.
    """

    postfix: Path = Path("/etc/postfix/main.cf")
    imapd: Path = Path("/etc/imapd.conf")


@dataclass(frozen=True, slots=True)
class ServerSide:
    """A service that is looked at.

    :param name: its service principal name.
    :param config_file: the acceptor's configuration, in place of the system's.
    :param port: where it speaks TLS; None for the usual one of its kind.
    :param files: of other programs.
    """

    name: ServiceName
    config_file: Path | None = None
    port: int | None = None
    files: Files = Files()

    def findings(self) -> Iterator[Finding]:
        """All that is to be said."""
        config, found = configured.read(self.config_file, user=False)
        yield from found
        yield from findings_of("name", self._name)
        yield from findings_of("TLS", self._tls)
        if config is None:
            return
        for name, check in self._checks(config):
            yield from findings_of(name, check)

    def _checks(self, config: Config) -> Iterator[tuple[str, Check]]:
        yield "allow", lambda: _allowed(config)
        if config.server.x509_certificate is not None:
            yield "X.509", lambda: _x509(config)
        for domain in sorted(_domains(config)):
            yield f"provider of {domain}", lambda domain=domain: provider(domain, config)  # type: ignore[misc]
        yield "store", lambda: _store(config)
        yield "acceptor", lambda: self._sockets(config)
        yield "plugin", lambda: plugin(os.environ, __version__, self._without_plugin())
        yield "GSS-API", lambda: gss_module(os.environ, __version__)
        by_gs2 = only_by_gs2(os.environ)
        if by_gs2 and self._without_plugin():
            yield "GSS-API", lambda: may_accept(config.programs, self.name.service)
        if self.name.service == "smtp" and self.files.postfix.exists():
            yield "Postfix", lambda: peers.postfix(self.files.postfix)
        if self.name.service == "imap" and self.files.imapd.exists():
            host, sockets = self.name.host, wanted(config)
            yield "imapd", lambda: peers.imapd(self.files.imapd, host, sockets, by_gs2=by_gs2)

    def _without_plugin(self) -> Verdict:
        """Postfix, Exim, Prosody and Dovecot need none."""
        uses = self.name.service == "ldap" or (
            self.name.service == "imap" and self.files.imapd.exists()
        )
        return Verdict.BAD if uses else Verdict.GOOD

    def _name(self) -> Iterator[Finding]:
        found = list(addresses("name", self.name.host))
        yield from found
        if worst(found) is Verdict.BAD:
            return
        if "." not in self.name.host:
            yield doubtful(
                "name",
                f"{self.name.host} is no full name, and clients sign the name that they connect to",
                "give the name that clients have in their settings: hostname --fqdn",
            )
        elif not _leads_here(self.name.host):
            yield doubtful(
                "name",
                f"{self.name.host} leads to another machine, or to one that forwards to this one",
                f"compare: getent hosts {self.name.host}; hostname -I",
            )

    def _tls(self) -> Iterator[Finding]:
        service, host = self.name.service, self.name.host
        ports = [(port, how) for port, how in self._ports() if port is not None]
        if not ports:
            yield good("TLS", f"no port is known where {service} speaks TLS")
            return
        if len(ports) > 1:
            # Who offers one of the two need not offer the other.
            ports = [each for each in ports if listens(host, each[0])] or ports[:1]
        for port, how in ports:
            yield from certificate("TLS", host, port, None, how)

    def _ports(self) -> Iterator[tuple[int | None, str]]:
        """Where TLS may be spoken: from the start, or after a word of the service."""
        service = self.name.service
        if self.port is not None:
            yield self.port, service if self.port == starttls.PORTS.get(service) else ""
            return
        yield TLS_PORTS.get(service), ""
        yield starttls.PORTS.get(service), service

    def _sockets(self, config: Config) -> Iterator[Finding]:
        listeners = wanted(config)
        if not any(
            self.name.service in (each.services or [self.name.service])
            for each in listeners.values()
        ):
            yield bad(
                "acceptor",
                f"no socket of the acceptor is for the service {self.name.service}",
                f'add "{self.name.service}" to `services` of a section [listeners]',
            )
        for path, options in listeners.items():
            yield from sockets.acceptor(Path(path), options, __version__)


def _allowed(config: Config) -> Iterator[Finding]:
    said = Allowed(config).is_said or config.server.strip_domain
    listeners = [each for each in config.listeners.values() if not each.allow]
    if not said and (listeners or not config.listeners):
        yield bad(
            "allow",
            "nobody may log in, as it is not said who may",
            'set `allow` in [server] to your domains, for example to ["example.org"]',
        )
        return
    lists = (config.server.allow, *(each.allow for each in config.listeners.values()))
    if any(EVERYONE in each for each in lists):
        yield doubtful(
            "allow",
            "everybody may log in whose domain has an identity provider, which anybody can run",
            "set `allow` to your own domains",
        )
    else:
        named = sorted({entry for each in lists for entry in each})
        yield good("allow", "may log in: " + (", ".join(named) or "who is in allow_file"))


def _domains(config: Config) -> set[str]:
    """Whose people may log in."""
    lists = (config.server.allow, *(each.allow for each in config.listeners.values()))
    entries = {entry for each in lists for entry in each if entry != EVERYONE}
    stripped = {config.server.strip_domain} if config.server.strip_domain else set()
    return {entry.rpartition("@")[2] for entry in entries} | stripped


def _store(config: Config) -> Iterator[Finding]:
    if config.store.backend == "memory" and not config.store.url:
        return iter(())
    cache = server_cache(config)
    if isinstance(cache, SharedCache):
        return shared_store.shared("store", cache)
    return places.store("store", cache.path, account_of(config).name, cache.look)


def _x509(config: Config) -> Iterator[Finding]:
    options = config.server
    if options.x509_certificate is not None and options.x509_key is not None:
        load_server_credential(options.x509_certificate, options.x509_key)
        yield good("X.509", f"{options.x509_certificate} can be used")


def _leads_here(host: str) -> bool:
    """Whether a name is that of an address of this machine: only those can be bound to."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
        except OSError:
            continue
    return False
