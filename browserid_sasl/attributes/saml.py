"""A SAML assertion that travels in an identity certificate (RFC 7056, SAML 2.0 core).

The certificate's `saml` claim holds it, as XML or as base64 of that. The identity provider that
signed the certificate need not be the authority that made the assertion, so what it says is
authenticated only by a signature of its own, under a key that is configured for its issuer, and
only while it is in force. Audiences it is restricted to are for the application to judge.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol
from xml.etree.ElementTree import ParseError, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from browserid_sasl.attributes.claims import SAML_CLAIM, NameAttribute
from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.context import SecurityContext

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ASSERTION_NAME: Final = "urn:ietf:params:gss:federated-saml-assertion"
"""The attribute that has the whole assertion as its value."""

ATTRIBUTE_PREFIX: Final = "urn:ietf:params:gss:federated-saml-attribute"
"""The assertion's attributes; the format of the name and the name follow after spaces."""

MAX_ATTRIBUTES: Final = 256
MAX_DEPTH: Final = 32

_NAMESPACE: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"


class SamlVerifier(Protocol):
    """Knows the keys of SAML authorities."""

    def signed_part(self, xml: bytes, issuer: str, now: int) -> bytes | None:
        """What an authority has signed of a document.

        :param xml: the assertion as it came.
        :param issuer: who made it, it says.
        :param now: ms.
        :returns: the octets that a key of this issuer has signed and nothing else, None when no
            key of it has.
        """


def saml_attributes(
    context: SecurityContext, now: int, verifier: SamlVerifier | None = None
) -> tuple[NameAttribute, ...]:
    """The SAML assertion in the initiator's certificate and its attributes; empty without one.

    :param now: ms.
    :param verifier: knows the keys that authenticate; without it nothing is authenticated.
    :raises RemoteProtocolError: unknown-attribute when it cannot be read.
    """
    claim = context.attributes.get(SAML_CLAIM)
    if claim is None:
        return ()
    xml = _octets(claim)
    assertion = _Assertion.parse(xml)
    signed = verifier.signed_part(xml, assertion.issuer, now) if verifier else None
    if signed is None:
        return _surface(assertion, authenticated=False)
    # From here on only what was signed is looked at: the document may have more in it.
    signed_assertion = _Assertion.parse(signed)
    authenticated = signed_assertion.issuer == assertion.issuer and _in_force(
        signed_assertion.element, now
    )
    return _surface(signed_assertion, authenticated=authenticated)


@dataclass(frozen=True, slots=True)
class _Assertion:
    """A parsed assertion.

    :param element: its root.
    :param issuer: who made it, it says.
    """

    element: Element
    issuer: str

    @classmethod
    def parse(cls, xml: bytes) -> _Assertion:
        try:
            element = fromstring(xml, forbid_dtd=True)
        except ParseError:
            raise _bad("it is not well-formed") from None
        except DefusedXmlException:
            raise _bad(
                "it has a document type or entities, which a SAML assertion has not"
            ) from None
        except (ValueError, LookupError):
            raise _bad("it is in an encoding that is not known") from None
        _limit_depth(element)
        if element.tag != f"{_NAMESPACE}Assertion":
            raise _bad("it is not a SAML 2.0 assertion")
        issuer = element.findtext(f"{_NAMESPACE}Issuer", "").strip()
        if not issuer:
            raise _bad("it does not say who issued it")
        return cls(element, issuer)


def _limit_depth(root: Element) -> None:
    """Refuse what would make the recursion of those that write XML too deep."""
    level, depth = [root], 1
    while level:
        if depth > MAX_DEPTH:
            raise _bad(f"it is nested deeper than {MAX_DEPTH} levels")
        level, depth = [child for element in level for child in element], depth + 1


def _octets(claim: object) -> bytes:
    if not isinstance(claim, str):
        raise _bad("the `saml` claim is not a string")
    text = claim.strip()
    try:
        if text.startswith("<"):
            return text.encode("utf-8")
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise _bad("the `saml` claim is neither XML nor base64") from None


def _surface(assertion: _Assertion, *, authenticated: bool) -> tuple[NameAttribute, ...]:
    text = tostring(assertion.element, encoding="unicode")
    attributes = [NameAttribute(ASSERTION_NAME, (text,), authenticated)]
    for element in assertion.element.iterfind(
        f"{_NAMESPACE}AttributeStatement/{_NAMESPACE}Attribute"
    ):
        if len(attributes) > MAX_ATTRIBUTES:
            raise _bad(f"it has more than {MAX_ATTRIBUTES} attributes")
        attributes.append(NameAttribute(_name(element), tuple(_values(element)), authenticated))
    return tuple(attributes)


def _name(attribute: Element) -> str:
    name = attribute.get("Name", "")
    name_format = attribute.get("NameFormat") or _UNSPECIFIED
    if not name or not name.isprintable() or " " in name_format or not name_format.isprintable():
        raise _bad("it has an attribute without a usable name")
    return f"{ATTRIBUTE_PREFIX} {name_format} {name}"


def _values(attribute: Element) -> Iterator[str]:
    """Text, or the XML inside of a value that has elements in it."""
    for value in attribute.iterfind(f"{_NAMESPACE}AttributeValue"):
        inner = "".join(tostring(child, encoding="unicode") for child in value)
        yield (value.text or "") + inner


def _in_force(assertion: Element, now: int) -> bool:
    """Whether the time is within the assertion's conditions (SAML core section 2.5.1)."""
    time = datetime.fromtimestamp(now / 1000, UTC)
    conditions = assertion.find(f"{_NAMESPACE}Conditions")
    if conditions is None:
        return True
    try:
        begins, ends = (_time(conditions.get(name)) for name in ("NotBefore", "NotOnOrAfter"))
        return (begins is None or begins <= time) and (ends is None or time < ends)
    except (ValueError, TypeError):
        # Not a time, or one without its zone.
        return False


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _bad(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNKNOWN_ATTRIBUTE, f"the SAML assertion in the certificate cannot be read: {why}"
    )
