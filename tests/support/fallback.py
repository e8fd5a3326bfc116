"""A fallback provider that runs, the site's mail server, and what domains say of themselves."""

from __future__ import annotations

import asyncio
import email
import email.policy
import queue
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.idp.fallback import Fallback
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.mail_limits import MailLimits
from browserid_sasl.idp.mailed_codes import MailedCodes
from browserid_sasl.idp.outbox import Outbox
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.postman import MailServer, Postman
from tests.support.browser import Browser
from tests.support.patience import PATIENCE
from tests.support.provider import RunningProvider, SettableClock, running_provider

FALLBACK = "fallback.test"
NOBODY = "alice@nobody.test"
"""An address whose domain has no provider."""

UNCLEAR = DiscoveryError(Code.HTTP_ERROR, "nobody answers")


@dataclass
class Delivery:
    """A mail as the server got it.

    :param sender: of the envelope, empty for none.
    :param secure: whether it came through TLS.
    :param user: who had logged in, empty for nobody.
    """

    sender: str
    recipient: str
    message: EmailMessage
    octets: bytes
    secure: bool
    user: str

    @property
    def text(self) -> str:
        """What people read."""
        return str(self.message.get_content()).replace("\r\n", "\n")

    @property
    def code(self) -> str:
        """The six digits in it."""
        found = re.search(r"^ +(\d{3}) (\d{3})$", self.text, re.MULTILINE)
        assert found is not None
        return found[1] + found[2]

    @property
    def link(self) -> str:
        """The link in it, without the provider's origin."""
        found = re.search(r"^https://[^/]+(/\S+)$", self.text, re.MULTILINE)
        assert found is not None
        return found[1]


class Mailbox:
    """Takes mail for everybody, as the site's mail server.

    :param refusal: what it answers to recipients, empty to take them.
    """

    def __init__(self) -> None:
        self.refusal = ""
        self.deliveries: list[Delivery] = []
        self.tries = 0
        self._news = threading.Condition()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """See `aiosmtpd`."""
        with self._news:
            self.tries += 1
            self._news.notify_all()
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """See `aiosmtpd`."""
        octets = envelope.content
        assert isinstance(octets, bytes)
        message = email.message_from_bytes(octets, policy=email.policy.default)
        login: Any = session.auth_data
        user = login.login.decode() if session.authenticated else ""
        sender = (envelope.mail_from or "").strip("<>")
        assert server.transport is not None
        secure = server.transport.get_extra_info("sslcontext") is not None
        for recipient in envelope.rcpt_tos:
            delivery = Delivery(sender, recipient, message, octets, secure, user)
            with self._news:
                self.deliveries.append(delivery)
                self._news.notify_all()
        return "250 OK"

    def wait(self, count: int = 1) -> Delivery:
        """The mail with a number, counted from 1, when it is there."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.deliveries) >= count, PATIENCE)
            return self.deliveries[count - 1]

    def wait_for_tries(self, count: int) -> None:
        """Wait until so many mails were begun."""
        with self._news:
            assert self._news.wait_for(lambda: self.tries >= count, PATIENCE)


@contextmanager
def mail_server(
    mailbox: Mailbox,
    context: ssl.SSLContext | None = None,
    *,
    at_once: bool = False,
    port: int = 0,
) -> Iterator[int]:
    """Run a mail server on loopback; its port.

    :param context: for TLS; None for none. With one, it takes nothing without TLS, and the user
        `provider` with the password `secret`.
    :param at_once: whether TLS begins with the first octet.
    :param port: where it is, 0 for any that is free.
    """

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(b"provider", b"secret")
        return AuthResult(success=right, auth_data=data)

    options: dict[str, Any] = {"hostname": "mail.test"}
    if context is not None:
        options |= {"authenticator": authenticate, "auth_require_tls": not at_once}
        options |= {} if at_once else {"tls_context": context, "require_starttls": True}
    ports: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await loop.create_server(
            lambda: SMTP(mailbox, loop=loop, **options),
            "127.0.0.1",
            port,
            ssl=context if at_once else None,
        )
        ports.put(server.sockets[0].getsockname()[1])
        await ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    # All in a thread of its own: the test's may have a loop that runs, as Playwright's does.
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield ports.get(timeout=PATIENCE)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
        loop.close()


@dataclass
class RunningFallback:
    """A fallback provider, with the mailbox of all the world.

    :param domains: what is known of domains; others have no provider. An exception is raised.
    """

    running: RunningProvider
    mailbox: Mailbox
    domains: dict[str, str | DiscoveryError]
    asked: list[str] = field(default_factory=list)

    @property
    def provider(self) -> Provider:
        return self.running.provider

    @property
    def fallback(self) -> Fallback:
        assert self.provider.fallback is not None
        return self.provider.fallback

    @property
    def clock(self) -> SettableClock:
        return self.running.clock

    def browser(self, headers: Mapping[str, str] | None = None) -> Browser:
        """One that has never been there. See `Browser`."""
        running = self.running
        return Browser(running.url, running.ca_file, f"https://{FALLBACK}", headers)


@contextmanager
def running_fallback(
    path: Path,
    *,
    per_hour: int = 600,
    bounces: str = f"bounces@{FALLBACK}",
    backends: Backends | None = None,
) -> Iterator[RunningFallback]:
    """Run a fallback provider in a folder until the block ends.

    :param backends: what people sign in by; None: by mail.
    """
    mailbox = Mailbox()
    domains: dict[str, str | DiscoveryError] = {}
    asked: list[str] = []

    def provider_of(domain: str, _now: int) -> str | None:
        asked.append(domain)
        found = domains.get(domain)
        if isinstance(found, DiscoveryError):
            raise found
        return found

    with mail_server(mailbox) as port, ExitStack() as stack:

        def complete(provider: Provider) -> Provider:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            outbox = Outbox(path / "outbox")
            postman = Postman(server, outbox, lambda _email, _why: None, pauses=())
            stack.enter_context(postman.at_work())
            fallback = Fallback(
                domain=FALLBACK,
                provider_of=provider_of,
                limits=MailLimits(provider.database, provider.audit, per_hour),
                codes=MailedCodes(provider.database, provider.secret, provider.audit),
                postman=postman,
                sender=f"no-reply@{FALLBACK}",
                bounces=bounces,
            )
            return replace(provider, fallback=fallback)

        with running_provider(
            path, domain=FALLBACK, complete=complete, backends=backends
        ) as running:
            yield RunningFallback(running, mailbox, domains, asked)
