"""Several domains in one provider that really runs: one process, reached by the hosts' names."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from browserid_sasl.config import Config, load
from browserid_sasl.config.domains import domains_of
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder
from tests.support.browser import Browser, Shown
from tests.support.household import Authority
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.provider import CHEAP_HASHER, PASSWORD

ONE: Final = "one.test"
TWO: Final = "two.test"
AT: Final = "two.login.test"
"""Where programs find the provider of `TWO`, which delegates to it."""


class Domains:
    """A configuration with several domains, each with an account for Alice.

    :param path: of a folder.
    :param sections: the options of further domains, by domain.
    :param options: of [idp], which is for `ONE`.
    :param without: domains that are not made.
    :param at_addresses: whether the pages of `ONE` are at 127.0.0.1 and those of `TWO` at
        localhost, which lead there without a name server.
    """

    def __init__(
        self,
        path: Path,
        sections: Mapping[str, Sequence[str]],
        options: Sequence[str] = (),
        without: Sequence[str] = (),
        *,
        at_addresses: bool = False,
    ) -> None:
        self.path = path
        self.port = free_port() if at_addresses else 0
        if at_addresses:
            options = [*options, f'public_url = "https://127.0.0.1:{self.port}"']
            own = [f'public_url = "https://localhost:{self.port}"', *sections[TWO]]
            sections = {**sections, TWO: own}
        self.file = path / "browserid.toml"
        self.authority = Authority(path / "ca")
        self.status = free_port()
        self._write(sections, options)
        for domain in self.configured:
            if domain not in without:
                self.make(domain)

    @property
    def configured(self) -> dict[str, Config]:
        """What is configured, by domain."""
        return domains_of(load(self.file))

    def make(self, domain: str) -> None:
        """Make a domain's provider, as its administrator does."""
        assert main(["init", "--config", str(self.file), "--domain", domain]) == 0
        accounts = self.folder(domain).open().accounts
        accounts._hasher = CHEAP_HASHER
        assert accounts.add(f"alice@{domain}", PASSWORD, 0)

    def folder(self, domain: str) -> ProviderFolder:
        """A domain's folder."""
        return ProviderFolder(self.configured[domain].idp.directory)

    def authorities(self, delegating: int) -> str:
        """Sections by which programs find the two where their pages are.

        :param delegating: port of localhost where `TWO` has its own document.
        """
        places = {
            ONE: f"https://127.0.0.1:{self.port}",
            AT: f"https://localhost:{self.port}",
            TWO: f"https://localhost:{delegating}",
        }
        return "".join(
            f'[authorities."{domain}"]\nurl = "{url}"\nca_file = "{self.authority.file}"\n'
            for domain, url in places.items()
        )

    @contextmanager
    def served(self) -> Iterator[Served]:
        """Run the provider until the block ends."""
        program = str(Path(sys.executable).with_name("browserid-idp"))
        command = [program, "serve", "--config", str(self.file)]
        with (
            (self.path / "log").open("w") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith("serving "), (self.path / "log").read_text()
                port = int(line.rpartition(":")[2])
                yield Served(port, self.status, self.authority.file, line)
            finally:
                process.terminate()

    def _write(self, sections: Mapping[str, Sequence[str]], options: Sequence[str]) -> None:
        hosts = [ONE, *sections, AT, "127.0.0.1", "localhost"]
        chain, key = self.authority.certificate(*hosts)
        lines = [
            *("[idp]", f'domain = "{ONE}"', 'directory = "idp"', f"port = {self.port}"),
            *(f'tls_certificate = "{chain}"', f'tls_key = "{key}"'),
            *(f"status_port = {self.status}", *options),
        ]
        for domain, own in sections.items():
            lines += ["", f'[domain."{domain}"]', *own]
        self.file.write_text("\n".join([*lines, ""]))


@dataclass(frozen=True)
class Served:
    """A provider of several domains that runs.

    :param port: of its server.
    :param status: port for monitoring.
    :param ca_file: what to believe its server by.
    :param line: what it has said.
    """

    port: int
    status: int
    ca_file: Path
    line: str

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def get(self, host: str, path: str, **headers: str) -> requests.Response:
        """Ask for a path at a host."""
        return requests.get(
            self.url + path,
            headers={"Host": host} | headers,
            verify=str(self.ca_file),
            timeout=PATIENCE,
            allow_redirects=False,
        )

    def post(self, host: str, path: str, **members: Any) -> requests.Response:
        """Send a JSON document to a path at a host."""
        return requests.post(
            self.url + path,
            json=members,
            headers={"Host": host},
            verify=str(self.ca_file),
            timeout=PATIENCE,
        )

    def document(self, host: str) -> requests.Response:
        """What programs ask for first."""
        return self.get(host, "/.well-known/browserid")

    def browser(self, host: str) -> Browser:
        """A browser that takes the provider for this host."""
        return Browser(self.url, self.ca_file, f"https://{host}", {"Host": host})

    def tells(self, path: str) -> requests.Response:
        """What monitoring is told."""
        return requests.get(f"http://127.0.0.1:{self.status}{path}", timeout=PATIENCE)


def signed_in(served: Served, host: str, domain: str) -> tuple[Browser, Shown]:
    """A browser in which Alice has signed in, and what it shows."""
    browser = served.browser(host)
    page = browser.sign_in(f"alice@{domain}")
    assert page.path == "/browserid/account", page.text
    return browser, page


def now() -> int:
    """Ms."""
    return time.time_ns() // 1_000_000
