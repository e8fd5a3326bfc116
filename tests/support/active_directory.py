"""Samba's domain controller, which speaks LDAP as Active Directory does, with people in it."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ldap
import trustme
from ldap import modlist

from tests.support.patience import PATIENCE, wait_until
from tests.support.services import service

BASE: Final = "DC=ad,DC=example,DC=test"
PEOPLE: Final = f"OU=People,{BASE}"
GROUPS: Final = f"OU=Groups,{BASE}"
STAFF: Final = f"CN=Mail users,{GROUPS}"
DOMAIN_USERS: Final = f"CN=Domain Users,CN=Users,{BASE}"
SERVICE: Final = f"CN=browserid,OU=Services,{BASE}"
SERVICE_NAME: Final = "browserid@ad.example.test"
SERVICE_PASSWORD: Final = "looks people up, 1 by 1"
PASSWORD: Final = "Lena's pass word, 7"

_ADMINISTRATOR: Final = f"CN=Administrator,CN=Users,{BASE}"
_ADMINISTRATOR_PASSWORD: Final = "may do Everything 1"

_PROVISION: Final = """
import logging, sys
from samba.auth import system_session
from samba.provision import FILL_FULL, provision
folder, password = sys.argv[1:]
provision(logging.getLogger(), system_session(), smbconf=folder + "/etc/smb.conf",
    targetdir=folder, samdb_fill=FILL_FULL, realm="AD.EXAMPLE.TEST", domain="AD", hostname="dc1",
    hostip="127.0.0.1", adminpass=password, dns_backend="NONE", serverrole="dc",
    dom_for_fun_level=4, useeadb=True)
"""
"""What `samba-tool domain provision` does, without the rights of files that others share."""

_OPEN: Final = """
import ldb, sys
from samba import dsdb
from samba.auth import system_session
from samba.dcerpc import misc
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
parameters = LoadParm(sys.argv[1])
database = SamDB(session_info=system_session(), lp=parameters)
[entry] = database.search(sys.argv[2], ldb.SCOPE_BASE, attrs=["objectGUID", "pwdLastSet"])
"""
_SET_LONG_AGO: Final = """
year = 365 * 86_400 * 10_000_000
change = ldb.Message(entry.dn)
change["x"] = ldb.MessageElement(
    str(int(str(entry["pwdLastSet"])) - year), ldb.FLAG_MOD_REPLACE, "pwdLastSet")
database.modify(change, controls=[f"local_oid:{dsdb.DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID}:0"])
"""
_MAKE_CROWD: Final = """
_, _, _, name, count, group = sys.argv
names = [f"CN={name}{number},{entry.dn}" for number in range(int(count))]
database.transaction_start()
for each in names:
    database.add({"dn": each, "objectClass": "contact"})
database.add({"dn": group, "objectClass": "group", "member": names})
database.transaction_commit()
"""
_SHOW_GUID: Final = """
print(ndr_unpack(misc.GUID, entry["objectGUID"][0]))
"""

_NORMAL: Final = 0x200
DISABLED: Final = 0x2


@dataclass(frozen=True)
class Person:
    """Somebody in the directory.

    :param name: what their entry is called there, and `sAMAccountName`.
    :param mail: their address.
    """

    name: str
    mail: str
    password: str = PASSWORD
    ou: str = PEOPLE

    @property
    def dn(self) -> str:
        """The name of their entry."""
        return f"CN={self.name},{self.ou}"


@dataclass(frozen=True)
class Controller:
    """A domain controller, and where it is.

    :param folder: of its files; `ca.pem` is what its certificate is believed by.
    :param address: of the loopback network, which is its own: the ports are those that it has
        everywhere.
    """

    folder: Path
    address: str

    @property
    def ldap(self) -> str:
        """Its URL with StartTLS."""
        return f"ldap://{self.address}"

    @property
    def ldaps(self) -> str:
        """Its URL with TLS."""
        return f"ldaps://{self.address}"

    @property
    def ca_file(self) -> Path:
        """What its certificate is believed by."""
        return self.folder / "ca.pem"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it until the end of the block."""
        command = ("/usr/sbin/samba", "-i", "-M", "single", "-s", self.folder / "smb.conf")
        with service(command, 636, {"PATH": "/usr/sbin:/usr/bin"}, self.folder / "output"):
            wait_until(self._answers, f"{self.address}: answering")
            yield

    def _answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex((self.address, 636)) == 0

    @contextmanager
    def administrator(self) -> Iterator[Any]:
        """A connection as who may do everything."""
        connection = ldap.initialize(self.ldaps)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.ca_file))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        connection.set_option(ldap.OPT_TIMEOUT, PATIENCE)
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.simple_bind_s(_ADMINISTRATOR, _ADMINISTRATOR_PASSWORD)
        try:
            yield connection
        finally:
            connection.unbind_s()

    def make(self, dn: str, **attributes: str | bytes | list[str]) -> None:
        """Make an entry."""
        with self.administrator() as connection:
            connection.add_s(dn, modlist.addModlist(_octets(attributes)))

    def add(
        self, person: Person, *, member: bool = True, **more: str | bytes | list[str]
    ) -> Person:
        """Add somebody, with more attributes."""
        given: dict[str, str | bytes | list[str]] = {
            "objectClass": "user",
            "sAMAccountName": person.name,
            "userPrincipalName": f"{person.name}@ad.example.test",
            "mail": person.mail,
            "userAccountControl": str(_NORMAL),
            "unicodePwd": _quoted(person.password),
        }
        self.make(person.dn, **(given | more))
        if member:
            self.put_in_group(STAFF, person.dn)
        return person

    def put_in_group(self, group: str, dn: str) -> None:
        """Have an entry in a group."""
        self._modify(group, ldap.MOD_ADD, "member", dn)

    def take_from_group(self, group: str, dn: str) -> None:
        """Have an entry in a group no more."""
        self._modify(group, ldap.MOD_DELETE, "member", dn)

    def set(self, dn: str, attribute: str, *values: str) -> None:
        """Give an attribute of an entry other values."""
        self._modify(dn, ldap.MOD_REPLACE, attribute, *values)

    def set_password(self, person: Person, password: str) -> None:
        """Give somebody another password, as an administrator does."""
        self._modify(person.dn, ldap.MOD_REPLACE, "unicodePwd", _quoted(password))

    def set_octets(self, dn: str, attribute: str, value: bytes) -> None:
        """Give an attribute of an entry another value, which is no text."""
        self._modify(dn, ldap.MOD_REPLACE, attribute, value)

    def let_password_expire(self, person: Person) -> None:
        """Have it that somebody's password was set long ago, which nobody may say by LDAP."""
        self._run_python(_SET_LONG_AGO, self.folder / "smb.conf", person.dn)

    def guid(self, dn: str) -> str:
        """What an entry is called all its life, as Samba shows it."""
        return self._run_python(_SHOW_GUID, self.folder / "smb.conf", dn).strip()

    def references(self) -> list[str]:
        """Where else a search from the top is referred to."""
        with self.administrator() as connection:
            found = connection.search_s(BASE, ldap.SCOPE_SUBTREE, "(cn=nobody)", ["1.1"])
        return [url for name, urls in found if name is None for url in urls]

    def _run_python(self, program: str, *arguments: str | Path) -> str:
        return _run_python(_OPEN + program, *arguments)

    def make_crowd(self, name: str, count: int, group: str) -> None:
        """Make a group, and so many entries in it."""
        ou = f"OU={name},{BASE}"
        self.make(ou, objectClass="organizationalUnit")
        self._run_python(_MAKE_CROWD, self.folder / "smb.conf", ou, name, str(count), group)

    def rename(self, dn: str, name: str, ou: str) -> None:
        """Call an entry otherwise, and have it elsewhere."""
        with self.administrator() as connection:
            connection.rename_s(dn, name, ou)

    def remove(self, dn: str) -> None:
        """Remove an entry."""
        with self.administrator() as connection:
            connection.delete_s(dn)

    def _modify(self, dn: str, how: int, attribute: str, *values: str | bytes) -> None:
        octets = [each.encode() if isinstance(each, str) else each for each in values]
        with self.administrator() as connection:
            connection.modify_s(dn, [(how, attribute, octets or None)])

    def fill(self) -> None:
        """Put in what is there before anybody is."""
        for ou in ("People", "Former", "Groups", "Services"):
            self.make(f"OU={ou},{BASE}", objectClass="organizationalUnit")
        self.make(STAFF, objectClass="group", sAMAccountName="Mail users")
        self.add(
            Person(
                "browserid", "browserid@ad.example.test", SERVICE_PASSWORD, f"OU=Services,{BASE}"
            ),
            member=False,
        )
        # As the default is not: three wrong passwords lock an account for half an hour.
        self.set(BASE, "lockoutThreshold", "3")


@contextmanager
def active_directory(shared: Path, folder: Path) -> Iterator[Controller]:
    """A domain of its own, and its controller, which runs.

    :param shared: of the run: the first who needs a domain makes one there, and all have copies.
    :param folder: of this one's files, which does not exist yet.
    """
    shutil.copytree(_provisioned(shared), folder)
    controller = _controller(folder, folder)
    with controller.running():
        controller.fill()
        yield controller


@contextmanager
def another(controller: Controller, folder: Path) -> Iterator[Controller]:
    """Another controller of a domain. It does not run yet.

    What replication brings elsewhere is there at once: the two have one database.
    """
    folder.mkdir()
    yield _controller(folder, controller.folder)


def _controller(folder: Path, database: Path) -> Controller:
    address = _free_address()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(address)
    (folder / "key.pem").touch(0o600)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    (folder / "smb.conf").write_text(_configuration(folder, database, address))
    return Controller(folder, address)


def _provisioned(shared: Path) -> Path:
    """The folder of a domain with nobody in it, made by the first who needs it."""
    folder, made = shared / "active-directory", shared / "active-directory.made"
    with (shared / "active-directory.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run_python(_PROVISION, folder, _ADMINISTRATOR_PASSWORD)
            made.touch()
    return folder


def _run_python(program: str, *arguments: str | Path) -> str:
    """What a program for Debian's own Python prints: Samba's modules are for no other."""
    done = subprocess.run(  # noqa: PLW1510 - what it said is shown
        ("/usr/bin/python3", "-c", program, *arguments),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _free_address() -> str:
    while True:
        address = f"127.{random.randint(64, 127)}.{os.getpid() % 256}.{random.randint(1, 254)}"
        try:
            for port in (389, 636, 3268, 3269):
                with socket.socket() as listener:
                    listener.bind((address, port))
        except OSError:
            continue
        return address


def _octets(attributes: Mapping[str, str | bytes | list[str]]) -> dict[str, list[bytes]]:
    def listed(value: str | bytes | list[str]) -> list[bytes]:
        if isinstance(value, bytes):
            return [value]
        return [each.encode() for each in ([value] if isinstance(value, str) else value)]

    return {name: listed(value) for name, value in attributes.items()}


def _quoted(password: str) -> bytes:
    """A password as `unicodePwd` takes it."""
    return f'"{password}"'.encode("utf-16-le")


def _configuration(folder: Path, database: Path, address: str) -> str:
    return f"""
[global]
realm = AD.EXAMPLE.TEST
workgroup = AD
netbios name = DC1
server role = active directory domain controller
server services = ldap
interfaces = {address}/8
bind interfaces only = yes
private dir = {database}/private
state directory = {database}/state
cache directory = {folder}/cache
lock directory = {folder}
pid directory = {folder}
ncalrpc dir = {folder}/ncalrpc
binddns dir = {folder}/bind-dns
winbindd socket directory = {folder}/winbindd
ntp signd socket directory = {folder}/ntp
ldb:nosync = true
tls cafile = {folder}/ca.pem
tls certfile = {folder}/certificate.pem
tls keyfile = {folder}/key.pem
"""
