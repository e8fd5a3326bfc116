"""What programs ask: the lines of Dovecot's authentication clients, and ours (docs/wire.md)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.wire.lines import unescape
from browserid_sasl.wire.octets import decode

MAJOR_VERSION: Final = 1
MAX_ID: Final = 0xFFFF_FFFF
MAX_PARAMETERS: Final = 64
OUT_OF_BAND: Final = "#"
"""What stands in place of data where a channel binding is asked for, and given (version 1.3)."""

_EXTENDED: Final = "bid"
_CONTEXT: Final = "bid_context"
_OPTION: Final = "bid_opt."
_BINDING: Final = "bid_cb."
_NOTHING: Final = "="


@dataclass(frozen=True, slots=True)
class Version:
    """The client's word on what it speaks.

    :param minor: version below `MAJOR_VERSION`.
    """

    minor: int


@dataclass(frozen=True, slots=True)
class Begin:
    """The beginning of a login.

    :param id: the client's number for it.
    :param mechanism: the mechanism's name as it came.
    :param service: the program's name for what it serves.
    :param parameters: the other parameters, unescaped; empty text where one has no value.
    :param initial: the client's first message, None if it is not there yet.
    :param shows_nothing: whether the program writes `=` for an empty message, and has to read it.
    :param problem: what is wrong with the client's first message, None if nothing is.
    """

    id: int
    mechanism: str
    service: str
    parameters: Mapping[str, str] = field(repr=False)
    initial: bytes | None = field(repr=False)
    shows_nothing: bool = False
    problem: RemoteProtocolError | None = None

    @property
    def extended(self) -> bool:
        """Whether the program understands our own parameters."""
        return _EXTENDED in self.parameters

    @property
    def is_context(self) -> bool:
        """Whether it is for a security context, without SASL around it."""
        return self.extended and _CONTEXT in self.parameters

    @property
    def bound(self) -> bytes | None:
        """GSS `application_data` that a context has to be bound to, None without.

        :raises RemoteProtocolError: invalid-base64.
        """
        value = self.parameters.get("bid_bound")
        return None if value is None else decode(value)

    @property
    def takes_final_data(self) -> bool:
        """Whether the last message can go along with the word of success."""
        return self.extended or "final-resp-ok" in self.parameters

    @property
    def host(self) -> str:
        """The host's name by which the program is known, empty if it does not say."""
        return self._own("bid_host")

    @property
    def options(self) -> dict[str, str]:
        """The program's own SASL options."""
        return dict(self._named(_OPTION)) if self.extended else {}

    @property
    def bindings(self) -> dict[str, bytes]:
        """Channel binding data by type.

        :raises RemoteProtocolError: invalid-base64.
        """
        named = self._named(_BINDING) if self.extended else ()
        return {name: decode(value) for name, value in named}

    @property
    def binding_critical(self) -> bool:
        """Whether the program demands that the channel is bound to."""
        return self.extended and "bid_cb_critical" in self.parameters

    @property
    def mutual(self) -> bool:
        """Whether the program demands that the server is authenticated too."""
        return self.extended and "bid_mutual" in self.parameters

    @property
    def plus_unlisted(self) -> bool:
        """Whether the program does not list the mechanism's name with ``-PLUS``, and could bind."""
        return self.extended and "bid_plus_unlisted" in self.parameters

    @property
    def decides_proxies(self) -> bool:
        """Whether the program itself decides who may act as whom."""
        return self.extended and "bid_authz" in self.parameters

    @property
    def remote(self) -> str:
        """The address of the person's program, empty if it is not given or is none."""
        return _address(self.parameters.get("rip", ""))

    def _own(self, name: str) -> str:
        return self.parameters.get(name, "") if self.extended else ""

    def _named(self, prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in self.parameters.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value


@dataclass(frozen=True, slots=True)
class Continue:
    """A further message of the person's program.

    :param id: the login's number.
    :param message: its octets, or None where `parameters` say what was asked for out of band.
    :param parameters: see `Begin`.
    """

    id: int
    message: bytes | None = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """The login is given up.

    :param id: its number.
    """

    id: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line about a login that cannot be read; the others are not affected.

    :param id: the login's number.
    :param reason: what is wrong.
    """

    id: int
    reason: BrowserIDError


Request = Version | Begin | Continue | Cancel | Malformed


def parse(line: str) -> Request | None:
    """What a line asks, None if it needs no answer.

    :raises RemoteProtocolError: bad-context-token if it is none of the protocol's.
    """
    command, *fields = line.split("\t")
    if command == "CPID" and len(fields) == 1:
        return None
    try:
        read = _READERS[command]
    except KeyError:
        raise _garbage() from None
    return read(fields)


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    try:
        # Without its zone, in which anything may stand.
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _version(fields: list[str]) -> Version:
    if len(fields) != 2 or not all(each.isdecimal() and len(each) < 6 for each in fields):
        raise _garbage()
    major, minor = map(int, fields)
    if major != MAJOR_VERSION:
        raise RemoteProtocolError(
            Code.BAD_CONTEXT_TOKEN,
            f"this is version {MAJOR_VERSION} of the protocol, the program speaks {major}",
        )
    return Version(minor)


def _begin(fields: list[str]) -> Begin | Malformed:
    id = _id(fields)
    try:
        return _read_begin(id, fields[1:])
    except RemoteProtocolError as error:
        return Malformed(id, error)


def _read_begin(id: int, fields: list[str]) -> Begin:
    parameters = _parameters(fields[1:])
    service = parameters.pop("service", "")
    # A program that accepts contexts for whatever it may leaves the service to the client's token.
    named = service or (_CONTEXT in parameters and _EXTENDED in parameters)
    if not fields or not fields[0] or not named:
        raise _bad("it has to name a mechanism and a service")
    # Exim writes it empty where there is none. No mechanism of ours begins with an empty message.
    resp = parameters.pop("resp", "")
    initial, problem = None, None
    try:
        initial = decode(resp) or None
    except RemoteProtocolError as error:
        problem = error
    mechanism = unescape(fields[0])
    return Begin(id, mechanism, service, parameters, initial, resp == _NOTHING, problem)


def _continue(fields: list[str]) -> Continue | Malformed:
    id = _id(fields)
    data = unescape(fields[1]) if len(fields) > 1 else ""
    try:
        message = None if data == OUT_OF_BAND else decode(data)
        return Continue(id, message, _parameters(fields[2:]))
    except RemoteProtocolError as error:
        return Malformed(id, error)


def _cancel(fields: list[str]) -> Cancel:
    return Cancel(_id(fields))


_READERS: Final = {"VERSION": _version, "AUTH": _begin, "CONT": _continue, "CANCEL": _cancel}


def _id(fields: list[str]) -> int:
    text = fields[0] if fields else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_ID):
        raise _garbage()
    return int(text)


def _parameters(fields: list[str]) -> dict[str, str]:
    if len(fields) > MAX_PARAMETERS:
        raise _bad(f"it has more than {MAX_PARAMETERS} parameters")
    result: dict[str, str] = {}
    for each in fields:
        name, _, value = each.partition("=")
        if not name:
            continue
        # Twice the same, or more behind the person's own words: somebody is putting words into
        # the program's mouth.
        if name in result or "resp" in result:
            raise _bad("a parameter is there twice, or behind `resp`")
        result[name] = unescape(value)
    return result


def _bad(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.INVALID_PARAMETER, f"the request cannot be read: {why}")


def _garbage() -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.BAD_CONTEXT_TOKEN,
        "this is a socket of browserid-acceptor, which speaks the protocol of Dovecot's"
        " authentication clients",
        "see docs/wire.md",
    )
