"""Two domains in one provider, one of which points to it, each with its own backend, to a login."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.cli import main
from tests.support import directory as support
from tests.support.directory import Directory, Person
from tests.support.domains import AT, ONE, TWO, Domains
from tests.support.https import answer, scripted_server
from tests.support.patience import PATIENCE
from tests.support.provider import PASSWORD
from tests.support.sample_programs import HOST, RunningServer, run_program

ALICE = f"alice@{ONE}"


@dataclass(frozen=True)
class Site:
    """People's programs, and a server that lets in those of both domains.

    :param home: of the people.
    :param lena: whom the directory of `TWO` knows.
    """

    home: Path
    domains: Domains
    lena: Person

    @property
    def file(self) -> Path:
        return self.home / "browserid.toml"

    def sign_in(self, email: str, password: str) -> subprocess.CompletedProcess[str]:
        """As somebody does who types a password."""
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        program = str(Path(sys.executable).with_name("browserid"))
        return subprocess.run(
            [program, "login", email, "--config", str(self.file), "--password-file", str(secret)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=os.environ | {"HOME": str(self.home)},
        )

    def log_in(self, email: str, port: int) -> subprocess.CompletedProcess[str]:
        """Log in to the server."""
        arguments = ("--config", str(self.file), "-p", str(port), "--identity", email, HOST)
        return run_program("sample_client.py", arguments)


@pytest.fixture
def site(tmp_path: Path, directory: Directory, person: Person) -> Iterator[Site]:
    lena = directory.add(Person(person.uid, f"{person.uid}@{TWO}"))
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(f"{support.SERVICE_PASSWORD}\n")
    of_two = [
        *(f'authority = "{AT}"', 'backends = ["staff"]', "", '[ldap."staff"]'),
        *(f'servers = ["{directory.ldaps}"]', f'ca_file = "{directory.ca_file}"'),
        *(f'bind_dn = "{support.SERVICE}"', 'bind_password_file = "secret"'),
        f'base = "{support.PEOPLE}"',
    ]
    domains = Domains(tmp_path, {TWO: of_two}, at_addresses=True)
    document = tmp_path / "two.json"
    command = ["delegation", "--config", str(domains.file), "--domain", TWO]
    assert main([*command, "--file", str(document)]) == 0
    certificate = domains.authority.ca.issue_cert("localhost")
    published = answer(document.read_bytes())
    with domains.served(), scripted_server(certificate, published) as delegating:
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        site = Site(home, domains, lena)
        site.file.write_text(
            f'[server]\nallow = ["{ONE}", "{TWO}"]\n'
            f'[store]\ndirectory = "{home}/client"\nserver_directory = "{home}/server"\n'
            f"{domains.authorities(delegating.port)}"
        )
        yield site


def test_people_of_both_log_in_with_what_their_own_domain_says(site: Site) -> None:
    arguments = ("--config", str(site.file), "-p", "0", "--listen", "127.0.0.1", "-h", HOST)
    lena = site.lena.mail
    with RunningServer(arguments) as server:
        # Neither is known by what the other's domain asks.
        assert site.sign_in(lena, PASSWORD).returncode == os.EX_NOPERM
        assert site.sign_in(ALICE, site.lena.password).returncode == os.EX_NOPERM
        for email, password, issuer in (
            (ALICE, PASSWORD, ONE),
            (lena, site.lena.password, AT),
        ):
            signed_in = site.sign_in(email, password)
            assert signed_in.returncode == 0, signed_in.stderr
            logged_in = site.log_in(email, server.port)
            assert logged_in.returncode == 0, logged_in.stderr
            server.out.wait_for(f"successful authentication '{email}'")
            assert issuer_of(site, email) == issuer
    assert lena not in (site.domains.folder(ONE).path / "audit.log").read_text()


def issuer_of(site: Site, email: str) -> str:
    """Who has certified somebody's key, as it is kept."""
    initiator = store.open_initiator(site.home / "client" / CLIENT_DATABASE, durability="process")
    record = initiator.identities.get(email)
    assert record is not None
    return Certificate.parse(record.certificate).issuer
