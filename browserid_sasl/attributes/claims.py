"""Name attributes: what is known of the initiator besides the address (RFC 6680).

An attribute has a name, which begins with a URN that says where it comes from, and values. It is
authenticated when somebody entitled to has vouched for it to this end of the context, so that a
decision can be based on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from browserid_sasl.gss.context import SecurityContext

JWT_PREFIX: Final = "urn:ietf:params:gss:jwt"
"""Claims of the identity certificate; the claim's name follows after a space."""

SAML_CLAIM: Final = "saml"
"""The claim that carries a SAML assertion, whose attributes have names of their own."""


@dataclass(frozen=True, slots=True)
class NameAttribute:
    """An attribute of an initiator.

    :param name: the URN and, after spaces, what identifies the attribute there.
    :param values: its values, in the order they came.
    :param authenticated: whether a decision can be based on it.
    """

    name: str
    values: tuple[str, ...]
    authenticated: bool


def jwt_attributes(context: SecurityContext) -> tuple[NameAttribute, ...]:
    """The claims of the initiator's certificate.

    An acceptor has verified the certificate, or a ticket that it issued for it, so for an
    acceptor they are authenticated. An initiator has only read its own: for it they are not.

    A list gives several values. What is neither a string nor a list of strings is in JSON.
    """
    # The address is the one that was authenticated, whatever the certificate has by that name.
    claims = dict(context.attributes) | {"email": context.identity, "iss": context.issuer}
    claims.pop(SAML_CLAIM, None)
    return tuple(
        NameAttribute(f"{JWT_PREFIX} {name}", _values(value), not context.is_initiator)
        for name, value in claims.items()
    )


def _values(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
