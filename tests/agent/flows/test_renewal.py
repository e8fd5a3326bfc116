"""Renewals: what is asked, what is kept, and what is never dropped for being offline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.agent.flows import renewal
from browserid_sasl.agent.flows.renewal import RenewalOverError, renewed
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.discovery import Answer
from browserid_sasl.errors import Code, CredentialError, DiscoveryError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.memory import MemoryIdentityStore
from tests.support.pretended import HOUR, NOW, PROVIDER_KEY, PretendedProvider, said
from tests.support.provider import ALICE, DOMAIN

KEY = PrivateKey.generate("ES256")
DAY = 24 * HOUR


class World:
    """A person whose certificate has been given at NOW, their provider, and the time."""

    def __init__(self) -> None:
        self.now = NOW
        self.provider = PretendedProvider(respond=self.respond)
        self.store = MemoryIdentityStore()
        self.record = IdentityRecord(
            ALICE, KEY.to_pem(), self.issue(), NOW + HOUR, "the-secret", NOW + 30 * DAY
        )
        self.store.put(self.record)
        self.answer: Answer | None = None

    def clock(self) -> int:
        return self.now

    def issue(self, email: str = ALICE) -> str:
        return certificate.issue(
            issuer=DOMAIN,
            email=email,
            public_key=KEY.public_key,
            issued_at=self.now,
            expires=self.now + HOUR,
            signing_key=PROVIDER_KEY,
        )

    def respond(self, path: str, request: dict[str, Any]) -> Answer:
        assert path == "/certify"
        statement = Jwt.parse(request["renewal"], "it")
        statement.verify(KEY.public_key)
        assert statement.claims["renewal"] == "the-secret"
        assert statement.claims["aud"] == f"https://{DOMAIN}/certify"
        assert self.now < statement.claims["exp"] <= self.now + 300_000
        if self.answer is not None:
            return self.answer
        if request.get("revoke"):
            return said(200, {})
        return said(200, {"certificate": self.issue(), "renewal_expires_in": 86_400 * 30})

    def renew(self) -> IdentityRecord:
        return renewed(self.record, self.store, self.provider, self.clock)

    @property
    def source(self) -> AgentCredentialSource:
        def renew(record: IdentityRecord) -> IdentityRecord:
            return renewed(record, self.store, self.provider, self.clock)

        return AgentCredentialSource(self.store, "", self.clock, renew=renew)


def test_the_key_stays_and_the_certificate_and_its_end_are_new() -> None:
    world = World()
    world.now += HOUR
    record = world.renew()
    assert record.private_key_pem == world.record.private_key_pem
    assert record.expires == world.now + HOUR
    assert (record.renewal, record.renewal_expires) == ("the-secret", world.now + 30 * DAY)
    assert world.store.get(ALICE) == record


@pytest.mark.parametrize("word", ["renewal-revoked", "renewal-expired", "renewal-unknown"])
def test_a_definite_refusal_drops_it(word: str) -> None:
    world = World()
    world.answer = said(401, {"error": word, "message": "No more."})
    with pytest.raises(RenewalOverError) as raised:
        world.renew()
    assert raised.value.code is Code.INTERACT_REQUIRED
    kept = world.store.get(ALICE)
    assert kept == replace(world.record, renewal="", renewal_expires=0)


@pytest.mark.parametrize(
    "answer",
    [
        said(401, {"error": "refused"}),
        said(400, {"error": "invalid-signature"}),
        said(429, {"error": "renewal"}),
        said(500, {}),
        said(503, {}),
        Answer(502, {}, b"<html>"),
        said(200, {"certificate": "nonsense"}),
        said(200, {}),
    ],
)
def test_anything_else_drops_nothing(answer: Answer) -> None:
    world = World()
    world.answer = answer
    with pytest.raises((CredentialError, DiscoveryError)) as raised:
        world.renew()
    assert not isinstance(raised.value, RenewalOverError)
    assert world.store.get(ALICE) == world.record


def test_a_renewal_for_somebody_else_is_not_kept() -> None:
    world = World()
    world.answer = said(200, {"certificate": world.issue("bob@example.test")})
    with pytest.raises(CredentialError, match="it is for bob@example.test"):
        world.renew()
    assert world.store.get(ALICE) == world.record


@pytest.mark.parametrize("meanwhile", ["signed out", "signed in anew"])
def test_what_was_done_meanwhile_stays(meanwhile: str) -> None:
    world = World()
    anew = replace(world.record, private_key_pem=b"another key")
    if meanwhile == "signed out":
        world.store.delete(ALICE)
    else:
        world.store.put(anew)
    world.renew()
    assert world.store.get(ALICE) == (None if meanwhile == "signed out" else anew)


def test_twelve_hours_offline_across_an_expiry_and_then_on_as_if_nothing_was() -> None:
    world = World()
    source = world.source
    world.provider.offline = True
    for hour in range(13):
        if hour:
            with pytest.raises(DiscoveryError):
                source.assertion(b"{}")
        assert source.identity == ALICE
        assert world.store.get(ALICE) == world.record
        world.now += HOUR
    world.provider.offline = False
    text = source.assertion(b"{}")
    assert text.count("~") == 1
    assert source.assertion(b"{}") != text  # each connection has a fresh one


def test_one_that_cannot_be_renewed_asks_for_its_person() -> None:
    world = World()
    world.store.put(replace(world.record, renewal=""))
    world.now += HOUR
    with pytest.raises(SignInRequiredError) as raised:
        world.source.assertion(b"{}")
    assert raised.value.identity == ALICE
    assert f"browserid login {ALICE}" in raised.value.remedy


class TestEnding:
    def test_the_provider_is_told(self) -> None:
        world = World()
        renewal.end(world.record, world.provider, world.clock)
        [(_, _, request)] = world.provider.posts
        assert request["revoke"] is True

    def test_one_that_it_does_not_know_is_ended(self) -> None:
        world = World()
        world.answer = said(401, {"error": "renewal-unknown"})
        renewal.end(world.record, world.provider, world.clock)

    def test_one_that_it_does_not_end_is_told(self) -> None:
        world = World()
        world.answer = said(500, {})
        with pytest.raises(CredentialError):
            renewal.end(world.record, world.provider, world.clock)


def test_secrets_are_in_no_repr() -> None:
    assert "the-secret" not in repr(World().record)
