"""The person as the mail proxy knows them, and what programs ask of it (docs/agent.md)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.agent.service.access import Access
from browserid_sasl.agent.service.clients import Clients, Target
from browserid_sasl.api import Client
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity.addresses import is_host_name, read_port
from browserid_sasl.proxy.accounts import Accounts, Kind, Security, Service
from browserid_sasl.proxy.proxy import Proxy, State
from browserid_sasl.proxy.upstream import mail_tls

_TITLE: Final = "Mail"


class MailPerson:
    """Whose agent it is; `proxy.ports.Person`.

    :param clients: have their configuration and their keys.
    :param access: sees to it that they are signed in.
    """

    def __init__(self, clients: Clients, access: Access) -> None:
        self._clients = clients
        self._access = access

    @property
    def accounts(self) -> Accounts:
        """Their accounts."""
        return Accounts.of(self._clients.config)

    def client(self, kind: Kind, host: str, identity: str) -> Client:
        """What logs in to a server, with a mechanism that the configuration names."""
        return self._clients.get(Target(None, kind.sasl_service, host, identity, mutual=False))

    def tls(self) -> ssl.SSLContext:
        """What verifies servers."""
        return mail_tls(self._clients.config)

    async def sign_in(self, error: SignInRequiredError) -> None:
        """Get a certificate for somebody, once for all who wait; see `Access.provide`."""
        await self._access.provide(error, {})

    async def tell(self, about: str, text: str) -> None:
        """Tell the person, once in a while."""
        await self._access.tell(about, text, _TITLE)


def fields_of(state: State) -> dict[str, str | None]:
    """How a service is, as the answer to ``MAIL`` says it."""
    account, service = state.account, state.service
    return {
        "account": account.name,
        "kind": service.kind,
        "host": service.host,
        "port": str(service.port),
        "local_port": str(service.local_port),
        "socket": None if state.socket is None else str(state.socket),
        "state": "failed" if state.reason else "listening",
        "reason": state.reason or None,
        "connections": str(state.connections),
        "last_error": state.last_error or None,
    }


def fields_of_answer(proxy: Proxy) -> dict[str, str | None]:
    """Where mail programs are told of the accounts, as the answer to ``MAIL`` says it."""
    port = proxy.answer_port
    return {
        "answer_port": None if port is None else str(port),
        "reason": proxy.answer_reason or None,
    }


def kind_of(name: str) -> Kind:
    """The kind of service that a request names.

    :raises LocalProtocolError: there is none of that name.
    """
    try:
        return Kind(name)
    except ValueError:
        raise _refused(f"{name[:32]!r} is no kind of service: {', '.join(Kind)}") from None


def service_of(name: str, values: Mapping[str, str]) -> Service:
    """The service that a request is for.

    :raises LocalProtocolError: it does not say, or what it says cannot be.
    """
    host, security = values.get("host", ""), values.get("security", "")
    port = read_port(values.get("port", ""))
    if not is_host_name(host):
        raise _refused(f"{host[:253]!r} is not the name of a server")
    if port is None:
        raise _refused(f"{values.get('port', '')[:16]!r} is not a port")
    if security not in [*Security]:
        raise _refused(f"security is {' or '.join(Security)}, and not {security[:16]!r}")
    return Service(kind_of(name), host, port, Security(security), 0)


def _refused(message: str) -> LocalProtocolError:
    return LocalProtocolError(Code.INVALID_PARAMETER, message)
