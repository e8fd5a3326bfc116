"""Mail from a fallback provider, handed to the site's server (RFC 5321) by threads of their own.

A page does not wait for a mail server: it puts a mail into a queue, which holds so many and no
more. What is in it when the process ends is lost; whoever has asked asks again. A server that is
out of order for a moment is tried again a few times.
"""

from __future__ import annotations

import logging
import queue
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Literal

from browserid_sasl.discovery.public_addresses import is_loopback
from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, DiscoveryError
from browserid_sasl.private_files import read_private
from browserid_sasl.web.refusal import RefusedError

Tls = Literal["starttls", "tls", "loopback"]

MOST_WAITING: Final = 100
"""Mails in the queue."""

PAUSES_S: Final = (2.0, 10.0)
"""How long to wait before a server is tried again that did not take a mail."""

_THREADS: Final = 2
_logger: Final = logging.getLogger(__name__)
_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes mail from the provider.

    :param host: its name or IP address.
    :param port: of TCP.
    :param tls: `starttls`, `tls` from the first octet on, or `loopback`: none, on this machine.
    :param domain: what to call oneself.
    :param user: to log in as; empty for not at all.
    :param password_file: with the password, in its first line.
    :param ca_file: PEM file of the authorities whose certificates are believed of it; None for the
        system's.
    """

    host: str
    port: int
    tls: Tls
    domain: str
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None

    def check(self) -> None:
        """See that it can be used as it is configured.

        :raises ConfigurationError: why it cannot.
        """
        if not self.host:
            raise ConfigurationError(
                "a fallback provider cannot work without a mail server",
                "name one with `mail_server` in [idp]",
            )
        if self.tls == "loopback" and not _is_here(self.host):
            raise ConfigurationError(
                f"mail does not go to {self.host} without TLS",
                "leave out `mail_tls` in [idp], or name a server at a loopback address",
            )
        self._context()
        self._password()

    def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """Hand a mail over.

        :param sender: of the envelope, empty for none.
        :raises OSError: it is not taken; see `smtplib`, whose exceptions are such.
        """
        with self._connect() as server:
            if self.tls == "starttls":
                # It fails where the server does not offer it, and verifies name and certificate.
                server.starttls(context=self._context())
            if self.user:
                server.login(self.user, self._password())
            server.send_message(message, sender, [recipient])

    def _connect(self) -> smtplib.SMTP:
        if self.tls == "tls":
            return smtplib.SMTP_SSL(
                self.host, self.port, self.domain, timeout=_TIMEOUT_S, context=self._context()
            )
        return smtplib.SMTP(self.host, self.port, self.domain, timeout=_TIMEOUT_S)

    def _context(self) -> ssl.SSLContext:
        try:
            return tls_context(self.ca_file, "")
        except DiscoveryError as error:
            raise ConfigurationError(error.message, "see `mail_ca_file` in [idp]") from None

    def _password(self) -> str:
        if self.password_file is None:
            return ""
        try:
            return read_private(self.password_file).decode().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the password for the mail server in {self.password_file} cannot be read"
                f" ({getattr(error, 'strerror', None) or 'it is not UTF-8'})",
                "name a file with `mail_password_file` in [idp] that the provider can read",
            ) from None


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail on its way.

    :param message: what is sent.
    :param sender: of the envelope, empty for none: a mail that comes back to nobody.
    :param recipient: of the envelope.
    :param until: s on the monotonic clock: later, it is of no use.
    """

    message: EmailMessage = field(repr=False)
    sender: str
    recipient: str
    until: float

    @classmethod
    def good_for(cls, seconds: float, message: EmailMessage, sender: str, recipient: str) -> Letter:
        """A mail that is of no use after some time."""
        return cls(message, sender, recipient, time.monotonic() + seconds)


class Postman:
    """Hands mail over, in threads that start with the first. Safe for threads.

    :param server: that takes it.
    :param failed: told of what it does not take: the recipient, and why.
    :param pauses: s to wait before it is tried again.
    """

    def __init__(
        self,
        server: MailServer,
        failed: Callable[[str, str], object],
        pauses: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._server = server
        self._failed = failed
        self._pauses = pauses
        self._waiting: queue.Queue[Letter] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._started = False

    def send(self, letter: Letter) -> None:
        """Have a mail sent.

        :raises RefusedError: `busy`: too many are waiting.
        """
        self._start()
        try:
            self._waiting.put_nowait(letter)
        except queue.Full:
            raise RefusedError(
                503,
                "busy",
                "too many mails wait to be sent: try again in a minute",
                Code.INTERACT_UNAVAILABLE,
                retry_after=60,
            ) from None

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                for _ in range(_THREADS):
                    threading.Thread(target=self._work, name="postman", daemon=True).start()

    def _work(self) -> None:
        while True:
            letter = self._waiting.get()
            try:
                why = self._deliver(letter)
            except Exception as error:
                # Whatever happens, the thread goes on with the next.
                why = type(error).__name__
            if why:
                self._tell(letter.recipient, why)

    def _tell(self, recipient: str, why: str) -> None:
        try:
            self._failed(recipient, why)
        except BrowserIDError as error:
            _logger.error("%s", error)

    def _deliver(self, letter: Letter) -> str:
        """Why it was not taken, empty if it was."""
        why = ""
        for pause in (*self._pauses, None):
            try:
                self._server.send(letter.message, letter.sender, letter.recipient)
                return ""
            except OSError as error:
                why = _reason(error)
                if pause is None or _is_final(error) or time.monotonic() + pause >= letter.until:
                    return why
            time.sleep(pause)
        return why


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)


def _is_final(error: OSError) -> bool:
    """Whether it would not help to try again."""
    return any(code // 100 == _PERMANENT for code in _codes(error))


_PERMANENT: Final = 5


def _codes(error: OSError) -> list[int]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    return [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []


def _reason(error: OSError) -> str:
    """What to write down: numbers and kinds only, since what a server says may be anybody's."""
    return " ".join([type(error).__name__, *map(str, _codes(error))])
