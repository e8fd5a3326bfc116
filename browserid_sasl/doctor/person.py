"""A person's set-up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from browserid_sasl import __version__
from browserid_sasl.agent import presence
from browserid_sasl.agent.service.place import named_socket, socket_path
from browserid_sasl.api.caches import person_cache
from browserid_sasl.config import Config
from browserid_sasl.config.home import in_home
from browserid_sasl.config.sections import APPLICATION
from browserid_sasl.doctor import configured, places, sockets
from browserid_sasl.doctor.findings import (
    Check,
    Finding,
    Verdict,
    bad,
    doubtful,
    findings_of,
    good,
)
from browserid_sasl.doctor.gss_module import gss_module
from browserid_sasl.doctor.plugin import plugin
from browserid_sasl.doctor.providers import provider, signature
from browserid_sasl.identity.addresses import domain_of, in_lower_case
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.store.base import system_clock

_SOON_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose set-up is looked at.

    :param config_file: their configuration, in place of the usual ones.
    :param address: whom they mean to log in as, empty for whoever is signed in.
    """

    config_file: Path | None = None
    address: str = ""

    def findings(self) -> Iterator[Finding]:
        """All that is to be said."""
        config, found = configured.read(self.config_file, user=True)
        yield from found
        if config is None:
            return
        yield from findings_of("home", _home)
        records = _records(config)
        for name, check in self._checks(config, records):
            yield from findings_of(name, check)

    def _checks(
        self, config: Config, records: Sequence[IdentityRecord]
    ) -> Iterator[tuple[str, Check]]:
        cache = person_cache(config) if config.store.backend != "memory" else None
        if cache is not None:
            account = places.account_name()
            yield "store", lambda: places.store("store", cache.path, account, cache.look)
        yield "identity", lambda: self._identities(config, records)
        for domain in sorted(self._domains(records)):
            yield f"provider of {domain}", lambda domain=domain: provider(domain, config)  # type: ignore[misc]
        for record in records:
            yield "certificate", lambda record=record: signature(record, config)  # type: ignore[misc]
        yield "agent", _agent
        yield "plugin", lambda: plugin(os.environ, __version__, Verdict.GOOD)
        yield "GSS-API", lambda: gss_module(os.environ, __version__)
        if cache is not None and records:
            yield "presence", lambda: _presence(cache.path)

    def _identities(self, config: Config, records: Sequence[IdentityRecord]) -> Iterator[Finding]:
        wanted = self.address or config.client.identity
        known = {in_lower_case(record.identity) for record in records}
        if wanted and in_lower_case(wanted) not in known:
            yield bad("identity", f"{wanted} is not signed in", f"browserid login {wanted}")
        elif not records:
            yield bad("identity", "nobody is signed in", "browserid login ADDRESS")
        for record in records:
            yield _signed_in(record)
        if len(records) > 1 and not wanted:
            yield doubtful(
                "identity",
                "more than one is signed in: a program that names nobody cannot know who is meant",
                "browserid use ADDRESS",
            )

    def _domains(self, records: Sequence[IdentityRecord]) -> set[str]:
        addresses = [record.identity for record in records] + [self.address]
        return {domain for domain in map(domain_of, addresses) if domain}


def _home() -> Iterator[Finding]:
    home = in_home(Path.home)
    if home is None or not home.is_dir():
        yield bad("home", "this account has no home folder", "set HOME to a folder of its own")
    else:
        yield good("home", f"{home} is there")


def _records(config: Config) -> Sequence[IdentityRecord]:
    """Who is signed in; nobody where that cannot be read, which the store's check says."""
    if config.store.backend == "memory":
        return []
    try:
        return [each for each in person_cache(config).look().identities.all() if each.certificate]
    except Exception:
        return []


def _signed_in(record: IdentityRecord) -> Finding:
    now = system_clock()
    if record.renewal_expires > now:
        days = (record.renewal_expires - now) // 86_400_000
        return good("identity", f"{record.identity} is signed in, and renewed for {days} days more")
    left = record.expires - now
    remedy = f"browserid login {record.identity}"
    if record.renewal_expires > system_clock():
        return good("identity", f"the certificate of {record.identity} is renewed when needed")
    if left <= 0:
        return bad("identity", f"the certificate of {record.identity} has expired", remedy)
    minutes = left // 60_000
    said = f"{record.identity} is signed in for {minutes} minutes more"
    return doubtful("identity", said, remedy) if left < _SOON_MS else good("identity", said)


def _agent() -> Iterator[Finding]:
    return sockets.agent(socket_path(), __version__, named=named_socket() is not None)


def _presence(store: Path) -> Iterator[Finding]:
    """Whether programs with the plugin can see that somebody is signed in."""
    folder = in_home(lambda: platformdirs.user_data_path(APPLICATION) / presence.FOLDER)
    links = list(folder.iterdir()) if folder is not None and folder.is_dir() else []
    if any(each.resolve() == store.resolve() for each in links):
        yield good("presence", "programs with the plugin see that somebody is signed in")
    else:
        yield doubtful(
            "presence",
            f"programs with the plugin do not see that somebody is signed in (see {folder})",
            "browserid login ADDRESS",
        )
