"""A KDC of MIT Kerberos with two realms that trust each other, and tickets that it has given."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import gssapi
from gssapi import raw

from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.provider import DOMAIN

REALM: Final = DOMAIN.upper()
OTHER_REALM: Final = "ELSEWHERE.TEST"
SERVICE: Final = f"HTTP/{DOMAIN}@{REALM}"
PASSWORD: Final = "a password at the KDC"

KERBEROS: Final = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
SPNEGO: Final = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")

_CLIENTS: Final = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 qualify_shortname = ""
 forwardable = true
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
 {other} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 {domain} = {realm}
"""

_SERVER: Final = """\
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {folder}/own
  key_stash_file = {folder}/own.stash
  max_life = 10h
 }}
 {other} = {{
  database_name = {folder}/other
  key_stash_file = {folder}/other.stash
  max_life = 10h
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


@dataclass
class Kdc:
    """One that can run.

    :param folder: of all its files.
    :param clock: variables that tell it the time, if that is another one than this machine's.
    :param port: of 127.0.0.1.
    """

    folder: Path
    clock: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """By which programs find it, and nothing else of this machine's."""
        return {
            "KRB5_CONFIG": str(self.folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": "MEMORY:nobody",
            # What was shown, which is in a file of all processes of the account otherwise.
            "KRB5RCACHEDIR": str(self.folder),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }

    def create(self) -> None:
        """Have two realms with nobody in them, and the service."""
        names = {
            **{"realm": REALM, "other": OTHER_REALM, "domain": DOMAIN},
            **{"port": self.port, "folder": self.folder},
        }
        (self.folder / "krb5.conf").write_text(_CLIENTS.format(**names))
        (self.folder / "kdc.conf").write_text(_SERVER.format(**names))
        for realm in (REALM, OTHER_REALM):
            self._run("kdb5_util", "-r", realm, "-P", "master", "create", "-s")
            self.do("addprinc", "-pw", "trust", f"krbtgt/{REALM}@{OTHER_REALM}", realm=realm)
        self.do("addprinc", "-randkey", SERVICE)

    def start(self) -> None:
        """Have it answer."""
        self._process = subprocess.Popen(
            ("krb5kdc", "-n", "-r", REALM, "-r", OTHER_REALM, "-P", str(self.folder / "pid")),
            env={**self.environment, **self.clock},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: listens(self.port), "a KDC")

    def stop(self) -> None:
        """Have it answer nobody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def do(self, *command: str, realm: str = REALM) -> str:
        """Run a command of kadmin."""
        return self._run("kadmin.local", "-r", realm, "-p", f"root/admin@{realm}", *command)

    def add(self, name: str, realm: str = REALM) -> str:
        """Have a principal with `PASSWORD`; its name with the realm."""
        self.do("addprinc", "-pw", PASSWORD, f"{name}@{realm}", realm=realm)
        return f"{name}@{realm}"

    def keytab(self, *principals: str) -> Path:
        """A new file with the keys that principals have, which do not change by that."""
        number, name = tempfile.mkstemp(suffix=".keytab", dir=self.folder)
        os.close(number)
        # It appends to what is a keytab already, and an empty file is none.
        Path(name).unlink()
        for principal in principals or (SERVICE,):
            self.do("ktadd", "-norandkey", "-k", name, principal)
        Path(name).chmod(0o600)
        return Path(name)

    def sign_in(self, principal: str, password: str = PASSWORD, *options: str) -> Path:
        """Sign in at a desk: the file with the ticket that it has brought."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        cache = folder / "tickets"
        self._run("kinit", "-c", f"FILE:{cache}", *options, principal, input=f"{password}\n")
        return cache

    def at(self, cache: Path) -> dict[str, str]:
        """The environment of a program at such a desk."""
        return self.environment | {"KRB5CCNAME": f"FILE:{cache}"}

    def _run(self, *command: str, input: str = "") -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            input=input,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        # kadmin.local says so in words only.
        failed = done.returncode or any(
            word in done.stdout for word in (": while", " while ", "Usage", "usage")
        )
        assert not failed, done.stdout
        return done.stdout


@contextmanager
def kdc(clock: Mapping[str, str] | None = None) -> Iterator[Kdc]:
    """One that runs until the block ends, in which this process finds it as well.

    :param clock: see `Kdc`.
    """
    folder = Path(tempfile.mkdtemp(prefix="kdc-"))
    made = Kdc(folder, clock or {})
    names = ("KRB5_CONFIG", "KRB5CCNAME", "KRB5RCACHEDIR")
    before = {name: os.environ.get(name) for name in names}
    try:
        made.create()
        made.start()
        os.environ.update({name: made.environment[name] for name in before})
        yield made
    finally:
        made.stop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder)


def initiator(
    cache: Path,
    *,
    host: str = DOMAIN,
    mechanism: gssapi.OID = SPNEGO,
    flags: Sequence[gssapi.RequirementFlag] = (gssapi.RequirementFlag.mutual_authentication,),
    binding: bytes = b"",
) -> gssapi.SecurityContext:
    """A browser's side of `Negotiate`, as somebody who has signed in."""
    return gssapi.SecurityContext(
        name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(usage="initiate", store={"ccache": f"FILE:{cache}"}),
        mech=mechanism,
        usage="initiate",
        flags=list(flags),
        channel_bindings=raw.ChannelBindings(application_data=binding) if binding else None,
    )


def shows(token: bytes | None) -> Mapping[str, str]:
    """What a browser sends with it."""
    return {"Authorization": f"Negotiate {base64.b64encode(token or b'').decode()}"}
