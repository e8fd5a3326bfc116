"""One machine, on which the guides are followed one after another, and two identity providers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.support.guide import PASSWORD_FILE, Guide
from tests.support.machine import HOME, Machine, machine
from tests.support.sample_programs import ROOT
from tests.support.services import Syslog

HERE = Path(__file__).parent
PEOPLE = {
    "example.org": ("admin", "alice", "bob"),
    "stranger.example": ("eve",),
}
SERVERS = ("mail.example.org", "ldap.example.org", "example.org")
HOSTS = ("localhost", *SERVERS, *PEOPLE)
NAME = "mail.example.org"
OUTSIDE = "198.51.100.7"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for the machine."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Debian's packages have made of a machine, with the project installed.

    As with the plugin's tests, those who may not make one skip these, but never a CI.
    """
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("a machine of one's own needs root")
    changes = tmp_path_factory.mktemp("guides") / "changes.tar"
    with machine(NAME, dict.fromkeys(HOSTS, "127.0.0.1")) as computer:
        issue_certificates(computer)
        configure_as_shipped(computer)
        said = computer.do("make install", network=True, folder=str(ROOT), timeout=400)
        computer.write(f"{HOME}/installed", said)
        computer.write(PASSWORD_FILE, "correct horse battery staple\n", mode=0o600)
        for domain in PEOPLE:
            make_provider(computer, domain)
        computer.write("/etc/browserid/browserid.toml", providers())
        computer.keep(changes)
    return changes


@contextmanager
def new_machine(prepared: Path) -> Iterator[Machine]:
    """A machine that is prepared, on which the identity providers run."""
    with machine(NAME, dict.fromkeys(HOSTS, "127.0.0.1"), prepared) as computer:
        computer.do(f"ip address add {OUTSIDE}/32 dev lo")
        for port, domain in enumerate(PEOPLE, 9443):
            serve(computer, domain, port)
        yield computer


@pytest.fixture(scope="session")
def computer(prepared: Path) -> Iterator[Machine]:
    """The machine of all pages that can be followed beside each other."""
    with new_machine(prepared) as computer:
        yield computer


def issue_certificates(computer: Machine) -> None:
    """Give the servers certificates that every program on the machine believes."""
    authority = trustme.CA()
    root = authority.cert_pem.bytes().decode()
    computer.write("/usr/local/share/ca-certificates/test.crt", root)
    computer.do("update-ca-certificates")
    for name in SERVERS:
        issued = authority.issue_cert(name)
        chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
        computer.write(f"/etc/ssl/certs/{name}.pem", chain)
        key = f"/etc/ssl/private/{name}.key"
        computer.write(key, issued.private_key_pem.bytes().decode(), mode=0o640)
        computer.do(f"chgrp ssl-cert {key}")


def configure_as_shipped(computer: Machine) -> None:
    """Undo what this machine's administrator may have done to the packages' configuration."""
    changed = computer.do("dpkg --verify cyrus-common || true")
    for file in ("/etc/imapd.conf", "/etc/cyrus.conf"):
        assert file not in changed, f"{file} is not as Debian's package brought it"
    computer.do("find /var/lib/cyrus /var/spool/cyrus -type f -delete")
    computer.do("rm -rf /etc/postfix/main.cf /etc/postfix/master.cf /etc/postfix/sasl/*")
    computer.do("rm -rf /etc/browserid /var/lib/browserid")
    computer.do("rm -rf /etc/ldap/slapd.d /etc/ldap/sasl2/* /var/lib/ldap/*")
    computer.write(f"{HOME}/answers", ANSWERS)
    computer.do("debconf-set-selections answers")
    for package in ("cyrus-common", "postfix", "slapd"):
        computer.do(f"dpkg-reconfigure --frontend noninteractive {package}")


ANSWERS = """\
postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string mail.example.org
slapd slapd/no_configuration boolean false
slapd slapd/domain string example.org
slapd shared/organization string example
slapd slapd/password1 password secret
slapd slapd/password2 password secret
"""


def make_provider(computer: Machine, domain: str) -> None:
    """Make the identity provider of a domain, and its accounts."""
    folder = f"{HOME}/{domain}"
    computer.do(f"browserid-idp init --directory {folder} --domain {domain} --local-tls")
    for name in PEOPLE[domain]:
        account = f"--directory {folder} {name}@{domain} --password-file {PASSWORD_FILE}"
        computer.do(f"browserid-idp add-user {account}")
    ca_file = f"/etc/browserid/{domain}.pem"
    computer.do(f"install -D -m 644 {folder}/tls/ca.pem {ca_file}")


def serve(computer: Machine, domain: str, port: int) -> None:
    """Run the identity provider of a domain."""
    folder = f"{HOME}/{domain}"
    command = f"browserid-idp serve --directory {folder} --port {port}"
    computer.do(f"setsid {command} >{folder}/said 2>&1 </dev/null &")
    computer.wait_for_port(port)


def providers() -> str:
    """Where the identity providers are, for any configuration file."""
    sections = (
        f"""
[authorities."{domain}"]
url = "https://localhost:{port}"
ca_file = "/etc/browserid/{domain}.pem"
"""
        for port, domain in enumerate(PEOPLE, 9443)
    )
    return "".join(sections)


@pytest.fixture(scope="session")
def log(computer: Machine) -> Iterator[Syslog]:
    """What the services log."""
    syslog = Syslog(str(computer.path("/dev/log")))
    yield syslog
    syslog.close()


def follow(computer: Machine, page: str, title: str = "") -> Guide:
    """A page, with everything on it done by somebody who had not signed in before."""
    for address in computer.do("browserid list").split():
        if "@" in address:
            computer.do(f"browserid logout {address}")
    guide = Guide(computer, ROOT / "docs" / page, title)
    guide.follow({"python": f"{ROOT}/.venv/bin/python"})
    return guide


@pytest.fixture(scope="session")
def acceptor(computer: Machine) -> Guide:
    """The first section of docs/acceptor.md, on which the other pages build."""
    return follow(computer, "acceptor.md", "Start")


@pytest.fixture(scope="session")
def cyrus_imapd(computer: Machine, acceptor: Guide, log: Syslog) -> Guide:
    """docs/cyrus-imapd.md."""
    return follow(computer, "cyrus-imapd.md")


@pytest.fixture(scope="session")
def postfix(computer: Machine, acceptor: Guide, log: Syslog) -> Guide:
    """docs/postfix.md."""
    return follow(computer, "postfix.md")


@pytest.fixture(scope="session")
def openldap(computer: Machine, acceptor: Guide, log: Syslog) -> Guide:
    """docs/openldap.md."""
    return follow(computer, "openldap.md")


@pytest.fixture(scope="session")
def mail_clients(computer: Machine, cyrus_imapd: Guide, postfix: Guide) -> Guide:
    """docs/mail-clients.md, with the servers of two other pages."""
    return follow(computer, "mail-clients.md")
