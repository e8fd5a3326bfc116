"""Submission servers that ask the acceptor by Dovecot's protocol, and SMTP's side of it."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import smtplib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.ports import free_port
from tests.support.sample_programs import ROOT
from tests.support.services import run, service

POSTFIX_DAEMONS: Final = Path("/usr/lib/postfix/sbin")


def log_in(
    connection: smtplib.SMTP,
    mechanism: ClientMechanism,
    *,
    initial: bool = True,
    before_answer: Callable[[], None] | None = None,
) -> tuple[int, str]:
    """SMTP AUTH (RFC 4954); the last reply.

    :param initial: whether the first message comes with the command.
    :param before_answer: called before the last message, which is empty.
    """
    response = base64.b64encode(mechanism.step(None)).decode()
    if initial:
        code, text = connection.docmd("AUTH", f"{mechanism.name} {response}")
    else:
        code, text = connection.docmd("AUTH", mechanism.name)
        assert (code, text) == (334, b"")
        code, text = connection.docmd(response)
    while code == 334:
        try:
            answer = mechanism.step(base64.b64decode(text))
        except PeerRefusedError:
            answer = b""
        if before_answer is not None:
            before_answer()
        code, text = connection.docmd(base64.b64encode(answer).decode())
    return code, text.decode()


def relays(connection: smtplib.SMTP, recipient: str = "somebody@elsewhere.test") -> bool:
    """Whether the server takes a message for another domain."""
    connection.mail("sender@elsewhere.test")
    code, _ = connection.rcpt(recipient)
    connection.rset()
    return code == 250


@contextmanager
def connected(port: int) -> Iterator[smtplib.SMTP]:
    """A connection to a server, greeted."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as connection:
        connection.ehlo()
        yield connection


class Submission:
    """A server that takes messages.

    :param port: where it listens.
    :param output: what it and its kin write.
    """

    port: int
    output: Path

    def connection(self) -> AbstractContextManager[smtplib.SMTP]:
        """A connection to it, greeted."""
        return connected(self.port)


class Postfix(Submission):
    """Postfix, its smtpd chrooted in the queue's folder as Debian has it.

    :param folder: for its files.
    """

    SERVICES: Final = (
        "pickup unix n - y 60 1 pickup",
        "cleanup unix n - y - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - y - - trivial-rewrite",
        "bounce unix - - y - 0 bounce",
        "defer unix - - y - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "anvil unix - - y - 1 anvil",
        "tlsmgr unix - - y 1000? 1 tlsmgr",
        "lmtp unix - - n - - lmtp",
        "error unix - - y - - error",
        "retry unix - - y - - error",
        "discard unix - - y - - discard",
        "postlog unix-dgram n - n - 1 postlogd",
    )

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "postfix"
        self.output = self.folder / "output"
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir(parents=True)
        account = pwd.getpwnam("postfix")
        os.chown(self.folder / "data", account.pw_uid, account.pw_gid)
        self._run("postfix", "check")

    @property
    def socket(self) -> Path:
        """Where smtpd looks for the acceptor."""
        return self.folder / "queue" / "private" / "browserid"

    def configure(self, main: str) -> None:
        """Write the configuration.

        :param main: further lines of main.cf.
        """
        queue, data = self.folder / "queue", self.folder / "data"
        lines = (
            "compatibility_level = 3.6",
            f"queue_directory = {queue}",
            f"data_directory = {data}",
            f"daemon_directory = {POSTFIX_DAEMONS}",
            "myhostname = localhost",
            "mydestination =",
            "inet_interfaces = 127.0.0.1",
            "inet_protocols = ipv4",
            "mynetworks =",
            "alias_maps =",
            "default_transport = discard:",
            "maillog_file = /dev/stdout",
            "smtpd_timeout = 20s",
            # Else it is a minute until smtpd starts again after having found no acceptor.
            "service_throttle_time = 1s",
            main,
        )
        (self.folder / "etc" / "main.cf").write_text("\n".join(lines) + "\n")
        own = (f"127.0.0.1:{self.port} inet n - y - - smtpd", *self.SERVICES)
        (self.folder / "etc" / "master.cf").write_text("\n".join(own) + "\n")

    def _run(self, *command: str) -> None:
        self.configure("")
        done = run((f"/usr/sbin/{command[0]}", "-c", self.folder / "etc", *command[1:]))
        assert done.returncode == 0, done.stdout

    @contextmanager
    def running(self) -> Iterator[Postfix]:
        """The service, from when it listens until the end of the block."""
        etc = self.folder / "etc"
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAIL_CONFIG": str(etc)}
        command = (POSTFIX_DAEMONS / "master", "-c", etc, "-d")
        with service(command, self.port, variables, self.output):
            yield self


class Exim(Submission):
    """Exim, which is not installed: it would take Postfix's place.

    :param folder: for its files.
    """

    PROGRAM: Final = ROOT / ".unpacked" / "exim4" / "usr" / "sbin" / "exim4"
    ACCOUNT: Final = "Debian-exim"
    GROUP: Final = "nogroup"
    """A group with the number that the account's own has here."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._uid, self._gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam(self.GROUP).gr_gid
        self.folder = folder / "exim"
        self.output = self.folder / "output"
        for name in ("spool", "log"):
            (self.folder / name).mkdir(parents=True)
            os.chown(self.folder / name, self._uid, self._gid)

    def configure(self, authenticators: str) -> None:
        """Write the configuration.

        :param authenticators: that section of it.
        """
        (self.folder / "exim.conf").write_text(
            f"""
primary_hostname = localhost
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/log/%slog
pid_file_path = {self.folder}/pid
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
keep_environment =
queue_only
acl_smtp_rcpt = check_rcpt

begin acl
check_rcpt:
  accept authenticated = *
  deny message = relay not permitted

begin authenticators
{authenticators}
"""
        )

    @contextmanager
    def running(self) -> Iterator[Exim]:
        """The service, from when it listens until the end of the block."""
        # The account that Debian's package makes is there for this process alone.
        for name, line in (
            ("passwd", f"{self.ACCOUNT}:x:{self._uid}:{self._gid}::/:/bin/false"),
            ("group", f"{self.ACCOUNT}:x:{self._gid}:"),
        ):
            text = Path("/etc", name).read_text()
            (self.folder / name).write_text(f"{text.rstrip()}\n{line}\n")
        mounts = "; ".join(
            f"mount --bind {self.folder}/{name} /etc/{name}" for name in ("passwd", "group")
        )
        own_view = ("unshare", "--mount", "sh", "-c", f'set -e; {mounts}; exec "$@"', "sh")
        command = (*own_view, self.PROGRAM, "-C", self.folder / "exim.conf", "-bdf")
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with service(command, self.port, variables, self.output):
            yield self
