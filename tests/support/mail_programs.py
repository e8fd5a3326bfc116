"""Mail programs of Debian's, each set up as a person would for a server on loopback.

None of them knows anything of BROWSERID: a name, a password and a port are all that they are told.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.patience import PATIENCE

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Loopback:
    """What a mail program is told.

    :param ports: by what is spoken there: ``imap``, ``pop``, ``submission``, ``sieve``.
    """

    user: str
    password: str
    ports: Mapping[str, int]

    @property
    def imap(self) -> int:
        return self.ports["imap"]

    @property
    def pop(self) -> int:
        return self.ports["pop"]

    @property
    def submission(self) -> int:
        return self.ports["submission"]

    @property
    def sieve(self) -> int:
        return self.ports["sieve"]


@dataclass(frozen=True)
class Done:
    """What a program did.

    :param said: all that it printed.
    :param fetched: the messages that it brought.
    """

    status: int
    said: str
    fetched: str


class Home:
    """The home folder of somebody who has such programs.

    :param folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Write a program's settings, which hold a password."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def run(self, *command: str | Path, input: str = "", **variables: str) -> Done:
        """Run a program to its end."""
        done = subprocess.run(
            command,
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=2 * PATIENCE,
            check=False,
            text=True,
            errors="replace",
            cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | variables,
        )
        fetched = "".join(
            file.read_text(errors="replace")
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and (file.parent.name in ("new", "cur") or file.name == "fetched")
        )
        return Done(done.returncode, done.stdout, fetched)


def mbsync(home: Home, told: Loopback) -> Done:
    """Fetches the inbox by IMAP, with `LOGIN`."""
    (home.folder / "Mail").mkdir(exist_ok=True)
    settings = home.write(
        "mbsyncrc",
        f"""\
IMAPAccount account
Host {LOOPBACK}
Port {told.imap}
User {told.user}
Pass {told.password}
SSLType None

IMAPStore far
Account account

MaildirStore near
Path {home.folder}/Mail/
Inbox {home.folder}/Mail/INBOX

Channel inbox
Far :far:
Near :near:
Create Near
""",
    )
    return home.run("mbsync", "-c", settings, "inbox")


def fetchmail_imap(home: Home, told: Loopback) -> Done:
    """Fetches new messages by IMAP."""
    return _fetchmail(home, told, "imap", told.imap)


def fetchmail_pop3(home: Home, told: Loopback) -> Done:
    """Fetches new messages by POP3."""
    return _fetchmail(home, told, "pop3", told.pop)


def _fetchmail(home: Home, told: Loopback, protocol: str, port: int) -> Done:
    settings = home.write(
        "fetchmailrc",
        f"""\
poll {LOOPBACK} service {port} protocol {protocol} auth password
  user "{told.user}" password "{told.password}" sslproto "" keep fetchall
  mda "cat >>{home.folder}/fetched"
""",
    )
    files = ("-i", home.folder / "fetchids", "--pidfile", home.folder / "fetchmail.pid")
    return home.run("fetchmail", "-f", settings, *files)


def getmail(home: Home, told: Loopback) -> Done:
    """Fetches all messages by IMAP."""
    home.write(
        "getmail/getmailrc",
        f"""\
[retriever]
type = SimpleIMAPRetriever
server = {LOOPBACK}
port = {told.imap}
username = {told.user}
password = {told.password}

[destination]
type = MDA_external
path = /usr/bin/tee
arguments = ("-a", "{home.folder}/fetched")
allow_root_commands = true

[options]
read_all = true
""",
    )
    return home.run("getmail", "--getmaildir", home.folder / "getmail")


def offlineimap(home: Home, told: Loopback) -> Done:
    """Keeps a Maildir the same as the mailbox, with `AUTHENTICATE PLAIN`."""
    settings = home.write(
        "offlineimaprc",
        f"""\
[general]
accounts = account
ui = basic
metadata = {home.folder}/offlineimap

[Account account]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {home.folder}/Offline

[Repository far]
type = IMAP
remotehost = {LOOPBACK}
remoteport = {told.imap}
ssl = no
starttls = no
remoteuser = {told.user}
remotepass = {told.password}
auth_mechanisms = PLAIN
folderfilter = lambda name: name == "INBOX"
""",
    )
    return home.run("offlineimap", "-c", settings, "-o")


def mpop(home: Home, told: Loopback) -> Done:
    """Fetches new messages by POP3."""
    for name in ("new", "cur", "tmp"):
        (home.folder / "Popped" / name).mkdir(parents=True, exist_ok=True)
    settings = home.write(
        "mpoprc",
        f"""\
account default
host {LOOPBACK}
port {told.pop}
user {told.user}
password {told.password}
auth user
tls off
keep on
delivery maildir {home.folder}/Popped
uidls_file {home.folder}/mpop_uidls
""",
    )
    return home.run("mpop", "-C", settings)


def mutt(home: Home, told: Loopback) -> Done:
    """Opens the inbox by IMAP and shows its first message."""
    settings = home.write(
        "muttrc",
        f"""\
set imap_user="{told.user}" imap_pass="{told.password}"
set ssl_starttls=no ssl_force_tls=no
set folder="{home.folder}" wait_key=no quit=yes
""",
    )
    place = f"imap://{LOOPBACK}:{told.imap}/INBOX"
    keys = f"<first-entry><pipe-message>cat > {home.folder}/fetched<enter><quit>"
    command = f"mutt -n -F {settings} -R -f {place} -e 'push \"{keys}\"'"
    return home.run("script", "-qec", command, "/dev/null", TERM="vt100")


def curl_imap(home: Home, told: Loopback) -> Done:
    """Fetches the first message by IMAP, with `AUTHENTICATE PLAIN`."""
    return _curl(home, told, f"imap://{LOOPBACK}:{told.imap}/INBOX;MAILINDEX=1")


def curl_pop3(home: Home, told: Loopback) -> Done:
    """Fetches the first message by POP3."""
    return _curl(home, told, f"pop3://{LOOPBACK}:{told.pop}/1")


def _curl(home: Home, told: Loopback, url: str) -> Done:
    file = home.folder / "fetched"
    netrc = home.write("netrc", f"machine {LOOPBACK} login {told.user} password {told.password}\n")
    return home.run("curl", "-sS", "--netrc-file", netrc, "-o", file, url)


FETCHING: Final[Mapping[str, Callable[[Home, Loopback], Done]]] = {
    "mbsync": mbsync,
    "fetchmail by IMAP": fetchmail_imap,
    "fetchmail by POP3": fetchmail_pop3,
    "getmail": getmail,
    "offlineimap": offlineimap,
    "mpop": mpop,
    "mutt": mutt,
    "curl by IMAP": curl_imap,
    "curl by POP3": curl_pop3,
}


def msmtp(home: Home, told: Loopback, sender: str, recipient: str, message: str) -> Done:
    """Sends a message, with `AUTH PLAIN`."""
    settings = home.write(
        "msmtprc",
        f"""\
account default
host {LOOPBACK}
port {told.submission}
auth plain
user {told.user}
password {told.password}
from {sender}
tls off
""",
    )
    return home.run("msmtp", "-C", settings, recipient, input=message)


def swaks(home: Home, told: Loopback, sender: str, recipient: str, message: str) -> Done:
    """Sends a message, with `AUTH LOGIN`."""
    return home.run(
        *("swaks", "--server", LOOPBACK, "--port", str(told.submission), "--auth", "LOGIN"),
        *("--auth-user", told.user, "--auth-password", told.password),
        *("--from", sender, "--to", recipient, "--data", "-"),
        input=message,
    )


def curl_smtp(home: Home, told: Loopback, sender: str, recipient: str, message: str) -> Done:
    """Sends a message, whose lines end as SMTP wants it: curl looks for dots in no others."""
    netrc = home.write("netrc", f"machine {LOOPBACK} login {told.user} password {told.password}\n")
    addresses = ("--mail-from", sender, "--mail-rcpt", recipient)
    url = f"smtp://{LOOPBACK}:{told.submission}"
    command = ("curl", "-sS", "--netrc-file", netrc, *addresses, "-T", "-", url)
    return home.run(*command, input=message.replace("\n", "\r\n"))


def mutt_smtp(home: Home, told: Loopback, sender: str, recipient: str, message: str) -> Done:
    """Sends a message with mutt's own SMTP."""
    name = told.user.replace("@", "%40")
    settings = home.write(
        "muttrc",
        f"""\
set from="{sender}" envelope_from_address="{sender}" use_envelope_from=yes copy=no
set smtp_url="smtp://{name}@{LOOPBACK}:{told.submission}/" smtp_pass="{told.password}"
set ssl_starttls=no ssl_force_tls=no
""",
    )
    draft = home.write("draft", message)
    return home.run("mutt", "-n", "-F", settings, "-H", draft, recipient)


SENDING: Final[Mapping[str, Callable[[Home, Loopback, str, str, str], Done]]] = {
    "msmtp": msmtp,
    "swaks": swaks,
    "curl by SMTP": curl_smtp,
    "mutt by SMTP": mutt_smtp,
}
