"""Mail from a fallback provider, handed to the site's server (RFC 5321) by threads of their own.

A page does not wait for a mail server: it puts a mail into the outbox, which holds so many and no
more, and in which it is there for the next process if this one ends. A server that is out of order
for a moment is tried again a few times.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from browserid_sasl.discovery.public_addresses import is_loopback
from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.errors import BrowserIDError, ConfigurationError, DiscoveryError
from browserid_sasl.idp.outbox import Letter, Outbox, Taken
from browserid_sasl.private_files import read_secret

Tls = Literal["starttls", "tls", "loopback"]

PAUSES_S: Final = (2.0, 10.0)
"""How long to wait before a server is tried again that did not take a mail."""

LOOKS_EVERY_S: Final = 30.0
"""How often it is looked for mail that another process has left."""

_THREADS: Final = 2
_FAREWELL_S: Final = 5.0
_TOO_LATE: Final = "too late"
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
    :param password_file: with the password.
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

    def send(self, octets: bytes, sender: str, recipient: str) -> None:
        """Hand a mail over.

        :param octets: the mail, with its headers.
        :param sender: of the envelope, empty for none.
        :raises OSError: it is not taken; see `smtplib`, whose exceptions are such.
        """
        with self._connect() as server:
            if self.tls == "starttls":
                # It fails where the server does not offer it, and verifies name and certificate.
                server.starttls(context=self._context())
            if self.user:
                server.login(self.user, self._password())
            server.sendmail(sender, [recipient], octets)

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
        return read_secret(self.password_file, "the password for the mail server")


class Postman:
    """Hands over what is in an outbox, in threads of its own. Safe for threads.

    :param server: that takes it.
    :param outbox: where mail waits.
    :param failed: told of what it does not take: the recipient, and why.
    :param pauses: s to wait before it is tried again.
    :param looks_every: s after which it is looked for mail that nobody here has put there.
    """

    def __init__(
        self,
        server: MailServer,
        outbox: Outbox,
        failed: Callable[[str, str], object],
        pauses: tuple[float, ...] = PAUSES_S,
        looks_every: float = LOOKS_EVERY_S,
    ) -> None:
        self._server = server
        self._outbox = outbox
        self._failed = failed
        self._pauses = pauses
        self._looks_every = looks_every
        self._news = threading.Semaphore(0)
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="postman", daemon=True)
            for _ in range(_THREADS)
        ]

    def send(self, letter: Letter) -> None:
        """Have a mail sent, by this process or by the next that serves.

        :raises RefusedError: `busy`: too many are waiting.
        :raises StoreError: it cannot be kept.
        """
        self._outbox.put(letter)
        self._news.release()

    def pretend(self, letter: Letter) -> None:
        """Do what `send` does, and send nothing.

        :raises RefusedError: see `send`.
        :raises StoreError: likewise.
        """
        self._outbox.pretend(letter)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hand over what there is, and what comes, until the end of the block.

        What is being handed over then has a few seconds; the rest waits for the next process.
        """
        self._outbox.tidy()
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._news.release(len(self._threads))
            ends = time.monotonic() + _FAREWELL_S
            for thread in self._threads:
                thread.join(max(0.0, ends - time.monotonic()))

    def _work(self) -> None:
        # First what another process has left. It may still have one that it leaves only then.
        while not self._ending.is_set():
            try:
                self._hand_over_all()
            except Exception as error:
                # Whatever happens, the thread goes on.
                _logger.error("mail cannot be handed over now: %s", type(error).__name__)
            self._news.acquire(timeout=self._looks_every)

    def _hand_over_all(self) -> None:
        while not self._ending.is_set() and (taken := self._outbox.take()) is not None:
            with taken:
                self._hand_over(taken)

    def _hand_over(self, taken: Taken) -> None:
        letter = taken.letter
        if letter is None:
            _logger.error("a mail that waited cannot be read, and is not sent")
            taken.remove()
            return
        try:
            why = self._deliver(letter)
        except Exception as error:
            # Else it would be tried for ever.
            why = type(error).__name__
        if why is not None:
            taken.remove()
        if why:
            self._tell(letter.recipient, why)

    def _tell(self, recipient: str, why: str) -> None:
        try:
            self._failed(recipient, why)
        except BrowserIDError as error:
            _logger.error("%s", error)

    def _deliver(self, letter: Letter) -> str | None:
        """Why it was not taken, empty if it was; None if it is for the next process to try."""
        why = _TOO_LATE
        for pause in (*self._pauses, None):
            if time.time() >= letter.until:
                return why
            try:
                self._server.send(letter.octets, letter.sender, letter.recipient)
                return ""
            except OSError as error:
                why = _reason(error)
                if pause is None or _is_final(error) or time.time() + pause >= letter.until:
                    return why
            if self._ending.wait(pause):
                return None
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
