"""The stores in a database that several hosts share, as the configuration names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from browserid_sasl.config import Config
from browserid_sasl.database_url import DatabaseUrl, parse_database_url
from browserid_sasl.extras import not_installed
from browserid_sasl.private_files import read_secret
from browserid_sasl.store.engine import Engine
from browserid_sasl.store.sealing import SiteKeyFile
from browserid_sasl.store.shared import SharedStores, shared_acceptor, unheard
from browserid_sasl.trusted_files import read_anchors


def shared_stores(
    config: Config, *, grace: int, tell: Callable[[str], None] = unheard
) -> SharedStores:
    """The stores at `url` of [store]. No connection is made yet.

    :param grace: ms, see `store.shared.Memory`.
    :param tell: is told when the database may have lost something.
    :raises ConfigurationError: they cannot be used.
    """
    key_file = config.store.key_file
    assert key_file is not None  # noqa: S101 - `Config.checked` has seen to that
    keys = SiteKeyFile(key_file)
    return shared_acceptor(_engine(config), keys, config.store.realm, grace=grace, tell=tell)


def shared_url(config: Config) -> DatabaseUrl:
    """Where the shared stores are, without a password from a file."""
    return parse_database_url(config.store.url)


def _engine(config: Config) -> Engine:
    url, store = shared_url(config), config.store
    if store.password_file is not None:
        wrong = partial(config.error, "store.password_file")
        secret = read_secret(store.password_file, "the password of the shared store", wrong)
        url = replace(url, password=secret)
    if store.ca_file is not None:
        read_anchors(store.ca_file)
    extra = "postgresql" if url.kind == "postgresql" else "redis"
    try:
        if extra == "redis":
            from browserid_sasl.store.redis_engine import make_engine  # noqa: PLC0415 - the extra
        else:
            from browserid_sasl.store.postgresql_engine import (  # noqa: PLC0415 - the extra
                make_engine,
            )
    except ModuleNotFoundError as missing:
        raise config.error("store.url", *not_installed(extra, missing)) from None
    return make_engine(
        url,
        store.realm,
        timeout=store.timeout_ms / 1000,
        replicas=store.replicas if store.durability == "replicas" else 0,
        ca_file=None if store.ca_file is None else str(store.ca_file),
    )
