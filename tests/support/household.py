"""A domain whose provider is a process that browsers reach by its name, and people's programs.

Names and the time are the processes' own: libnss_wrapper gives them a table of hosts, and
libfaketime a clock that the test sets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trustme
from argon2 import PasswordHasher

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.folder import Provider, ProviderFolder
from tests.support.configured import toml
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.provider import CHEAP_HASHER, DOMAIN, PASSWORD
from tests.support.sample_programs import Lines

NAMES: Final = "/usr/lib/x86_64-linux-gnu/libnss_wrapper.so"
CLOCK: Final = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@dataclass
class Authority:
    """A certificate authority, and its certificate in a file.

    :param folder: for that.
    """

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def certificate(self, *names: str) -> tuple[Path, Path]:
        """Files of a certificate for names, and of its key."""
        issued = self.ca.issue_cert(*names)
        # Of the names together: a server that runs reads its files again when they change.
        name = "+".join(names)
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(str(key))
        return chain, key


class Surroundings:
    """Names and the time, as processes see them that are given `variables`.

    :param folder: for the files of both.
    """

    def __init__(self, folder: Path) -> None:
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost {DOMAIN}\n")
        self._clock = folder / "clock"
        self.move_clock(0)

    def move_clock(self, seconds: int) -> None:
        """Have the clock be so far ahead from now on."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"+{seconds}\n")
        os.replace(new, self._clock)

    @property
    def variables(self) -> dict[str, str]:
        """What makes a process see them."""
        return {
            "LD_PRELOAD": f"{NAMES} {CLOCK}",
            "NSS_WRAPPER_HOSTS": str(self._hosts),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
        }


class Household:
    """A domain and its people.

    :param folder: an empty one.
    :param authority: of its web server's certificate.
    :param options: of `[idp]`.
    :param others: options of other sections, by their whole names.
    :param before: a command that runs the provider on another system.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        options: Mapping[str, object] | None = None,
        others: Mapping[str, object] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.before = before
        self.folder = folder
        self.authority = authority
        self.port = free_port()
        self.url = f"https://{DOMAIN}:{self.port}"
        self.surroundings = Surroundings(folder)
        self.config_file = folder / "idp.toml"
        chain, key = authority.certificate(DOMAIN, "localhost")
        usual: dict[str, object] = {
            "domain": DOMAIN,
            "directory": str(folder / "idp"),
            "public_url": self.url,
            "port": self.port,
            "tls_certificate": str(chain),
            "tls_key": str(key),
            # Each window says which network it is in, so that none is limited for another.
            "proxies": ["127.0.0.1"],
        }
        settings = usual | dict(options or {})
        named = {f"idp.{name}": each for name, each in settings.items()}
        self.config_file.write_text(toml(named | dict(others or {})))
        self.command("init")
        self._process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str, keyboard: str = "") -> str:
        """Have the administrator run `browserid-idp`; what it says."""
        name, *rest = arguments
        done = subprocess.run(
            [program("browserid-idp"), name, "--config", str(self.config_file), *rest],
            input=keyboard,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=os.environ | self.surroundings.variables,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """Start the provider, and wait until it serves."""
        self._process = process = subprocess.Popen(
            [*self.before, program("browserid-idp"), "serve", "--config", str(self.config_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | self.surroundings.variables,
        )
        out, self.err = Lines(process.stdout), Lines(process.stderr)
        wait_until(lambda: "serving" in str(out) or process.poll() is not None, "the start")
        assert process.poll() is None, str(self.err)

    @property
    def local_url(self) -> str:
        """Its URL for those who cannot resolve its name."""
        return f"https://localhost:{self.port}"

    def kill(self) -> None:
        """Have the provider end at once, wherever it is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the provider."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        self._process.kill()
        self._process.wait()
        self._process = None

    def open(self) -> Provider:
        """The provider's parts, for what administrators do that takes no command in a test."""
        return ProviderFolder(self.folder / "idp").open()

    def add(self, email: str, password: str = PASSWORD) -> str:
        """Make an account whose password is checked in no time; its address."""
        with self._database() as database:
            accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
            assert accounts.add(email, password, time.time_ns() // 1_000_000)
        return email

    def add_many(self, emails: Sequence[str], hasher: PasswordHasher) -> None:
        """Make accounts that share one password, and its hash, which takes a while to make."""
        with self._database() as database:
            now, hashed = time.time_ns() // 1_000_000, hasher.hash(PASSWORD)
            with database.transaction() as session:
                session.add_all(
                    Account(email=email, password=hashed, created=now, changed=now)
                    for email in emails
                )

    @contextmanager
    def _database(self) -> Iterator[Database]:
        database = Database(self.folder / "idp" / "provider.sqlite")
        try:
            yield database
        finally:
            database.close()

    def audit_log(self) -> str:
        """What the audit log has."""
        return (self.folder / "idp" / "audit.log").read_text()

    def changes(self) -> list[str]:
        """Its lines about what was done, and not refused."""
        lines = self.audit_log().splitlines()
        return [line for line in lines if '"event":"refused"' not in line]


def program(name: str) -> str:
    """A command of the package, as it is installed beside this interpreter."""
    return str(Path(sys.executable).with_name(name))
