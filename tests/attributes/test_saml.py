"""SAML assertions that travel in certificates."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.attributes.saml import (
    ASSERTION_NAME,
    ATTRIBUTE_PREFIX,
    MAX_ATTRIBUTES,
    saml_attributes,
)
from browserid_sasl.errors import Code, RemoteProtocolError
from tests.support.saml import (
    ISSUER,
    MEMBER,
    MEMBER_NAME,
    URI,
    assertion,
    attribute,
    context_with,
    read,
)
from tests.support.world import START

NO_ASSERTIONS: dict[str, object] = {
    "a number": 17,
    "nothing": "",
    "not base64": "!",
    "base64 of something else": "AAAA",
    "half a character": "<\ud800",
    "cut off": "<a",
    "no namespace": "<Assertion/>",
    "SAML 1": '<Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion"/>',
    "no issuer": assertion(issuer=""),
    "two documents": assertion(MEMBER) + "<more/>",
    "an attribute without name": assertion('<saml:Attribute NameFormat="f"/>'),
    "a space in a format": assertion(attribute("name", name_format="two words")),
    "a line's end in a name": assertion(attribute("a&#10;b")),
    "many attributes": assertion("".join(map(attribute, map(str, range(MAX_ATTRIBUTES + 1))))),
    "unknown encoding": base64.b64encode(b'<?xml version="1.0" encoding="x-none"?><a/>').decode(),
}


class TestSamlAssertion:
    def test_a_certificate_need_not_have_one(self) -> None:
        assert saml_attributes(context_with({}), START) == ()
        assert saml_attributes(context_with({"saml": None}), START) == ()

    @pytest.mark.parametrize(
        "encode", [str, lambda text: base64.encodebytes(text.encode()).decode()]
    )
    def test_is_xml_or_base64(self, encode: Any) -> None:
        found = read(encode(assertion(MEMBER)))
        assert found[MEMBER_NAME].values == ("staff", "member")

    def test_is_an_attribute_as_a_whole(self) -> None:
        (text,) = read(assertion(MEMBER))[ASSERTION_NAME].values
        assert ISSUER in text
        assert text.startswith("<")

    def test_names_without_a_format_are_of_the_unspecified_one(self) -> None:
        found = read(assertion('<saml:Attribute Name="group"/>'))
        name = "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified group"
        assert found[f"{ATTRIBUTE_PREFIX} {name}"].values == ()

    def test_values_with_elements_are_xml(self) -> None:
        value = "<saml:NameID>alice</saml:NameID>"
        (text,) = read(assertion(attribute("id", value)))[f"{ATTRIBUTE_PREFIX} {URI} id"].values
        assert text.endswith(">alice</ns0:NameID>")

    def test_nothing_is_authenticated_without_a_key(self) -> None:
        found = read(assertion(MEMBER))
        assert found
        assert not any(each.authenticated for each in found.values())

    @pytest.mark.parametrize("claim", NO_ASSERTIONS.values(), ids=NO_ASSERTIONS)
    def test_what_is_none(self, claim: object) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            read(claim)
        assert caught.value.code is Code.UNKNOWN_ATTRIBUTE

    @pytest.mark.parametrize(
        "head",
        [
            "<!DOCTYPE a>",
            '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>',
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd">',
            '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>',
        ],
    )
    def test_document_types_and_entities_are_refused(self, head: str) -> None:
        with pytest.raises(RemoteProtocolError, match="document type or entities"):
            read(assertion(MEMBER, head=head))

    @pytest.mark.parametrize("depth", [40, 9000])
    def test_it_is_not_nested_deeply(self, depth: int) -> None:
        with pytest.raises(RemoteProtocolError, match="deeper than"):
            read(assertion("<x>" * depth + "</x>" * depth))

    @given(st.text(max_size=60))
    def test_whatever_is_inside_gives_an_error_of_ours(self, text: str) -> None:
        with pytest.raises(RemoteProtocolError):
            read("<" + text)
