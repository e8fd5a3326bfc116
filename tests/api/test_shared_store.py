"""Each option of a store that hosts share: from a file to what it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from browserid_sasl import config
from browserid_sasl.api import acceptor_stores, initiator_stores
from browserid_sasl.api.stores import reset
from browserid_sasl.config import Config
from browserid_sasl.errors import ConfigurationError, StoreError
from browserid_sasl.store.base import AcceptorStores
from browserid_sasl.store.sealing import SiteKeys, write_site_keys
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.services import folder_for_all
from tests.support.tickets import NOW, acceptor_ticket


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_site_keys(tmp_path / "key", SiteKeys.generate())
    return tmp_path


def load(folder: Path, **options: object) -> Config:
    lines = [f"{name} = {value!r}" for name, value in ({"key_file": "key"} | options).items()]
    file = folder / "browserid.toml"
    file.write_text("\n".join(["[store]", *lines, ""]))
    return config.load(file)


def is_shared(one: AcceptorStores, other: AcceptorStores) -> bool:
    ticket = acceptor_ticket()
    assert one.tickets.put(ticket)
    return other.tickets.get(ticket.tid, NOW) == ticket


@pytest.mark.option("store.url", "store.key_file")
def test_hosts_with_one_url_and_key_share_what_they_remember(
    server: RedisServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = acceptor_stores(load(folder, url=server.url))
    other = tmp_path_factory.mktemp("host")
    (other / "key").write_bytes((folder / "key").read_bytes())
    (other / "key").chmod(0o600)
    same = acceptor_stores(load(other, url=server.url))
    assert is_shared(one, same)
    write_site_keys(other / "key", SiteKeys.generate())
    assert not is_shared(one, same)


def test_a_url_needs_a_key(folder: Path) -> None:
    file = folder / "browserid.toml"
    file.write_text('[store]\nurl = "redis://localhost"\n')
    with pytest.raises(ConfigurationError, match="without store.key_file"):
        config.load(file)


def test_a_password_in_it_is_in_no_error_and_no_repr(folder: Path) -> None:
    loaded = load(folder, url="redis://me:secret@localhost:1")
    assert "secret" not in repr(loaded)
    with pytest.raises(StoreError) as failed:
        acceptor_stores(loaded).tickets.get("x", NOW)
    assert "redis://me@localhost:1/0 cannot be reached" in str(failed.value)
    assert "secret" not in str(failed.value)
    with pytest.raises(ConfigurationError) as refused:
        load(folder, url="redis://me:secret@redis.example.org")
    assert "without TLS" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.option("store.realm")
def test_sites_with_other_realms_share_nothing(server: RedisServer, folder: Path) -> None:
    one, other = (
        acceptor_stores(load(folder, url=server.url, realm=realm)) for realm in ("one", "two")
    )
    assert not is_shared(one, other)
    reset(load(folder, url=server.url, realm="two"), server=True)
    assert list(one.tickets.all(NOW))
    reset(load(folder, url=server.url, realm="one"), server=True)
    assert not list(one.tickets.all(NOW))


@pytest.mark.option("store.password_file")
def test_a_password_from_a_file(folder: Path) -> None:
    password = folder / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    with redis_server("--requirepass", "secret") as server:
        with pytest.raises(StoreError):
            acceptor_stores(load(folder, url=server.url)).tickets.get("x", NOW)
        stores = acceptor_stores(load(folder, url=server.url, password_file="password"))
        assert stores.tickets.get("x", NOW) is None
        password.chmod(0o644)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            acceptor_stores(load(folder, url=server.url, password_file="password"))


@pytest.mark.option("store.ca_file")
def test_the_authority_that_certifies_the_server(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    port = free_port()
    with folder_for_all() as shared:
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(shared / "server.pem")
        (shared / "server.pem").chmod(0o644)
        options = ("--tls-port", str(port), "--tls-auth-clients", "no")
        files = ("cert-file", "key-file", "ca-cert-file")
        named = (word for each in files for word in (f"--tls-{each}", str(shared / "server.pem")))
        with redis_server(*options, *named, port=port):
            for host, ca_file, good in (
                ("127.0.0.1", "ca.pem", True),
                ("127.0.0.1", None, False),
                # It is certified for the other name.
                ("localhost", "ca.pem", False),
            ):
                given = {} if ca_file is None else {"ca_file": ca_file}
                stores = acceptor_stores(load(folder, url=f"rediss://{host}:{port}", **given))
                if good:
                    assert stores.tickets.get("x", NOW) is None
                else:
                    with pytest.raises(StoreError, match="the certificate of rediss"):
                        stores.tickets.get("x", NOW)


@pytest.mark.option("store.timeout")
def test_how_long_it_may_take(folder: Path) -> None:
    with redis_server() as server:
        stores = acceptor_stores(load(folder, url=server.url, timeout=1))
        server.client.client_pause(60_000)
        began = time.monotonic()
        with pytest.raises(StoreError, match="within 1 s"):
            stores.tickets.get("x", NOW)
        assert time.monotonic() - began < 20


@pytest.mark.option("store.replicas")
def test_so_many_replicas_have_to_confirm(server: RedisServer, folder: Path) -> None:
    options: dict[str, object] = {"url": server.url, "timeout": 2, "durability": "replicas"}
    for given, count in (({}, 1), ({"replicas": 2}, 2)):
        stores = acceptor_stores(load(folder, **options, **given))
        with pytest.raises(StoreError, match=f"0 of {count} replicas"):
            stores.replay.insert(b"a" * 32, NOW)
    # Nobody confirms a person's own files.
    own = initiator_stores(load(folder, **options, directory="mine"))
    assert list(own.tickets.all(NOW)) == []


@pytest.mark.option("store.durability")
@pytest.mark.parametrize("durability", ["process", "power"])
def test_else_nobody_waits_for_them(server: RedisServer, folder: Path, durability: str) -> None:
    loaded = load(folder, url=server.url, durability=durability, realm=durability)
    stores = acceptor_stores(loaded)
    with pytest.raises(StoreError, match="an assertion is not taken"):
        stores.replay.insert(b"a" * 32, NOW)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"durability": "replicas"}, "without store.url"),
        ({"url": "redis://localhost", "replicas": 2}, "without store.durability"),
    ],
)
def test_what_would_mean_nothing_is_refused(
    folder: Path, options: dict[str, object], what: str
) -> None:
    with pytest.raises(ConfigurationError, match=what):
        load(folder, **options)


def test_without_the_package_it_is_said_which_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "browserid_sasl.store.redis_engine", None)
    with pytest.raises(ConfigurationError, match="extra `redis` brings"):
        acceptor_stores(load(folder, url="redis://localhost"))
