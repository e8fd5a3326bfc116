"""The way to one server for one client: connected, asked, logged in, and anew where that failed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from browserid_sasl.adapters.login import logins
from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.config import Config
from browserid_sasl.discovery.dialing import Deadline, Dialer
from browserid_sasl.discovery.rooms import Room
from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.errors import BrowserIDError, DiscoveryError, PeerRefusedError
from browserid_sasl.proxy.accounts import Account, Kind, Security, Service
from browserid_sasl.proxy.end import ServerEnd, keep_alive, no_tls, seconds_left
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.imap import ImapServer
from browserid_sasl.proxy.pop import PopServer
from browserid_sasl.proxy.ports import Person
from browserid_sasl.proxy.server import MailServer
from browserid_sasl.proxy.sieve import SieveServer
from browserid_sasl.proxy.smtp import SmtpServer
from browserid_sasl.proxy.stream import EndedError, ServerStream

CONNECT_S: Final = 10
"""How long a server is waited for before a client is greeted."""

LOGIN_S: Final = 30

SERVERS: Final[Mapping[Kind, Callable[[ServerStream, Security], MailServer]]] = {
    Kind.IMAP: ImapServer,
    Kind.POP: PopServer,
    Kind.SUBMISSION: SmtpServer,
    Kind.SIEVE: SieveServer,
}


_NAMES: Final = 256
"""Names that are looked up at once: one for each client."""

_NO_PROTOCOL: Final = ""
"""To ask for in TLS: a port is for one."""


@cache
def _dialer() -> Dialer:
    return Dialer(names=Room(_NAMES, _NAMES))


def mail_tls(config: Config) -> ssl.SSLContext:
    """What verifies mail servers: the same authorities as vouch for identity providers.

    :raises DiscoveryError: they cannot be read.
    """
    return tls_context(config.discovery.ca_file, _NO_PROTOCOL)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to a server that has greeted."""

    end: ServerEnd
    server: MailServer


class Upstream:
    """The server's side of one client.

    :param account: who logs in.
    :param service: where.
    """

    def __init__(self, account: Account, service: Service, person: Person) -> None:
        self._account = account
        self._service = service
        self._person = person
        self._link: Link | None = None
        self._name = ""

    @property
    def end(self) -> ServerEnd:
        """The connection, after `log_in`."""
        assert self._link is not None  # noqa: S101 - `log_in` has made it
        return self._link.end

    @property
    def offer(self) -> Sequence[str]:
        """What the server offers before the login; empty if it is not there."""
        return self._link.server.offer if self._link is not None else ()

    async def connect(self) -> None:
        """Have a connection that is alive.

        :raises BrowserIDError: there is none to be had.
        """
        if self._link is not None and not self._link.end.ended:
            return
        self.close()
        link = await meet(self._service, self._person.tls())
        if self._name:
            try:
                await link.server.introduce(self._name)
            except BaseException:
                link.end.transport.abort()
                raise
        self._link = link

    async def introduce(self, name: str) -> Sequence[str]:
        """Tell the server a client's name, now and whenever it is connected to anew."""
        self._name = name
        await self.connect()
        assert self._link is not None  # noqa: S101 - `connect` has made it
        self._allow(LOGIN_S)
        await self._link.server.introduce(name)
        return self.offer

    async def log_in(self) -> Sequence[str]:
        """Log in; what the server offers then.

        :raises BrowserIDError: why not, for the person to read.
        """
        was_there = self._link is not None
        try:
            return await self._logged_in()
        except EndedError:
            # A server waits for a login for a minute or so, and a client may have taken longer.
            self.close()
            if not was_there:
                raise _hung_up(self._service.host) from None
        try:
            return await self._logged_in()
        except EndedError:
            raise _hung_up(self._service.host) from None

    async def _logged_in(self) -> Sequence[str]:
        await self.connect()
        try:
            return await self._exchange()
        except SignInRequiredError as error:
            await self._person.sign_in(error)
        await self.connect()
        return await self._exchange()

    async def _exchange(self) -> Sequence[str]:
        assert self._link is not None  # noqa: S101 - `connect` has made it
        end, server = self._link.end, self._link.server
        self._allow(LOGIN_S)
        account, service = self._account, self._service
        client = self._person.client(service.kind, service.host, account.identity)
        verdict = Verdict(accepted=False, line=b"")
        for login in logins(
            client,
            list(server.mechanisms),
            end.channel,
            authzid=account.authzid,
            binding_critical=False,
        ):
            try:
                verdict = await server.authenticate(Exchange(login))
            except BaseException:
                # What it says next may be the answer to this one: it is asked nothing more.
                self.close()
                raise
            login.end(accepted=verdict.accepted, words=verdict.line.decode(errors="replace"))
        try:
            _ = login.result
        except PeerRefusedError as error:
            raise _passing(error) if verdict.passes else error from None
        return await server.after(verdict)

    async def log_out(self) -> None:
        """Take leave of the server."""
        if self._link is not None:
            self._allow(CONNECT_S)
            await self._link.server.log_out()
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._link is not None:
            self._link.end.transport.abort()
            self._link = None

    def _allow(self, seconds: float) -> None:
        if self._link is not None:
            self._link.end.limit = asyncio.get_running_loop().time() + seconds


async def meet(service: Service, context: ssl.SSLContext) -> Link:
    """Connect to a server, verify it, and ask what it offers, within `CONNECT_S`.

    :param context: verifies it.
    :raises BrowserIDError: it cannot be met.
    """
    end = await _dial(service, context)
    try:
        server = SERVERS[service.kind](end, service.security)
        await server.greet()
    except BaseException:
        end.transport.abort()
        raise
    return Link(end, server)


async def _dial(service: Service, context: ssl.SSLContext) -> ServerEnd:
    loop = asyncio.get_running_loop()
    limit = loop.time() + CONNECT_S
    connection = await apart(_connect, service.host, service.port)
    implicit = service.security is Security.TLS
    try:
        _, end = await loop.create_connection(
            lambda: ServerEnd(limit, context, service.host),
            sock=connection,
            ssl=context if implicit else None,
            server_hostname=service.host if implicit else None,
            ssl_handshake_timeout=seconds_left(limit) if implicit else None,
        )
    except (OSError, TimeoutError) as error:
        raise no_tls(service.host, error) from None
    return end


def _connect(host: str, port: int) -> socket.socket:
    """A connection to a server, its name looked up anew.

    :raises MailServerError: nobody answers there.
    """
    try:
        # The person has named the server, which may well be in their own network.
        connection = _dialer().dial(host, port, Deadline.after(CONNECT_S), private=True)
    except DiscoveryError as error:
        raise MailServerError(
            error.code,
            error.message,
            "see whether the server is running and the network is up",
            passes=True,
        ) from None
    keep_alive(connection)
    connection.setblocking(False)
    return connection


def _hung_up(host: str) -> MailServerError:
    error = EndedError()
    return MailServerError(
        error.code, f"{host} has closed the connection", error.remedy, passes=True
    )


def _passing(error: BrowserIDError) -> MailServerError:
    return MailServerError(error.code, error.message, "try again later", passes=True)
