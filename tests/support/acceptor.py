"""A running `browserid-acceptor`, and a small program that speaks its protocol (docs/wire.md)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from browserid_sasl import config
from browserid_sasl.api import Client
from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.wire.lines import escape, unescape
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import DOMAIN, HOST, Person, Realm
from tests.support.services import AES128


@dataclass(frozen=True)
class Reply:
    """A line of the acceptor's.

    :param verb: its first word.
    :param id: the login's number.
    :param data: of ``CONT``.
    :param parameters: by name; empty text where there is no value.
    """

    verb: str
    id: int
    data: bytes
    parameters: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Self:
        """Take a line apart."""
        verb, id, *fields = line.split("\t")
        data = b""
        if verb == "CONT":
            text = fields.pop(0)
            data = text.encode() if text == "#" else base64.b64decode(text)
        split = (field.partition("=") for field in fields)
        return cls(verb, int(id), data, {name: unescape(value) for name, _, value in split})

    @property
    def final(self) -> bytes | None:
        """The octets that go along with the outcome."""
        text = self.parameters.get("resp")
        return None if text is None else base64.b64decode(text)


class Program:
    """A program's connection to the acceptor.

    :param path: of the socket.
    :param minor: the version to speak.
    :param waits_to_connect: whether to wait for room in the queue of connections.
    """

    def __init__(
        self,
        path: Path | str,
        minor: int = 2,
        timeout: float = PATIENCE,
        *,
        waits_to_connect: bool = True,
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout if waits_to_connect else 0)
        self.socket.connect(str(path))
        self.socket.settimeout(timeout)
        self._rest = b""
        self.greeting: list[str] = []
        while not self.greeting or self.greeting[-1] != "DONE":
            self.greeting.append(self.line())
        self.send(f"VERSION\t1\t{minor}", f"CPID\t{os.getpid()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def mechanisms(self) -> list[str]:
        """Those on offer."""
        return [line.split("\t")[1] for line in self.greeting if line.startswith("MECH\t")]

    @property
    def worker(self) -> int:
        """The process that answers."""
        return next(int(line.split("\t")[1]) for line in self.greeting if line.startswith("SPID"))

    def send(self, *lines: str) -> None:
        """Send lines."""
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def line(self) -> str:
        """The next line.

        :raises ConnectionError: if the connection has been closed.
        """
        while b"\n" not in self._rest:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed by the acceptor")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def reply(self) -> Reply:
        """The next line about a login."""
        return Reply.parse(self.line())

    def begin(
        self,
        id: int,
        mechanism: str,
        initial: bytes | None,
        service: str = "imap",
        **parameters: str,
    ) -> None:
        """Send ``AUTH``.

        :param parameters: further ones, by name.
        """
        fields = [f"AUTH\t{id}\t{escape(mechanism)}\tservice={escape(service)}"]
        fields += [f"{name}={escape(value)}" for name, value in parameters.items()]
        if initial is not None:
            fields.append(f"resp={base64.b64encode(initial).decode()}")
        self.send("\t".join(fields))

    def proceed(self, id: int, data: bytes) -> None:
        """Send ``CONT``."""
        self.send(f"CONT\t{id}\t{base64.b64encode(data).decode()}")

    def log_in(
        self, mechanism: ClientMechanism, id: int = 1, service: str = "imap", **parameters: str
    ) -> Reply:
        """Carry a login to its end; the last line."""
        self.begin(id, mechanism.name, mechanism.step(None), service, **parameters)
        while (reply := self.reply()).verb == "CONT":
            try:
                answer = mechanism.step(reply.data)
            except PeerRefusedError:
                answer = b""
            self.proceed(id, answer)
        if reply.verb == "OK" and reply.final is not None:
            assert mechanism.step(reply.final) == b""
        return reply


class Host:
    """A host that people of one domain may log in to: its folder and its configuration.

    :param folder: an empty folder that everybody can read.
    :param provider_key: the domain's.
    """

    def __init__(self, folder: Path, provider_key: PrivateKey) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.socket = folder / "acceptor"
        self.realm = Realm(folder, provider_key)
        self._basis = self.realm.config_file.read_text()
        self.configure()

    @property
    def config_file(self) -> Path:
        """The acceptor's configuration."""
        return self.realm.config_file

    def configure(
        self, further: str = "", allow: tuple[str, ...] = (DOMAIN,), **acceptor: object
    ) -> None:
        """Write the configuration.

        :param further: sections, listeners among them; one listener if there is none.
        :param allow: who may log in.
        :param acceptor: options of [acceptor].
        """
        options = {"hostname": HOST} | acceptor
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        if "[listeners." not in further:
            further += f'\n[listeners."{self.socket}"]\n'
        allowed = f"[server]\nallow = {json.dumps(allow)}\n"
        if "[server]\n" in further:
            further = further.replace("[server]\n", allowed)
        else:
            further += f"\n{allowed}"
        text = "\n".join([self._basis, "[acceptor]", *lines, further])
        self.config_file.write_text(text)

    def client(
        self, service: str = "imap", person: Person | None = None, host: str = HOST
    ) -> Client:
        """A client in this process, without tickets from earlier logins."""
        own = config.load(self.config_file).with_options({"backend": "memory"}, section="store")
        return Client(own, service, host, credentials=person or self.realm.person())

    def mechanism(
        self, service: str = "imap", person: Person | None = None, **options: Any
    ) -> ClientMechanism:
        """One login of this process, without a ticket."""
        return self.client(service, person).start_with(AES128, **options)


def impatient(**limits: float) -> tuple[str, ...]:
    """A command that is `browserid-acceptor` but for some of its limits of time.

    :param limits: s, by the constant's name with two underscores after its module's.
    """
    values = (
        f"setattr(importlib.import_module('browserid_sasl.acceptor.{module}'), '{name}', {seconds})"
        for module, name, seconds in ((*key.split("__", 1), value) for key, value in limits.items())
    )
    run = "from browserid_sasl.acceptor.cli import main; sys.exit(main())"
    return (sys.executable, "-c", "; ".join(("import importlib, sys", *values, run)))


class Daemon:
    """`browserid-acceptor` as a process.

    :param config_file: its configuration.
    :param output: what it writes.
    """

    def __init__(
        self,
        config_file: Path,
        output: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "browserid_sasl.acceptor"),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.output = output
        self._begins = output.stat().st_size if output.exists() else 0
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | (environment or {})
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                (*command, "--config", str(config_file)),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def forget(self) -> None:
        """Begin its log anew."""
        self._begins = self.output.stat().st_size

    @property
    def log(self) -> str:
        """What it has written."""
        return self.output.read_bytes()[self._begins :].decode()

    def wait_ready(self, times: int = 1) -> None:
        """Wait until it says that it is ready, so many times."""
        wait_until(lambda: self.log.count(": ready, ") >= times or self.ended, "the start")
        assert not self.ended, self.log

    @property
    def ended(self) -> bool:
        """Whether it is no more."""
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout)

    def workers(self) -> list[int]:
        """Its workers' processes."""
        place = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in place.read_text().split()]

    def kill(self) -> None:
        """End it and its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)


@contextmanager
def running(config_file: Path, output: Path, **options: object) -> Iterator[Daemon]:
    """An acceptor, from when it is ready until the end of the block."""
    daemon = Daemon(config_file, output, **options)  # type: ignore[arg-type]
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        daemon.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(5)
        daemon.kill()
