"""What programs are told (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.acceptor.requests import OUT_OF_BAND
from browserid_sasl.wire.lines import escape
from browserid_sasl.wire.octets import encode


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a login fails.

    :param temporary: whether it says nothing about the person: another attempt may succeed.
    :param code: the reason's name, see `errors.Code`.
    :param sasl: the number that sasl.h has for it.
    :param level: how important it is (saslplug.h).
    :param reason: what the person may know.
    :param detail: all of it, for the program's log.
    :param major: the GSS major status (RFC 2744).
    :param minor: the reason's number in a token (PROTOCOL.md section 4.4).
    """

    temporary: bool
    code: str
    sasl: int
    level: int
    reason: str
    detail: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """A message for the person's program, to be answered.

    :param data: its octets.
    :param shows_nothing: whether an empty one is written as `=`. Prosody fails without, and Exim
        passes it on to the client as it is.
    """

    data: bytes = field(repr=False)
    shows_nothing: bool = False

    def fields(self, *, extended: bool) -> Iterator[str]:
        """The line's fields behind the login's number."""
        yield encode(self.data) or ("=" if self.shows_nothing else "")


@dataclass(frozen=True, slots=True)
class BindingWanted:
    """The channel's binding data is needed (version 1.3).

    :param type: the channel binding's type.
    """

    type: str

    def fields(self, *, extended: bool) -> Iterator[str]:
        """The line's fields behind the login's number."""
        yield OUT_OF_BAND
        yield f"channel_binding={escape(self.type)}"


@dataclass(frozen=True, slots=True)
class Success:
    """The login has succeeded.

    :param user: the name of the person who has logged in.
    :param authzid: the name of who they act as.
    :param data: octets that go along with the word of success, None for none.
    :param binding: type of the channel binding that was used, None without.
    :param binding_wanted: whether the client could have bound to the channel (flag `y`).
    :param mutual: whether the server has authenticated itself too.
    :param properties: what else is known of the person, by name.
    :param context: what there is to tell of a security context, in this order.
    """

    user: str
    authzid: str
    data: bytes | None = field(repr=False)
    binding: str | None
    binding_wanted: bool
    mutual: bool
    properties: Mapping[str, str]
    context: Sequence[tuple[str, str]] = field(default=(), repr=False)

    def fields(self, *, extended: bool) -> Iterator[str]:
        """The line's fields behind the login's number."""
        # Programs that know one name only let people in as this one.
        yield f"user={escape(self.user if extended else self.authzid)}"
        if extended:
            yield from self._extended()
        if self.data is not None:
            yield f"resp={encode(self.data)}"

    def _extended(self) -> Iterator[str]:
        yield f"bid_authzid={escape(self.authzid)}"
        if self.binding is not None:
            yield f"bid_binding={escape(self.binding)}"
        if self.binding_wanted:
            yield "bid_cb_want"
        if self.mutual:
            yield "bid_mutual"
        for name, value in self.properties.items():
            yield f"bid_prop.{escape(name)}={escape(value)}"
        for name, value in self.context:
            yield f"bid_{name}={escape(value)}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The login has failed.

    :param failure: why.
    :param data: octets that tell the person's program, None if it has been told, or is not to be.
    """

    failure: Failure
    data: bytes | None = field(default=None, repr=False)

    def fields(self, *, extended: bool) -> Iterator[str]:
        """The line's fields behind the login's number."""
        failure = self.failure
        if failure.temporary:
            yield "temp"
            yield "code=temp_fail"
        elif failure.code == _MAY_NOT:
            yield "code=authz_fail"
        yield f"reason={escape(failure.reason)}"
        if extended:
            yield f"bid_sasl={failure.sasl}"
            yield f"bid_code={failure.code}"
            yield f"bid_detail={escape(failure.detail)}"
            yield f"bid_level={failure.level}"
            yield f"bid_major={failure.major}"
            yield f"bid_minor={failure.minor}"
        if self.data is not None:
            yield f"resp={encode(self.data)}"


Answer = Challenge | BindingWanted | Success | Refusal

_MAY_NOT: Final = "no-local-mapping"
_WORDS: Final[dict[type[Answer], str]] = {
    Challenge: "CONT",
    BindingWanted: "CONT",
    Success: "OK",
    Refusal: "FAIL",
}


def line(id: int, answer: Answer, *, extended: bool) -> bytes:
    """An answer as it is sent.

    :param id: the login's number.
    :param extended: whether the program understands our own parameters.
    """
    fields = "\t".join(answer.fields(extended=extended))
    return f"{_WORDS[type(answer)]}\t{id}\t{fields}\n".encode()


def farewell(reason: str) -> bytes:
    """What a program is told before its connection is closed."""
    return f"ERROR\t{escape(reason)}\n".encode()
