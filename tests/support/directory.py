"""OpenLDAP's server with people in it: with TLS, password policies, and a socket of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trustme

from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.services import service

BASE: Final = "dc=example,dc=test"
PEOPLE: Final = f"ou=people,{BASE}"
STAFF: Final = f"cn=staff,ou=groups,{BASE}"
SERVICE: Final = f"cn=browserid,{BASE}"
SERVICE_PASSWORD: Final = "looks people up"
ADMINISTRATOR: Final = f"cn=admin,{BASE}"
PASSWORD: Final = "the password of Lena"

_ADMINISTRATOR_PASSWORD: Final = "may do everything"

_CONTENT: Final = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups

dn: {SERVICE}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: browserid
userPassword: {SERVICE_PASSWORD}

dn: cn=usual,{BASE}
objectClass: device
objectClass: pwdPolicy
cn: usual
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdLockoutDuration: 600
pwdMustChange: TRUE

dn: cn=short,{BASE}
objectClass: device
objectClass: pwdPolicy
cn: short
pwdAttribute: userPassword
pwdMaxAge: 1

dn: {STAFF}
objectClass: groupOfNames
cn: staff
member: {BASE}
"""


@dataclass(frozen=True)
class Person:
    """Somebody in the directory.

    :param uid: their name there.
    :param mail: their address.
    """

    uid: str
    mail: str
    password: str = PASSWORD

    @property
    def dn(self) -> str:
        """The name of their entry."""
        return f"uid={self.uid},{PEOPLE}"


@dataclass(frozen=True)
class Directory:
    """A directory and where its server is.

    :param folder: of its files; `ca.pem` is what its certificate is believed by.
    :param socket: the path of its socket.
    :param port: for `ldap://`, with StartTLS.
    :param tls_port: for `ldaps://`.
    """

    folder: Path
    socket: Path
    port: int
    tls_port: int

    @property
    def ldapi(self) -> str:
        """The URL of its socket."""
        return f"ldapi://{quote(str(self.socket), safe='')}"

    @property
    def ldap(self) -> str:
        """Its URL with StartTLS."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps(self) -> str:
        """Its URL with TLS."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def ca_file(self) -> Path:
        """What its certificate is believed by."""
        return self.folder / "ca.pem"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run its server until the end of the block."""
        # Its certificate is for the first of the two addresses.
        urls = " ".join(
            (
                self.ldapi,
                *(f"ldap://127.0.0.{host}:{self.port}" for host in (1, 2)),
                *(f"ldaps://127.0.0.{host}:{self.tls_port}" for host in (1, 2)),
            )
        )
        command = ("/usr/sbin/slapd", "-d", "none", "-f", self.folder / "slapd.conf", "-h", urls)
        with service(command, self.tls_port, {}, self.folder / "output"):
            yield

    def add(self, person: Person, *, member: bool = True, more: str = "") -> Person:
        """Add somebody, with more attributes, as lines of LDIF."""
        self.change(
            f"dn: {person.dn}\nchangetype: add\nobjectClass: inetOrgPerson\n"
            f"uid: {person.uid}\ncn: {person.uid}\nsn: {person.uid}\nmail: {person.mail}\n{more}"
        )
        # By the administrator's hand it has no policy's marks; so it is the person's own.
        self.set_password(person, person.password)
        if member:
            self.change_group("add", person)
        return person

    def change_group(self, how: str, person: Person) -> None:
        """Have somebody in the group, or not any more: `add`, or `delete`."""
        self.change(f"dn: {STAFF}\nchangetype: modify\n{how}: member\nmember: {person.dn}")

    def set(self, person: Person, attribute: str, value: str) -> None:
        """Give an attribute of somebody's entry another value."""
        self.change(
            f"dn: {person.dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}"
        )

    def set_password(self, person: Person, password: str) -> None:
        """Give somebody another password, as they do it themselves with the old one."""
        self._run("ldappasswd", "-s", password, person.dn)
        self._run(
            "ldapmodify",
            "-e",
            "relax",
            input=f"dn: {person.dn}\nchangetype: modify\ndelete: pwdReset\n",
            may_fail=True,
        )

    def remove(self, person: Person) -> None:
        """Remove somebody's entry."""
        self.delete(person.dn)

    def delete(self, dn: str) -> None:
        """Remove an entry."""
        self._run("ldapdelete", dn)

    def change(self, ldif: str) -> None:
        """Change what it has."""
        self._run("ldapmodify", input=ldif)

    def _run(self, *command: str, input: str = "", may_fail: bool = False) -> None:
        program, *arguments = command
        as_administrator = ("-x", "-H", self.ldapi, "-D", ADMINISTRATOR)
        done = subprocess.run(  # noqa: PLW1510 - what it said is shown
            (program, *as_administrator, "-w", _ADMINISTRATOR_PASSWORD, *arguments),
            input=input,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert may_fail or done.returncode == 0, done.stderr


@contextmanager
def directory(folder: Path, name: str = "127.0.0.1") -> Iterator[Directory]:
    """A directory in a folder; its server does not run yet.

    :param name: in its certificate.
    """
    (folder / "db").mkdir(parents=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(name)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "slapd.conf").write_text(_configuration(folder))
    (folder / "content.ldif").write_text(_CONTENT)
    load = ("/usr/sbin/slapadd", "-f", folder / "slapd.conf", "-l", folder / "content.ldif")
    subprocess.run(load, check=True, timeout=PATIENCE, capture_output=True)
    with tempfile.TemporaryDirectory(prefix="ldap-") as short:
        yield Directory(folder, Path(short, "ldapi"), free_port(), free_port())


def _configuration(folder: Path) -> str:
    schemas = "\n".join(
        f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson")
    )
    return f"""
{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.pem
TLSCACertificateFile {folder}/ca.pem
localSSF 256
security simple_bind=128
database mdb
suffix "{BASE}"
directory {folder}/db
maxsize 10485760
rootdn "{ADMINISTRATOR}"
rootpw "{_ADMINISTRATOR_PASSWORD}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by self read by * none
overlay ppolicy
ppolicy_default "cn=usual,{BASE}"
ppolicy_use_lockout
"""


def seconds(count: float) -> None:
    """Let time pass that a server counts in whole seconds."""
    time.sleep(count)
