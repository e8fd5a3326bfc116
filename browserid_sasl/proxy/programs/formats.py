"""The formats of configuration files of mail programs, and how each of them quotes."""

from __future__ import annotations

import plistlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.proxy.accounts import Kind
from browserid_sasl.proxy.programs.settings import LOOPBACK, Settings
from browserid_sasl.proxy.strings import escaped

_ATOM: Final = re.compile(r"[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|}~\[-]+")
"""RFC 9051 section 9, `ASTRING-CHAR` without what begins something else."""

Format = Callable[[Settings], bytes]
"""Makes a file of an account. Raises LocalProtocolError for what the format cannot say."""


def isync(settings: Settings) -> bytes:
    """The file ``~/.mbsyncrc`` of mbsync."""
    name = settings.label
    return _text(
        f"IMAPAccount {name}",
        f"Host {LOOPBACK}",
        f"Port {settings.port(Kind.IMAP)}",
        f"User {_backslashed(settings.user)}",
        f"PassCmd {_backslashed(settings.command)}",
        "AuthMechs LOGIN",
        "SSLType None",
        "",
        f"IMAPStore {name}-remote",
        f"Account {name}",
        "",
        f"MaildirStore {name}-local",
        f"Path ~/Mail/{name}/",
        f"Inbox ~/Mail/{name}/INBOX",
        "SubFolders Verbatim",
        "",
        f"Channel {name}",
        f"Far :{name}-remote:",
        f"Near :{name}-local:",
        "Patterns *",
        "Create Near",
        "SyncState *",
    )


def msmtp(settings: Settings) -> bytes:
    """The file ``~/.msmtprc`` of msmtp."""
    return _text(
        f"account {settings.label}",
        f"host {LOOPBACK}",
        f"port {settings.port(Kind.SUBMISSION)}",
        f"from {_in_quotes(settings.account.identity)}",
        "auth plain",
        f"user {_in_quotes(settings.user)}",
        f"passwordeval {_in_quotes(settings.command)}",
        "tls off",
        "",
        f"account default : {settings.label}",
    )


def mpop(settings: Settings) -> bytes:
    """The file ``~/.mpoprc`` of mpop."""
    return _text(
        f"account {settings.label}",
        f"host {LOOPBACK}",
        f"port {settings.port(Kind.POP)}",
        "auth user",
        f"user {_in_quotes(settings.user)}",
        f"passwordeval {_in_quotes(settings.command)}",
        "tls off",
        "keep on",
        f"delivery maildir ~/Mail/{settings.label}",
        "",
        f"account default : {settings.label}",
    )


def mutt(settings: Settings) -> bytes:
    """The file ``~/.muttrc`` of mutt and neomutt."""
    lines = [
        f"set from = {_for_mutt(settings.account.identity)}",
        f"set folder = imap://{LOOPBACK}:{settings.port(Kind.IMAP)}/",
        "set spoolfile = +INBOX",
        f"set imap_user = {_for_mutt(settings.user)}",
        f"set imap_pass = {_mutt_output(settings)}",
        "set ssl_starttls = no",
        "set ssl_force_tls = no",
    ]
    if settings.account.service(Kind.SUBMISSION) is not None:
        user = quote(settings.user, safe="")
        port = settings.port(Kind.SUBMISSION)
        lines += [
            f"set smtp_url = {_for_mutt(f'smtp://{user}@{LOOPBACK}:{port}/')}",
            f"set smtp_pass = {_mutt_output(settings)}",
        ]
    return _text(*lines)


def fetchmail(settings: Settings) -> bytes:
    """The file ``~/.fetchmailrc`` of fetchmail, which cannot ask for a password."""
    imap = settings.account.service(Kind.IMAP) is not None
    kind = Kind.IMAP if imap else Kind.POP
    return _text(
        f"poll {LOOPBACK} protocol {'imap' if imap else 'pop3'} port {settings.port(kind)}",
        f"  auth password username {_in_octal(settings.user)} password {_in_octal(settings.ask())}",
        "  sslproto '' keep",
    )


def getmail(settings: Settings) -> bytes:
    """The file ``~/.config/getmail/getmailrc`` of getmail, version 6."""
    if not _ATOM.fullmatch(settings.user):
        raise _cannot_have("getmail", settings)  # it sends the name as it is, without quotes
    words = ", ".join(f'"{escaped(word)}"' for word in settings.words)
    return _text(
        "[retriever]",
        "type = SimpleIMAPRetriever",
        f"server = {LOOPBACK}",
        f"port = {settings.port(Kind.IMAP)}",
        f"username = {settings.user}",
        f"password_command = ({words})",
        "",
        "[destination]",
        "type = Maildir",
        f"path = ~/Mail/{settings.label}/",
        "",
        "[options]",
        "read_all = false",
        "delete = false",
    )


def offlineimap(settings: Settings) -> bytes:
    """The file ``~/.offlineimaprc`` of offlineimap, version 3."""
    name = settings.label
    asked = f"__import__('subprocess').check_output({[*settings.words]!a})"
    return _text(
        "[general]",
        f"accounts = {name}",
        "",
        f"[Account {name}]",
        f"localrepository = {name}-local",
        f"remoterepository = {name}-remote",
        "",
        f"[Repository {name}-local]",
        "type = Maildir",
        f"localfolders = ~/Mail/{name}",
        "",
        f"[Repository {name}-remote]",
        "type = IMAP",
        f"remotehost = {LOOPBACK}",
        f"remoteport = {settings.port(Kind.IMAP)}",
        f"remoteuser = {_doubled(settings.user)}",
        f"remotepasseval = {_doubled(asked)}.decode().strip()",
        "auth_mechanisms = PLAIN, LOGIN",
        "ssl = no",
        "starttls = no",
    )


def curl(settings: Settings) -> bytes:
    """A file for ``curl --config``, which cannot ask for a password."""
    if ":" in settings.user:
        raise _cannot_have("curl", settings)  # where the password begins
    return _text(
        f'url = "imap://{LOOPBACK}:{settings.port(Kind.IMAP)}/INBOX"',
        f"user = {_backslashed(f'{settings.user}:{settings.ask()}')}",
    )


def apple(settings: Settings) -> bytes:
    """A ``.mobileconfig`` of Apple's Mail (Configuration Profile Reference, `Mail`)."""
    imap = settings.account.service(Kind.IMAP) is not None
    place = f"browserid-sasl:{settings.user}"
    payload: dict[str, object] = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"browserid-sasl.mail.{settings.label}",
        "PayloadUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{place}/mail")).upper(),
        "EmailAccountDescription": settings.user,
        "EmailAccountType": "EmailTypeIMAP" if imap else "EmailTypePOP",
        "EmailAddress": settings.account.identity,
        **_apple_server(settings, "Incoming", Kind.IMAP if imap else Kind.POP),
        **_apple_server(settings, "Outgoing", Kind.SUBMISSION),
    }
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"browserid-sasl.{settings.label}",
            "PayloadUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, place)).upper(),
            "PayloadDisplayName": f"Mail of {settings.user}",
            "PayloadContent": [payload],
        }
    )


def _apple_server(settings: Settings, way: str, kind: Kind) -> dict[str, object]:
    prefix = f"{way}MailServer"
    return {
        f"{prefix}Authentication": "EmailAuthPassword",
        f"{prefix}HostName": LOOPBACK,
        f"{prefix}PortNumber": settings.port(kind),
        f"{prefix}UseSSL": False,
        f"{prefix}Username": settings.user,
    }


FORMATS: Final[Mapping[str, Format]] = {
    "apple": apple,
    "curl": curl,
    "fetchmail": fetchmail,
    "getmail": getmail,
    "isync": isync,
    "mpop": mpop,
    "msmtp": msmtp,
    "mutt": mutt,
    "offlineimap": offlineimap,
}
"""By the names of the programs."""


def _text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _backslashed(text: str) -> str:
    """In quotes, with a backslash before a quote and a backslash."""
    return f'"{escaped(text)}"'


def _in_quotes(text: str) -> str:
    """In quotes that are the first and the last of the line: what is inside is taken as it is."""
    return f'"{text}"'


def _for_mutt(text: str) -> str:
    """In quotes in which mutt would put in variables and the output of commands."""
    return '"' + escaped(text).replace("$", "\\$").replace("`", "\\`") + '"'


def _in_octal(text: str) -> str:
    """In quotes, with what fetchmail's lexer takes for the end of them by its number."""
    return '"' + text.replace("\\", "\\\\").replace('"', "\\042") + '"'


def _mutt_output(settings: Settings) -> str:
    """What a command prints: all that is between the two is the shell's, but for a third one."""
    if "`" in settings.command:
        raise _cannot_have("mutt", settings)
    return f"`{settings.command}`"


def _cannot_have(program: str, settings: Settings) -> LocalProtocolError:
    return LocalProtocolError(
        Code.INVALID_PARAMETER,
        f"{program} cannot log in with a name that has characters such as {settings.user} has",
        "add the account under another name, by `--name`",
    )


def _doubled(text: str) -> str:
    """For a parser to which a percent sign is the beginning of an option's name."""
    return text.replace("%", "%%")
