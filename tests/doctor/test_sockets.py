"""What the doctor says of whoever answers at the acceptor's socket."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from browserid_sasl import __version__
from browserid_sasl.acceptor.greeting import greeting
from browserid_sasl.config import ListenerConfig
from browserid_sasl.doctor import sockets
from browserid_sasl.doctor.findings import Finding, Verdict
from browserid_sasl.gss.mechanisms import MECHANISMS

GREETING = greeting(MECHANISMS, 1)


@contextmanager
def answering(act: Callable[[socket.socket], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "acceptor"
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    act(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        thread.join(10)


def examined(path: Path, release: str = __version__) -> Finding:
    *_, found = sockets.acceptor(path, ListenerConfig(mode="660"), release)
    return found


def test_of_this_release() -> None:
    with answering(lambda connection: connection.sendall(GREETING)) as path:
        found = examined(path)
    assert found.verdict is Verdict.GOOD
    assert f"release {__version__}, and offers BROWSERID" in found.message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (GREETING, f"is of release {__version__}, and this one is 99.0"),
        (
            GREETING.replace(f"\trelease={__version__}".encode(), b""),
            "is of an earlier release, and this one is 99.0",
        ),
    ],
    ids=["another", "earlier"],
)
def test_of_another_release_it_is_to_be_started_again(said: bytes, words: str) -> None:
    with answering(lambda connection: connection.sendall(said)) as path:
        found = examined(path, "99.0")
    assert found.verdict is Verdict.DOUBTFUL
    assert words in found.message
    assert found.remedy == "systemctl restart browserid-acceptor"


def test_one_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_PATIENCE_S", 0.5)

    def drip(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    with answering(drip) as path:
        found = examined(path)
    assert found.verdict is Verdict.BAD
    assert "does not answer" in found.message
