"""What an identity provider publishes about itself."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.support import (
    Delegation,
    Disabled,
    Document,
    SupportDocument,
    parse_support_document,
)
from tests.support.forging import altered, dump
from tests.support.refusal import refused
from tests.support.world import key, support_document

FIRST = key("idp")
SECOND = key("second", "ES256")


def parse(document: Any, *, allow_legacy: bool = False) -> Document:
    octets = document if isinstance(document, bytes) else dump(document)
    return parse_support_document(octets, allow_legacy=allow_legacy)


def supported(document: Any) -> SupportDocument:
    parsed = parse(document)
    assert isinstance(parsed, SupportDocument)
    return parsed


class TestReading:
    def test_a_domain_with_a_provider(self) -> None:
        parsed = supported(support_document(FIRST) | {"certify": "/certify"})
        assert parsed.keys == (FIRST.public_key,)
        assert (parsed.authentication, parsed.provisioning) == ("/in", "/provision")
        assert parsed.certify == "/certify"

    def test_the_endpoint_for_programs_is_optional(self) -> None:
        assert supported(support_document(FIRST)).certify is None

    def test_what_certificates_are_given_for(self) -> None:
        plain = supported(support_document(FIRST))
        assert (plain.grant_types, plain.device_authorization, plain.revocations) == (
            (),
            None,
            None,
        )
        # The first generation said nothing, and took passwords.
        assert supported(support_document(FIRST) | {"certify": "/c"}).grant_types == ("password",)
        said = {
            "certify": "/c",
            "device-authorization": "/d",
            "revocations": "/r",
            "grant-types": ["code", "device", "renewal", "something new"],
        }
        parsed = supported(support_document(FIRST) | said)
        assert (parsed.device_authorization, parsed.revocations) == ("/d", "/r")
        assert parsed.grant_types == ("code", "device", "renewal", "something new")

    @pytest.mark.parametrize("value", ["code", {}, 1, [1], [None], ["x"] * 33])
    def test_grant_types_are_a_short_list_of_texts(self, value: object) -> None:
        with refused(Code.INVALID_JSON, "grant-types", DiscoveryError):
            parse(support_document(FIRST) | {"certify": "/c", "grant-types": value})

    def test_further_keys(self) -> None:
        parsed = supported(support_document(FIRST, SECOND))
        assert parsed.keys == (FIRST.public_key, SECOND.public_key)

    def test_a_key_counts_once(self) -> None:
        assert supported(support_document(FIRST, FIRST)).keys == (FIRST.public_key,)

    def test_keys_for_another_use_do_not_sign(self) -> None:
        uses = [{"use": "sig"}, {"use": "enc"}, {}]
        keys = [key(f"k{i}", "ES256").public_key for i in range(3)]
        document = support_document(FIRST) | {
            "keys": [each.to_json() | use for each, use in zip(keys, uses, strict=True)]
        }
        assert supported(document).keys == (FIRST.public_key, keys[0], keys[2])

    def test_a_key_for_another_use_is_not_even_read(self) -> None:
        document = support_document(FIRST) | {"keys": [{"use": "enc", "kty": "oct"}]}
        assert supported(document).keys == (FIRST.public_key,)

    def test_a_domain_that_leaves_it_to_another(self) -> None:
        assert parse({"authority": "IDP.Other.Test"}) == Delegation("idp.other.test")

    def test_a_domain_without_a_provider(self) -> None:
        assert parse({"disabled": True}) == Disabled()

    def test_disabled_counts_before_delegation_and_that_before_keys(self) -> None:
        everything = support_document(FIRST) | {"authority": "other.test", "disabled": True}
        assert parse(everything) == Disabled()
        assert parse(altered(everything, {"disabled": None})) == Delegation("other.test")

    def test_short_keys_only_where_they_are_permitted(self) -> None:
        document = support_document(FIRST)
        document["public-key"] = {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}
        with refused(Code.KEY_TOO_SHORT, kind=DiscoveryError):
            parse(document)
        assert parse(document, allow_legacy=True)

    @pytest.mark.parametrize(
        "absent",
        [
            {"disabled": False},
            *({name: None} for name in ("disabled", "authority", "keys", "certify", "unknown")),
        ],
        ids=ascii,
    )
    def test_what_says_nothing_is_as_if_it_was_not_there(self, absent: dict[str, Any]) -> None:
        assert supported(support_document(FIRST) | absent).keys == (FIRST.public_key,)
        assert parse(absent | {"authority": "other.test"}) == Delegation("other.test")

    def test_a_list_of_keys_will_do(self) -> None:
        keys = [FIRST.public_key.to_json("classic"), SECOND.public_key.to_json()]
        document = altered(support_document(FIRST), {"public-key": None}) | {"keys": keys}
        assert supported(document).keys == (FIRST.public_key, SECOND.public_key)

    @pytest.mark.parametrize(
        "unreadable",
        [
            {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
            {"kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA"},
            {"kty": "RSA", "n": "!", "e": "AQAB"},
            {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"},
            {"algorithm": "RS", "n": "1" * 5000, "e": "3"},
            {"algorithm": "PQ"},
            {},
            "key",
            None,
            [],
        ],
        ids=ascii,
    )
    def test_a_key_that_cannot_be_read_is_no_reason_to_refuse_others(self, unreadable: Any) -> None:
        further = {"keys": [unreadable, SECOND.public_key.to_json(), unreadable]}
        assert supported(support_document(FIRST) | further).keys == (
            FIRST.public_key,
            SECOND.public_key,
        )
        assert supported(altered(support_document(FIRST), {"public-key": None}) | further).keys == (
            SECOND.public_key,
        )
        assert supported(support_document(FIRST) | {"public-key": unreadable} | further).keys == (
            SECOND.public_key,
        )

    @pytest.mark.parametrize("use", [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "RS384"}])
    def test_when_no_key_is_left_the_first_ones_problem_is_told(self, use: dict[str, Any]) -> None:
        only = FIRST.public_key.to_json() | use
        for document in ({"keys": [only, "key"]}, support_document(FIRST) | {"public-key": only}):
            with refused(Code.INVALID_KEY, f"`{next(iter(use))}`", DiscoveryError):
                parse(altered(support_document(FIRST), {"public-key": None}) | document)

    def test_who_meets_a_short_key_is_told_of_the_option(self) -> None:
        short = {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}
        with refused(Code.KEY_TOO_SHORT, "`allow_legacy_keys`", DiscoveryError):
            parse(support_document(FIRST) | {"public-key": short})

    @pytest.mark.parametrize("path", ["/", "/a/b.html", "/a//b/", "/~x/%20;v=1", "/...", "/.a/b."])
    def test_a_path_has_what_urls_can_have_in_one(self, path: str) -> None:
        assert supported(support_document(FIRST) | {"certify": path}).certify == path


BAD_PATHS = [
    "/in?next=/",
    "/in?",
    "/in#top",
    "/#",
    "/a/../b",
    "/..",
    "/./b",
    "/a/.",
    "/..//evil.test/in",
    "/%2e%2E/b",
    "/.%2e/b",
    "/a b",
    "/a%",
    "/a%2",
    "/a%zz",
    "/\u00e9",
    "/in\n",
    "/a\x7f",
    "/a<b>",
    " /in",
    "in",
    "",
    "//evil.test/in",
    "https://idp.test/in",
    "/a\\b",
    "/a\nb",
    "/\u0000",
    1,
]


@pytest.mark.parametrize(
    "member",
    ["authentication", "provisioning", "certify", "device-authorization", "revocations"],
)
@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_paths_are_absolute_and_on_the_same_origin(member: str, path: object) -> None:
    with refused(Code.INVALID_JSON, member, DiscoveryError):
        parse(support_document(FIRST) | {member: path})


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", Code.INVALID_JSON),
        (b"<html>", Code.INVALID_JSON),
        (b'"key"', Code.INVALID_JSON),
        (b'{"disabled":true,"disabled":false}', Code.INVALID_JSON),
        (b" " * 65_537, Code.BUFFER_TOO_LONG),
        ({}, Code.NO_KEY),
        ({"keys": []}, Code.NO_KEY),
        ({"disabled": False}, Code.NO_KEY),
        ({"disabled": None}, Code.NO_KEY),
        ({"keys": None, "public-key": None}, Code.NO_KEY),
        ({"disabled": 0}, Code.INVALID_JSON),
        ({"disabled": "true"}, Code.INVALID_JSON),
        ({"disabled": 1}, Code.INVALID_JSON),
        ({"authority": "https://other.test"}, Code.INVALID_ISSUER),
        ({"authority": "127.0.0.1"}, Code.INVALID_ISSUER),
        ({"authority": ""}, Code.INVALID_ISSUER),
        ({"authority": None}, Code.NO_KEY),
        ({"authority": False}, Code.INVALID_ISSUER),
        ({"authority": ["other.test"]}, Code.INVALID_ISSUER),
        (support_document(FIRST) | {"public-key": "key"}, Code.INVALID_KEY),
        (support_document(FIRST) | {"public-key": {"kty": "oct"}}, Code.INVALID_KEY),
        (support_document(FIRST) | {"keys": {}}, Code.INVALID_KEYSET),
        ({"keys": ["key"]}, Code.INVALID_KEY),
        ({"keys": None}, Code.NO_KEY),
        (support_document(FIRST) | {"authentication": None}, Code.UNKNOWN_JSON_KEY),
        (support_document(FIRST) | {"keys": [{}] * 17}, Code.INVALID_KEYSET),
        ({"keys": [{}]}, Code.INVALID_KEY),
        (altered(support_document(FIRST), {"authentication": None}), Code.UNKNOWN_JSON_KEY),
        (altered(support_document(FIRST), {"provisioning": None}), Code.UNKNOWN_JSON_KEY),
    ],
)
def test_a_broken_document_says_what_is_wrong_and_who_has_to_correct_it(
    document: Any, code: Code
) -> None:
    with refused(code, "the identity provider's administrator", DiscoveryError):
        parse(document)


def test_sixteen_further_keys_are_read() -> None:
    document = support_document(FIRST) | {"keys": [FIRST.public_key.to_json()] * 16}
    assert supported(document).keys == (FIRST.public_key,)
