"""Dovecot with its imapd, pop3d, managesieve and submission service, which are not installed: they
would take the place of Cyrus imapd.

They are unpacked in a folder, which Dovecot sees at the place where it looks for its programs.
"""

from __future__ import annotations

import imaplib
import json
import pwd
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.patience import wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import DOMAIN, ROOT
from tests.support.services import AES128, HOST, Site, service

UNPACKED: Final = ROOT / ".unpacked" / "dovecot"
ACCOUNT: Final = "dovecot"
"""Who Dovecot's auth process runs as, whom the acceptor's listener has to let in."""


class Dovecot:
    """Dovecot with one user database in which everybody is.

    :param site: whose acceptor it asks.
    :param settings: lines of its configuration, on top of the usual.
    :param relay: the port to which it passes what is submitted.
    :param auth: a command that runs its auth process.
    :param socket: of the acceptor, where it is not the site's usual one.
    :param modules: the folder of its auth process's modules, where it is not the installed one.
    """

    PROGRAMS: Final = Path("/usr/lib/dovecot")

    def __init__(
        self,
        site: Site,
        *,
        settings: str = "",
        mechanisms: str = AES128.lower(),
        tls: tuple[Path, Path] | None = None,
        relay: int = 0,
        auth: str = "",
        socket: Path | None = None,
        modules: Path | None = None,
    ) -> None:
        self.site = site
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
            "protocols": "imap pop3 sieve submission",
            "listen": "127.0.0.1",
            "hostname": HOST,
            "auth_mechanisms": mechanisms,
            "mail_location": f"maildir:{self.folder}/mail/%u",
            # For the account `mail`, which everybody's messages belong to.
            "first_valid_uid": pwd.getpwnam("mail").pw_uid,
            "import_environment": f"$import_environment BROWSERID_SOCKET={socket or site.socket}",
            "submission_relay_host": "127.0.0.1",
            "submission_relay_port": relay,
            "ssl": "yes" if tls else "no",
        }
        if tls:
            certificate, key = tls
            values |= {"ssl_cert": f"<{certificate}", "ssl_key": f"<{key}"}
        self.config_file.write_text(self._text(values, auth, settings))

    def _text(self, values: Mapping[str, object], auth: str, settings: str) -> str:
        lines = "\n".join(f"{name} = {value}" for name, value in values.items())
        return f"""
{lines}
userdb {{
  driver = static
  args = uid=mail gid=mail home={self.folder}/mail/%u
}}
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
  vsz_limit = 0
}}
{settings}
"""

    @contextmanager
    def running(self) -> Iterator[Dovecot]:
        """The service, from when it listens until the end of the block."""
        mounts = (
            f"mount --bind {UNPACKED}/usr/lib/dovecot {self.PROGRAMS}",
            f"mount --bind {self.modules} {self.PROGRAMS}/modules/auth",
        )
        own_view = ("unshare", "--mount", "sh", "-ec", f'{"; ".join(mounts)}; exec "$@"', "sh")
        command = (*own_view, UNPACKED / "usr/sbin/dovecot", "-F", "-c", self.config_file)
        output = self.folder / "output"
        with service(command, self.port, self.site.variables, output) as process:
            wait_until(lambda: listens(self.submission_port), "the submission service")
            self.pid = process.pid
            yield self

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
        except FileNotFoundError:  # another one, which has just ended
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
        try:
            yield connection
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


def allow(site: Site, *further: str) -> None:
    """Have the site's acceptor let in everybody of its domain: Dovecot names nobody itself.

    :param further: other domains.
    """
    with site.config_file.open("a") as config:
        config.write(f"\n[server]\nallow = {json.dumps([DOMAIN, *further])}\n")
    site.reload_acceptor()
