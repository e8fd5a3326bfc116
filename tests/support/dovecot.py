"""Dovecot with its imapd, pop3d, managesieve and submission service.

On Debian 12 they are not installed, since they would take the place of Cyrus imapd: they are
unpacked in a folder, which Dovecot sees at the place where it looks for its programs. On Debian 13,
where no Cyrus imapd is, they are installed. That is Dovecot 2.4, whose settings have other names.
"""

from __future__ import annotations

import imaplib
import json
import os
import pwd
import re
import signal
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import trustme

from browserid_sasl.sasl.channel_binding import TLS_UNIQUE, ChannelBinding
from tests.support.patience import wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import DOMAIN, ROOT
from tests.support.services import AES128, HOST, Site, run, service

UNPACKED: Final = ROOT / ".unpacked" / "dovecot"
ACCOUNT: Final = "dovecot"
"""Who Dovecot's auth process runs as, whom the acceptor's listener has to let in."""

_INSTALLED: Final = not UNPACKED.exists()
PROGRAM: Final = Path("/usr/sbin/dovecot") if _INSTALLED else UNPACKED / "usr/sbin/dovecot"


class Dialect(Protocol):
    """What a release calls the settings whose names are not the same everywhere."""

    def basics(self, folder: Path, socket: Path) -> str:
        """Where people's messages are, who people are, and where the acceptor is."""

    def tls(self, certificate: Path, key: Path) -> str:
        """The certificate of the TLS ports."""

    def passwords(self, file: Path) -> str:
        """A file of passwords, which may come without TLS."""


class Release23:
    """Dovecot 2.3."""

    def basics(self, folder: Path, socket: Path) -> str:
        return f"""
mail_location = maildir:{folder}/mail/%u
import_environment = $import_environment BROWSERID_SOCKET={socket}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
"""

    def tls(self, certificate: Path, key: Path) -> str:
        return f"ssl_cert = <{certificate}\nssl_key = <{key}"

    def passwords(self, file: Path) -> str:
        return f"""
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {file}
}}
"""


class Release24:
    """Dovecot 2.4."""

    def basics(self, folder: Path, socket: Path) -> str:
        return f"""
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
import_environment {{
  BROWSERID_SOCKET = {socket}
}}
userdb static {{
  fields {{
    uid = mail
    gid = mail
    home = {folder}/mail/%{{user}}
  }}
}}
"""

    def tls(self, certificate: Path, key: Path) -> str:
        return f"ssl_server_cert_file = {certificate}\nssl_server_key_file = {key}"

    def passwords(self, file: Path) -> str:
        return f"""
auth_allow_cleartext = yes
passdb passwd-file {{
  passwd_file_path = {file}
}}
"""


def release() -> str:
    """The first two numbers of the one that is here, such as ``2.4``."""
    said = run((PROGRAM, "--version")).stdout
    return ".".join(said.split(".")[:2])


def is_2_4() -> bool:
    """Whether it is the Dovecot of Debian 13, which has channel binding."""
    return PROGRAM.exists() and release() == "2.4"


class Dovecot:
    """Dovecot with one user database in which everybody is.

    :param site: whose acceptor it asks.
    :param passwords: a file of passwords to take as well.
    :param settings: lines of its configuration, on top of the usual, which both releases know.
    :param relay: the port to which it passes what is submitted.
    :param auth: a command that runs its auth process, and sees how it ends.
    :param socket: of the acceptor, where it is not the site's usual one.
    :param modules: the folder of its auth process's modules, where it is not the installed one.
    """

    PROGRAMS: Final = Path("/usr/lib/dovecot")

    def __init__(
        self,
        site: Site,
        *,
        passwords: Path | None = None,
        settings: str = "",
        mechanisms: str = AES128.lower(),
        tls: tuple[Path, Path] | None = None,
        relay: int = 0,
        auth: str = "",
        socket: Path | None = None,
        modules: Path | None = None,
    ) -> None:
        self.site = site
        self._is_watched = bool(auth)
        self.modules = modules or site.installation.dovecot_modules
        self.port, self.tls_port, self.submission_port = free_port(), free_port(), free_port()
        self.pop3_port, self.pop3s_port, self.sieve_port = free_port(), free_port(), free_port()
        self.folder = site.folder / f"dovecot-{self.port}"
        self.log = self.folder / "log"
        site.give(self.folder)
        site.give(self.folder / "mail", user="mail")
        self.config_file = self.folder / "dovecot.conf"
        values: dict[str, object] = {
            "base_dir": self.folder / "run",
            "state_dir": self.folder / "state",
            "log_path": self.log,
            # Without it the log has no reasons for refusals, of whatever mechanism.
            "auth_verbose": "yes",
            # Who was refused is answered at once, and not after two seconds.
            "auth_failure_delay": "0",
            "protocols": "imap pop3 sieve submission",
            "listen": "127.0.0.1",
            "hostname": HOST,
            "auth_mechanisms": mechanisms,
            # For the account `mail`, which everybody's messages belong to.
            "first_valid_uid": pwd.getpwnam("mail").pw_uid,
            "submission_relay_host": "127.0.0.1",
            "submission_relay_port": relay,
            "ssl": "yes" if tls else "no",
        }
        dialect: Dialect = Release24() if is_2_4() else Release23()
        parts = [dialect.basics(self.folder, socket or site.socket)]
        parts += [dialect.tls(*tls)] if tls else []
        parts += [dialect.passwords(passwords)] if passwords else []
        parts += [settings]
        self.config_file.write_text(self._text(values, auth, "\n".join(parts)))

    def _text(self, values: Mapping[str, object], auth: str, dialect: str) -> str:
        lines = "\n".join(f"{name} = {value}" for name, value in values.items())
        # The first line of 2.4's, and of no other's.
        versions = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0"
        return f"""
{versions if is_2_4() else ""}
{lines}
{dialect}
# Who was refused is not made to wait longer and longer for the next try.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3_port}
  }}
  inet_listener pop3s {{
    port = {self.pop3s_port}
    ssl = yes
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {self.sieve_port}
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {self.submission_port}
  }}
}}
service auth {{
  executable = {auth} {self.PROGRAMS}/auth
  # Valgrind needs more.
  vsz_limit = {"unlimited" if is_2_4() else 0}
}}
"""

    @contextmanager
    def running(self) -> Iterator[Dovecot]:
        """The service, from when it listens until the end of the block."""
        unpacked = f"mount --bind {UNPACKED}/usr/lib/dovecot {self.PROGRAMS}"
        mounts = [
            *([] if _INSTALLED else [unpacked]),
            f"mount --bind {self.modules} {self.PROGRAMS}/modules/auth",
        ]
        own_view = ("unshare", "--mount", "sh", "-ec", f'{"; ".join(mounts)}; exec "$@"', "sh")
        command = (*own_view, PROGRAM, "-F", "-c", self.config_file)
        output = self.folder / "output"
        with service(command, self.port, self.site.variables, output) as process:
            wait_until(lambda: listens(self.submission_port), "the submission service")
            self.pid = process.pid
            yield self
            if not self._is_watched:
                # However it is asked to end, it looks only once a second whether all others have.
                os.killpg(process.pid, signal.SIGKILL)

    def auth_pid(self) -> int:
        """Its auth process."""
        [found] = [pid for pid in self._children() if self._is_auth(pid)]
        return found

    def _children(self) -> list[int]:
        place = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(each) for each in place.read_text().split()]

    @staticmethod
    def _is_auth(pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):  # another one, which has just ended
            return False
        return words[0] == b"dovecot/auth" and b"-w" not in words

    def descriptors(self) -> int:
        """How many its auth process has open."""
        return len(list(Path(f"/proc/{self.auth_pid()}/fd").iterdir()))

    def resident(self) -> int:
        """The memory of its auth process in KiB."""
        status = Path(f"/proc/{self.auth_pid()}/status").read_text()
        return int(re.findall(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)[0])

    @contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4]:
        """A connection to imapd, which may be in the middle of a login at its end."""
        connection = imaplib.IMAP4("127.0.0.1", self.port, 60)
        # It sends the end of an answer by itself, which else waits until the rest is acknowledged.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield connection
        finally:
            connection.shutdown()

    @contextmanager
    def imaps(
        self, authority: trustme.CA, latest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    ) -> Iterator[tuple[imaplib.IMAP4_SSL, ChannelBinding]]:
        """A connection with TLS, and its `tls-unique`, which is not defined after TLS 1.2."""
        context = ssl.create_default_context()
        context.maximum_version = latest
        authority.configure_trust(context)
        connection = imaplib.IMAP4_SSL(HOST, self.tls_port, ssl_context=context, timeout=60)
        try:
            data = connection.sock.get_channel_binding(TLS_UNIQUE)  # type: ignore[attr-defined]
            assert data is not None
            yield connection, ChannelBinding(TLS_UNIQUE, data)
        finally:
            connection.shutdown()

    def mark(self) -> int:
        """Where the log is now, for `wait_for`."""
        return len(self._lines())

    def wait_for(self, pattern: str, since: int = 0) -> str:
        """The first line of the log after a mark that matches a regular expression."""
        expression = re.compile(pattern)

        def matching() -> list[str]:
            return [line for line in self._lines()[since:] if expression.search(line)]

        try:
            wait_until(lambda: bool(matching()), pattern)
        except AssertionError as error:
            error.add_note("\n".join(self._lines()[since:]))
            raise
        return matching()[0]

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def answer_of(connection: imaplib.IMAP4) -> str:
    """The next line that answers a command, or asks for more of it."""
    while (line := connection.readline().decode()).startswith("* "):
        pass
    return line


def certificate(site: Site, authority: trustme.CA) -> tuple[Path, Path]:
    """Files of a certificate for the host, and of its key."""
    files = site.folder / "cert.pem", site.folder / "key.pem"
    issued = authority.issue_cert(HOST)
    files[0].write_bytes(issued.cert_chain_pems[0].bytes())
    files[1].write_bytes(issued.private_key_pem.bytes())
    return files


def allow(site: Site, *further: str) -> None:
    """Have the site's acceptor let in everybody of its domain: Dovecot names nobody itself.

    :param further: other domains.
    """
    with site.config_file.open("a") as config:
        config.write(f"\n[server]\nallow = {json.dumps([DOMAIN, *further])}\n")
    site.reload_acceptor()
