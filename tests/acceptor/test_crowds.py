"""Many at once, and those who mean no good: bounded times, and everybody else is served."""

from __future__ import annotations

import base64
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from browserid_sasl.acceptor.conversation import MAX_LOGINS
from tests.support.acceptor import Daemon, Host, Program, impatient
from tests.support.patience import PATIENCE, wait_until
from tests.support.services import AES128

Start = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Descriptors for thousands of connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(process: int) -> int:
    """Private memory of a process, in KiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    private = (line.split()[1] for line in lines if line.startswith("Private_"))
    return sum(map(int, private))


def log_in(host: Host) -> float:
    """One login; the seconds that it takes."""
    mechanism = host.mechanism()
    begun = time.monotonic()
    with Program(host.socket) as program:
        assert program.log_in(mechanism, bid="1").verb == "OK"
    return time.monotonic() - begun


def test_500_logins_at_the_same_instant(host: Host, start: Start) -> None:
    daemon = start(host)
    person = host.realm.person()
    client = host.client(person=person)
    messages = [client.start_with(AES128).step(None) for _ in range(500)]
    with ExitStack() as stack:
        programs = [stack.enter_context(_connect(host)) for _ in messages]
        for program, message in zip(programs, messages, strict=True):
            program.begin(1, AES128, message, bid="1")
        assert {program.reply().verb for program in programs} == {"OK"}
    assert daemon.log.count("login succeeded") == 500


def _connect(host: Host) -> Program:
    """A connection that is not willing to wait for room in the queue of them."""
    return Program(host.socket, waits_to_connect=False)


def test_2000_connections_that_say_nothing(host: Host, start: Start) -> None:
    daemon = start(host)
    before = sum(map(memory, daemon.workers()))
    with ExitStack() as stack:
        idle = [stack.enter_context(Program(host.socket)) for _ in range(2000)]
        assert log_in(host) < 10
        growth = sum(map(memory, daemon.workers())) - before
        assert growth / len(idle) < 16
        used = _processor_time(daemon)
        time.sleep(2)
        assert _processor_time(daemon) - used < 0.5
    assert log_in(host) < 10


def _processor_time(daemon: Daemon) -> float:
    ticks = 0
    for process in (daemon.process.pid, *daemon.workers()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.option("acceptor.connections")
def test_connections_beyond_the_limit_wait(host: Host, start: Start) -> None:
    host.configure(workers=1, connections=3)
    daemon = start(host)
    with ExitStack() as stack:
        idle = [stack.enter_context(Program(host.socket)) for _ in range(3)]
        with pytest.raises(TimeoutError):
            Program(host.socket, timeout=1.5)
        wait_until(lambda: "3 connections: further ones wait" in daemon.log, "the line")
        idle[0].socket.close()
        assert log_in(host) < 10


def test_a_thousand_programs_that_each_log_in_once(host: Host, start: Start) -> None:
    daemon = start(host)
    client = host.client()
    for _ in range(1000):
        with Program(host.socket) as program:
            program.begin(1, AES128, client.start_with(AES128).step(None), bid="1")
            assert program.reply().verb == "OK"
    assert daemon.log.count("login succeeded") == 1000
    for worker in daemon.workers():
        assert len(list(Path(f"/proc/{worker}/fd").iterdir())) < 40


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"EHLO localhost\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"\0\5alice\0\6secret\0\4imap\0\0\n",
        b"A" * 70_000,
        b"AUTH\t1\tBROWSERID\tservice=imap\n",
        b"VERSION\t1\t2\nNONSENSE\n",
        b"\xff\xfe\n",
    ],
    ids=["http", "smtp", "tls", "saslauthd", "endless", "no version", "later", "no text"],
)
def test_who_speaks_something_else_is_told_in_one_line(
    host: Host, daemon: Daemon, garbage: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(str(host.socket))
        with suppress(BrokenPipeError):
            caller.sendall(garbage)
        heard = b""
        with suppress(ConnectionResetError):
            while data := caller.recv(65536):
                heard += data
    _, _, rest = heard.partition(b"DONE\n")
    assert rest.startswith(b"ERROR\t")
    assert rest.count(b"\n") == 1
    assert log_in(host) < 10


def test_more_logins_than_one_program_may_have(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        for id in range(MAX_LOGINS + 1):
            program.begin(id, AES128, None)
        replies = [program.reply() for _ in range(MAX_LOGINS + 1)]
        assert [reply.verb for reply in replies] == ["CONT"] * MAX_LOGINS + ["FAIL"]
        assert "temp" in replies[-1].parameters
        program.send("CANCEL\t0")
        program.begin(1000, AES128, None)
        assert program.reply().verb == "CONT"


def test_who_does_not_read_is_not_listened_to(host: Host, start: Start) -> None:
    host.configure(workers=1)
    daemon = start(host, command=impatient(worker___WRITE_PATIENCE=6))
    before = memory(daemon.workers()[0])
    with Program(host.socket) as program:
        program.socket.setblocking(False)
        line = b"AUTH\t1\tPLAIN\tservice=imap\tbid\tresp=eA==\n" * 500
        sent, end = 0, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if not select.select([], [program.socket], [], 2)[1]:
                break
            with suppress(BlockingIOError):
                sent += program.socket.send(line)
        assert time.monotonic() < end, f"{sent} octets were taken"
        assert memory(daemon.workers()[0]) - before < 8192
        assert log_in(host) < 10
        # Nor is it waited for without end.
        wait_until(lambda: _is_closed(program.socket), "closing the connection")


def _is_closed(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(100))


def test_programs_that_end_in_the_middle(host: Host, daemon: Daemon) -> None:
    script = (
        "import socket, os, signal, sys; s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); s.recv(9999); s.sendall(b'VERSION\\t1\\t2\\nCPID\\t1\\n"
        "AUTH\\t1\\tBROWSERID-AES128\\tservice=imap\\nCONT\\t1\\tYW');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(20):
        subprocess.run((sys.executable, "-S", "-c", script, str(host.socket)), check=False)
    wait_until(lambda: daemon.log.count("login abandoned") == 20, "noticing them")
    assert log_in(host) < 10


def test_a_disk_that_is_full_is_nobodys_fault(host: Host, start: Start) -> None:
    store = host.folder / "server"
    store.mkdir(mode=0o700)
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", store), check=True)
    try:
        daemon = start(host)
        assert log_in(host) < 10
        filler = store / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        replies = []
        with Program(host.socket) as program:
            for id in range(30):
                program.begin(id, AES128, host.mechanism().step(None), bid="1")
                replies.append(program.reply())
        failed = [reply for reply in replies if reply.verb == "FAIL"]
        assert failed
        assert all("temp" in reply.parameters for reply in failed)
        assert "login refused" not in daemon.log
        filler.unlink()
        assert log_in(host) < 10
    finally:
        for _ in range(50):
            if subprocess.run(("umount", "-l", store), check=False).returncode == 0:
                break


def test_a_store_that_is_gone_is_nobodys_fault(host: Host, start: Start) -> None:
    daemon = start(host)
    assert log_in(host) < 10
    store = host.folder / "server"
    store.rename(host.folder / "away")
    store.write_text("no folder")
    time.sleep(1.2)  # an open file is looked after so often
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism().step(None), bid="1", rip="192.0.2.1")
        reply = program.reply()
    assert "temp" in reply.parameters
    assert reply.parameters["bid_sasl"] == "-24"
    assert "login undecided: rip=192.0.2.1" in daemon.log
    store.unlink()
    (host.folder / "away").rename(store)
    assert log_in(host) < 10


def test_it_begins_without_its_store(host: Host, start: Start) -> None:
    """The handshake is there whatever is down, and logins are as soon as it is up."""
    host.configure(workers=1)
    start(host)
    store = host.folder / "server"
    store.chmod(0o755)
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism().step(None), bid="1")
        assert "temp" in program.reply().parameters
        store.chmod(0o700)
        program.begin(2, AES128, host.mechanism().step(None), bid="1")
        assert program.reply().verb == "OK"


def test_logins_that_wait_for_the_disk_wait_together(host: Host, start: Start) -> None:
    """Nobody hears of what is not on the disk; those who come together wait once."""
    _make_durable(host)
    daemon = start(host)
    [worker] = daemon.workers()
    assert log_in(host) < 10
    client = host.client()
    messages = [client.start_with(AES128).step(None) for _ in range(60)]
    with Program(host.socket) as program, _traced(worker, host.folder / "trace") as trace:
        for id, message in enumerate(messages[:10]):
            program.begin(id, AES128, message, bid="1")
            assert program.reply().verb == "OK"
        wait_until(lambda: trace.read_text().count('"OK') == 10, "the trace of ten logins")
        alone = trace.read_text()
        program.send(*(_begin(id, message) for id, message in enumerate(messages[10:])))
        for _ in messages[10:]:
            assert program.reply().verb == "OK"
        together = trace.read_text()[len(alone) :]
    calls = re.findall(r'fdatasync|"OK', alone)
    assert calls == ["fdatasync", '"OK'] * 10
    assert 1 <= together.count("fdatasync") <= 25


def _begin(id: int, message: bytes) -> str:
    text = base64.b64encode(message).decode()
    return f"AUTH\t{id}\t{AES128}\tservice=imap\tbid=1\tresp={text}"


def _make_durable(host: Host) -> None:
    host.configure(workers=1)
    text = host.config_file.read_text()
    host.config_file.write_text(text.replace("[store]", '[store]\ndurability = "power"'))


@contextmanager
def _traced(process: int, file: Path) -> Iterator[Path]:
    """What a process has written to the disk, and what it has sent to programs."""
    calls = "trace=fdatasync,fsync,sendto"
    tracer = subprocess.Popen(("strace", "-e", calls, "-s", "3", "-o", file, "-p", str(process)))
    try:
        wait_until(lambda: "TracerPid:\t0" not in _status(process), "tracing")
        yield file
    finally:
        tracer.terminate()
        tracer.wait(10)


def _status(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text()


def test_a_disk_that_fails_is_not_believed(host: Host, start: Start) -> None:
    _make_durable(host)
    daemon = start(host)
    assert log_in(host) < 10
    [worker] = daemon.workers()
    tracer = subprocess.Popen(
        ("strace", "-e", "inject=fdatasync:error=EIO", "-o", "/dev/null", "-p", str(worker))
    )
    try:
        wait_until(lambda: "TracerPid:\t0" not in _status(worker), "tracing")
        with Program(host.socket) as program:
            program.begin(1, AES128, host.mechanism().step(None), bid="1")
            with pytest.raises(ConnectionError):
                program.reply()
    finally:
        tracer.terminate()
        tracer.wait(10)
    assert "cannot be written to the disk: Input/output error" in daemon.log
    assert log_in(host) < 10
