"""The audit log: what is in it, and what never is."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.errors import StoreError
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.provider import (
    ALICE,
    DOMAIN,
    PASSWORD,
    RunningProvider,
    running_provider,
)

NOW = 1_795_282_504_224


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def events(running: RunningProvider) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.audit_log().splitlines()]


def test_a_line_is_a_json_object(path: Path) -> None:
    AuditLog(path).write(Event.SIGNED_IN, NOW, email=ALICE, client="198.51.100.7")
    assert path.read_text() == (
        '{"time":"2026-11-21T17:35:04.224Z","event":"signed-in",'
        '"email":"alice@example.test","client":"198.51.100.7"}\n'
    )


def test_only_its_owner_can_read_it(path: Path) -> None:
    AuditLog(path).write(Event.SIGNED_IN, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_are_added_at_the_end(path: Path) -> None:
    path.write_text("a line\n")
    AuditLog(path).write(Event.SIGNED_IN, NOW)
    AuditLog(path).write(Event.SIGNED_IN, NOW)
    assert path.read_text().startswith("a line\n{")
    assert len(path.read_text().splitlines()) == 3


def test_a_name_cannot_make_up_a_line(path: Path) -> None:
    AuditLog(path).write(Event.SIGNED_IN, NOW, email='x"}\n{"event":"certified"')
    assert len(path.read_text().splitlines()) == 1


def test_it_survives_a_rotation(path: Path) -> None:
    log = AuditLog(path)
    log.write(Event.SIGNED_IN, NOW, email="before")
    path.rename(path.with_suffix(".1"))
    log.write(Event.SIGNED_IN, NOW, email="after")
    assert "after" in path.read_text()
    assert "after" not in path.with_suffix(".1").read_text()


FILLED = """
import resource, sys
from pathlib import Path
from browserid_sasl.errors import StoreError
from browserid_sasl.idp.audit import AuditLog, Event
path, room = Path(sys.argv[1]), int(sys.argv[2])
log = AuditLog(path)
log.write(Event.SIGNED_IN, 0, email="before")
limit = path.stat().st_size + room
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    log.write(Event.SIGNED_IN, 1, email="x" * 200)
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write(Event.SIGNED_IN, 2, email="after")
"""


@pytest.mark.parametrize("room", [0, 1, 100, 250])
def test_what_there_is_no_room_for_is_not_there_in_part(path: Path, room: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLED, str(path), str(room)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cannot be written" in done.stdout
    assert [json.loads(line)["email"] for line in path.read_text().splitlines()] == [
        "before",
        "after",
    ]


def test_a_line_that_was_broken_off_is_not_gone_on_with(path: Path) -> None:
    path.write_text('{"event":"signed-in"}\n{"event":"cert')
    AuditLog(path).write(Event.SIGNED_IN, NOW, email="after")
    first, broken, last = path.read_text().splitlines()
    assert (first, broken) == ('{"event":"signed-in"}', '{"event":"cert')
    assert json.loads(last)["email"] == "after"


def test_several_processes_write_whole_lines(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from browserid_sasl.idp.audit import *\n"
        "for number in range(200):\n"
        "    AuditLog(Path(sys.argv[1])).write(Event.SIGNED_IN, number, email='x' * 254)"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen(command) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 800


def test_it_is_not_written_through_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "somebody's"
    target.write_text("theirs\n")
    path.symlink_to(target)
    with pytest.raises(StoreError, match="cannot be written"):
        AuditLog(path).write(Event.SIGNED_IN, NOW)
    assert target.read_text() == "theirs\n"


def test_what_cannot_be_written_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="audit log .* cannot be written"):
        AuditLog(path).write(Event.SIGNED_IN, NOW)


def test_a_sign_in_and_what_was_certified_are_recorded(running: RunningProvider) -> None:
    key = PrivateKey.generate("ES256").public_key
    request = {"email": ALICE, "password": PASSWORD, "public-key": key.to_json()}
    assert running.post("/certify", json=request).status_code == 200
    *_, signed_in, certified = events(running)
    assert signed_in.items() >= {
        "event": "signed-in", "email": ALICE, "client": "127.0.0.1"
    }.items()  # fmt: skip
    assert (
        certified.items()
        >= {
            "event": "certified",
            "email": ALICE,
            "client": "127.0.0.1",
            "key": b64.encode(key.thumbprint),
            "expires": running.clock.now + 3_600_000,
        }.items()
    )


@pytest.mark.parametrize("email", [ALICE, f"nobody@{DOMAIN}"])
def test_a_failure_is_recorded_with_the_wait_it_costs(running: RunningProvider, email: str) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": email, "password": "wrong", "public-key": key}
    for _ in range(7):
        running.post("/certify", json=request)
    failures = [event for event in events(running) if event["event"] == "sign-in-failed"]
    assert [failure["wait"] for failure in failures] == [0, 0, 0, 0, 1_000]
    assert {failure["email"] for failure in failures} == {email}
    assert {failure["client"] for failure in failures} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("proxies", "said", "client"),
    [
        ((), "198.51.100.7", "127.0.0.1"),
        (("203.0.113.0/24",), "198.51.100.7", "127.0.0.1"),
        (("127.0.0.1",), "198.51.100.7", "198.51.100.7"),
        (("127.0.0.0/8",), "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        (("127.0.0.1",), "x" * 1000, "127.0.0.1"),
        (("127.0.0.1",), '198.51.100.7"}{"event":"certified', "127.0.0.1"),
        (("127.0.0.1",), "fe80::1%x", "127.0.0.1"),
        (("127.0.0.1",), "2001:DB8:0::7", "2001:db8::7"),
        (("127.0.0.1",), "::ffff:198.51.100.7", "198.51.100.7"),
        (("127.0.0.1",), "nonsense, 127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_clients_address_is_its_own_or_what_a_known_proxy_says(
    tmp_path: Path, proxies: tuple[str, ...], said: str, client: str
) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": ALICE, "password": PASSWORD, "public-key": key}
    with running_provider(tmp_path / "provider", proxies=proxies) as running:
        running.post("/certify", json=request, headers={"X-Forwarded-For": said})
        assert events(running)[-1]["client"] == client


def test_nothing_is_certified_that_cannot_be_recorded(running: RunningProvider) -> None:
    path = running.folder.path / "audit.log"
    path.unlink()
    path.mkdir()
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": ALICE, "password": PASSWORD, "public-key": key}
    response = running.post("/certify", json=request)
    assert response.status_code == 500
    assert "certificate" not in response.json()


def test_nothing_to_be_hidden_is_in_the_log_nor_in_what_the_server_says(
    running: RunningProvider,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    good = {"email": ALICE, "password": PASSWORD, "public-key": key}
    running.post("/certify", json=good)
    running.post("/certify", json=good | {"password": "a wrong secret"})
    running.post("/certify", json=good | {"email": f"x@{DOMAIN}", "password": "another secret"})
    running.post("/certify", json=good | {"public-key": {}, "password": "a third secret"})
    running.post("/certify", json={"email": "a fourth secret", "password": PASSWORD})
    (running.folder.path / "keys" / "keys.json").unlink()
    running.post("/certify", json=good)
    assert "cannot be read" in caplog.text
    said = running.audit_log() + "".join(capfd.readouterr()) + caplog.text
    for secret in (PASSWORD, "secret", "PRIVATE KEY", "argon2"):
        assert secret not in said
