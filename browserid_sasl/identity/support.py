"""What an identity provider publishes about itself (PROTOCOL.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.addresses import read_domain
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PublicKey, parse_public_key

MAX_KEYS: Final = 16
_MAX_PATH: Final = 1024
_MAX_GRANT_TYPES: Final = 32
# Segments of RFC 3986 section 3.3, and nothing that a browser would turn into another path.
_PATH: Final = re.compile(r"(?:/(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+", re.ASCII)
_DOTS: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)
_WHAT: Final = "the support document"


@dataclass(frozen=True, slots=True)
class SupportDocument:
    """A domain that certifies its own addresses.

    :param keys: its signing keys; any of them verifies.
    :param authentication: path of the page where a person signs in.
    :param provisioning: path of the page that certifies a signed-in person's key.
    :param certify: path of the JSON endpoint that gives certificates, None without.
    :param device_authorization: path of the one where signing in on another device begins.
    :param revocations: path of the list of revoked keys.
    :param grant_types: what `certify` takes: ``password``, ``code``, ``device``, ``renewal``, or
        what is not known here (PROTOCOL.md section 8).
    """

    keys: tuple[PublicKey, ...]
    authentication: str
    provisioning: str
    certify: str | None = None
    device_authorization: str | None = None
    revocations: str | None = None
    grant_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delegation:
    """A domain whose addresses another one certifies.

    :param authority: that domain, in lower case.
    """

    authority: str


@dataclass(frozen=True, slots=True)
class Disabled:
    """A domain that says it has no identity provider."""


Document = SupportDocument | Delegation | Disabled


@lru_cache(maxsize=256)
def parse_support_document(body: bytes, *, allow_legacy: bool = False) -> Document:
    """Read a support document.

    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    :raises DiscoveryError: with the code of what is wrong in it.
    """
    try:
        read = strict_json.parse_object(body, _WHAT)
        # Programs that write every member they know of write null for what is not there.
        members = {name: value for name, value in read.items() if value is not None}
        if _is_disabled(members):
            return Disabled()
        if "authority" in members:
            return _parse_delegation(members["authority"])
        return _parse_support(members, allow_legacy=allow_legacy)
    except DiscoveryError:
        raise
    except BrowserIDError as error:
        remedy = f"{error.remedy}; {_REMEDY}" if error.remedy else _REMEDY
        raise DiscoveryError(error.code, error.message, remedy) from None


def _is_disabled(members: Mapping[str, Any]) -> bool:
    value = members.get("disabled", False)
    if not isinstance(value, bool):
        raise _invalid(Code.INVALID_JSON, "its `disabled` is neither true nor false")
    return value


def _parse_delegation(value: object) -> Delegation:
    domain = read_domain(value) if isinstance(value, str) else None
    if domain is None:
        raise _invalid(Code.INVALID_ISSUER, "its `authority` is not a domain name")
    return Delegation(domain)


def _parse_support(members: Mapping[str, Any], *, allow_legacy: bool) -> SupportDocument:
    return SupportDocument(
        keys=_read_keys(_key_values(members), allow_legacy=allow_legacy),
        authentication=_path(members, "authentication"),
        provisioning=_path(members, "provisioning"),
        certify=_optional_path(members, "certify"),
        device_authorization=_optional_path(members, "device-authorization"),
        revocations=_optional_path(members, "revocations"),
        grant_types=_grant_types(members),
    )


def _grant_types(members: Mapping[str, Any]) -> tuple[str, ...]:
    """What it says; the first generation of `certify` took passwords, and said nothing."""
    words = members.get("grant-types", ["password"] if "certify" in members else [])
    if not isinstance(words, list) or len(words) > _MAX_GRANT_TYPES:
        raise _invalid(
            Code.INVALID_JSON, f"its `grant-types` is not a list of at most {_MAX_GRANT_TYPES}"
        )
    if not all(isinstance(word, str) for word in words):
        raise _invalid(Code.INVALID_JSON, "something in its `grant-types` is not a text")
    return tuple(words)


def _key_values(members: Mapping[str, Any]) -> list[object]:
    """The keys as they stand in the document, `public-key` first."""
    first = [members["public-key"]] if "public-key" in members else []
    further = members.get("keys", [])
    if not isinstance(further, list) or len(further) > MAX_KEYS:
        raise _invalid(Code.INVALID_KEYSET, f"its `keys` is not a list of at most {MAX_KEYS} keys")
    if not first and not further:
        raise _invalid(
            Code.NO_KEY, "it has none of `public-key`, `keys`, `authority` and `disabled`"
        )
    return [*first, *further]


def _read_keys(values: list[object], *, allow_legacy: bool) -> tuple[PublicKey, ...]:
    """Those of the keys that can be read, each once.

    A provider may publish a key of a kind that is not known here beside one that is, and keys
    that are not for signing. When none is left, the first one's problem is the document's.
    """
    keys: dict[bytes, PublicKey] = {}
    problems: list[RemoteProtocolError] = []
    for value in values:
        try:
            key = parse_public_key(value, allow_legacy=allow_legacy)
        except RemoteProtocolError as error:
            problems.append(error)
        else:
            keys.setdefault(key.thumbprint, key)
    if not keys:
        raise problems[0]
    return tuple(keys.values())


def _optional_path(members: Mapping[str, Any], name: str) -> str | None:
    return _path(members, name) if name in members else None


def _path(members: Mapping[str, Any], name: str) -> str:
    path = strict_json.string(members, name, _WHAT, max_length=_MAX_PATH)
    if path.startswith("//") or not _PATH.fullmatch(path) or _DOTS.search(path):
        raise _invalid(
            Code.INVALID_JSON, f"its `{name}` is not an absolute path without query and fragment"
        )
    return path


def _invalid(code: Code, why: str) -> DiscoveryError:
    return DiscoveryError(code, f"{_WHAT} is not usable: {why}", _REMEDY)


_REMEDY: Final = "the identity provider's administrator has to correct /.well-known/browserid"
