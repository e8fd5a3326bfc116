"""`browserid store-key`, and what other commands make of a store that hosts share."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl import config
from browserid_sasl.api import acceptor_stores
from browserid_sasl.cli import bidtool, browserid
from browserid_sasl.store.sealing import read_site_keys
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tickets import NOW, acceptor_ticket


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "store-key"
    assert browserid.main(["store-key", "new", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def configured(server: RedisServer, file: Path) -> Path:
    configured = file.with_name("browserid.toml")
    configured.write_text(f'[store]\nurl = "{server.url}"\nkey_file = "{file}"\n')
    server.client.flushall()
    return configured


def test_is_made_for_its_owner_alone(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(read_site_keys(file).values) == 1


def test_is_not_written_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    assert browserid.main(["store-key", "new", str(file)]) != 0
    assert "there is a file" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_changes_in_three_steps(file: Path) -> None:
    old = read_site_keys(file)
    seals = []
    for step in ("add", "use", "drop"):
        assert browserid.main(["store-key", step, str(file)]) == 0
        seals.append([each == old.values[0] for each in read_site_keys(file).values])
    assert seals == [[True, False], [False, True], [False]]
    assert read_site_keys(file).names == old.names


def test_tickets_of_all_hosts_are_listed_and_forgotten(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = acceptor_stores(config.load(configured))
    ticket = acceptor_ticket()
    stores.tickets.put(ticket)
    arguments = ["--server", "--config", str(configured)]
    assert bidtool.main(["tlist", *arguments]) == 0
    assert "alice@example.org" in capsys.readouterr().out
    assert bidtool.main(["tdestroy", *arguments]) == 0
    assert "1 ticket forgotten in redis://127.0.0.1" in capsys.readouterr().out
    assert stores.tickets.get(ticket.tid, NOW) is None


def test_assertions_too(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = acceptor_stores(config.load(configured))
    assert bidtool.main(["rlist", "--server", "--config", str(configured)]) == 0
    assert "no assertion is remembered" in capsys.readouterr().err
    with pytest.raises(Exception, match="a day after"):
        stores.replay.insert(b"a" * 32, NOW)
    assert bidtool.main(["rlist", "--server", "--config", str(configured)]) == 0
    assert "2100" in capsys.readouterr().out
    assert bidtool.main(["reset", "--server", "--config", str(configured)]) == 0
    assert "extra round trip" in capsys.readouterr().err


def test_the_doctor_says_how_far_it_can_be_relied_on(
    configured: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["doctor", "--server", "imap/localhost", "--config", str(configured)]
    browserid.main(arguments)
    assert "was started again or replaced" in capsys.readouterr().out
    with pytest.raises(Exception, match="a day after"):
        acceptor_stores(config.load(configured)).replay.insert(b"a" * 32, NOW)
    browserid.main(arguments)
    assert "may have lost what it had before" in capsys.readouterr().out
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        browserid.main(arguments)
        assert "noeviction" in capsys.readouterr().out
    finally:
        server.client.config_set("maxmemory-policy", "noeviction")
