"""Signing in: what is asked of the provider, and what of its answer is believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from browserid_sasl.agent.application import KeyType
from browserid_sasl.discovery import Answer
from browserid_sasl.errors import Code, CredentialError, DiscoveryError, StoreError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from browserid_sasl.store.memory import MemoryIdentityStore
from tests.support.pretended import (
    HOUR,
    NOW,
    PretendedProvider,
    granted,
    said,
    support,
)
from tests.support.provider import (
    ALICE,
    DOMAIN,
    PASSWORD,
    RunningProvider,
    running_provider,
    sign_in,
)

OTHER_KEY = PrivateKey.generate("ES256")


class TestWithAProvider:
    @pytest.mark.parametrize("key_type", ["RS256", "ES256"])
    def test_a_key_is_made_and_certified_and_kept(
        self, running: RunningProvider, key_type: KeyType
    ) -> None:
        store = MemoryIdentityStore()
        record = sign_in(
            ALICE,
            PASSWORD,
            http=running.fetcher(),
            store=store,
            clock=running.clock,
            key_type=key_type,
        )
        assert store.get(ALICE) == record
        key = PrivateKey.from_pem(record.private_key_pem)
        assert key.algorithm.name == key_type
        issued = Certificate.parse(record.certificate)
        assert issued.public_key == key.public_key
        assert issued.email == record.identity == ALICE
        assert issued.expires == record.expires == running.clock.now + HOUR

    def test_each_sign_in_makes_a_new_key(self, running: RunningProvider) -> None:
        store = MemoryIdentityStore()
        records = [
            sign_in(ALICE, PASSWORD, http=running.fetcher(), store=store, clock=running.clock)
            for _ in range(2)
        ]
        assert records[0].private_key_pem != records[1].private_key_pem
        assert list(store.all()) == [records[1]]

    def test_the_identity_is_spelled_as_the_provider_spells_it(
        self, running: RunningProvider
    ) -> None:
        store = MemoryIdentityStore()
        record = sign_in(
            "Alice@Example.Test",
            PASSWORD,
            http=running.fetcher(),
            store=store,
            clock=running.clock,
            key_type="ES256",
        )
        assert record.identity == ALICE

    def test_a_wrong_password_changes_nothing(self, running: RunningProvider) -> None:
        store = MemoryIdentityStore()
        before = IdentityRecord(ALICE, b"pem", "certificate", 5)
        store.put(before)
        with pytest.raises(CredentialError, match=f"{DOMAIN} refused the sign-in") as raised:
            sign_in(ALICE, "wrong", http=running.fetcher(), store=store, clock=running.clock)
        assert raised.value.code is Code.INTERACT_FAILURE
        assert "password" in raised.value.remedy
        assert "wrong" not in raised.value.message
        assert store.get(ALICE) == before

    def test_too_many_failures_tell_when_to_come_back(self, tmp_path: Any) -> None:
        with running_provider(tmp_path / "provider") as running:
            for _ in range(5):
                running.provider.limits.begin(ALICE, "198.51.100.7", running.clock.now)
            with pytest.raises(CredentialError, match="try again in 1 s") as raised:
                sign_in(
                    ALICE,
                    PASSWORD,
                    http=running.fetcher(),
                    store=MemoryIdentityStore(),
                    clock=running.clock,
                )
        assert raised.value.code is Code.INTERACT_UNAVAILABLE

    def test_a_provider_that_has_just_changed_its_key_is_believed(self, tmp_path: Any) -> None:
        with running_provider(tmp_path / "provider") as running:
            fetcher = running.fetcher()
            running.provider.keys.rotate("ES256", running.clock.now)
            record = sign_in(
                ALICE,
                PASSWORD,
                http=fetcher,
                store=MemoryIdentityStore(),
                clock=running.clock,
            )
        assert Certificate.parse(record.certificate).jwt.header.alg == "ES256"


def attempt(provider: PretendedProvider, identity: str = ALICE) -> IdentityRecord:
    return sign_in(
        identity,
        PASSWORD,
        http=provider,
        store=MemoryIdentityStore(),
        clock=lambda: NOW,
        key_type="ES256",
    )


class TestRequest:
    def test_the_password_goes_to_the_authority_and_the_private_key_nowhere(self) -> None:
        provider = PretendedProvider()
        attempt(provider)
        [(domain, path, request)] = provider.posts
        assert (domain, path) == (DOMAIN, "/certify")
        assert set(request) == {"email", "password", "public-key"}
        assert set(request["public-key"]) == {"kty", "crv", "x", "y"}
        assert request["password"] == PASSWORD

    def test_a_delegation_is_followed(self) -> None:
        provider = PretendedProvider(
            {
                DOMAIN: {"authority": "idp.example"},
                "idp.example": {"authority": "real.example"},
                "real.example": support(certify="/keys"),
            },
            granted(issuer="real.example"),
        )
        assert attempt(provider).identity == ALICE
        assert provider.posts[0][:2] == ("real.example", "/keys")

    @pytest.mark.parametrize("address", ["", "alice", "alice@", "@a.test", "a b@a.test"])
    def test_an_address_that_is_none_is_asked_of_nobody(self, address: str) -> None:
        provider = PretendedProvider({})
        with pytest.raises(CredentialError, match="not an e-mail address"):
            attempt(provider, address)

    def test_a_domain_without_provider(self) -> None:
        with pytest.raises(CredentialError, match="no identity provider") as raised:
            attempt(PretendedProvider({DOMAIN: {"disabled": True}}))
        assert raised.value.code is Code.INTERACT_UNAVAILABLE

    def test_a_provider_for_browsers_only(self) -> None:
        document = {name: value for name, value in support().items() if name != "certify"}
        with pytest.raises(CredentialError, match="in its own pages only"):
            attempt(PretendedProvider({DOMAIN: document}))

    def test_delegations_without_end(self) -> None:
        provider = PretendedProvider(
            {DOMAIN: {"authority": "b.test"}, "b.test": {"authority": DOMAIN}}
        )
        with pytest.raises(CredentialError, match="no identity provider that can be signed in to"):
            attempt(provider)
        assert provider.posts == []


class TestAnswer:
    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (granted(signing_key=OTHER_KEY), "not signed by a key"),
            (granted(issuer="other.test"), "may not certify"),
            (granted(email=f"bob@{DOMAIN}"), f"it is for bob@{DOMAIN}"),
            (granted(public_key=OTHER_KEY.public_key), "it is for another key"),
            (granted(expires=NOW - 1), "expired"),
            (granted(issued_at=NOW - 2 * HOUR, expires=NOW - HOUR), "expired"),
            (granted(expires=NOW + 30_000), "expires at once"),
            (granted(issued_at=NOW + HOUR, expires=NOW + 2 * HOUR), "not valid yet"),
            (granted(expires=NOW + 25 * HOUR), "lives longer"),
            (lambda _key: said(200, {"certificate": "x"}), "not a valid JSON web token"),
            (lambda _key: said(200, {"certificate": "a.b.c~d.e.f"}), "not base64url|parts"),
            (lambda _key: said(200, {"certificate": "\u00e9.b.c"}), "not base64url"),
        ],
    )
    def test_a_certificate_that_no_server_would_accept_is_not_kept(
        self, answer: Callable[[PublicKey], Answer], why: str
    ) -> None:
        store = MemoryIdentityStore()
        provider = PretendedProvider({DOMAIN: support(), "other.test": support()}, answer)
        with pytest.raises(CredentialError) as raised:
            sign_in(ALICE, PASSWORD, http=provider, store=store, clock=lambda: NOW)
        assert re.search(why, raised.value.message)
        assert raised.value.message.startswith(f"the certificate that {DOMAIN} gave is not good")
        assert list(store.all()) == []

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200, {}, b"not JSON"),
            Answer(200, {}, b"[]"),
            said(200, {}),
            said(200, {"certificate": 5}),
            said(200, {"certificate": "x" * 20_000}),
            Answer(500, {}, b""),
        ],
    )
    def test_an_answer_that_makes_no_sense(self, answer: Answer) -> None:
        with pytest.raises(DiscoveryError, match="the identity provider's answer"):
            attempt(PretendedProvider(answer=lambda _key: answer))

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (said(403, {"message": "No way."}), "it said: No way."),
            (said(403, {"message": "\x1b[2J"}), "status 403"),
            (said(403, {"message": 5}), "status 403"),
            (said(404, {}), "status 404"),
            (said(418, {"message": "x" * 1000}), "it said: " + "x" * 200 + ")"),
        ],
    )
    def test_a_refusal_is_told_as_far_as_it_is_fit_to_print(
        self, answer: Answer, message: str
    ) -> None:
        with pytest.raises(CredentialError) as raised:
            attempt(PretendedProvider(answer=lambda _key: answer))
        assert raised.value.code is Code.INTERACT_FAILURE
        assert message in raised.value.message

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_refusal_for_now(self, status: int) -> None:
        with pytest.raises(CredentialError) as raised:
            attempt(PretendedProvider(answer=lambda _key: said(status, {})))
        assert raised.value.code is Code.INTERACT_UNAVAILABLE

    def test_a_store_that_fails(self) -> None:
        class Full(MemoryIdentityStore):
            def put(self, record: IdentityRecord) -> None:
                raise StoreError(Code.CACHE_ERROR, "the disk is full")

        with pytest.raises(StoreError):
            sign_in(ALICE, PASSWORD, http=PretendedProvider(), store=Full(), clock=lambda: NOW)
