"""Exported contexts: an established context on its way to another process (RFC 2743 section 2.2.8).

::

    "BIDX"  version (1)  nonce (12)  sealed JSON object and tag (16)

The object has the context's key in it, so it is sealed, by AES-256-GCM under a key that the two
processes share and nobody else has. The octets before it are authenticated too. What was exported
is not to be used any more where it came from: two ends that count the same messages would repeat
sequence numbers. That the token is imported once is for its owner to see to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import RandomSource
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.krb5.message import SequenceState

KEY_SIZE: Final = 32
MAX_LENGTH: Final = 1 << 18

_MAGIC: Final = b"BIDX"
_VERSION: Final = 1
_HEADER: Final = _MAGIC + bytes([_VERSION])
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16

_WHAT: Final = "the exported context"
_ATTRIBUTES: Final = "the attributes of the exported context"
_ROOT_KEY_SIZE: Final = 32
_KNOWN_FLAGS: Final = sum(ContextFlag)
_MEMBERS: Final = frozenset(
    ("mech", "init", "id", "spn", "iss", "exp", "flags", "tkt", "xrt", "attr", "crk", "seq")
)

_Value = TypeVar("_Value")


def export_context(
    context: SecurityContext, sequence: SequenceState | None, key: bytes, random: RandomSource
) -> bytes:
    """Write a context down.

    :param sequence: where its message protection has got to, None when it was not used.
    :param key: 32 octets that the importing process has too, secret.
    :raises LocalProtocolError: invalid-parameter for a key of another size.
    """
    nonce = random(_NONCE_SIZE)
    members = strict_json.dumps(_to_json(context, sequence or SequenceState()))
    return _HEADER + nonce + _cipher(key).encrypt(nonce, members, _HEADER)


def import_context(token: bytes, key: bytes, now: int) -> tuple[SecurityContext, SequenceState]:
    """Read a context that `export_context` wrote.

    :param key: the key it was exported under.
    :param now: ms.
    :returns: the context, and what its `SecurityContext.protection` has to be given.
    :raises RemoteProtocolError: bad-context-token, token-truncated, buffer-too-long,
        cred-expired when the context has expired meanwhile, or invalid-signature when it was
        altered or exported under another key.
    :raises LocalProtocolError: invalid-parameter for a key of another size.
    """
    cipher = _cipher(key)
    _check_frame(token)
    nonce, sealed = token[len(_HEADER) :][:_NONCE_SIZE], token[len(_HEADER) + _NONCE_SIZE :]
    try:
        members = cipher.decrypt(nonce, sealed, _HEADER)
    except InvalidTag:
        raise RemoteProtocolError(
            Code.INVALID_SIGNATURE,
            f"{_WHAT} was altered, or exported under another key",
        ) from None
    try:
        context, sequence = _from_json(strict_json.parse_object(members, _WHAT, MAX_LENGTH))
    except BrowserIDError as error:
        raise _bad(error.message) from None
    if not context.lifetime(now):
        raise RemoteProtocolError(
            Code.CRED_EXPIRED, f"{_WHAT} has expired meanwhile", "log in again"
        )
    return context, sequence


def _check_frame(token: bytes) -> None:
    if len(token) > MAX_LENGTH:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"{_WHAT} is longer than {MAX_LENGTH} octets"
        )
    if not token.startswith(_MAGIC[: len(token)]):
        raise _bad("it is something else")
    if len(token) < len(_HEADER) + _NONCE_SIZE + _TAG_SIZE:
        raise RemoteProtocolError(Code.TOKEN_TRUNCATED, f"{_WHAT} is not all there")
    version = token[len(_MAGIC)]
    if version != _VERSION:
        raise _bad(f"it is of version {version}, known is {_VERSION}")


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER, f"a key for exported contexts has {KEY_SIZE} octets"
        )
    return AESGCM(key)


def _to_json(context: SecurityContext, sequence: SequenceState) -> dict[str, Any]:
    return {
        "mech": context.mechanism.name,
        "init": context.is_initiator,
        "id": context.identity,
        "spn": str(context.target),
        "iss": context.issuer,
        "exp": context.expires,
        "flags": int(context.flags),
        "tkt": context.ticket_used,
        "xrt": context.extra_round_trip,
        # A document of its own: inside of this one it could be nested too deep to be read again.
        "attr": strict_json.dumps(dict(context.attributes)).decode("utf-8"),
        "crk": "" if context.root_key is None else b64.encode(context.root_key),
        "seq": [sequence.send, sequence.receive, sequence.received],
    }


def _from_json(members: Mapping[str, Any]) -> tuple[SecurityContext, SequenceState]:
    if members.keys() != _MEMBERS:
        raise _bad("it does not have the members it should have")
    attributes = _of_type(members, "attr", str)
    context = SecurityContext(
        mechanism=mechanism_by_name(_of_type(members, "mech", str)),
        is_initiator=_of_type(members, "init", bool),
        identity=_of_type(members, "id", str),
        target=ServiceName.parse(_of_type(members, "spn", str)),
        issuer=_of_type(members, "iss", str),
        expires=strict_json.time(members, "exp", _WHAT),
        flags=_flags(_of_type(members, "flags", int)),
        ticket_used=_of_type(members, "tkt", bool),
        extra_round_trip=_of_type(members, "xrt", bool),
        attributes=strict_json.parse_object(attributes, _ATTRIBUTES, MAX_LENGTH),
        root_key=_root_key(_of_type(members, "crk", str)),
    )
    if (context.root_key is None) != (context.mechanism.curve is None):
        raise _bad("its key does not go with its mechanism")
    return context, _sequence(members["seq"])


def _of_type(members: Mapping[str, Any], name: str, kind: type[_Value]) -> _Value:
    value = members[name]
    if type(value) is not kind:
        raise _bad(f"its `{name}` is of another type than it should be")
    return value


def _flags(value: int) -> ContextFlag:
    if value & ~_KNOWN_FLAGS:
        raise _bad("it has flags that are not known")
    return ContextFlag(value)


def _root_key(text: str) -> bytes | None:
    key = b64.decode(text, "its key")
    if len(key) not in (0, _ROOT_KEY_SIZE):
        raise _bad("its key is of another size than it should be")
    return key or None


def _sequence(value: object) -> SequenceState:
    if not isinstance(value, list) or len(value) != 3:
        raise _bad("its sequence numbers cannot be read")
    for number, limit in zip(value, _SEQUENCE_LIMITS, strict=True):
        if type(number) is not int or not 0 <= number <= limit:
            raise _bad("its sequence numbers are out of range")
    return SequenceState(*value)


def _bad(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, f"{_WHAT} cannot be used: {why}")


_SEQUENCE_LIMITS: Final = (1 << 64, 1 << 64, (1 << 64) - 1)
"""All numbers used up is a state too; the window has 64 bits."""
