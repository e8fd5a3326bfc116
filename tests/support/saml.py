"""SAML assertions, and contexts whose initiator's certificate has claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from browserid_sasl.attributes.claims import NameAttribute
from browserid_sasl.attributes.saml import ATTRIBUTE_PREFIX, SamlVerifier, saml_attributes
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from tests.support.world import AES128, ALICE, IMAP, START

URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
ISSUER = "https://saml.example.org/idp"


def context_with(claims: Mapping[str, Any], *, is_initiator: bool = False) -> SecurityContext:
    return SecurityContext(
        mechanism=AES128,
        is_initiator=is_initiator,
        identity=ALICE,
        target=IMAP,
        issuer="idp.test",
        expires=START,
        flags=ContextFlag(0),
        ticket_used=False,
        extra_round_trip=False,
        attributes=claims,
        root_key=bytes(32),
    )


def assertion(
    attributes: str = "", *, issuer: str = ISSUER, conditions: str = "", head: str = ""
) -> str:
    """An assertion with these parts."""
    return (
        f'{head}<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
        'ID="_1" Version="2.0" IssueInstant="2026-11-21T00:00:00Z">'
        f"<saml:Issuer>{issuer}</saml:Issuer>{conditions}"
        f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion>"
    )


def attribute(name: str, *values: str, name_format: str = URI) -> str:
    inner = "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
    return f'<saml:Attribute Name="{name}" NameFormat="{name_format}">{inner}</saml:Attribute>'


MEMBER = attribute("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "staff", "member")
MEMBER_NAME = f"{ATTRIBUTE_PREFIX} {URI} urn:oid:1.3.6.1.4.1.5923.1.1.1.1"


def read(
    claim: object, verifier: SamlVerifier | None = None, now: int = START
) -> dict[str, NameAttribute]:
    found = saml_attributes(context_with({"saml": claim}), now, verifier)
    return {each.name: each for each in found}
