"""The sample programs as processes, and a domain whose people can log in with them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from browserid_sasl import config, store
from browserid_sasl.agent import presence
from browserid_sasl.agent.application import KeyType
from browserid_sasl.api import CLIENT_DATABASE, Client
from browserid_sasl.cli.sample.framing import FrameReader, Reply, encode_string
from browserid_sasl.identity import certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"
SERVICE = "rcmd"
HOST = "localhost"

T = TypeVar("T")


class Person:
    """A `CredentialSource` with a fresh key and a certificate of the domain."""

    def __init__(
        self,
        email: str,
        provider_key: PrivateKey,
        issuer: str = DOMAIN,
        *,
        key_type: KeyType = "ES256",
        **claims: object,
    ) -> None:
        self.identity = email
        self.key = PrivateKey.generate(key_type)
        now = time.time_ns() // 1_000_000
        self.expires = now + 3_600_000
        self.certificate = certificate.issue(
            issuer,
            email,
            self.key.public_key,
            issued_at=now,
            expires=self.expires,
            signing_key=provider_key,
            attributes=claims,
        )

    def assertion(self, claims: bytes) -> str:
        return f"{self.certificate}~{jwt.sign(claims, self.key)}"


class Realm:
    """A folder with a configuration that pins the key of one domain, and stores of its own.

    :param further: sections to add to the configuration file.
    """

    def __init__(self, folder: Path, provider_key: PrivateKey, further: str = "") -> None:
        self._folder = folder
        self._provider_key = provider_key
        document = {
            "public-key": provider_key.public_key.to_json(),
            "authentication": "/sign-in",
            "provisioning": "/provision",
        }
        keys_file = folder / "support.json"
        keys_file.write_text(json.dumps(document))
        self.config_file = folder / "browserid.toml"
        self.config_file.write_text(
            f"""
            [store]
            directory = "{folder}/client"
            server_directory = "{folder}/server"
            [authorities."{DOMAIN}"]
            keys_file = "{keys_file}"
            {further}
            """
        )

    def person(
        self, email: str = ALICE, *, key_type: KeyType = "ES256", **claims: object
    ) -> Person:
        """Somebody who can log in from this process.

        :param key_type: of the key. One for RS256 takes a while to make.
        :param claims: further ones of the certificate.
        """
        issuer = email.partition("@")[2]
        return Person(email, self._provider_key, issuer, key_type=key_type, **claims)

    def sign_in(self, email: str = ALICE, *, key_type: KeyType = "ES256", **claims: object) -> None:
        """Put somebody's key and certificate where the sample client looks for them."""
        person = self.person(email, key_type=key_type, **claims)
        path = self._folder / "client" / CLIENT_DATABASE
        identities = store.open_initiator(path, durability="process").identities
        identities.put(
            IdentityRecord(email, person.key.to_pem(), person.certificate, person.expires)
        )
        # Told to programs whose home is this realm's folder.
        presence.tell(
            identities, path, self._folder / ".local" / "share" / "browserid" / presence.FOLDER
        )

    def client(self, person: Person | None = None, host: str = HOST) -> Client:
        """A client in this process, without tickets from earlier logins."""
        own = config.load(self.config_file).with_options({"backend": "memory"}, section="store")
        return Client(own, SERVICE, host, credentials=person or self.person())

    def run_client(
        self, *arguments: str, port: int, host: str = HOST, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Run the sample client to its end."""
        return run_program(
            "sample_client.py",
            ("--config", str(self.config_file), "-p", str(port), *arguments, host),
            timeout=timeout,
        )

    @contextmanager
    def server(
        self, *arguments: str, address: str = "127.0.0.1", launcher: Sequence[str] = ()
    ) -> Iterator[RunningServer]:
        """Run the sample server; at the end it is stopped if the test did not.

        :param launcher: a command that runs the command it is given.
        """
        command = ("--config", str(self.config_file), "-p", "0", "--listen", address, "-h", HOST)
        with RunningServer((*command, *arguments), launcher) as server:
            yield server


def run_program(
    name: str, arguments: Sequence[str], *, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run one of the programs of the top folder to its end."""
    return subprocess.run(
        [sys.executable, ROOT / name, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class RunningServer:
    """A sample server in a process of its own."""

    def __init__(self, arguments: Sequence[str], launcher: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*launcher, sys.executable, ROOT / "sample_server.py", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out = Lines(self._process.stdout)
        self.err = Lines(self._process.stderr)

    @property
    def port(self) -> int:
        """The port of the first address it listens on."""
        return next(iter(self.addresses().values()))

    def addresses(self, count: int = 1) -> dict[str, int]:
        """Ports by address, once it listens on so many."""
        self.err.wait_for(r"listening on .*", count)
        found = re.findall(r"^listening on (\S+) port (\d+)$", str(self.err), re.MULTILINE)
        return {address: int(port) for address, port in found}

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; the exit status."""
        status = self._process.wait(timeout)
        self.out.wait_for_end()
        self.err.wait_for_end()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.out.wait_for_end()
        self.err.wait_for_end()
        if error is not None:
            error.add_note(f"server said:\n{self.out}\nserver complained:\n{self.err}")


class Lines:
    """What a process writes to one stream, collected as it comes."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self._stream = stream
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()

    def wait_for(self, pattern: str, count: int = 1, timeout: float = PATIENCE) -> str:
        """Wait until so many lines match a regular expression; all lines until then."""
        with self._news:
            found = self._news.wait_for(
                lambda: (
                    sum(bool(re.fullmatch(pattern, line[:-1])) for line in self._lines) >= count
                ),
                timeout,
            )
        assert found, f"{pattern!r} did not come, this did:\n{self}"
        return str(self)

    def wait_for_end(self) -> None:
        self._thread.join(PATIENCE)

    def __str__(self) -> str:
        return "".join(self._lines)


class Wire:
    """A client's end of the wire, for tests that say what goes over it octet by octet."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((address, port), PATIENCE)
        self._frames = FrameReader()

    def send(self, *strings: bytes) -> None:
        self.socket.sendall(b"".join(map(encode_string, strings)))

    def string(self) -> bytes:
        return self._receive(FrameReader.read_string)

    def reply(self) -> tuple[Reply, bytes]:
        return self._receive(FrameReader.read_reply)

    def _receive(self, read: Callable[[FrameReader], T | None]) -> T:
        while (item := read(self._frames)) is None:
            self._frames.feed(self.socket.recv(65536))
        return item

    def log_in(self, mechanism: ClientMechanism) -> Reply:
        """Hold a whole exchange after the mechanism list was read; the verdict."""
        self.send(mechanism.name.encode(), b"Y", mechanism.step(None))
        while True:
            reply, challenge = self.reply()
            if reply is not Reply.CONTINUE:
                return reply
            self.send(mechanism.step(challenge))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@contextmanager
def scripted_server(*answers: bytes) -> Iterator[int]:
    """A server for one client that sends the first answer at once and the others when the
    client has sent something, and then closes; the port it listens on."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            for number, answer in enumerate(answers):
                if number:
                    connection.recv(65536)
                connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
