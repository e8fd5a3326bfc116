"""Hosts that serve one domain: each a folder, a configuration and a process with an address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN, PASSWORD

_KEY = PrivateKey.generate("ES256").public_key


@dataclass(frozen=True)
class Worker:
    """A process that serves.

    :param url: where.
    :param anchor: what to believe it by.
    :param process: it.
    """

    url: str
    anchor: Path
    process: subprocess.Popen[str]

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a path."""
        return requests.get(
            self.url + path, headers=headers, verify=str(self.anchor), timeout=PATIENCE
        )

    def post(self, path: str, content: object, client: str = "192.0.2.1") -> requests.Response:
        """Send JSON to a path, as a proxy does for a client."""
        headers = {"X-Forwarded-For": client}
        return requests.post(
            self.url + path,
            json=content,
            headers=headers,
            verify=str(self.anchor),
            timeout=PATIENCE,
        )

    def sign_in(
        self,
        password: str = PASSWORD,
        email: str = ALICE,
        key: PublicKey = _KEY,
        client: str = "192.0.2.1",
    ) -> requests.Response:
        """Ask for a certificate."""
        asked = {"email": email, "password": password, "public-key": key.to_json()}
        return self.post("/certify", asked, client)

    def keys(self) -> list[Any]:
        """What the support document has."""
        document = self.get("/.well-known/browserid").json()
        return list(document.get("keys", [document["public-key"]]))


class Hosts:
    """Hosts with one database.

    :param folder: for theirs.
    :param uri: of the database.
    :param key_file: what signing keys are encrypted with there.
    """

    def __init__(self, folder: Path, uri: str, key_file: Path) -> None:
        self._folder = folder
        self._sharing = Sharing(uri, key_file)
        self.uri, self._key_file = uri, key_file
        authority = trustme.CA()
        self._anchor, self._server = folder / "ca.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self._anchor))
        issued = authority.issue_cert("127.0.0.1", "127.0.0.2", DOMAIN)
        issued.private_key_and_cert_chain_pem.write_to_path(str(self._server))
        self._server.chmod(0o600)

    def set_up(self, number: int, *options: str) -> Path:
        """Make a host; returns its configuration."""
        file = self._folder / f"host-{number}.toml"
        lines = [
            "[idp]",
            f'domain = "{DOMAIN}"',
            f'directory = "host-{number}"',
            f'listen = "127.0.0.{number}"',
            "port = 0",
            f'database = "{self.uri}"',
            f'key_encryption_file = "{self._key_file}"',
            f'tls_certificate = "{self._server}"',
            f'tls_key = "{self._server}"',
            'proxies = ["127.0.0.0/8"]',
            *options,
        ]
        file.write_text("\n".join([*lines, ""]))
        assert main(["init", "--config", str(file)]) == 0
        return file

    def open(self, number: int = 1) -> ProviderFolder:
        """What a host has."""
        return ProviderFolder(self._folder / f"host-{number}", self._sharing)

    def add_alice(self) -> None:
        """Make an account whose password costs nothing to compare."""
        database = Database(self.uri)
        Accounts(database, DOMAIN, hasher=CHEAP_HASHER).add(ALICE, PASSWORD, 1)
        database.close()

    @contextmanager
    def serving(self, number: int, *options: str) -> Iterator[Worker]:
        """Run a host that was set up."""
        file = self._folder / f"host-{number}.toml"
        command = [
            str(Path(sys.executable).with_name("browserid-idp")),
            *("serve", "--config", str(file), *options),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith("serving "), line
                yield Worker(line.split()[-1], self._anchor, process)
            finally:
                process.terminate()

    @contextmanager
    def two(self, *options: str) -> Iterator[Sequence[Worker]]:
        """Two hosts that serve, with Alice's account."""
        for number in (1, 2):
            self.set_up(number, *options)
        self.add_alice()
        with self.serving(1) as first, self.serving(2) as second:
            yield first, second
