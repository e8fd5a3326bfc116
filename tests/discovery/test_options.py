"""The options of [discovery] and [authorities]: from the file to who can log in."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from browserid_sasl.api.authorities import https_fetcher
from browserid_sasl.errors import Code, DiscoveryError
from tests.support.configured import ConfiguredSite, configured_site
from tests.support.https import Respond, ScriptedServer, answer, scripted_server
from tests.support.patience import PATIENCE, wait_until
from tests.support.refusal import refused
from tests.support.site import DOMAIN
from tests.support.world import key, support_document

DOCUMENT = json.dumps(support_document(key("idp"))).encode()
URL = f'authorities."{DOMAIN}".url'
CA_FILE = f'authorities."{DOMAIN}".ca_file'
KEYS_FILE = f'authorities."{DOMAIN}".keys_file'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfiguredSite:
    return configured_site(tmp_path, monkeypatch)


@contextmanager
def provider(authority: trustme.CA, respond: Respond | None = None) -> Iterator[ScriptedServer]:
    """A provider on loopback, which publishes the document of alice's."""
    with scripted_server(authority.issue_cert("localhost"), respond or answer(DOCUMENT)) as server:
        yield server


def log_in(machine: ConfiguredSite, options: dict[str, Any]) -> None:
    """A login of alice's to a server that has no document at hand; the refusal is raised."""
    config = machine.load({KEYS_FILE: ""} | options)
    login = machine.log_in(config)
    if login.failure is not None:
        raise login.failure


def reached(server: ScriptedServer, ca_file: Path, **more: Any) -> dict[str, Any]:
    """Options by which a server finds the provider."""
    named = {f"discovery.{name}": value for name, value in more.items()}
    return {URL: f"https://localhost:{server.port}", CA_FILE: str(ca_file)} | named


@pytest.mark.option("authorities.url", "authorities.ca_file")
def test_a_provider_is_where_its_url_says_and_believed_by_its_own_anchors(
    machine: ConfiguredSite, authority: trustme.CA, ca_file: Path
) -> None:
    with provider(authority) as server:
        log_in(machine, reached(server, ca_file))
        assert server.requests[0].startswith(b"GET /.well-known/browserid?domain=idp.test ")


@pytest.mark.option("discovery.ca_file")
def test_anchors_for_all_providers_are_those_where_one_has_none_of_its_own(
    machine: ConfiguredSite, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with provider(authority) as server:
        url = {URL: f"https://localhost:{server.port}"}
        for anchors in ({}, {"discovery.ca_file": str(other)}):
            with pytest.raises(DiscoveryError, match="cannot prove who it is"):
                log_in(machine, url | anchors)
        log_in(machine, url | {"discovery.ca_file": str(ca_file)})
        log_in(machine, url | {"discovery.ca_file": str(other), CA_FILE: str(ca_file)})


@pytest.mark.option("authorities.keys_file")
def test_a_document_in_a_file_is_read_and_nobody_is_asked(
    machine: ConfiguredSite, authority: trustme.CA, ca_file: Path
) -> None:
    machine.publish("mine.json", support_document(key("idp")))
    with provider(authority) as server:
        log_in(machine, reached(server, ca_file) | {KEYS_FILE: "mine.json"})
        assert server.requests == []


@pytest.mark.option("discovery.timeout")
def test_a_provider_has_so_much_time(
    machine: ConfiguredSite, authority: trustme.CA, ca_file: Path
) -> None:
    def silence(connection: ssl.SSLSocket) -> None:
        connection.settimeout(PATIENCE)
        connection.recv(1)

    with provider(authority, silence) as server:
        with pytest.raises(DiscoveryError, match="did not answer within 1 s"):
            log_in(machine, reached(server, ca_file, timeout=1))


@pytest.mark.option("discovery.max_size")
def test_a_document_has_so_many_octets(
    machine: ConfiguredSite, authority: trustme.CA, ca_file: Path
) -> None:
    with provider(authority, answer(DOCUMENT.ljust(2048))) as server:
        with pytest.raises(DiscoveryError, match="more than the 2047 octets"):
            log_in(machine, reached(server, ca_file, max_size=2047))
        log_in(machine, reached(server, ca_file, max_size=2048))


@pytest.mark.option("discovery.max_size")
def test_so_has_one_in_a_file(machine: ConfiguredSite) -> None:
    (machine.folder / "mine.json").write_bytes(DOCUMENT.ljust(2048))
    with pytest.raises(DiscoveryError, match="its limit is 2047 octets"):
        log_in(machine, {KEYS_FILE: "mine.json", "discovery.max_size": 2047})
    log_in(machine, {KEYS_FILE: "mine.json", "discovery.max_size": 2048})


@pytest.mark.option("authorities.keys_file")
def test_a_file_that_others_can_write_to_vouches_for_nobody(machine: ConfiguredSite) -> None:
    file = machine.folder / "mine.json"
    file.write_bytes(DOCUMENT)
    file.chmod(0o666)
    with pytest.raises(DiscoveryError, match="others can write to the document"):
        log_in(machine, {KEYS_FILE: "mine.json"})


@pytest.mark.option("authorities.keys_file")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(machine: ConfiguredSite) -> None:
    os.mkfifo(machine.folder / "mine.json")
    with pytest.raises(DiscoveryError, match="not an ordinary file"):
        log_in(machine, {KEYS_FILE: "mine.json"})


@pytest.mark.option("discovery.private_hosts")
def test_a_provider_at_a_private_address_is_asked_only_if_it_is_named(
    machine: ConfiguredSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(host: str, *_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    others = {"server.secondary_authorities": ["other.test"]}
    with pytest.raises(DiscoveryError, match=r"127\.0\.0\.1, which is not a public one"):
        log_in(machine, others | {"discovery.private_hosts": ["other.test"]})
    with pytest.raises(DiscoveryError, match="no connection to idp.test port 443"):
        log_in(machine, others | {"discovery.private_hosts": [DOMAIN]})


@pytest.mark.option("discovery.max_lookups")
def test_so_many_documents_are_fetched_at_once(
    machine: ConfiguredSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    looked_up: list[str] = []
    steps: list[Future[object]] = []

    def under_way() -> int:
        return len(looked_up) + sum(step.done() for step in steps)

    def look_up(host: str, *_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        looked_up.append(host)
        released.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for most, second in ((1, Code.UNAVAILABLE), (2, Code.HTTP_ERROR)):
        released.clear()
        looked_up.clear()
        config = machine.load({KEYS_FILE: "", "discovery.max_lookups": most})
        logins = [(machine.server(config), machine.client(config).step()) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            steps[:] = [pool.submit(server.step, message) for server, message in logins]
            wait_until(lambda: under_way() == 2, "two look-ups")
            released.set()
        failures = {server.failure and server.failure.code for server, _ in logins}
        assert failures == {Code.HTTP_ERROR, second}


@pytest.mark.option("discovery.max_lookups", "server.allow", "server.secondary_authorities")
@pytest.mark.parametrize(
    "named",
    [
        {"server.allow": ["known.test"]},
        {"server.allow": ["bob@known.test"]},
        {'listeners."/run/a".allow': ["known.test"], 'listeners."/run/b".allow': ["*"]},
        {"server.secondary_authorities": ["known.test"]},
        {"discovery.private_hosts": ["known.test"]},
        {'authorities."known.test".url': "https://known.test:8443"},
    ],
    ids=lambda named: next(iter(named)),
)
def test_what_the_configuration_names_is_not_behind_what_it_does_not(
    machine: ConfiguredSite, monkeypatch: pytest.MonkeyPatch, named: dict[str, Any]
) -> None:
    waiting, released = threading.Event(), threading.Event()

    def look_up(host: str, *_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        if host != "known.test":
            waiting.set()
            released.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    fetcher = https_fetcher(machine.load(named | {"discovery.max_lookups": 1}))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fetcher.fetch, "stranger.test", "stranger.test")
        assert waiting.wait(PATIENCE)
        with refused(Code.UNAVAILABLE):
            fetcher.fetch("other.test", "other.test")
        with refused(Code.HTTP_ERROR, "known.test cannot be resolved"):
            fetcher.fetch("known.test", "known.test")
        # Whoever delegates to it is a stranger all the same.
        if "server.secondary_authorities" not in named:
            with refused(Code.UNAVAILABLE):
                fetcher.fetch("known.test", "another.test")
        released.set()
