"""Signing in on another device: what is shown, and how the provider is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from browserid_sasl.agent.application import Application
from browserid_sasl.agent.flows.device import DeviceFlow
from browserid_sasl.agent.flows.prompt import Pace, Prompt
from browserid_sasl.discovery import Answer
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
)
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.keys import parse_public_key
from tests.support.pretended import HOUR, NOW, PretendedProvider, granted, said, support
from tests.support.provider import ALICE, DOMAIN

GIVEN = {
    "device_code": "the-device",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"https://{DOMAIN}/device",
    "verification_uri_complete": f"https://{DOMAIN}/device?user_code=BCDF-GHJK",
    "interval": 5,
    "expires_in": 60,
}
DOCUMENT = support(**{"grant-types": ["device"], "device-authorization": "/device-authorization"})

Poll = Callable[[], Answer]


@dataclass
class Table:
    """A person, a provider and a clock between them."""

    polls: list[Answer | BrowserIDError] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=lambda: dict(GIVEN))
    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    shown: list[Prompt] = field(default_factory=list)
    provider: PretendedProvider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = PretendedProvider({DOMAIN: DOCUMENT}, respond=self.respond)
        self.key: Any = None

    def respond(self, path: str, request: dict[str, Any]) -> Answer:
        if path == "/device-authorization":
            self.key = parse_public_key(request["public-key"])
            return said(200, self.given)
        assert request == {"device_code": "the-device"}
        answer = self.polls.pop(0) if self.polls else pending()
        if isinstance(answer, BrowserIDError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def sign_in(self) -> IdentityRecord:
        application = Application.make(ALICE, self.provider, lambda: NOW, "ES256", "attic")
        flow = DeviceFlow(application, Pace(lambda: self.now, self.sleep))
        return asyncio.run(asyncio.wait_for(flow.run(self.shown.append), 60))

    def approved(self) -> Answer:
        return granted()(self.key)


def pending() -> Answer:
    return said(400, {"error": "authorization_pending"})


class Approval:
    """An answer that is made when the key is known."""


def test_link_and_code_are_shown_and_the_certificate_comes() -> None:
    table = Table()
    original = table.respond
    polls = iter([pending(), pending(), None])

    def respond(path: str, request: dict[str, Any]) -> Answer:
        if path == "/device-authorization":
            assert (request["email"], request["machine"]) == (ALICE, "attic")
            return original(path, request)
        return next(polls) or table.approved()

    table.provider.respond = respond
    record = table.sign_in()
    assert (record.identity, record.expires) == (ALICE, NOW + HOUR)
    [prompt] = table.shown
    assert prompt.link == GIVEN["verification_uri_complete"]
    assert prompt.entry == GIVEN["verification_uri"]
    assert (prompt.code, prompt.expires_in) == ("BCDF-GHJK", 60)
    assert table.slept == [5, 5, 5]


def test_slow_down_is_heeded_and_so_are_busy_providers() -> None:
    table = Table([said(400, {"error": "slow_down"}), said(429, {}), said(503, {})])
    with pytest.raises(CredentialError):
        table.sign_in()
    assert table.slept[:4] == [5, 10, 15, 20]


def test_a_network_that_is_away_for_a_moment_ends_nothing() -> None:
    away = DiscoveryError(Code.HTTP_ERROR, "no connection")
    table = Table([away, away, said(400, {"error": "access_denied"})])
    with pytest.raises(CredentialError, match="refused on the other device"):
        table.sign_in()
    assert table.slept == [5, 10, 20]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (said(400, {"error": "access_denied"}), "it was refused on the other device"),
        (said(400, {"error": "expired_token"}), "the code has expired"),
        (said(400, {"error": "nonsense", "message": "No."}), "it said: No."),
    ],
)
def test_what_ends_it(answer: Answer, message: str) -> None:
    with pytest.raises(CredentialError, match=message) as raised:
        Table([answer]).sign_in()
    assert raised.value.code is Code.INTERACT_FAILURE


def test_it_ends_visibly_when_the_code_expires() -> None:
    table = Table()
    with pytest.raises(CredentialError, match="the code has expired and nobody approved it"):
        table.sign_in()
    assert table.now == 60


@pytest.mark.parametrize(
    "change",
    [
        {"device_code": ""},
        {"device_code": 5},
        {"device_code": "x" * 2000},
        {"user_code": "\x1b[2J"},
        {"user_code": "x" * 100},
        {"verification_uri": "http://example.test/device"},
        {"verification_uri": "https://bank.example@evil.example/"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://example.test/ a"},
        {"verification_uri_complete": "http://example.test/device"},
        {"interval": 0},
        {"interval": "5"},
        {"interval": True},
        {"expires_in": -1},
        {"expires_in": 10**9},
        {"expires_in": None},
    ],
)
def test_what_makes_no_sense_is_shown_to_nobody(change: dict[str, Any]) -> None:
    table = Table(given=GIVEN | change)
    with pytest.raises(DiscoveryError, match="the identity provider's answer"):
        table.sign_in()
    assert table.shown == []


def test_what_may_be_left_out() -> None:
    given = {
        name: value
        for name, value in GIVEN.items()
        if name not in ("interval", "verification_uri_complete")
    }
    table = Table([said(400, {"error": "access_denied"})], given=given)
    with pytest.raises(CredentialError):
        table.sign_in()
    assert table.shown[0].link == GIVEN["verification_uri"]
    assert table.slept == [5]


def test_a_provider_without_it() -> None:
    table = Table()
    table.provider.documents = {DOMAIN: support(**{"grant-types": ["device"]})}
    with pytest.raises(CredentialError, match="has no sign-in on another device"):
        table.sign_in()


def test_nothing_is_to_be_pasted() -> None:
    application = Application.make(ALICE, Table().provider, lambda: NOW)
    with pytest.raises(LocalProtocolError, match="another device approves"):
        DeviceFlow(application).paste("http://127.0.0.1/")
