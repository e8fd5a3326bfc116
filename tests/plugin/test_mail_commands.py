"""`browserid mail` at a real server: found, added, tried, fetched from, removed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.plugin.test_adapters import Tls, make_tls, with_mailbox
from tests.support.agent import Person
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, ROOT
from tests.support.services import HOST, Imapd, Site, Syslog


class Desk(Person):
    """Alice, who has signed in, and the command `browserid`.

    :param site: whose provider and authority her machine knows.
    """

    def __init__(self, site: Site, tls: Tls) -> None:
        authority = site.folder / "mail-ca.pem"
        tls.authority.cert_pem.write_to_path(str(authority))
        configuration = site.config_file.read_text()
        super().__init__(
            site.folder / "alice", f'{configuration}\n[discovery]\nca_file = "{authority}"\n'
        )
        self._programs = self.folder / "bin"
        self._programs.mkdir()
        program = self._programs / "browserid"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from browserid_sasl.cli.browserid import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)

    def run(self, command: str, status: int = 0, input: bytes = b"") -> str:
        """What a line of shell prints."""
        variables = self.variables
        variables |= {"PATH": f"{self._programs}:{variables['PATH']}", "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["sh", "-c", command],
            env=variables,
            cwd=self.folder,
            input=input,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, (command, done.stdout, done.stderr)
        return done.stdout.decode()


class TestCyrus:
    @pytest.fixture
    def site(self, new_site: Callable[[str], Site]) -> Site:
        return new_site("cyrus")

    @pytest.fixture
    def tls(self, site: Site) -> Tls:
        return make_tls(site)

    @pytest.fixture
    def imapd(self, site: Site, tls: Tls, syslog: Syslog) -> Iterator[Imapd]:
        with Imapd(site, tls=tls.files).running() as imapd:
            with_mailbox(imapd)
            yield imapd

    @pytest.fixture
    def desk(self, site: Site, tls: Tls) -> Iterator[Desk]:
        site.realm.sign_in()
        desk = Desk(site, tls)
        with desk.agent():
            yield desk

    def test_from_an_address_to_fetched_mail(self, desk: Desk, imapd: Imapd) -> None:
        place = f"{HOST}:{imapd.port}/starttls"
        added = json.loads(desk.run(f"browserid mail add --json --imap {place} {ALICE}"))
        [service] = added["services"]
        assert (service["host"], service["port"]) == (HOST, imapd.port)
        assert "logged in" in desk.run("browserid mail test")
        said = desk.run(
            f"browserid mail pipe --as {ALICE} imap {place}",
            input=b"a APPEND INBOX {24+}\r\nSubject: hello\r\n\r\nworld\r\n\r\nb LOGOUT\r\n",
        )
        assert said.startswith("* PREAUTH ")
        assert "a OK " in said
        assert said.splitlines()[-1].startswith("b OK ")
        desk.run(f"browserid mail settings --write isync --to mbsyncrc {ALICE}")
        desk.run(f"mkdir -p Mail/{ALICE}; mbsync -c mbsyncrc -a")
        desk.run("grep -r world Mail")
        listed = json.loads(desk.run("browserid mail list --json"))
        assert listed["accounts"][0]["services"][0]["state"] == "listening"
        desk.run(f"browserid mail remove {ALICE}")
        desk.run("mbsync -c mbsyncrc -a", status=1)
