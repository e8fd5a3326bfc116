"""Many processes on one file: races, forks, and processes that die."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from browserid_sasl.store import AcceptorStores, companions, open_acceptor
from tests.support.forks import in_child
from tests.support.tickets import NOW, acceptor_ticket

ROOT = Path(__file__).parents[2]
FAR = NOW * 2


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs a script with the store's path and more in `sys.argv`."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestRaces:
    PRESENT = """
import sys, threading
from browserid_sasl.store import open_acceptor

path, not_after = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
stores = open_acceptor(path)
accepted = []

def present():
    for _ in range(25):
        if stores.replay.insert(b"a" * 32, not_after):
            accepted.append(True)

threads = [threading.Thread(target=present) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(accepted))
"""

    def test_of_1000_copies_from_8_processes_one_is_accepted(self, folder: Path) -> None:
        """They make the file together, too."""
        path = folder / "server.db"
        processes = [start(self.PRESENT, path, FAR) for _ in range(8)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        results = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0] * 8
        assert sum(int(output) for output, _ in results) == 1
        assert [entry.name for entry in folder.iterdir() if entry.name[0] == "."] == []


class TestDeath:
    INSERT = """
import os, sys
from browserid_sasl.store import open_acceptor

stores = open_acceptor(sys.argv[1])
while True:
    digest = os.urandom(32)
    assert stores.replay.insert(digest, int(sys.argv[2]))
    os.write(1, digest.hex().encode() + b"\\n")
"""

    def test_what_was_inserted_survives_kill_9(self, folder: Path) -> None:
        process = start(self.INSERT, folder / "server.db", FAR)
        assert process.stdout is not None
        digests = [process.stdout.readline().strip() for _ in range(random.randrange(1, 500))]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        digests += [line for line in rest.splitlines() if len(line) == 64]
        stores = open_acceptor(folder / "server.db")
        assert not any(stores.replay.insert(bytes.fromhex(digest), FAR) for digest in digests)
        assert stores.replay.insert(os.urandom(32), FAR)
        stores.close()


@pytest.fixture
def stores(folder: Path) -> AcceptorStores:
    return open_acceptor(folder / "server.db")


class SlowToClose(sqlite3.Connection):
    """Its log is written into the file late, as on a busy disk."""

    closing = threading.Event()

    def close(self) -> None:
        self.closing.set()
        time.sleep(0.005)
        super().close()


def slowly(before: Callable[[Path], int]) -> Callable[[Path], int]:
    """What has been read of an index is a moment old when it is used."""

    def after(path: Path) -> int:
        frames = before(path)
        time.sleep(0.005)
        return frames

    return after


class TestThreads:
    def test_one_that_ends_while_another_begins_has_lost_nothing(
        self, stores: AcceptorStores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one's log goes, orderly, between the other's two looks at it."""
        stores.close()
        connect = partial(sqlite3.connect, factory=SlowToClose)
        monkeypatch.setattr("browserid_sasl.store.database.sqlite3.connect", connect)
        look = slowly(companions.frames_left)
        monkeypatch.setattr("browserid_sasl.store.database.frames_left", look)
        failures: list[Exception] = []

        def write() -> None:
            try:
                for _ in range(8):
                    stores.replay.insert(os.urandom(32), FAR)
            except Exception as error:
                failures.append(error)

        def write_in_short_lived_threads() -> None:
            for _ in range(40):
                thread = threading.Thread(target=write)
                thread.start()
                thread.join()

        both = [threading.Thread(target=write_in_short_lived_threads) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert failures == []

    def test_a_fork_waits_for_those_that_end(
        self, stores: AcceptorStores, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stores.close()
        connect = partial(sqlite3.connect, factory=SlowToClose)
        monkeypatch.setattr("browserid_sasl.store.database.sqlite3.connect", connect)
        for _ in range(5):
            SlowToClose.closing.clear()
            thread = threading.Thread(target=stores.replay.insert, args=(os.urandom(32), FAR))
            thread.start()
            assert SlowToClose.closing.wait(10)
            assert in_child(lambda: str(open_files(folder))) == "0"
            thread.join()


class TestForks:
    def test_both_sides_of_a_fork_go_on(self, stores: AcceptorStores) -> None:
        ticket = acceptor_ticket(expires=FAR)
        assert stores.replay.insert(b"a" * 32, FAR)
        assert in_child(lambda: str(stores.replay.insert(b"a" * 32, FAR))) == "False"
        assert in_child(lambda: str(stores.tickets.put(ticket))) == "True"
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert in_child(lambda: str(stores.tickets.get(ticket.tid, NOW))) == str(ticket)
        stores.close()

    def test_no_connection_is_open_while_the_process_forks(
        self, stores: AcceptorStores, folder: Path
    ) -> None:
        stores.replay.insert(b"a" * 32, FAR)
        assert open_files(folder) > 0
        assert in_child(lambda: str(open_files(folder))) == "0"
        stores.close()

    def test_threads_that_write_meanwhile_do_not_disturb(self, stores: AcceptorStores) -> None:
        stop = threading.Event()
        failures: list[Exception] = []

        def write() -> None:
            while not stop.is_set():
                try:
                    assert stores.replay.insert(os.urandom(32), FAR)
                except Exception as error:
                    failures.append(error)
                    return

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        outcomes = [in_child(lambda: present_afresh(stores)) for _ in range(10)]
        stop.set()
        for thread in threads:
            thread.join()
        assert outcomes == ["True False"] * 10
        assert failures == []
        stores.close()

    @pytest.mark.parametrize("opener", ["this thread", "another thread"])
    def test_the_child_of_a_fork_that_python_did_not_see_has_locks_of_its_own(
        self, stores: AcceptorStores, folder: Path, opener: str
    ) -> None:
        """Without them another process would remove the log under the child's feet."""
        if opener == "another thread":
            stores.close()
            ready, done = threading.Event(), threading.Event()

            def use() -> None:
                stores.replay.insert(b"a" * 32, FAR)
                ready.set()
                done.wait()

            thread = threading.Thread(target=use)
            thread.start()
            ready.wait()
        outcome = in_child(
            lambda: f"{present_afresh(stores)} {locks_held(folder / 'server.db')}",
            fork=ctypes.PyDLL(None).fork,
        )
        if opener == "another thread":
            done.set()
            thread.join()
        assert outcome == "True False 1"
        assert present_afresh(stores) == "True False"
        assert locks_held(folder / "server.db") == 1
        stores.close()


def present_afresh(stores: AcceptorStores) -> str:
    digest = os.urandom(32)
    return f"{stores.replay.insert(digest, FAR)} {stores.replay.insert(digest, FAR)}"


def open_files(folder: Path) -> int:
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            targets.append(os.readlink(entry))
        except FileNotFoundError:
            continue
    return sum(target.startswith(str(folder)) for target in targets)


def locks_held(path: Path) -> int:
    """How many locks this process has on a file."""
    inode = str(path.stat().st_ino)
    held = 0
    for line in Path("/proc/locks").read_text().splitlines():
        # Number, kind, mode, access, process, device and inode.
        fields = line.replace("->", "").split()
        held += fields[4] == str(os.getpid()) and fields[5].rsplit(":", 1)[1] == inode
    return held
