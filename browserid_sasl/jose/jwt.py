"""JSON web tokens in compact form (PROTOCOL.md section 1.2, RFC 7515)."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.algorithms import Algorithm

MAX_LENGTH: Final = 65_536
MAX_X5C: Final = 10

_UNDERSTOOD: Final = frozenset({"alg", "typ", "cty", "x5c", "x5t", "crit"})


class VerificationKey(Protocol):
    """A key that checks signatures: `PublicKey` or `SecretKey`."""

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm it verifies."""

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise `RemoteProtocolError` invalid-signature unless the signature is good."""


class SigningKey(Protocol):
    """A key that makes signatures: `PrivateKey` or `SecretKey`."""

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm it signs with."""

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`."""


@dataclass(frozen=True, slots=True)
class Header:
    """A token's header.

    :param alg: the algorithm it claims, ``none`` when unsigned.
    :param x5c: DER certificates, the signer's first; empty without the member.
    """

    alg: str
    x5c: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Jwt:
    """A parsed token. Nothing in it is to be believed before `verify` returned.

    :param header: its header.
    :param claims: its payload.
    :param signing_input: the octets the signature covers.
    :param signature: the signature's octets, empty when unsigned.
    """

    header: Header
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str, what: str = "the token", max_length: int = MAX_LENGTH) -> Jwt:
        """Read a token in compact form.

        :param what: names it in errors.
        :param max_length: characters at the most.
        :raises RemoteProtocolError: invalid-json-web-token, invalid-base64, invalid-json,
            missing-algorithm, missing-signature, buffer-too-long.
        """
        if len(text) > max_length:
            raise RemoteProtocolError(
                Code.BUFFER_TOO_LONG, f"{what} is longer than {max_length} characters"
            )
        parts = text.split(".")
        if len(parts) != 3:
            raise _invalid(what, f"it has {len(parts)} parts instead of 3")
        head, payload, tail = parts
        header = _parse_header(head, what)
        claims = strict_json.parse_object(
            b64.decode(payload, f"the payload of {what}"), f"the payload of {what}", max_length
        )
        signature = b64.decode(tail, f"the signature of {what}")
        _check_presence(header, signature, what)
        return cls(header, claims, text[: -len(tail) - 1].encode("ascii"), signature)

    @property
    def is_signed(self) -> bool:
        """Whether it has a signature at all, good or bad."""
        return self.header.alg != "none"

    def verify(self, key: VerificationKey, what: str = "the token") -> None:
        """Check the signature with a key that is trusted for it.

        :raises RemoteProtocolError: missing-signature, unknown-algorithm when the header does
            not agree with the key, invalid-signature.
        """
        if not self.is_signed:
            raise RemoteProtocolError(Code.MISSING_SIGNATURE, f"{what} is not signed")
        if self.header.alg != key.algorithm.name:
            raise RemoteProtocolError(
                Code.UNKNOWN_ALGORITHM,
                f"{what} claims the algorithm {self.header.alg[:16]!r}, "
                f"the key it has to verify with takes {key.algorithm.name}",
            )
        key.verify(self.signature, self.signing_input)


def sign(claims: Mapping[str, Any] | bytes, key: SigningKey, *, x5c: Sequence[bytes] = ()) -> str:
    """Make a signed token.

    :param claims: the payload, or its octets ready made.
    :param x5c: DER certificates for the header, the signer's first (RFC 7515 section 4.1.6).
    """
    signing_input = _signing_input(_header(key.algorithm.name, tuple(x5c)), claims)
    return f"{signing_input}.{b64.encode(key.sign(signing_input.encode('ascii')))}"


def unsigned(claims: Mapping[str, Any]) -> str:
    """Make a token with `alg` none, for the two places where PROTOCOL.md permits one."""
    return _signing_input(_header("none"), claims) + "."


def _signing_input(header: str, claims: Mapping[str, Any] | bytes) -> str:
    payload = claims if isinstance(claims, bytes) else strict_json.dumps(claims)
    return f"{header}.{b64.encode(payload)}"


# Nearly all headers, read or written, are one of a few: each is worked on once.
@lru_cache(maxsize=16)
def _header(alg: str, x5c: tuple[bytes, ...] = ()) -> str:
    members: dict[str, Any] = {"alg": alg}
    if x5c:
        members["x5c"] = [binascii.b2a_base64(der, newline=False).decode("ascii") for der in x5c]
    return b64.encode(strict_json.dumps(members))


@lru_cache(maxsize=64)
def _parse_header(text: str, what: str) -> Header:
    what = f"the header of {what}"
    members = strict_json.parse_object(b64.decode(text, what), what)
    alg = members.get("alg")
    if not isinstance(alg, str) or not alg:
        raise RemoteProtocolError(Code.MISSING_ALGORITHM, f"{what} names no algorithm")
    if members.get("typ", "JWT") not in ("JWS", "JWT"):
        raise _invalid(what, "its `typ` is neither JWS nor JWT")
    if members.get("cty", "JWT") != "JWT":
        raise _invalid(what, "its `cty` is not JWT")
    if "crit" in members:
        _check_critical(members["crit"], what)
    return Header(alg, _parse_x5c(members["x5c"], what) if "x5c" in members else ())


def _check_critical(names: object, what: str) -> None:
    if not isinstance(names, list) or not names:
        raise _invalid(what, "its `crit` is not a list of names")
    for name in names:
        if not isinstance(name, str) or name not in _UNDERSTOOD:
            raise _invalid(what, f"its `crit` demands {str(name)[:40]!r}, which is not understood")


def _parse_x5c(value: object, what: str) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_X5C:
        raise _invalid(what, f"its `x5c` is not a list of 1 to {MAX_X5C} certificates")
    return tuple(b64.decode_standard(item, f"a certificate in `x5c` of {what}") for item in value)


def _check_presence(header: Header, signature: bytes, what: str) -> None:
    if header.alg == "none" and signature:
        raise _invalid(what, "it claims to be unsigned and has a signature")
    if header.alg != "none" and not signature:
        raise RemoteProtocolError(Code.MISSING_SIGNATURE, f"{what} has no signature")


def _invalid(what: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.INVALID_JSON_WEB_TOKEN, f"{what} is not a valid JSON web token: {why}"
    )
