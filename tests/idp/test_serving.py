"""Several domains as one service: what is wrong with one is not the others' trouble."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from starlette.types import ASGIApp, Message

from browserid_sasl.config import Config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp import opening, serving
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.front import Front, misdirected
from browserid_sasl.idp.serving import KeyOwners, ServedDomain
from browserid_sasl.idp.status import Metrics
from browserid_sasl.idp.web.paths import ADMIN
from browserid_sasl.jose.keys import PrivateKey
from tests.support.domains import ONE, TWO, Domains
from tests.support.household import Authority
from tests.support.patience import PATIENCE
from tests.support.provider import PASSWORD

KEY = PrivateKey.generate("ES256").public_key.to_json()
_CLIENTS = count(1)

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: Any


async def ask(
    app: ASGIApp, host: str, path: str, *, version: str = "1.1", gone: bool = False, **members: Any
) -> Answer:
    """Ask an application as a server does; with members, it is a POST of them.

    :param gone: whether the client has ended the connection before anybody saw who it is.
    """
    messages: list[Message] = []
    body = json.dumps(members).encode() if members else b""
    headers = [(b"host", host.encode())]
    number = next(_CLIENTS)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": version,
        "method": "POST" if members else "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, *([(b"content-type", b"application/json")] if members else [])],
        # Each is another client: nobody has to wait for what somebody else has guessed.
        "client": None if gone else (f"10.0.{number // 250}.{number % 250 + 1}", 1),
        "server": ("127.0.0.1", 443),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    content = b"".join(each.get("body", b"") for each in rest)
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, json.loads(content))


class House:
    """The domains of a configuration, and the front before them, in this process."""

    def __init__(self, domains: Domains) -> None:
        owners, metrics, work = KeyOwners(), Metrics(), ExitStack()
        self.homes = {
            name: ServedDomain(each, metrics, owners, work)
            for name, each in domains.configured.items()
        }
        self.errors = {name: each.try_to_open() for name, each in self.homes.items()}
        self.front = Front(self.homes, misdirected)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        return anyio.run(work)


def by_password(email: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"email": email, "password": password, "public-key": KEY}


DOCUMENT = "/.well-known/browserid"


def test_one_that_is_mended_is_served_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains = Domains(tmp_path, {TWO: []}, without=[TWO])
    house = House(domains)
    assert house.errors[ONE] is None
    assert isinstance(house.errors[TWO], ConfigurationError)

    async def work() -> list[int]:
        found = [(await ask(house.front, TWO, DOCUMENT)).status]
        domains.make(TWO)
        # Not so soon: whoever asks has it tried once in a while.
        monkeypatch.setattr(serving, "_AGAIN_S", 3_600.0)
        found.append((await ask(house.front, TWO, DOCUMENT)).status)
        monkeypatch.setattr(serving, "_AGAIN_S", 0.0)
        found.append((await ask(house.front, TWO, DOCUMENT)).status)
        return found

    assert house.run(work) == [503, 503, 200]
    assert house.homes[TWO].fault() == ""


def test_a_client_that_is_gone_is_nobody(tmp_path: Path) -> None:
    house = House(Domains(tmp_path, {TWO: []}))

    async def work() -> list[Answer]:
        wanted = by_password(f"alice@{ONE}")
        paths: list[tuple[str, dict[str, Any]]] = [("/certify", wanted), (ADMIN, {})]
        return [await ask(house.front, ONE, path, gone=True, **sent) for path, sent in paths]

    for answer in house.run(work):
        assert (answer.status, answer.content["error"]) == (400, "bad-request")


def test_one_whose_database_breaks_later_takes_no_other_down(tmp_path: Path) -> None:
    domains = Domains(tmp_path, {TWO: []})
    house = House(domains)
    assert house.errors == {ONE: None, TWO: None}

    async def work() -> list[int]:
        found = []
        for domain in (TWO, ONE):
            wanted = by_password(f"alice@{domain}")
            found.append((await ask(house.front, domain, "/certify", **wanted)).status)
        return found

    assert house.run(work) == [200, 200]
    database = domains.folder(TWO).path / "provider.sqlite"
    for file in database.parent.glob("provider.sqlite*"):
        file.write_bytes(b"no database at all" * 10_000)
    broken, fine = house.run(work)
    assert broken in (500, 503)
    assert fine == 200
    assert house.homes[TWO].fault()
    assert house.homes[ONE].fault() == ""


def test_one_with_another_s_key_is_not_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    domains = Domains(tmp_path, {TWO: []})
    keys = domains.folder(TWO).path / "keys"
    shutil.rmtree(keys)
    shutil.copytree(domains.folder(ONE).path / "keys", keys)
    with caplog.at_level(logging.ERROR):
        house = House(domains)
    assert house.errors[ONE] is None
    assert f"a signing key of {TWO} is one of {ONE}, too" in str(house.errors[TWO])
    assert f"rotate-key --domain {TWO}" in str(house.errors[TWO])
    assert f"{TWO} is not served: " in caplog.text


def test_one_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    domains = Domains(tmp_path, {TWO: []})
    path = domains.folder(TWO).path
    shutil.rmtree(path / "keys")
    shutil.copytree(domains.folder(ONE).path / "keys", path / "keys")
    house = House(domains)
    for _ in range(12):
        assert house.homes[TWO].try_to_open() is not None
    gc.collect()
    assert [each for each in open_files() if each.is_relative_to(path)] == []


def open_files() -> list[Path]:
    """What this process has open."""
    found = []
    for each in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(Path(os.readlink(f"/proc/self/fd/{each}")))
    return found


def test_one_that_fails_unexpectedly_takes_no_other_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def open_to_serve(config: Config, folder: ProviderFolder) -> Provider:
        if config.idp.domain == TWO:
            raise ImportError("there is no such module")
        return opening.open_to_serve(config, folder)

    monkeypatch.setattr(serving, "open_to_serve", open_to_serve)
    house = House(Domains(tmp_path, {TWO: []}))
    assert house.errors[ONE] is None
    assert "ImportError" in house.homes[TWO].fault()
    assert "there is no such module" in caplog.text

    async def work() -> list[int]:
        return [(await ask(house.front, each, DOCUMENT)).status for each in (ONE, TWO)]

    assert house.run(work) == [200, 503]


def test_one_whose_tls_files_cannot_be_used_is_shown_with_another_s(tmp_path: Path) -> None:
    chain, key = Authority(tmp_path / "other").certificate(TWO)
    domains = Domains(tmp_path, {TWO: [f'tls_certificate = "{chain}"', f'tls_key = "{key}"']})
    key.chmod(0o644)
    with domains.served() as served:
        for domain in (ONE, TWO):
            assert served.document(domain).status_code == 200
            # By the authority of the first, whose certificate names both.
            context = ssl.create_default_context(cafile=served.ca_file)
            address = ("127.0.0.1", served.port)
            with (
                socket.create_connection(address, PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname=domain) as connection,
            ):
                assert connection.version()
    assert f"presented for {TWO}: " in (tmp_path / "log").read_text()


def test_where_no_tls_file_can_be_used_it_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = Domains(tmp_path, {TWO: []})
    domains.configured[ONE].idp.tls_key.chmod(0o644)  # type: ignore[union-attr]
    assert main(["serve", "--config", str(domains.file)]) == os.EX_CONFIG
    assert "has access to the TLS key" in capsys.readouterr().err


def test_errors_name_the_section_of_the_domain(tmp_path: Path) -> None:
    house = House(Domains(tmp_path, {TWO: ['backends = ["none"]']}))
    assert house.errors[ONE] is None
    fault = house.homes[TWO].fault()
    assert f"backends in [domain.\"{TWO}\"] has 'none'" in fault
    assert "browserid.toml:" in fault


def test_who_floods_one_keeps_nobody_of_another_waiting(tmp_path: Path) -> None:
    house = House(Domains(tmp_path, {TWO: []}))

    async def work() -> list[tuple[str, int]]:
        ended: list[tuple[str, int]] = []

        async def sign_in(domain: str, name: str, password: str) -> None:
            wanted = by_password(f"{name}@{domain}", password)
            answer = await ask(house.front, domain, "/certify", **wanted)
            ended.append((domain, answer.status))

        async with anyio.create_task_group() as group:
            for number in range(120):
                group.start_soon(sign_in, ONE, f"nobody{number}", "wrong")
            for _ in range(3):
                group.start_soon(sign_in, TWO, "alice", PASSWORD)
        return ended

    ended = house.run(work)
    others = [at for at, (domain, _) in enumerate(ended) if domain == TWO]
    assert [ended[at] for at in others] == [(TWO, 200)] * 3
    # They came last, and do not end last.
    assert max(others) < 100


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_the_host_is_what_a_server_says_it_is(tmp_path: Path, version: str) -> None:
    """For HTTP/2 and later a server says it of `:authority` (ASGI)."""

    async def app(_scope: object, _receive: object, send: Callable[[Message], Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    front = Front({ONE: app}, misdirected)

    async def work() -> list[int]:
        hosts = (ONE, f"{ONE}:443", TWO)
        return [(await ask(front, host, "/", version=version)).status for host in hosts]

    assert anyio.run(work) == [200, 200, 421]


def test_where_none_can_be_opened_it_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = Domains(tmp_path, {TWO: []}, without=[ONE, TWO])
    assert main(["serve", "--config", str(domains.file)]) == os.EX_CONFIG
    assert "there is no identity provider in " in capsys.readouterr().err


def test_a_private_authority_is_for_the_host_it_was_made_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text(f'[idp]\ndomain = "{ONE}"\ndirectory = "idp"\n')
    assert main(["init", "--config", str(file), "--local-tls"]) == 0
    file.write_text(f'[idp]\ndomain = "{ONE}"\ndirectory = "idp"\nauthority = "at.test"\n')
    assert main(["init", "--config", str(file), "--local-tls"]) == os.EX_CONFIG
    said = capsys.readouterr().err
    assert "cannot vouch for at.test" in said
    assert f"remove {tmp_path}/idp/tls" in said
    shutil.rmtree(tmp_path / "idp" / "tls")
    assert main(["init", "--config", str(file), "--local-tls"]) == 0
