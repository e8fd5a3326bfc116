"""Backed assertions: certificates and the assertion behind them, in one line of text."""

from __future__ import annotations

import hashlib

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.identity.backed import MAX_LENGTH, BackedAssertion
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.secrets import SecretKey
from tests.support.refusal import refused

ASSERTION = jwt.sign({"aud": "imap/mail.example.com"}, SecretKey(bytes(32)))


def parse(text: str) -> BackedAssertion:
    return BackedAssertion.parse(text.encode())


@pytest.mark.parametrize("text", [ASSERTION, f"~{ASSERTION}"])
def test_without_a_certificate_the_leading_tilde_may_be_missing(text: str) -> None:
    backed = parse(text)
    assert backed.certificates == ()
    assert backed.assertion.claims == {"aud": "imap/mail.example.com"}
    assert backed.text == f"~{ASSERTION}"
    assert backed.digest == hashlib.sha256(f"~{ASSERTION}".encode()).digest()
    assert backed.ticket_id == b64.encode(backed.digest)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_certificates_come_before_the_assertion(count: int) -> None:
    texts = [f"certificate{i}" for i in range(count)]
    backed = parse("~".join([*texts, ASSERTION]))
    assert backed.certificates == tuple(texts)
    assert backed.text == "~".join([*texts, ASSERTION])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("~".join(["c"] * 11 + [ASSERTION]), "more than 10"),
        (f"~~{ASSERTION}", "empty"),
        (f"~c~{ASSERTION}", "empty"),
        (f"c~~{ASSERTION}", "empty"),
        (f"{ASSERTION}\u00e9", "ASCII"),
    ],
)
def test_a_malformed_one_is_an_invalid_assertion(text: str, reason: str) -> None:
    with refused(Code.INVALID_ASSERTION, reason):
        parse(text)


@pytest.mark.parametrize("text", ["", "~", "c~", f"{ASSERTION}~"])
def test_without_an_assertion_there_is_no_token(text: str) -> None:
    with refused(Code.INVALID_JSON_WEB_TOKEN, "the assertion"):
        parse(text)


def test_the_length_is_limited() -> None:
    with refused(Code.BUFFER_TOO_LONG):
        parse("~" * (MAX_LENGTH + 1))


def test_nobody_is_shown_a_token_that_could_be_replayed() -> None:
    assert ASSERTION not in repr(parse(ASSERTION))
    assert ASSERTION.rpartition(".")[2] not in repr(parse(ASSERTION))
