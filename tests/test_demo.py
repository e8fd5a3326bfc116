"""`make demo` and `make demo-fallback` show what they promise, and leave nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.sample_programs import ROOT, Lines


@contextmanager
def demonstration(
    place: Path, *options: str, name: str = "demo"
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", name, *options],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def processes_in(folder: Path) -> list[str]:
    """The command lines of processes whose working folder is in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the demonstration. Its name is short: the path of a socket has 107 octets."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


WAYS = {
    "in a browser": ((), "May programs on this machine log in as you?"),
    "on another device": (("--device",), "May programs on that machine log in as you?"),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_shows_every_step(place: Path, way: str) -> None:
    options, question = WAYS[way]
    with demonstration(place, *options) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert question in output
    assert "signed in as alice@example.test until" in output
    logins = re.findall(r"successful authentication 'alice@example\.test'", output)
    assert len(logins) == 2
    assert "no certificate, but the ticket" in output
    assert "presented before" in output
    assert "signature" in output
    assert output.count("The server's verdict: NO") == 2
    assert "mallory@stranger.test may not log in to this service" in output
    assert "the server said: no-local-mapping" in output
    unwrapped = re.sub(r"\s+(acceptor \|\s+)?", " ", output)
    by = r"login succeeded: [^<]* by=(\w+) user=<alice@example\.test>"
    assert re.findall(by, unwrapped) == ["certificate", "ticket"]
    assert "r1 | alice | " in output
    assert "Cannot negotiate authentication mechanism" in output
    assert list(place.iterdir()) == []
    assert processes_in(place) == []


def test_the_one_of_the_fallback_shows_every_step(place: Path) -> None:
    with demonstration(place, name="demo.fallback") as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "mail | To: alice@nobody.test" in output
    assert "mail | Auto-Submitted: auto-generated" in output
    assert re.search(r"mail \|     \d{3} \d{3}", output)
    assert "signed in as alice@nobody.test until" in output
    assert output.count("successful authentication 'alice@nobody.test'") == 1
    assert "fallback.test may not certify addresses of nobody.test" in output
    assert list(place.iterdir()) == []
    assert processes_in(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_stopped(place: Path, number: signal.Signals) -> None:
    with demonstration(place) as process:
        Lines(process.stdout).wait_for(r"== 3\..*")
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert list(place.iterdir()) == []
    assert processes_in(place) == []
