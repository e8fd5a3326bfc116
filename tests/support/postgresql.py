"""A PostgreSQL server of a test's own, in a folder of its own, as the user `postgres`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trustme

from tests.support.patience import PATIENCE
from tests.support.ports import free_port

_USER: Final = "postgres"
_QUICK: Final = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60")


class PostgresqlServer:
    """A server that runs.

    :param folder: which belongs to its user.
    :param port: on 127.0.0.1, where the user `postgres` needs no password.
    :param settings: of its configuration, ``name=value``, in place of what makes it quick.
    :param variables: of its environment, which has little else.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        settings: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._variables = variables or {}
        self._data = folder / "data"
        self._log = folder / "log"
        self.port = port

    def uri(self, database: str = _USER) -> str:
        """Of one of its databases."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make what it keeps its databases in."""
        arguments = ("-A", "trust", "-U", _USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", *arguments)

    def make_database(self, name: str) -> str:
        """Make an empty database; returns its URI."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), name, data=False)
        return self.uri(name)

    def make_standby_of(self, primary: PostgresqlServer) -> None:
        """Make a copy of a server that runs, which follows it once it is started."""
        where = f"host=127.0.0.1 port={primary.port} user={_USER}"
        self._run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", where)

    def admit_by(self, *lines: str) -> None:
        """Say in ``pg_hba.conf`` who may connect, before it starts."""
        (self._data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in lines))

    def promote(self) -> None:
        """Have a standby take over, and wait until it takes writes."""
        assert self.sql(_USER, "SELECT pg_promote()").strip() == "t"

    def has_caught_up_with(self, primary: PostgresqlServer) -> bool:
        """Whether a standby has all that its primary has written by now."""
        written = primary.sql(_USER, "SELECT pg_current_wal_lsn()").strip()
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        return self.sql(_USER, reached).strip() == "t"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = " ".join(f"-c {option}" for option in (*_QUICK, *self._settings))
        options += f" -c port={self.port} -c listen_addresses=127.0.0.1"
        options += " -c unix_socket_directories="
        self._control("start", "-l", str(self._log), "-o", options)

    def stop(self) -> None:
        """Stop it, as if its host had died."""
        self._control("stop", "-m", "immediate")

    @property
    def runs(self) -> bool:
        """Whether it has been started, and not been stopped."""
        return (self._data / "postmaster.pid").exists()

    def pause(self) -> None:
        """Have it say nothing to anybody any more, while its system takes what is sent to it."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def sql(self, database: str, statement: str) -> str:
        """What a statement gives, unaligned."""
        arguments = ("-h", "127.0.0.1", "-p", str(self.port), "-X", "-A", "-t", "-d", database)
        return self._run("psql", *arguments, "-c", statement, data=False)

    def _processes(self) -> list[int]:
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        tasks = Path(f"/proc/{main}/task/{main}/children").read_text()
        return [main, *map(int, tasks.split())]

    def processor_time(self) -> float:
        """Seconds that its processes have had of processors, those that there are now."""
        return sum(map(processor_time, self._processes()))

    def _control(self, *command: str) -> None:
        self._run("pg_ctl", "-w", "-t", str(int(PATIENCE)), *command)

    def _run(self, name: str, *arguments: str, data: bool = True) -> str:
        where = ("-D", str(self._data)) if data else ("-U", _USER)
        command = ("setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups", "--reset-env")
        variables = ("env", *(f"{name}={value}" for name, value in self._variables.items()))
        completed = subprocess.run(
            (*command, *variables, str(programs() / name), *where, *arguments),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Not a pipe: the server would inherit it, and it would not end.
            stderr=subprocess.STDOUT if not data else subprocess.DEVNULL,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert completed.returncode == 0, (name, completed.stdout)
        return completed.stdout


def processor_time(pid: int) -> float:
    """Seconds that a process has had of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def programs() -> Path:
    """Where Debian has the programs of the newest release that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    assert found, "PostgreSQL is missing: tools/debian-test.txt names it"
    return found[-1]


def tls_files(folder: Path, certificate: trustme.LeafCert) -> Sequence[str]:
    """Settings for TLS with a certificate, which is put into a folder for a server's user."""
    file = folder / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(file)
    file.chmod(0o600)
    shutil.chown(file, _USER, _USER)
    return "ssl=on", f"ssl_cert_file={file}", f"ssl_key_file={file}"


@contextmanager
def postgresql_server(
    *settings: str, variables: Mapping[str, str] | None = None
) -> Iterator[PostgresqlServer]:
    """Run a server until the block ends, see `PostgresqlServer`."""
    with _running(PostgresqlServer.make, settings, variables) as server:
        yield server


@contextmanager
def postgresql_standby(primary: PostgresqlServer, *settings: str) -> Iterator[PostgresqlServer]:
    """Run a server that follows another one, until the block ends."""
    with _running(lambda server: server.make_standby_of(primary), settings) as server:
        yield server


@contextmanager
def _running(
    make: Callable[[PostgresqlServer], None],
    settings: Sequence[str],
    variables: Mapping[str, str] | None = None,
) -> Iterator[PostgresqlServer]:
    with TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        shutil.chown(name, _USER, _USER)
        server = PostgresqlServer(Path(name), free_port(), settings, variables)
        make(server)
        server.start()
        try:
            yield server
        finally:
            if server.runs:
                server.resume()
                server.stop()
