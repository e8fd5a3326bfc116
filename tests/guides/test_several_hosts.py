"""docs/several-hosts.md: its files, on Debian's own Redis and PostgreSQL."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trustme

from browserid_sasl import config
from browserid_sasl.api import acceptor_stores
from browserid_sasl.config import Config
from browserid_sasl.store.sealing import SiteKeys, read_site_keys, write_site_keys
from tests.support.guide import blocks_of
from tests.support.ports import free_port
from tests.support.postgresql import postgresql_server
from tests.support.redis_server import RedisServer
from tests.support.sample_programs import ROOT
from tests.support.tickets import NOW, acceptor_ticket

PAGE: Final = ROOT / "docs" / "several-hosts.md"
_RUN: Final = "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())"
DEBIANS: Final = Path("/etc/redis/redis.conf")


def blocks(kind: str) -> list[str]:
    return [block.text for block in blocks_of(PAGE) if block.kind == kind]


def load(folder: Path, text: str) -> Config:
    file = folder / "browserid.toml"
    file.write_text(text.replace("/var/lib/browserid", str(folder)))
    return config.load(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_site_keys(tmp_path / "store-key", SiteKeys.generate())
    (tmp_path / "store-password").write_text("0123456789abcdef\n")
    (tmp_path / "store-password").chmod(0o600)
    return tmp_path


def remembers(folder: Path, text: str) -> None:
    """See that what a host with such a file remembers, another one knows."""
    one, other = (acceptor_stores(load(folder, text)) for _ in range(2))
    ticket = acceptor_ticket()
    assert one.tickets.put(ticket)
    assert other.tickets.get(ticket.tid, NOW) == ticket
    assert other.admission is not None
    assert other.tickets.delete(ticket.tid)
    with pytest.raises(Exception, match="a day after"):
        one.replay.insert(b"a" * 32, NOW)
    assert list(one.tickets.all(NOW)) == []


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    """Debian's configuration, with the page's lines behind it, and its account."""
    port = free_port()
    server = RedisServer("--tls-port", str(port), port=port)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    pem = server.folder / "redis.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    [account] = [text for text in blocks("sh") if "users.acl" in text]
    account = account.replace("/var/lib/browserid", str(folder))
    subprocess.run(
        ["sh", "-ec", account.replace("/etc/redis/", f"{server.folder}/")], check=True, timeout=60
    )
    [lines] = blocks("conf")
    for old, new in (
        ("/etc/redis/redis.pem", str(pem)),
        ("/etc/redis/redis.key", str(pem)),
        ("/etc/ssl/certs/ca-certificates.crt", str(pem)),
        ("/etc/redis/", f"{server.folder}/"),
        ("bind *", "bind 127.0.0.1"),
        ("tls-port 6379", f"tls-port {port}"),
    ):
        assert old in lines
        lines = lines.replace(old, new)
    debians = re.sub(
        r"(?m)^(daemonize|logfile|pidfile|dir|supervised) .*$", "", DEBIANS.read_text()
    )
    file = server.folder / "redis.conf"
    file.write_text(f"{debians}\n{lines}")
    if os.geteuid() == 0:
        for path in server.folder.iterdir():
            shutil.chown(path, "nobody", "nogroup")
    server.use(file)
    server.start()
    yield server
    server.remove()


def test_redis(folder: Path, redis: RedisServer) -> None:
    text, _ = blocks("toml")
    place = text.replace("redis.example.org", f"localhost:{redis.port}")
    remembers(folder, f'{place}ca_file = "ca.pem"\n')
    (folder / "store-password").write_text("another\n")
    with pytest.raises(Exception, match="refuses the account"):
        remembers(folder, f'{place}ca_file = "ca.pem"\n')


def test_postgresql(folder: Path) -> None:
    _, text = blocks("toml")
    [statements] = blocks("sql")
    *made, asked = statements.strip().splitlines()
    assert asked == "\\password browserid"
    with postgresql_server("fsync=on") as server:
        for statement in made:
            server.sql("postgres", statement)
        remembers(folder, text.replace("db.example.org", f"127.0.0.1:{server.port}"))


def test_the_urls_of_the_page_are_urls(folder: Path) -> None:
    for url in re.findall(r"`((?:rediss?|postgresql)[+a-z]*://[^`]+)`", PAGE.read_text()):
        if url != "redis://":
            load(folder, f'[store]\nurl = "{url}"\nkey_file = "store-key"\n')


def test_the_key_and_the_password_are_made_as_the_page_says(tmp_path: Path) -> None:
    [text] = [text for text in blocks("sh") if "store-key" in text]
    account = pwd.getpwuid(os.geteuid()).pw_name
    text = text.replace("/var/lib/browserid", f"{tmp_path}/new")
    text = text.replace("browserid store-key", f"{sys.executable} -m browserid_sasl.cli store-key")
    text = text.replace("-u browserid", f"-u {account}")
    text = text.replace("-o browserid -g browserid", f"-o {account}")
    program = tmp_path / "browserid"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{_RUN}" "$@"\n')
    program.chmod(0o755)
    text = text.replace(f"{sys.executable} -m browserid_sasl.cli", str(program))
    subprocess.run(["sh", "-ec", text], check=True, timeout=60, cwd=ROOT)
    assert read_site_keys(tmp_path / "new" / "store-key")
    password = tmp_path / "new" / "store-password"
    assert len(password.read_text().strip()) == 48
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
