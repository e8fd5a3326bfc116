"""Both sides of an exchange, in the terms of saslplug.h."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

from browserid_sasl.cyrus import facades
from browserid_sasl.cyrus.codes import Disposition
from browserid_sasl.cyrus.interface import Connection, Outcome, as_tuple
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.identity.addresses import user_name
from browserid_sasl.records import replace
from browserid_sasl.sasl.results import Sasl, describe_surprise, level_of, sasl_result

if TYPE_CHECKING:
    from browserid_sasl.sasl.client import ClientMechanism
    from browserid_sasl.sasl.result import Result
    from browserid_sasl.sasl.server import ServerMechanism

_LONGEST_TEXT: Final = 600

Mechanism = TypeVar("Mechanism", "ServerMechanism", "ClientMechanism")


class Exchange(ABC, Generic[Mechanism]):
    """One connection's authentication."""

    _is_client: ClassVar[bool]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._running: Mechanism | None = None
        self._told: BrowserIDError | None = None

    def step(self, message: bytes) -> Outcome:
        """Take the other side's message; empty for none. Never raises."""
        try:
            if self._running is not None:
                return self._step(self._running, message)
            with _without_collecting():
                self._running = self._start()
                return self._step(self._running, message)
        except BaseException as error:
            return self._failed(error)

    def take(self, message: bytes) -> tuple[object, ...]:
        """`step`, for the C half."""
        return as_tuple(self.step(message))

    @abstractmethod
    def _start(self) -> Mechanism:
        """Begin, with the configuration as it is now."""

    @abstractmethod
    def _step(self, mechanism: Mechanism, message: bytes) -> Outcome:
        """Take a message."""

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, BrowserIDError):
            code, text = sasl_result(error, is_client=self._is_client), str(error)
        else:
            code, text = describe_surprise(error)
        logged = error is self._told
        return Outcome(
            code.of_mechanism,
            level=level_of(error, is_client=self._is_client),
            message=None if logged else self._line(text),
            detail=_printable(text),
        )

    def _line(self, text: str) -> str:
        connection = self._connection
        return _printable(f"{connection.mechanism} {connection.service}/{connection.host}: {text}")

    def _demand_mutual(self, result: Result) -> None:
        if self._connection.mutual and not result.mutual:
            raise RemoteProtocolError(
                Code.UNTRUSTED_X509_CERT,
                "the program demands mutual authentication, and the other side did not take part",
                "the server needs `x509_certificate`, the client `mutual` other than off",
            )

    def _success(
        self, output: bytes | None, result: Result, identity: str, authzid: str
    ) -> Outcome:
        used = result.channel_binding is not None
        return Outcome(
            Sasl.OK,
            output,
            identity=identity,
            authzid=authzid,
            disposition=Disposition.USED if used else Disposition.NONE,
            binding=result.channel_binding,
            properties=_properties(result),
        )


class ServerExchange(Exchange["ServerMechanism"]):
    """A client logs in."""

    _is_client = False
    _strip_domain = ""

    def _start(self) -> ServerMechanism:
        connection = self._connection
        made = facades.server(connection)
        self._strip_domain = made.config.server.strip_domain
        binding = connection.binding
        return made.facade.start(
            connection.mechanism,
            channel_bindings={binding.type: binding.data} if binding else None,
            plus_listed=bool(connection.plus_listed),
            # libsasl2 itself takes one more empty message where a protocol needs that.
            success_data=True,
            # The program decides, by its proxy policy, on the names that canon_user makes; who
            # may log in at all, the configuration.
            may_act_as=lambda identity, authzid: True,
        )

    def _step(self, mechanism: ServerMechanism, message: bytes) -> Outcome:
        output = mechanism.step(message)
        if mechanism.complete:
            result = mechanism.result
            self._demand_mutual(result)
            stripped = self._strip_domain
            identity, authzid = (
                user_name(name, stripped) for name in (result.identity, result.authzid)
            )
            return self._success(output, result, identity, authzid)
        if mechanism.failure is None:
            return Outcome(Sasl.CONTINUE, output)
        # Many clients hang up on an error token: this may be the last that is heard of it.
        failure = self._failed(mechanism.failure)
        self._told = mechanism.failure
        return replace(failure, code=Sasl.CONTINUE, output=output)


class ClientExchange(Exchange["ClientMechanism"]):
    """The user of this program logs in."""

    _is_client = True
    _name = ""
    _authzid = ""

    def name(self, authname: str, authzid: str) -> None:
        """Say who logs in, before the first step.

        :param authname: what the program calls the user, see `agent.naming.choose`.
        :param authzid: who to act as, see `agent.naming.acting_as`.
        """
        self._name = authname
        self._authzid = authzid

    def _start(self) -> ClientMechanism:
        connection = self._connection
        used = connection.disposition == Disposition.USED
        wanted = connection.disposition == Disposition.WANT
        return facades.client(connection, self._name).facade.start(
            connection.mechanism if used else [connection.mechanism],
            authzid=self._authzid,
            channel_binding=connection.binding if used or wanted else None,
            binding_critical=used,
        )

    def _step(self, mechanism: ClientMechanism, message: bytes) -> Outcome:
        output = mechanism.step(message)
        if not mechanism.complete:
            return Outcome(Sasl.CONTINUE, output)
        result = mechanism.result
        self._demand_mutual(result)
        return self._success(output or None, result, result.identity, result.authzid)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Spare a first message, which may load modules, the search for garbage: they are none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _printable(text: str) -> str:
    """Text that can not forge a line of the log."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 3] + "..."


def _properties(result: Result) -> tuple[tuple[str, str], ...]:
    """What an application may read with `sasl_auxprop_getctx`. The time is in seconds."""
    claims = (
        (f"browserid-claim-{name}", str(value))
        for name, value in result.attributes.items()
        if isinstance(value, str | int)
    )
    properties = (
        ("browserid-email", result.identity),
        ("browserid-issuer", result.issuer),
        ("browserid-expires", str(result.expires // 1000)),
        *claims,
    )
    return tuple((name, value) for name, value in properties if "\0" not in name + value)
