"""docs/packages.md, followed in a fresh Debian 12 with its own systemd: `make deb-trial` runs this.

One machine goes through it all: installed, logged in by Cyrus imapd, upgraded while people log in,
logged in by Dovecot, removed, purged.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import trustme

from tests.support import gss
from tests.support.debian12 import PACKAGES, base, debian12
from tests.support.guide import PASSWORD_FILE, Block, blocks_of
from tests.support.machine import Machine
from tests.support.patience import wait_until
from tests.support.sample_programs import ROOT

BUILT = Path(os.environ.get("DEB", ROOT / "build" / "deb"))
PAGE = ROOT / "docs" / "packages.md"
HOSTS = "127.0.0.1 localhost\n127.0.0.2 mail.example.org\n127.0.0.3 example.org\n"
TOML = "/etc/browserid/browserid.toml"
CLOSED = '\n[discovery]\nprivate_hosts = ["example.org"]\n'
"""What the machine's configuration needs since no address here is a public one."""

SETS = (
    "cyrus-imapd cyrus-pop3d cyrus-clients libpq5 python3 redis-server postgresql"
    " libgssapi-krb5-2 libsasl2-modules-gssapi-mit sasl2-bin",
    "dovecot-imapd python3",
    "python3-ldap slapd dbus-user-session",
    "python3-gssapi krb5-kdc krb5-admin-server krb5-user curl",
    "fail2ban apparmor",
)
INSTALLED = (
    f"$(for each in {PACKAGES}/next/*.deb; do name=${{each##*/}};"
    ' ! dpkg-query -s "${name%%_*}" >/dev/null 2>&1 || echo "$each"; done)'
)
"""The newer files of the packages that a machine has."""

ENOUGH = 1000
"""Logins during upgrades."""

IMTEST = "imtest -m BROWSERID-AES128 -a alice@example.org mail.example.org"
ORIGIN = "https://example.org/browserid"
STATE = ("/var/lib/browserid", "/var/lib/browserid-idp", "/var/lib/browserid-verifier")
PURGED = ("/etc/browserid", "/usr/lib/browserid", "/run/browserid", *STATE)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they are built, and in `next` the same with a higher version."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "next").mkdir()
    for built in BUILT.glob("*.deb"):
        if "dbgsym" not in built.name:
            (folder / built.name).write_bytes(built.read_bytes())
            raise_version(built, folder / "next")
    return folder


def raise_version(package: Path, folder: Path) -> None:
    """Pack a package again, as one of a higher version."""
    name, version, architecture = package.stem.split("_")
    tree = folder / name
    subprocess.run(("dpkg-deb", "--raw-extract", package, tree), check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(version, f"{version}+1"))
    target = folder / f"{name}_{version}+1_{architecture}.deb"
    subprocess.run(("dpkg-deb", "-Zgzip", "-z1", "--build", tree, target), check=True)


@pytest.fixture(scope="module")
def computer(packages: Path) -> Iterator[Machine]:
    with debian12(base(SETS), packages) as computer:
        computer.write("/etc/hosts", HOSTS)
        authority = trustme.CA()
        root = authority.cert_pem.bytes().decode()
        computer.write("/usr/local/share/ca-certificates/test.crt", root)
        computer.do("update-ca-certificates")
        issued = authority.issue_cert("example.org")
        chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
        computer.write("/etc/ssl/certs/example.org.pem", chain)
        key = issued.private_key_pem.bytes().decode()
        computer.write("/etc/ssl/private/example.org.key", key, mode=0o640)
        computer.do("chmod 711 /etc/ssl/private")
        computer.do("useradd --create-home alice && loginctl enable-linger alice")
        computer.write(PASSWORD_FILE, "correct horse battery staple\n", mode=0o600)
        yield computer


def blocks(title: str) -> list[Block]:
    """The blocks of a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [block for block in blocks_of(PAGE) if block.text in text]


def follow(computer: Machine, title: str) -> str:
    """Do what a section of the page says; what its last command said."""
    said = ""
    for block in blocks(title):
        if block.file:
            file = computer.path(block.file)
            before = file.read_text() if file.exists() else ""
            computer.write(block.file, before + block.text)
        else:
            for command in block.text.splitlines():
                said = do(computer, command)
    return said


def do(computer: Machine, command: str) -> str:
    """Do what a line of the page says: what people do, as alice, and the rest as root."""
    if command.startswith(("browserid login", "imtest")):
        said = as_alice(computer, command)
        assert said.startswith("signed in as") or not command.startswith("browserid"), said
        return said
    if command.startswith("browserid-idp add-user"):
        command += f" --password-file {PASSWORD_FILE}"
    return computer.do(command, folder=PACKAGES, timeout=600)


def as_alice(computer: Machine, command: str) -> str:
    """What a command of hers prints, with the agent that her systemd starts."""
    if command.startswith("browserid login"):
        computer.do(f"install -o alice -m 600 {PASSWORD_FILE} /home/alice/password")
        command += " --password-file /home/alice/password"
    return computer.run(f"{ALICES} {command} </dev/null", folder="/").stdout


ALICES = (
    "env XDG_RUNTIME_DIR=/run/user/$(id -u alice) HOME=/home/alice PATH=$PATH:/usr/lib/cyrus/bin"
    " setpriv --reuid=alice --regid=alice --init-groups"
)
"""What makes a command alice's."""


def is_active(computer: Machine, unit: str) -> bool:
    return computer.run(f"systemctl is-active {unit}").stdout == "active\n"


def account_of(computer: Machine, unit: str) -> str:
    """Who the first process of a service runs as."""
    return computer.do(
        f"ps -o user:32= -p $(systemctl show --property MainPID --value {unit})"
    ).strip()


def journal(computer: Machine, unit: str) -> str:
    return computer.do(f"journalctl --no-pager --boot --unit {unit}")


def test_the_identity_provider_serves_and_is_its_account(computer: Machine) -> None:
    follow(computer, "An identity provider")
    computer.wait_for_port(443)
    assert account_of(computer, "browserid-idp") == "browserid-idp"
    assert computer.do("stat -c '%U %a' /var/lib/browserid-idp") == "browserid-idp 700\n"


def test_nobody_may_log_in_before_somebody_says_who(computer: Machine) -> None:
    [install] = re.findall(r"^apt install .*acceptor.*$", PAGE.read_text(), re.MULTILINE)
    do(computer, install)
    computer.wait_for("systemctl is-active browserid-acceptor")
    said = computer.do("grep -c '^allow' /etc/browserid/browserid.toml || true")
    assert said == "0\n"


def test_a_login_at_imapd_by_the_packaged_plugin(computer: Machine) -> None:
    computer.write(TOML, computer.path(TOML).read_text() + CLOSED)
    follow(computer, "A server")
    computer.wait_for_port(143)
    # Who logs in to the machine now has the agent's socket.
    computer.do("systemctl restart user@$(id -u alice)")
    said = follow(computer, "A person")
    assert "Authenticated." in said, said + journal(computer, "browserid-acceptor")
    assert "user=<alice@example.org>" in journal(computer, "browserid-acceptor")


def test_the_acceptor_has_none_of_roots_rights(computer: Machine) -> None:
    assert account_of(computer, "browserid-acceptor") == "browserid"
    status = computer.do("for pid in $(pgrep -u browserid); do cat /proc/$pid/status; done")
    found = re.findall(r"^Cap(?:Prm|Eff|Amb):\s*(\S+)$", status, re.MULTILINE)
    assert len(found) >= 6 and set(found) == {"0" * 16}
    assert computer.do("stat -c '%U %a' /run/browserid/imap") == "cyrus 600\n"


def test_the_agent_is_her_systemds(computer: Machine) -> None:
    unit = "browserid-agent.service"
    said = as_alice(computer, f"systemctl --user show --property ActiveState {unit}")
    assert said == "ActiveState=active\n"


@contextmanager
def asking(computer: Machine, backend: str, sections: str) -> Iterator[None]:
    """Have the identity provider ask a backend, until the end of a block."""
    before = computer.path(TOML).read_text()
    named = f'[idp]\nbackends = ["accounts", "{backend}"]'
    computer.write(TOML, before.replace("[idp]", named) + sections)
    try:
        yield
    finally:
        computer.write(TOML, before)
        computer.do("systemctl restart browserid-idp")


def sign_in_as(computer: Machine, name: str) -> None:
    """Somebody signs in at the identity provider, which is started again for it."""
    computer.do("systemctl restart browserid-idp")
    computer.wait_for_port(443)
    said = as_alice(computer, f"browserid login {name}@example.org")
    found = as_alice(computer, "browserid list")
    assert f"{name}@example.org" in found, said + journal(computer, "browserid-idp")


def test_what_a_configuration_needs_is_a_package(computer: Machine) -> None:
    secret = "/var/lib/browserid-idp/ldap-password"
    computer.write(secret, "of the provider\n", mode=0o600)
    computer.do(f"chown browserid-idp: {secret}")
    with asking(computer, "staff", STAFF):
        done = computer.run("runuser -u browserid-idp -- browserid-idp serve --port 0")
    assert done.returncode == os.EX_CONFIG, done.stdout
    assert "install the Debian package browserid-ldap, of the same version" in done.stdout


def test_a_person_whom_a_directory_knows(computer: Machine) -> None:
    follow(computer, "A directory of people")
    computer.do("apt install slapd && systemctl stop slapd && mkdir /srv/slapd", timeout=600)
    computer.write("/srv/slapd.conf", SLAPD)
    computer.write("/srv/people.ldif", PEOPLE)
    computer.do("slapadd -f /srv/slapd.conf -l /srv/people.ldif")
    computer.do("slapd -f /srv/slapd.conf -h ldaps://example.org")
    with asking(computer, "staff", STAFF):
        sign_in_as(computer, "carol")


def test_a_person_whom_the_host_knows(computer: Machine) -> None:
    computer.write(
        "/etc/pam.d/browserid-idp", "auth required pam_unix.so\naccount required pam_unix.so\n"
    )
    computer.do(f"useradd dora && echo dora:$(cat {PASSWORD_FILE}) | chpasswd")
    follow(computer, "Accounts of the host")
    with asking(computer, "desks", '\n[pam."desks"]\n'):
        sign_in_as(computer, "dora")


def test_a_person_with_a_ticket_of_kerberos(computer: Machine) -> None:
    follow(computer, "Tickets of Kerberos")
    computer.do("apt install krb5-kdc krb5-admin-server krb5-user curl")
    computer.write("/etc/krb5.conf", KRB5)
    computer.write("/etc/krb5kdc/kdc.conf", "")
    computer.do("kdb5_util create -s -r EXAMPLE.ORG -P master && systemctl restart krb5-kdc")
    keytab = "/var/lib/browserid-idp/http.keytab"
    for asked in (
        "addprinc -randkey HTTP/example.org",
        f"ktadd -k {keytab} HTTP/example.org",
        "addprinc -pw at-the-desk erin",
    ):
        computer.do(f'kadmin.local -r EXAMPLE.ORG -q "{asked}"')
    computer.do(f"chown browserid-idp: {keytab}")
    computer.do("kinit erin@EXAMPLE.ORG <<<at-the-desk")
    with asking(computer, "desks", DESKS):
        computer.do("systemctl restart browserid-idp")
        computer.wait_for_port(443)
        page = computer.do(f"{CURL} {ORIGIN}/sign-in")
        [secret] = set(re.findall(r'name="csrf" value="([^"]+)"', page))
        button = f"{CURL} --negotiate --user : --data csrf={secret} {ORIGIN}/known/desks"
        said = computer.do(button) + computer.do(f"{CURL} {ORIGIN}/account")
        assert "erin@example.org" in said, said + journal(computer, "browserid-idp")
    # Which tickets were seen is still known when it is started again.
    assert computer.do("ls /var/lib/browserid-idp/*.rcache2")


CURL = "curl --silent --show-error --cookie-jar jar --cookie jar"
KRB5 = """\
[libdefaults]
default_realm = EXAMPLE.ORG
dns_canonicalize_hostname = false
rdns = false
[realms]
EXAMPLE.ORG = {
  kdc = 127.0.0.1
}
[domain_realm]
example.org = EXAMPLE.ORG
"""
DESKS = """
[kerberos."desks"]
keytab = "/var/lib/browserid-idp/http.keytab"
principal = "HTTP/example.org@EXAMPLE.ORG"
"""


def test_a_button_for_another_provider(computer: Machine) -> None:
    with asking(computer, "company", COMPANY):
        computer.do("systemctl restart browserid-idp")
        computer.wait_for_port(443)
        assert "Sign in with the Company" in opened(computer, "sign-in")
        # It cannot be reached here, which the provider finds out when it asks it.
        assert "HTTP Error 503" in opened(computer, "upstream/company")


COMPANY = """
[oidc."company"]
issuer = "https://login.example.org"
client_id = "browserid"
label = "the Company"
"""


def opened(computer: Machine, page: str) -> str:
    """What the identity provider shows, or what it says of why not."""
    get = f"import urllib.request as web; print(web.urlopen('{ORIGIN}/{page}').read().decode())"
    return computer.run(f'python3 -c "{get}"').stdout


SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile /etc/ssl/certs/example.org.pem
TLSCertificateKeyFile /etc/ssl/private/example.org.key
database mdb
suffix dc=example,dc=org
directory /srv/slapd
rootdn cn=admin,dc=example,dc=org
rootpw "of the provider"
"""
PEOPLE = """\
dn: dc=example,dc=org
objectClass: domain
dc: example

dn: cn=carol,dc=example,dc=org
objectClass: inetOrgPerson
cn: carol
sn: carol
mail: carol@example.org
userPassword: correct horse battery staple
"""
STAFF = """
[ldap."staff"]
servers = ["ldaps://example.org"]
ca_file = "/usr/local/share/ca-certificates/test.crt"
bind_dn = "cn=admin,dc=example,dc=org"
bind_password_file = "/var/lib/browserid-idp/ldap-password"
base = "dc=example,dc=org"
filter = "(mail={address})"
"""


class Logins:
    """alice logs in, again and again, several times at once, until the end of a block."""

    AT_ONCE = 4

    def __init__(self, computer: Machine) -> None:
        self._computer = computer
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._log_in) for _ in range(self.AT_ONCE)]
        self._said: list[str] = []

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self._said)

    @property
    def failed(self) -> list[str]:
        """What was said of those that failed."""
        return [said for said in self._said if "Authenticated." not in said]

    def _log_in(self) -> None:
        while not self._enough.is_set():
            self._said.append(as_alice(self._computer, IMTEST))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def test_no_login_fails_while_the_packages_are_upgraded(computer: Machine) -> None:
    imapd = computer.do("systemctl show --property MainPID --value cyrus-imapd")
    before = computer.do("systemctl show --property MainPID --value browserid-acceptor")
    [upgrade] = [block.text for block in blocks("Upgrade")]
    with Logins(computer) as logins:
        wait_until(lambda: logins.count > 2, "logins before")
        computer.do(upgrade, folder=f"{PACKAGES}/next", timeout=600)
        rounds = 1
        # Once more and once more: everything is unpacked and started again each time.
        while logins.count < ENOUGH:
            computer.do(f"apt install --reinstall {INSTALLED}", timeout=600)
            rounds += 1
        mark = logins.count
        wait_until(lambda: logins.count > mark + 5, "logins after")
    print(f"{logins.count} logins during {rounds} upgrades, {len(logins.failed)} failed")
    assert not logins.failed, logins.failed[0] + journal(computer, "browserid-acceptor")
    for unit in ("browserid-acceptor", "browserid-idp"):
        assert is_active(computer, unit)
    assert computer.do("systemctl show --property MainPID --value cyrus-imapd") == imapd
    assert computer.do("systemctl show --property MainPID --value browserid-acceptor") != before
    assert "+1" in computer.do("dpkg-query -W -f '${Version}' browserid-acceptor")


def filters_of(status: str) -> int:
    """How many filters of system calls a process has."""
    [count] = re.findall(r"^Seccomp_filters:\s*(\d+)$", status, re.MULTILINE)
    return int(count)


def systemds(computer: Machine, person: str) -> str:
    """The status of a person's own systemd."""
    return computer.do(f"cat /proc/$(pgrep -u {person} -x systemd)/status")


def test_the_agent_is_shut_in(computer: Machine) -> None:
    """What its unit says holds in her own systemd, which has none of root's rights."""
    unit = "browserid-agent.service"
    pid = as_alice(computer, f"systemctl --user show --property MainPID --value {unit}").strip()
    status = computer.do(f"cat /proc/{pid}/status")
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert filters_of(status) > filters_of(systemds(computer, "alice"))


@pytest.mark.parametrize("person", ["bob", "with-a-bus"])
def test_the_browser_that_the_agent_opens_is_not(computer: Machine, person: str) -> None:
    if person == "with-a-bus":  # as desktops have one
        computer.do("apt install dbus-user-session")
    computer.write("/srv/browser", BROWSER, mode=0o755)
    computer.do(f"useradd --create-home {person} && loginctl enable-linger {person}")
    computer.wait_for(f"test -S /run/user/$(id -u {person})/browserid/agent")
    home = f"/home/{person}"
    computer.write(f"{home}/.config/browserid/browserid.toml", FINDING)
    computer.do(f"install -m 600 {PASSWORD_FILE} {home}/password && chown -R {person}: {home}")
    computer.do(f"browserid-idp add-user {person}@example.org --password-file {PASSWORD_FILE}")
    become = f"setpriv --reuid={person} --regid={person} --init-groups"
    variables = f"DISPLAY=:0 XDG_RUNTIME_DIR=/run/user/$(id -u {person}) HOME={home}"
    does = f"env {variables} {become}"
    computer.do(f"{does} browserid login {person}@example.org --password-file {home}/password")
    # A program asks for somebody else, and the agent opens the page, which nobody answers here.
    asking = f"timeout 40 /usr/lib/cyrus/bin/{IMTEST.replace('alice', 'else')}"
    said = computer.run(f"{does} {asking} </dev/null", folder="/").stdout
    seen = computer.run(f"cat {home}/seen").stdout
    assert "NoNewPrivs:\t0" in seen, (
        said + seen + computer.do(f"journalctl --no-pager _UID=$(id -u {person})")
    )
    assert filters_of(seen) == filters_of(systemds(computer, person))
    assert "--new https://example.org/" in seen
    assert "browserid-agent" not in seen


FINDING = '[client]\nbrowser = ["/srv/browser", "--new"]\nsign_in = "browser"\n'
BROWSER = """\
#!/bin/sh
{ echo "$@"; cat /proc/self/cgroup /proc/self/status; } >~/seen.new
mv ~/seen.new ~/seen
"""


def restarted(computer: Machine, sections: str) -> None:
    """Have the acceptor use a configuration that has sections in addition."""
    computer.write(TOML, computer.path(TOML).read_text() + sections)
    computer.do("systemctl restart browserid-acceptor")


@pytest.mark.parametrize("database", ["redis", "postgresql"])
def test_an_acceptor_that_has_its_store_in_a_database(computer: Machine, database: str) -> None:
    follow(computer, "Several hosts")
    before = computer.path(TOML).read_text()
    key = "/var/lib/browserid/store-key"
    computer.do(f"[ -e {key} ] || runuser -u browserid -- browserid store-key new {key}")
    restarted(computer, DATABASES[database](computer) + f'key_file = "{key}"\n')
    said = as_alice(computer, IMTEST)
    assert "Authenticated." in said, said + journal(computer, "browserid-acceptor")
    if database == "redis":
        assert int(computer.do("redis-cli dbsize")) > 1
    computer.write(TOML, before)
    computer.do("systemctl restart browserid-acceptor")


def redis(computer: Machine) -> str:
    computer.do("apt install redis-server && systemctl start redis-server")
    return '\n[store]\nurl = "redis://127.0.0.1"\n'


def postgresql(computer: Machine) -> str:
    # Debian's ssl-cert, which comes with it, closes the folder that this machine has opened.
    computer.do("apt install postgresql && chmod 711 /etc/ssl/private", timeout=600)
    computer.wait_for("pg_isready")
    roles = "CREATE ROLE browserid LOGIN PASSWORD 'from the page'"
    for command in (roles, "CREATE DATABASE browserid OWNER browserid"):
        computer.do(f'runuser -u postgres -- psql -c "{command}"', folder="/")
    password = "/var/lib/browserid/store-password"
    computer.write(password, "from the page\n", mode=0o600)
    computer.do(f"chown browserid: {password}")
    url = "postgresql://browserid@127.0.0.1/browserid"
    return f'\n[store]\nurl = "{url}"\npassword_file = "{password}"\n'


DATABASES = {"redis": redis, "postgresql": postgresql}


def test_a_login_by_debians_gs2_and_the_packaged_module(computer: Machine) -> None:
    follow(computer, "GSS-API programs")
    computer.do("apt install libsasl2-modules-gssapi-mit sasl2-bin")
    # Without our own plugin for Cyrus SASL, which has the same mechanisms.
    computer.do(
        "mkdir /srv/sasl && cd /srv/sasl && ln -s /usr/lib/*/sasl2/*.so* . && rm libbrowserid*"
    )
    computer.do(
        "install -o browserid -m 600 /etc/ssl/private/example.org.key /var/lib/browserid/key"
    )
    computer.write("/home/alice/.config/browserid/browserid.toml", TRUSTING)
    computer.do("chown -R alice: /home/alice/.config")
    as_alice(computer, "systemctl --user restart browserid-agent.service")
    before = computer.path(TOML).read_text()
    restarted(computer, ACCEPTING)
    computer.write(TOML, computer.path(TOML).read_text().replace("[server]\n", SERVER))
    computer.do("systemctl restart browserid-acceptor")
    server = computer.entering("sasl-sample-server -s rcmd -d example.org -p /srv/sasl")
    client = computer.entering(
        f"{ALICES} sasl-sample-client -m BROWSERID-AES128 -s rcmd -n example.org"
        " -a alice@example.org -p /srv/sasl"
    )
    said = gss.talk(server, client)
    assert "Username: alice@example.org" in said[1], said
    computer.write(TOML, before)
    computer.do("systemctl restart browserid-acceptor")


TRUSTING = '[client]\ntrust_anchors = "/usr/local/share/ca-certificates/test.crt"\n'
ACCEPTING = """
[listeners."/run/browserid/acceptor"]
owner = "root"
mode = "0600"

[programs."root"]
services = ["rcmd"]
keys = true
"""
SERVER = """\
[server]
x509_certificate = "/etc/ssl/certs/example.org.pem"
x509_key = "/var/lib/browserid/key"
"""


def test_a_login_at_dovecot_by_the_packaged_module(computer: Machine) -> None:
    computer.do("systemctl disable --now cyrus-imapd")
    follow(computer, "Dovecot")
    page = ROOT / "docs" / "dovecot.md"
    [socket] = [block.text for block in blocks_of(page) if block.file == TOML]
    computer.write(TOML, computer.path(TOML).read_text() + socket)
    computer.write("/etc/dovecot/conf.d/99-browserid.conf", DOVECOT)
    computer.do("systemctl restart browserid-acceptor dovecot")
    computer.wait_for_port(143)
    said = as_alice(computer, IMTEST)
    assert "Authenticated." in said, said + computer.do("journalctl --no-pager -u dovecot")


DOVECOT = """\
auth_mechanisms = $auth_mechanisms browserid-aes128
import_environment = $import_environment BROWSERID_SOCKET=/run/browserid/dovecot
"""


def test_removal_leaves_configuration_and_state_and_purge_nothing(computer: Machine) -> None:
    remove, purge = blocks("Removal")[0].text.splitlines()
    do(computer, remove)
    for unit in ("browserid-acceptor", "browserid-idp"):
        assert not is_active(computer, unit)
    assert computer.path("/var/lib/browserid-idp/provider.sqlite").exists()
    assert computer.path("/etc/browserid/browserid.toml").exists()
    said = do(computer, purge)
    assert "deleting the keys and accounts of the identity provider" in said
    left = [place for place in PURGED if computer.path(place).exists()]
    found = computer.do("find /etc /usr /var -name '*browserid*' -not -path '/var/log/*'")
    assert not left and set(found.split()) <= ADMINISTRATORS, (left, found)


ADMINISTRATORS = {
    "/etc/dovecot/conf.d/99-browserid.conf",
    "/etc/pam.d/browserid-idp",
    "/etc/systemd/system/browserid-idp.service.d",
}
"""What no package has put there."""
