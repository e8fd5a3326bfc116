"""What a provider says of itself for monitoring, on a listener of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.provider import DOMAIN

KEY = PrivateKey.generate("ES256").public_key.to_json()


@dataclass(frozen=True)
class Monitored:
    """A provider that serves.

    :param url: of its pages.
    :param status: of what is for monitoring.
    :param folder: of the provider.
    :param log: what it writes on standard error.
    """

    url: str
    status: str
    folder: ProviderFolder
    log: Path

    def tells(self, path: str) -> requests.Response:
        return requests.get(self.status + path, timeout=PATIENCE)

    def ask(self, path: str) -> int:
        anchor = str(self.folder.tls.anchor)
        return requests.get(self.url + path, verify=anchor, timeout=PATIENCE).status_code

    def number(self, name: str, **labels: str) -> float:
        text = self.tells("/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0


@contextmanager
def monitored(path: Path, *options: str) -> Iterator[Monitored]:
    folder = ProviderFolder(path / "idp")
    folder.create(DOMAIN, "ES256", system_clock(), local_tls=True)
    file, log, port = path / "browserid.toml", path / "log", free_port()
    lines = ["[idp]", 'directory = "idp"', "port = 0", f"status_port = {port}", *options, ""]
    file.write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("browserid-idp")), "serve", "--config", str(file)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            yield Monitored(url, f"http://127.0.0.1:{port}", folder, log)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    with monitored(tmp_path_factory.mktemp("status"), 'log_format = "json"') as provider:
        yield provider


def test_it_is_alive_and_ready(provider: Monitored) -> None:
    assert provider.tells("/health").status_code == 200
    assert (provider.tells("/ready").status_code, provider.tells("/ready").text) == (200, "ready\n")


def test_strangers_learn_nothing_of_that(provider: Monitored) -> None:
    for path in ("/health", "/ready", "/metrics"):
        assert provider.ask(path) == 404
    for path in ("/", "/certify", "/.well-known/browserid"):
        assert provider.tells(path).status_code == 404


def test_requests_are_counted_by_paths_that_there_are(provider: Monitored) -> None:
    name = "browserid_idp_request_seconds_count"
    for _ in range(3):
        provider.ask("/.well-known/browserid")
        provider.ask("/browserid/none-such")
    assert provider.number(name, path="/.well-known/browserid", status="200") == 3
    assert provider.number(name, path="pages", status="404") >= 3
    assert "none-such" not in provider.tells("/metrics").text


def test_events_are_counted_from_nothing_on(provider: Monitored) -> None:
    name = "browserid_idp_events_total"
    text = provider.tells("/metrics").text
    assert all(f'event="{event.value}"' in text for event in Event)
    before = provider.number(name, event="sign-in-failed")
    wrong = {"email": f"eve@{DOMAIN}", "password": "x", "public-key": KEY}
    anchor = str(provider.folder.tls.anchor)
    answer = requests.post(f"{provider.url}/certify", json=wrong, verify=anchor, timeout=PATIENCE)
    assert answer.status_code == 401
    assert provider.number(name, event="sign-in-failed") == before + 1


def test_who_says_nothing_there_keeps_nobody_from_asking(provider: Monitored) -> None:
    port = int(provider.status.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(8)]
    try:
        assert provider.tells("/ready").status_code == 200
    finally:
        for each in silent:
            each.close()


def test_without_its_keys_it_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with monitored(tmp_path, 'log_format = "json"') as provider:
        assert provider.tells("/ready").status_code == 200
        keys = provider.folder.path / "keys"
        keys.rename(keys.with_name("elsewhere"))
        answer = provider.tells("/ready")
        assert answer.status_code == 503
        assert "signing keys" in answer.text
        assert provider.tells("/health").status_code == 200
        # And the log has it, an object of JSON on a line.
        assert provider.ask("/.well-known/browserid") == 500
        wait_until(lambda: "signing keys" in provider.log.read_text(), "the line in the log")
        lines = [json.loads(line) for line in provider.log.read_text().splitlines()]
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        assert lines[0]["level"] == "error"
