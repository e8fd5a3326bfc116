"""Which of those who are signed in a name means, and that a name never means somebody else."""

from __future__ import annotations

import os
import pwd

import pytest

from browserid_sasl.agent.naming import account_names, acting_as, choose, default_at, matching
from browserid_sasl.config import ClientConfig
from browserid_sasl.errors import Code, CredentialError

ALICE = "alice@example.test"
BOB = "bob@example.test"
ACCOUNT = "account"


def chosen(name: str, *signed_in: str, default: str = "", account: str = ACCOUNT) -> str:
    return choose(signed_in, name, default, lambda: {account})


def refusal(
    name: str, *signed_in: str, default: str = "", account: str = ACCOUNT
) -> CredentialError:
    with pytest.raises(CredentialError) as raised:
        chosen(name, *signed_in, default=default, account=account)
    return raised.value


class TestBareName:
    def test_is_the_local_part_of_the_one_who_has_it(self) -> None:
        assert chosen("alice", ALICE, BOB) == ALICE
        assert chosen("bob", ALICE, BOB) == BOB

    def test_is_refused_if_nobody_has_it(self) -> None:
        error = refusal("bob", ALICE)
        assert error.code is Code.INTERACT_REQUIRED
        assert ALICE in error.message

    def test_is_refused_if_two_have_it(self) -> None:
        error = refusal("alice", ALICE, "alice@other.test")
        assert error.code is Code.NO_DEFAULT_IDENTITY
        assert ALICE in error.message and "alice@other.test" in error.message

    @pytest.mark.parametrize("name", ["ali", "alice.", " alice", "example.test", "alicex", "*"])
    def test_is_no_pattern(self, name: str) -> None:
        assert refusal(name, ALICE).code is Code.INTERACT_REQUIRED

    def test_is_not_replaced_by_the_configured_identity(self) -> None:
        assert refusal("bob", ALICE, default=ALICE).code is Code.INTERACT_REQUIRED

    def test_is_refused_where_nobody_is_signed_in(self) -> None:
        assert "browserid login bob@" in refusal("bob").remedy

    def test_that_is_long_or_unprintable_is_shown_harmlessly(self) -> None:
        error = refusal("b\nob" * 1000, ALICE)
        assert str(error).isprintable()
        assert len(error.message) < 1000


class TestNameOfTheAccount:
    """Programs fill it in where nobody said anything."""

    def test_is_the_only_one_who_is_signed_in(self) -> None:
        assert chosen(ACCOUNT, ALICE) == ALICE

    def test_is_the_configured_identity(self) -> None:
        assert chosen(ACCOUNT, ALICE, BOB, default=BOB) == BOB

    def test_is_who_has_that_name_before_anybody_else(self) -> None:
        assert chosen("alice", ALICE, BOB, default=BOB, account="alice") == ALICE

    def test_is_not_clear_without_a_default(self) -> None:
        assert refusal(ACCOUNT, ALICE, BOB).code is Code.NO_DEFAULT_IDENTITY

    def test_that_two_have_is_the_configured_identity(self) -> None:
        signed_in = ("alice@other.test", ALICE)
        assert chosen("alice", *signed_in, default=ALICE, account="alice") == ALICE

    def test_is_that_of_this_process(self) -> None:
        assert account_names() == {pwd.getpwuid(os.getuid()).pw_name}

    def test_is_none_without_an_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 2_000_000_001)
        monkeypatch.setattr(os, "geteuid", lambda: 2_000_000_001)
        assert account_names() == set()


class TestAddress:
    def test_is_spelled_as_the_provider_does(self) -> None:
        assert chosen("Alice@Example.TEST", ALICE) == ALICE
        assert chosen("alice", "ALICE@example.test") == "ALICE@example.test"

    def test_is_told_apart_from_one_that_differs_in_case(self) -> None:
        two = (ALICE, "Alice@example.test")
        assert chosen(ALICE, *two) == ALICE
        assert chosen("alice@EXAMPLE.test", *two) == ALICE
        assert chosen("Alice", *two) == "Alice@example.test"
        assert refusal("ALICE@example.test", *two).code is Code.NO_DEFAULT_IDENTITY
        assert refusal("ALICE", *two).code is Code.NO_DEFAULT_IDENTITY

    def test_is_no_other_because_of_letters_that_unicode_folds(self) -> None:
        assert refusal("\N{KELVIN SIGN}ate@example.test", "kate@example.test").remedy

    def test_of_another_domain_is_another(self) -> None:
        error = refusal("alice@other.test", ALICE)
        assert (error.code, error.remedy) == (
            Code.INTERACT_REQUIRED,
            "sign in first: browserid login alice@other.test",
        )

    def test_that_is_configured_and_not_signed_in_is_replaced_by_nobody(self) -> None:
        assert refusal("", ALICE, default=BOB).code is Code.INTERACT_REQUIRED


def test_a_name_means_those_who_are_spelled_most_like_it() -> None:
    assert matching([ALICE, "Alice@example.test"], "alice") == [ALICE]
    assert matching([ALICE], "bob") == ()


class TestActingAs:
    @pytest.mark.parametrize("authzid", ["", ALICE, "alice", "Alice@Example.test"])
    @pytest.mark.parametrize("name", ["", "alice", ALICE])
    def test_oneself_is_nobody_else(self, name: str, authzid: str) -> None:
        assert acting_as(ALICE, name, authzid) == ""

    @pytest.mark.parametrize("authzid", ["bob", BOB, "u:alice", "alice@other.test"])
    def test_others_are_named_in_the_server_s_words(self, authzid: str) -> None:
        assert acting_as(ALICE, "alice", authzid) == authzid
        assert acting_as(ALICE, "", authzid) == authzid

    def test_the_name_of_the_account_is_nobody_unless_an_identity_was_named(self) -> None:
        [account] = account_names()
        assert acting_as(ALICE, "", account) == ""
        assert acting_as(ALICE, account, account) == ""
        assert acting_as(ALICE, ALICE, account) == account


@pytest.mark.parametrize(
    ("service", "host", "identity"),
    [
        ("imap", "mail.example.org", "alice@example.org"),
        ("imap", "MAIL.Example.Org", "alice@example.org"),
        ("imap", "a.b.example.org", "alice@example.org"),
        ("imap", "example.org", "default@example.org"),
        ("imap", "mail.example.org.evil.test", "default@example.org"),
        ("imap", "mailXexample.org", "default@example.org"),
        ("smtp", "mail.example.org", "default@example.org"),
        ("smtp", "mx.example.net", "bob@example.net"),
        ("ldap", "mx.example.net", "bob@example.net"),
        ("imap", "first.example.com", "first@example.com"),
    ],
)
def test_the_default_at_a_service(service: str, host: str, identity: str) -> None:
    options = ClientConfig(
        identity="default@example.org",
        identities=(
            ("imap/*.example.org", "alice@example.org"),
            ("*/mx.example.net", "bob@example.net"),
            ("*/*.example.com", "first@example.com"),
            ("imap/first.example.com", "second@example.com"),
        ),
    )
    assert default_at(options, service, host) == identity
