"""The answer on loopback to mail programs that ask, over HTTP, for an account's settings.

Any program and any web page of the machine can connect. So another user of it is cut off, a request
has little room and little time, a web page learns nothing (DNS rebinding; another origin), and no
answer has a password in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from browserid_sasl.agent.flows.loopback import hosts_at
from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.identity.addresses import domain_of, in_lower_case
from browserid_sasl.proxy.accounts import Account, is_same_name
from browserid_sasl.proxy.end import End
from browserid_sasl.proxy.gate import is_own
from browserid_sasl.proxy.listeners import Listeners
from browserid_sasl.proxy.programs import LOOPBACK
from browserid_sasl.proxy.programs.autoconfig import EVERY_ADDRESS, document

FIRST_PORT: Final = 1180
"""Where the search for a free port begins."""

_TRIED_PORTS: Final = 200
_MOST_CONNECTIONS: Final = 16
_REQUEST_S: Final = 5
_MOST_LINES: Final = 64
_MAX_FIELDS: Final = 16

PATHS: Final = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")
"""Where a domain has its document; the address is in the query, as `emailaddress`."""
_DATABASE: Final = "/v1.1/"
"""Where Thunderbird's database has the documents of all domains."""

_FIELDS: Final = (
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered.

    :param kind: of the body, a media type.
    """

    status: int
    kind: str
    body: bytes


def address_at(port: int) -> str:
    """Where the answer is, to be put before a path."""
    return f"http://{LOOPBACK}:{port}"


class Answer:
    """Tells mail programs the settings of the accounts. For the event loop's thread."""

    def __init__(self) -> None:
        self.accounts: Sequence[Account] = ()
        self.port: int | None = None
        self._listeners: Listeners | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int | None) -> int:
        """Listen, at this port; None for one that is free.

        :returns: the port.
        :raises OSError: it cannot be had.
        """
        if port is not None:
            await self._listen(port)
            return port
        taken = {each.local_port for account in self.accounts for each in account.services}
        for each in sorted(set(range(FIRST_PORT, FIRST_PORT + _TRIED_PORTS)) - taken):
            with suppress(OSError):
                await self._listen(each)
                return each
        raise OSError(f"no port from {FIRST_PORT} on is free")

    async def _listen(self, port: int) -> None:
        listeners = Listeners(port, None, self._meet, self._meet)
        await listeners.open()
        self._listeners, self.port = listeners, port

    def _meet(self, end: End) -> None:
        connection = end.transport.get_extra_info("socket")
        if not is_own(connection) or len(self._tasks) >= _MOST_CONNECTIONS:
            end.transport.abort()
            return
        task = asyncio.create_task(self._serve(end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, end: End) -> None:
        end.limit = asyncio.get_running_loop().time() + _REQUEST_S
        try:
            with suppress(RemoteProtocolError):
                await end.write(self.reply_to(await _head(end)))
        finally:
            end.transport.close()
            asyncio.get_running_loop().call_later(1.0, end.transport.abort)

    def reply_to(self, head: bytes) -> bytes:
        """What goes back for a request.

        :param head: its first line and its fields.
        """
        connection = h11.Connection(h11.SERVER)
        try:
            connection.receive_data(head)
            request = connection.next_event()
        except h11.RemoteProtocolError:
            request = h11.NEED_DATA
        if not isinstance(request, h11.Request):
            return _sent(connection, _refusal(400, "this is no request"))
        return _sent(connection, self._judge(request), only_head=request.method == b"HEAD")

    def _judge(self, request: h11.Request) -> Reply:
        if request.method not in (b"GET", b"HEAD"):
            return _refusal(405, "documents are asked for here, by GET")
        # Before anything is told.
        hosts = [
            value.decode("latin-1").lower() for name, value in request.headers if name == b"host"
        ]
        if self.port is None or len(hosts) != 1 or hosts[0] not in hosts_at(self.port):
            return _refusal(421, "this is another host")
        found = self._found(request.target.decode("latin-1"))
        if found is None:
            return _refusal(404, "there is no account for that; `browserid mail add` makes one")
        return Reply(200, "text/xml; charset=utf-8", found)

    def _found(self, target: str) -> bytes | None:
        """The document that a request is for, None for none."""
        try:
            parts = urlsplit(target)
            query = dict(parse_qsl(parts.query, max_num_fields=_MAX_FIELDS))
        except ValueError:
            return None
        if parts.path in PATHS:
            return self._of_address(query.get("emailaddress", ""))
        if parts.path.startswith(_DATABASE):
            return self._of_domain(unquote(parts.path.removeprefix(_DATABASE)))
        return None

    def _of_address(self, address: str) -> bytes | None:
        of_address = [each for each in self.accounts if is_same_name(each.identity, address)]
        # One that was given another name is what the person has called it.
        of_address.sort(key=lambda each: not is_same_name(each.name, address))
        return document(of_address[0], of_address[0].name) if of_address else None

    def _of_domain(self, domain: str) -> bytes | None:
        of_domain = [
            each for each in self.accounts if domain_of(each.identity) == in_lower_case(domain)
        ]
        # A domain's document is for whoever asks. Each account has ports of its own, so there is
        # none for two; and for one, whoever gives another address is made to be nobody else.
        if len(of_domain) != 1 or not is_same_name(of_domain[0].name, of_domain[0].identity):
            return None
        return document(of_domain[0], EVERY_ADDRESS)

    def close(self) -> None:
        """Listen no more, and end all connections."""
        if self._listeners is not None:
            self._listeners.close()
        self._listeners = self.port = None
        for task in self._tasks:
            task.cancel()


async def _head(end: End) -> bytes:
    """The first line of a request, and its fields.

    :raises RemoteProtocolError: there are too many, or it takes too long.
    """
    lines: list[bytes] = []
    while not lines or lines[-1]:
        if len(lines) > _MOST_LINES:
            break  # which is no request: no empty line ends it
        lines.append(await end.line())
    return b"\r\n".join((*lines, b""))


def _refusal(status: int, why: str) -> Reply:
    return Reply(status, "text/plain; charset=utf-8", f"{why}\n".encode())


def _sent(connection: h11.Connection, reply: Reply, *, only_head: bool = False) -> bytes:
    fields = [
        *_FIELDS,
        ("Content-Type", reply.kind),
        ("Content-Length", str(len(reply.body))),
    ]
    response = h11.Response(status_code=reply.status, headers=fields)
    events = (response, h11.Data(data=b"" if only_head else reply.body), h11.EndOfMessage())
    return b"".join(connection.send(each) or b"" for each in events)
