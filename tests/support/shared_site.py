"""A site whose hosts share a store: a key, a name of its own in the database, and its mark."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from browserid_sasl.database_url import parse_database_url
from browserid_sasl.store import postgresql_engine, redis_engine
from browserid_sasl.store.base import REPLAY_GRACE, system_clock
from browserid_sasl.store.engine import Engine
from browserid_sasl.store.sealing import SiteKeyFile, SiteKeys, write_site_keys
from browserid_sasl.store.shared import SharedStores, shared_acceptor

_numbers: Final = itertools.count()


class SharedSite:
    """A site.

    :param url: of its database.
    :param key_file: is made.
    """

    def __init__(self, url: str, key_file: Path) -> None:
        self.url = url
        self.key_file = key_file
        self.realm = f"site{next(_numbers)}"
        self.losses: list[str] = []
        self._engines: list[Engine] = []
        write_site_keys(key_file, SiteKeys.generate())

    def engine(
        self,
        timeout: float = 10,
        replicas: int = 0,
        password: str = "",
        ca_file: str | None = None,
        **url_parts: object,
    ) -> Engine:
        """The database as another host sees it.

        :param url_parts: fields of the URL that are something else for that host.
        """
        url = replace(parse_database_url(self.url), **url_parts)  # type: ignore[arg-type]
        if password:
            url = replace(url, password=password)
        of_postgresql = url.kind == "postgresql"
        make = postgresql_engine.make_engine if of_postgresql else redis_engine.make_engine
        engine = make(url, self.realm, timeout=timeout, replicas=replicas, ca_file=ca_file)
        self._engines.append(engine)
        return engine

    def stores(
        self,
        *,
        engine: Engine | None = None,
        grace: int = REPLAY_GRACE,
        clock: Callable[[], int] = system_clock,
    ) -> SharedStores:
        """The stores as another host has them."""
        return shared_acceptor(
            engine or self.engine(),
            SiteKeyFile(self.key_file),
            self.realm,
            grace=grace,
            clock=clock,
            tell=self.losses.append,
        )

    def has_been_there_for_ever(self) -> None:
        """Have the present run of the database be as old as can be."""
        engine = self.engine()
        keys = SiteKeyFile(self.key_file).keys()
        for shard in range(engine.shards):
            mark = json.dumps([0, engine.look(shard).run]).encode()
            engine.set_mark(shard, keys.sign(self.realm, mark))

    def close(self) -> None:
        """Close all connections, and leave nothing in the database."""
        self.engine().clear()
        for engine in self._engines:
            engine.close()
