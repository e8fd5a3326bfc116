"""mech_browserid.so where something fails: memory, the agent, the acceptor, at every step."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.errors import Code, LocalProtocolError
from tests.support.gss import GssSite, build_gss_driver
from tests.support.sample_programs import HOST, ROOT
from tests.support.services import run

Driver = Callable[..., subprocess.CompletedProcess[str]]

SANITIZERS = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
LATE_MS = 3000
"""For which the module waits here."""

EVERYTHING = ("-x", "-p", "-e", "-b", "one")


@pytest.fixture(scope="module")
def sanitized(gss: GssSite, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """The driver and the module with the compiler's sanitizers; the module does not wait long."""
    folder = tmp_path_factory.mktemp("sanitized")
    settings = {
        "BUILD": folder,
        "PYTHON": sys.executable,
        "AGENT": gss.installation.agent,
        "ANSWER_MS": LATE_MS,
        "CFLAGS": f"-g {SANITIZERS}",
        "LDFLAGS": "-fsanitize=address,undefined",
        "WERROR": "-Werror",
    }
    assignments = [f"{name}={value}" for name, value in settings.items()]
    done = run(("make", "-C", str(ROOT / "plugin"), *assignments, "gss"), timeout=120)
    assert done.returncode == 0, done.stdout
    lines = gss.installation.gss_mechanisms.read_text()
    mechanisms = folder / "browserid.conf"
    mechanisms.write_text(
        lines.replace(str(gss.installation.gss_module), str(folder / "mech_browserid.so"))
    )
    # What mechglue keeps for each module that it has loaded.
    suppressions = folder / "leaks"
    suppressions.write_text("leak:krb5int_open_plugin\n")
    program = build_gss_driver(folder, *SANITIZERS.split())
    own = {
        "GSS_MECH_CONFIG": str(mechanisms),
        "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
    }

    def drive(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = gss.variables | own | variables
        return run((program, *options, f"rcmd@{HOST}"), env=environment)

    return drive


class TestSanitizers:
    """Addresses, leaks and undefined behaviour."""

    @pytest.mark.parametrize(
        "options",
        [
            EVERYTHING,
            ("-p", "-e", "-f", "0x1002"),
            ("-m", "1.3.6.1.4.1.5322.24.1.20", "-x", "-p", "-f", "0x2002"),
            ("-D", "-x"),
            ("-k",),
            ("-t", "4", "-n", "5", "-p", "-e"),
        ],
        ids=" ".join,
    )
    def test_what_succeeds(self, sanitized: Driver, options: tuple[str, ...]) -> None:
        done = sanitized(*options)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        "options",
        [("-b", "one", "-B", "two"), ("-u", "bob@nowhere.test"), ("-u", "\\")],
        ids=" ".join,
    )
    def test_what_fails(self, sanitized: Driver, options: tuple[str, ...]) -> None:
        done = sanitized(*options)
        assert done.returncode == 1, done.stdout
        assert "Sanitizer" not in done.stdout


class TestMemory:
    def test_each_allocation_may_fail(self, gss: GssSite, gss_driver: Path, tmp_path: Path) -> None:
        """In all that a login is made of: the status is that for it, and none is lost."""
        library = tmp_path / "failing_malloc.so"
        source = ROOT / "tests" / "plugin" / "failing_malloc.c"
        done = run(("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-o", library))
        assert done.returncode == 0, done.stdout
        command = (gss_driver, *EVERYTHING, "-A", f"rcmd@{HOST}")
        done = run(command, env=gss.variables | {"LD_PRELOAD": str(library)}, timeout=280)
        match = re.search(r"^allocations: (\d+), refused (\d+), bad 0$", done.stdout, re.MULTILINE)
        assert match, re.findall(r"^allocation .*", done.stdout, re.MULTILINE) or done.stdout
        assert int(match[1]) > 900
        assert int(match[2]) > 500

    def test_contexts_leave_nothing_behind(self, gss: GssSite, gss_driver: Path) -> None:
        """`make soak` does this 100,000 times; here often enough to see a leak of 600 octets."""
        command = (gss_driver, "-x", "-w", "100", "-n", "900", f"rcmd@{HOST}")
        done = run(command, env=gss.variables)
        assert done.returncode == 0, done.stdout
        match = re.search(r"^grown: (-?\d+) KiB$", done.stdout, re.MULTILINE)
        assert match, done.stdout
        assert int(match[1]) < 512


# Tokens of a context of DCE style, from which on something is different.
FIRST, ACCEPTED, ANSWERED, PROVEN = "1234"
DCE = ("-f", "0x1000")


class TestServicesThatEndBetweenSteps:
    """A program learns of it in words, and within the limit; the next context succeeds."""

    def agent_ends(self, gss: GssSite, at: str) -> tuple[str, ...]:
        return (*DCE, "-K", at, "-c", f"kill -9 {gss.agent_pid()}")

    def test_the_agent_before_it_is_asked(self, sanitized: Driver, gss: GssSite) -> None:
        assert sanitized().returncode == 0
        done = sanitized("-D", *self.agent_ends(gss, FIRST))
        assert done.returncode == 0, done.stdout  # it is started again

    def test_the_agent_while_the_acceptor_has_the_token(
        self, sanitized: Driver, gss: GssSite
    ) -> None:
        assert sanitized().returncode == 0
        said = sanitized(*self.agent_ends(gss, ANSWERED)).stdout
        assert "failed: init_sec_context major=0xd0000\n" in said
        assert re.search(r"words: the agent, .*: the connection ended; try again\n", said), said
        assert sanitized(*DCE).returncode == 0

    @pytest.mark.parametrize("at", [ACCEPTED, PROVEN])
    def test_the_acceptor(self, sanitized: Driver, gss: GssSite, at: str) -> None:
        group = gss.acceptor.pid
        try:
            said = sanitized(*DCE, "-K", at, "-c", f"kill -9 -{group}").stdout
        finally:
            gss.kill_acceptor()
            gss.start_acceptor()
        ended = {
            # One that is ending may take the connection first.
            ACCEPTED: "(nobody answers there; start it: .*|the connection ended; try again)\n",
            PROVEN: "the connection ended; try again\n",
        }
        assert re.search(f"words: the acceptor at {gss.socket}: {ended[at]}", said), said
        assert "failed: accept_sec_context major=0xd0000\n" in said
        assert sanitized(*DCE).returncode == 0


class TestServicesThatHang:
    def test_the_agent(self, sanitized: Driver, gss: GssSite) -> None:
        assert sanitized().returncode == 0
        agent = gss.agent_pid()
        try:
            said = sanitized(*DCE, "-K", ANSWERED, "-c", f"kill -STOP {agent}").stdout
        finally:
            os.kill(agent, signal.SIGCONT)
        assert "it does not answer in time; end it and try again\n" in said
        assert sanitized().returncode == 0

    def test_the_acceptor(self, sanitized: Driver, gss: GssSite) -> None:
        workers = gss.workers()
        stop = f"kill -STOP {' '.join(map(str, workers))}"
        try:
            said = sanitized(*DCE, "-K", PROVEN, "-c", stop).stdout
        finally:
            for each in workers:
                os.kill(each, signal.SIGCONT)
        assert "it does not answer in time; see its log, and try again\n" in said
        assert sanitized().returncode == 0

    def test_the_acceptor_at_connecting(self, sanitized: Driver, gss: GssSite) -> None:
        """For which a program waits ten seconds."""
        workers = gss.workers()
        for each in workers:
            os.kill(each, signal.SIGSTOP)
        try:
            said = sanitized("-D").stdout
        finally:
            for each in workers:
                os.kill(each, signal.SIGCONT)
        assert "it does not answer in time" in said
        assert sanitized("-D").returncode == 0


class TestServicesThatAreNotThere:
    def test_no_acceptor(self, sanitized: Driver, tmp_path: Path) -> None:
        nowhere = str(tmp_path / "none")
        said = sanitized(BROWSERID_ACCEPTOR=nowhere).stdout
        assert "failed: acquire_cred major=0x70000\n" in said
        said = sanitized("-D", BROWSERID_ACCEPTOR=nowhere).stdout
        assert f"the acceptor at {nowhere}: nobody answers there; start it: " in said

    def test_no_agent(self, sanitized: Driver, tmp_path: Path) -> None:
        nowhere = str(tmp_path / "none")
        said = sanitized("-D", BROWSERID_AGENT=nowhere).stdout
        assert f"starts, at {nowhere}: nobody answers there; take BROWSERID_AGENT out" in said

    @pytest.mark.parametrize("greeting", [b"* OK IMAP4rev1 ready\r\n", b"VERSION\t1\t3\nDONE\n"])
    def test_something_else_answers(self, sanitized: Driver, gss: GssSite, greeting: bytes) -> None:
        with listening(gss.folder / "foreign", greeting) as (path, _):
            said = sanitized("-D", BROWSERID_ACCEPTOR=str(path)).stdout
        assert f"the acceptor at {path}: " in said
        assert "failed: accept_sec_context major=0xd0000\n" in said

    def test_somebody_elses_agent_is_told_nothing(self, sanitized: Driver, gss: GssSite) -> None:
        greeting = b"VERSION\tbrowserid-agent\t1\nAGENT\t1\t1\nDONE\n"
        with listening(gss.folder / "theirs", greeting, account="nobody") as (path, told):
            said = sanitized("-D", BROWSERID_AGENT=str(path)).stdout
        assert "it is of another account; see whose it is that BROWSERID_AGENT names\n" in said
        assert told == [b""]

    def test_nor_is_it_by_our_own_commands(
        self, gss: GssSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with listening(gss.folder / "theirs", b"", account="nobody") as (path, told):
            monkeypatch.setenv("BROWSERID_AGENT", str(path))
            with pytest.raises(LocalProtocolError, match="of another account") as raised:
                Caller()
        assert raised.value.code is Code.UNAVAILABLE
        assert told == [b""]


@contextmanager
def listening(
    path: Path, greeting: bytes, account: str = "root"
) -> Iterator[tuple[Path, list[bytes]]]:
    """A service of an account's that says this to who connects, and what each of them told it."""
    told: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        # Whose it is the kernel notes when it begins to listen.
        os.seteuid(pwd.getpwnam(account).pw_uid)
        listener.listen()
        os.seteuid(0)
        thread = threading.Thread(target=_greet, args=(listener, greeting, told))
        thread.start()
        try:
            yield path, told
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


def _greet(listener: socket.socket, greeting: bytes, told: list[bytes]) -> None:
    with suppress(OSError):  # it is shut down
        while True:
            connection, _ = listener.accept()
            octets = b""
            with connection, suppress(OSError):  # who has been told enough closes it
                connection.sendall(greeting)
                octets = connection.recv(65536)
            told.append(octets)
