"""What the two sides say to each other, as typed objects.

`InitiatorClaims` is the payload of an assertion (PROTOCOL.md section 3), `Response` that of the
acceptor's answer (sections 4.3 and 4.4). JSON becomes one of these here, or an error, and nowhere
else. The order of members on the wire is that of the other implementation, so that equal values
give equal octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from browserid_sasl.errors import Code, Major, RemoteProtocolError
from browserid_sasl.gss.dialects import DIALECTS, Dialect, read_audience
from browserid_sasl.gss.ecdh import Point
from browserid_sasl.gss.mechanisms import CURVES, Curve
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.identity.verifier import Validity
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json

MAX_OPTIONS: Final = 32
MAX_BINDING: Final = 8192
MAX_NONCE: Final = 256
NONCE_SIZE: Final = 16

_ERROR_BITS: Final = 0xFFFF_0000
"""Calling and routine errors; what is below them is supplementary (RFC 2744 section 3.9.1)."""

_ASSERTION: Final = "the assertion"
_RESPONSE: Final = "the response"


class Option(Enum):
    """What an initiator can ask for in `opts`."""

    EXTRA_ROUND_TRIP = "xrt"
    DCE_STYLE = "dce"
    MUTUAL = "ma"
    IDENTIFY = "ify"


_OPTIONS: Final = {option.value: option for option in Option}


@dataclass(frozen=True, slots=True)
class KeyAgreement:
    """An initiator's half of the key agreement.

    :param curve: the curve it names.
    :param point: its public point.
    """

    curve: Curve
    point: Point


@dataclass(frozen=True, slots=True)
class InitiatorClaims:
    """The payload of an initiator's assertion.

    :param dialect: how it is spelled.
    :param audience: the service it is for.
    :param validity: its times.
    :param agreement: key agreement, None in re-authentication and without key exchange.
    :param channel_binding: the GSS `application_data`, None when the claim is absent.
    :param nonce: its octets, None when absent.
    :param options: what it asks for; unknown options are left out.
    :param ticket_id: identifier of the ticket in re-authentication, else None.
    """

    dialect: Dialect
    audience: ServiceName
    validity: Validity
    agreement: KeyAgreement | None = None
    channel_binding: bytes | None = field(default=None, repr=False)
    nonce: bytes | None = field(default=None, repr=False)
    options: frozenset[Option] = frozenset()
    ticket_id: str | None = None

    @classmethod
    def parse(cls, claims: Mapping[str, Any]) -> InitiatorClaims:
        """Read an assertion's payload.

        :raises RemoteProtocolError: missing-audience, invalid-audience-urn, unknown-json-key,
            invalid-json, invalid-base64, invalid-assertion when it mixes dialects, no-key and
            unknown-ec-curve for the key agreement.
        """
        dialect, audience = _read_audience(claims)
        return cls(
            dialect=dialect,
            audience=audience,
            validity=_read_validity(claims),
            agreement=_read_agreement(claims, dialect),
            channel_binding=_read_octets(claims, "cb", MAX_BINDING),
            nonce=_read_octets(claims, "nonce", MAX_NONCE),
            options=_read_options(claims),
            ticket_id=_read_ticket_id(claims),
        )

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        return self._reauthentication() if self.ticket_id else self._initial()

    def _initial(self) -> dict[str, Any]:
        members = self._binding()
        if self.agreement is not None:
            point = _write_point(self.agreement.point)
            kty = {"kty": "EC"} if self.dialect.has_key_type else {}
            members[self.dialect.agreement] = kty | {"crv": self.agreement.curve.name} | point
        members |= self._options()
        if self.nonce is not None:
            members["nonce"] = b64.encode(self.nonce)
        members |= self._times()
        members["aud"] = self.dialect.audience(self.audience)
        return members

    def _reauthentication(self) -> dict[str, Any]:
        members = self._times()
        if self.nonce is not None:
            members["nonce"] = b64.encode(self.nonce)
        members["tkt"] = {"tid": self.ticket_id}
        members["aud"] = self.dialect.audience(self.audience)
        return members | self._binding() | self._options()

    def _times(self) -> dict[str, Any]:
        validity = self.validity
        times = {
            "exp": validity.expires,
            "iat": validity.issued_at,
            "nbf": validity.not_before,
        }
        return {name: time for name, time in times.items() if time is not None}

    def _binding(self) -> dict[str, Any]:
        return {} if self.channel_binding is None else {"cb": b64.encode(self.channel_binding)}

    def _options(self) -> dict[str, Any]:
        asked = [option.value for option in Option if option in self.options]
        return {"opts": asked} if asked else {}


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """The ticket in a response.

    :param tid: its identifier.
    :param expires: ms.
    """

    tid: str
    expires: int


@dataclass(frozen=True, slots=True)
class ReportedError:
    """The status in an error token (PROTOCOL.md section 4.4).

    :param major: `gss-maj` as it stands on the wire; that of a failure when it is not there.
    :param minor: `gss-min` as it stands on the wire, None when it is not there.
    """

    major: int
    minor: int | None

    @property
    def status(self) -> int:
        """The GSS major status that is meant: one without an error in it is no success."""
        return self.major if self.major & _ERROR_BITS else int(Major.FAILURE)

    @property
    def code(self) -> Code:
        """The reason that `minor` names."""
        return Code.UNKNOWN_ERROR_CODE if self.minor is None else Code.from_wire(self.minor)


@dataclass(frozen=True, slots=True)
class Response:
    """The payload of an acceptor's response, or of its error token.

    :param expires: when the context expires, ms; None only in an error.
    :param agreement_member: ``ecdh`` or ``epk``, the member that carries `point`.
    :param point: the acceptor's public point.
    :param ticket: the ticket it issued.
    :param jti: 16 octets; present when it takes part in the extra round trip.
    :param nonce: the initiator's, echoed.
    :param request: `BackedAssertion.digest` of the message that it answers.
    :param error: the status, None when it is not an error token.
    :param clock: the acceptor's clock, ms.
    """

    expires: int | None = None
    agreement_member: str = ""
    point: Point | None = None
    ticket: IssuedTicket | None = None
    jti: bytes | None = field(default=None, repr=False)
    nonce: bytes | None = field(default=None, repr=False)
    request: bytes | None = None
    error: ReportedError | None = None
    clock: int | None = None

    @classmethod
    def parse(cls, claims: Mapping[str, Any]) -> Response:
        """Read a response's payload.

        :raises RemoteProtocolError: reflected-rp-response when it has an audience,
            bad-error-token, mismatched-rp-response for a nonce or a digest that cannot be
            ours, unknown-json-key, invalid-json, invalid-base64.
        """
        if "aud" in claims:
            raise RemoteProtocolError(
                Code.REFLECTED_RP_RESPONSE,
                "the response has an audience: it is an assertion sent back to us",
            )
        error = _read_error(claims)
        if error is not None:
            # A ticket, a `jti` or an expiry have no meaning in an error.
            claims = {name: value for name, value in claims.items() if name not in _NOT_IN_ERRORS}
        member, point = _read_response_point(claims)
        return cls(
            expires=strict_json.time(claims, "exp", _RESPONSE) if error is None else None,
            agreement_member=member,
            point=point,
            ticket=_read_issued_ticket(claims),
            jti=_read_octets(claims, "jti", MAX_NONCE, _RESPONSE),
            nonce=_read_echoed(claims, "nonce"),
            request=_read_echoed(claims, "req"),
            error=error,
            clock=strict_json.optional_time(claims, "iat", _RESPONSE),
        )

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        numbers = {
            "gss-maj": self.error.major if self.error else None,
            "iat": self.clock,
            "gss-min": self.error.minor if self.error else None,
            "exp": self.expires,
        }
        members: dict[str, Any] = {
            name: number for name, number in numbers.items() if number is not None
        }
        if self.point is not None:
            members[self.agreement_member] = _write_point(self.point)
        if self.ticket is not None:
            members["tkt"] = {"tid": self.ticket.tid, "exp": self.ticket.expires}
        if self.jti is not None:
            members["jti"] = b64.encode(self.jti)
        if self.nonce is not None:
            members["nonce"] = b64.encode(self.nonce)
        if self.request is not None:
            members["req"] = b64.encode(self.request)
        return members


_NOT_IN_ERRORS: Final = frozenset({"exp", "tkt", "jti"})


def _read_audience(claims: Mapping[str, Any]) -> tuple[Dialect, ServiceName]:
    if "aud" not in claims:
        raise RemoteProtocolError(
            Code.MISSING_AUDIENCE, f"{_ASSERTION} does not say which service it is for"
        )
    return read_audience(strict_json.string(claims, "aud", _ASSERTION))


def _read_validity(claims: Mapping[str, Any]) -> Validity:
    issued_at = strict_json.optional_time(claims, "iat", _ASSERTION)
    if "exp" not in claims and "tkt" in claims and issued_at is not None:
        expires = issued_at
    else:
        expires = strict_json.time(claims, "exp", _ASSERTION)
    return Validity(expires, issued_at, strict_json.optional_time(claims, "nbf", _ASSERTION))


def _read_agreement(claims: Mapping[str, Any], dialect: Dialect) -> KeyAgreement | None:
    for other in DIALECTS.values():
        if other is not dialect and other.agreement in claims:
            raise RemoteProtocolError(
                Code.INVALID_ASSERTION,
                f"{_ASSERTION} mixes two dialects: `{other.agreement}` does not go with its `aud`",
            )
    if dialect.agreement not in claims:
        return None
    value = claims[dialect.agreement]
    if not isinstance(value, dict) or value.get("kty", "EC") != "EC":
        raise RemoteProtocolError(Code.NO_KEY, f"{_ASSERTION} has no usable key agreement")
    name = value.get("crv")
    curve = CURVES.get(name) if isinstance(name, str) else None
    if curve is None:
        raise RemoteProtocolError(
            Code.UNKNOWN_EC_CURVE, f"{_ASSERTION} names a curve that is not known"
        )
    return KeyAgreement(curve, _read_point(value, _ASSERTION, curve.field_size))


def _read_response_point(claims: Mapping[str, Any]) -> tuple[str, Point | None]:
    largest = max(curve.field_size for curve in CURVES.values())
    for dialect in DIALECTS.values():
        value = claims.get(dialect.agreement)
        if isinstance(value, dict):
            return dialect.agreement, _read_point(value, _RESPONSE, largest)
    return "", None


def _read_point(value: Mapping[str, Any], what: str, size: int) -> Point:
    coordinates = []
    for name in ("x", "y"):
        octets = b64.decode(
            strict_json.string(value, name, f"the key agreement of {what}"), f"`{name}` of {what}"
        )
        if not 1 <= len(octets) <= size:
            raise RemoteProtocolError(
                Code.CRYPTO_ERROR, f"`{name}` of {what} is no coordinate of {size} octets or less"
            )
        coordinates.append(octets)
    return Point(*coordinates)


def _write_point(point: Point) -> dict[str, str]:
    return {"x": b64.encode(point.x), "y": b64.encode(point.y)}


def _read_octets(
    claims: Mapping[str, Any], name: str, max_size: int, what: str = _ASSERTION
) -> bytes | None:
    text = strict_json.optional_string(claims, name, what, max_length=2 * max_size)
    return None if text is None else b64.decode(text, f"`{name}` of {what}")


def _read_options(claims: Mapping[str, Any]) -> frozenset[Option]:
    names = claims.get("opts", [])
    if not isinstance(names, list) or len(names) > MAX_OPTIONS:
        raise RemoteProtocolError(
            Code.INVALID_JSON, f"`opts` of {_ASSERTION} is not a list of at most {MAX_OPTIONS}"
        )
    asked = {_OPTIONS[name] for name in names if isinstance(name, str) and name in _OPTIONS}
    if Option.DCE_STYLE in asked:
        asked.add(Option.EXTRA_ROUND_TRIP)
    return frozenset(asked)


def _read_ticket_id(claims: Mapping[str, Any]) -> str | None:
    if "tkt" not in claims:
        return None
    ticket = claims["tkt"]
    if not isinstance(ticket, dict):
        raise RemoteProtocolError(Code.INVALID_JSON, f"`tkt` of {_ASSERTION} is not an object")
    return strict_json.string(ticket, "tid", f"`tkt` of {_ASSERTION}", max_length=128)


def _read_issued_ticket(claims: Mapping[str, Any]) -> IssuedTicket | None:
    if "tkt" not in claims:
        return None
    ticket = claims["tkt"]
    what = f"`tkt` of {_RESPONSE}"
    if not isinstance(ticket, dict):
        raise RemoteProtocolError(Code.INVALID_JSON, f"{what} is not an object")
    tid = strict_json.string(ticket, "tid", what, max_length=128)
    return IssuedTicket(tid, strict_json.time(ticket, "exp", what))


def _read_echoed(claims: Mapping[str, Any], name: str) -> bytes | None:
    """What repeats something of ours; of another type it does not."""
    if not isinstance(claims.get(name, ""), str):
        raise RemoteProtocolError(
            Code.MISMATCHED_RP_RESPONSE, f"`{name}` of {_RESPONSE} does not go with what was sent"
        )
    return _read_octets(claims, name, MAX_NONCE, _RESPONSE)


def _read_error(claims: Mapping[str, Any]) -> ReportedError | None:
    if "gss-maj" not in claims and "gss-min" not in claims:
        return None
    major, minor = (
        _read_status(claims, name) if name in claims else None for name in ("gss-maj", "gss-min")
    )
    return ReportedError(int(Major.FAILURE) if major is None else major, minor)


def _read_status(claims: Mapping[str, Any], name: str) -> int:
    status = claims[name]
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status < 1 << 32:
        raise RemoteProtocolError(
            Code.BAD_ERROR_TOKEN, f"`{name}` of the error token is not a status"
        )
    return status
