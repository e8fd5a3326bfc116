"""Somebody with an account, a machine with programs and an agent, and perhaps a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.agent import Person
from tests.support.configured import toml
from tests.support.household import Household, program
from tests.support.patience import PATIENCE, wait_until
from tests.support.provider import DOMAIN
from tests.support.sample_programs import HOST, ROOT, Lines, RunningServer


class Resident(Person):
    """A person whose programs know the provider of a household.

    :param folder: an empty one, for their home.
    :param provider: of their domain.
    :param options: of their configuration, by section and name.
    """

    def __init__(
        self, folder: Path, provider: Household, options: Mapping[str, object] | None = None
    ) -> None:
        usual: dict[str, object] = {
            f'authorities."{DOMAIN}".url': provider.url,
            f'authorities."{DOMAIN}".ca_file': str(provider.authority.file),
            "store.directory": str(folder / "store"),
        }
        super().__init__(folder, toml(usual | dict(options or {})))
        self.provider = provider

    @property
    def variables(self) -> dict[str, str]:
        """Their programs' environment, in which the provider has its name."""
        return super().variables | self.provider.surroundings.variables

    def login(self, email: str, *options: str) -> LoginCommand:
        """Begin to sign in from a shell."""
        return LoginCommand(self, ("login", *options, email))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `browserid` to its end."""
        return self._run(program("browserid"), *arguments)

    def log_in(self, server: RunningServer, *options: str) -> subprocess.CompletedProcess[str]:
        """Log in to a sample server with the sample client."""
        client = (sys.executable, str(ROOT / "sample_client.py"))
        return self._run(*client, "-p", str(server.port), *options, HOST)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )


class LoginCommand:
    """`browserid login`, which waits for its person.

    :param resident: whose it is.
    """

    def __init__(self, resident: Resident, arguments: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            (program("browserid"), *arguments),
            env=resident.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = Lines(self._process.stdout), Lines(self._process.stderr)

    @property
    def link(self) -> str:
        """The page that it shows."""
        return self._said(r"^  (https://\S+)$")

    @property
    def code(self) -> str:
        """The code that it shows."""
        return self._said(r"^The code is  (\S+) ")

    def _said(self, pattern: str) -> str:
        def find() -> re.Match[str] | None:
            return re.search(pattern, str(self.err), re.MULTILINE)

        wait_until(lambda: find() or self._process.poll() is not None, pattern)
        found = find()
        assert found, str(self.err)
        return found[1]

    def finish(self) -> int:
        """Wait for its end; the exit status."""
        status = self._process.wait(PATIENCE)
        self.out.wait_for_end()
        self.err.wait_for_end()
        return status

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A program that one speaks to by its standard streams, until the end of the block."""
    process = subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def sample_server(folder: Path, provider: Household) -> Iterator[RunningServer]:
    """A server that admits the people of a household's domain, and lives in its time.

    Who has signed out or was revoked is refused within a minute.

    :param folder: for its configuration and stores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.toml"
    options = {
        f'authorities."{DOMAIN}".url': provider.url,
        f'authorities."{DOMAIN}".ca_file': str(provider.authority.file),
        "store.server_directory": str(folder / "server"),
        "server.allow": [DOMAIN],
        "server.revocations": "required",
    }
    config.write_text(toml(options))
    arguments = ("--config", str(config), "-p", "0", "--listen", "127.0.0.1", "-h", HOST)
    surroundings = (f"{name}={value}" for name, value in provider.surroundings.variables.items())
    with RunningServer(arguments, ("env", *surroundings)) as server:
        yield server
