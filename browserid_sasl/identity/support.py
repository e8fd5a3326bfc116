"""What an identity provider publishes about itself (PROTOCOL.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError
from browserid_sasl.identity.addresses import read_domain
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PublicKey, parse_public_key
from browserid_sasl.records import Record

MAX_KEYS: Final = 16
_MAX_PATH: Final = 1024
_WHAT: Final = "the support document"


class SupportDocument(Record):
    """A domain that certifies its own addresses.

    :param keys: its signing keys; any of them verifies.
    :param authentication: path of the page where a person signs in.
    :param provisioning: path of the page that certifies a signed-in person's key.
    :param certify: path of the JSON endpoint for signing in without a browser, None without.
    """

    keys: tuple[PublicKey, ...]
    authentication: str
    provisioning: str
    certify: str | None = None


class Delegation(Record):
    """A domain whose addresses another one certifies.

    :param authority: that domain, in lower case.
    """

    authority: str


class Disabled(Record):
    """A domain that says it has no identity provider."""


Document = SupportDocument | Delegation | Disabled


@lru_cache(maxsize=256)
def parse_support_document(body: bytes, *, allow_legacy: bool = False) -> Document:
    """Read a support document.

    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    :raises DiscoveryError: with the code of what is wrong in it.
    """
    try:
        members = strict_json.parse_object(body, _WHAT)
        if "disabled" in members:
            return _parse_disabled(members["disabled"])
        if "authority" in members:
            return _parse_delegation(members["authority"])
        return _parse_support(members, allow_legacy=allow_legacy)
    except DiscoveryError:
        raise
    except BrowserIDError as error:
        raise DiscoveryError(error.code, error.message, _REMEDY) from None


def _parse_disabled(value: object) -> Disabled:
    if value is not True:
        raise _invalid(Code.INVALID_JSON, "its `disabled` is not true")
    return Disabled()


def _parse_delegation(value: object) -> Delegation:
    domain = read_domain(value) if isinstance(value, str) else None
    if domain is None:
        raise _invalid(Code.INVALID_ISSUER, "its `authority` is not a domain name")
    return Delegation(domain)


def _parse_support(members: Mapping[str, Any], *, allow_legacy: bool) -> SupportDocument:
    if "public-key" not in members:
        raise _invalid(Code.NO_KEY, "it has none of `public-key`, `authority` and `disabled`")
    further = members.get("keys", [])
    if not isinstance(further, list) or len(further) > MAX_KEYS:
        raise _invalid(Code.INVALID_KEYSET, f"its `keys` is not a list of at most {MAX_KEYS} keys")
    values = [members["public-key"]] + [key for key in further if _may_sign(key)]
    keys: list[PublicKey] = []
    for value in values:
        key = parse_public_key(value, allow_legacy=allow_legacy)
        if key not in keys:
            keys.append(key)
    return SupportDocument(
        keys=tuple(keys),
        authentication=_path(members, "authentication"),
        provisioning=_path(members, "provisioning"),
        certify=_path(members, "certify") if "certify" in members else None,
    )


def _may_sign(key: object) -> bool:
    if not isinstance(key, dict):
        raise _invalid(Code.INVALID_KEYSET, "its `keys` has something that is not a key")
    return bool(key.get("use", "sig") == "sig")


def _path(members: Mapping[str, Any], name: str) -> str:
    path = strict_json.string(members, name, _WHAT, max_length=_MAX_PATH)
    if not path.startswith("/") or path.startswith("//") or not path.isprintable() or "\\" in path:
        raise _invalid(Code.INVALID_JSON, f"its `{name}` is not an absolute path")
    return path


def _invalid(code: Code, why: str) -> DiscoveryError:
    return DiscoveryError(code, f"{_WHAT} is not usable: {why}", _REMEDY)


_REMEDY: Final = "the identity provider's administrator has to correct /.well-known/browserid"
