"""Signing in in a browser, with a provider over TLS."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from browserid_sasl.agent.application import Application, machine_name
from browserid_sasl.agent.flows.browser import BrowserFlow
from browserid_sasl.agent.flows.prompt import Prompt
from browserid_sasl.errors import Code, CredentialError, LocalProtocolError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey, parse_public_key
from browserid_sasl.store.base import system_clock
from tests.support.granting import GrantingProvider, granting_provider
from tests.support.provider import ALICE

HEARD = "the browser's answer"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GrantingProvider]:
    with granting_provider(tmp_path / "provider") as provider:
        yield provider


def flow_of(provider: GrantingProvider, life: int = 60, machine: str = "attic") -> BrowserFlow:
    application = Application.make(
        ALICE, provider.fetcher(), system_clock, "ES256", machine_name(machine)
    )
    return BrowserFlow(application, 0, life)


class Person:
    """Does something with the link, and keeps the last page."""

    def __init__(self, provider: GrantingProvider, flow: BrowserFlow, how: str = "visit") -> None:
        self.provider = provider
        self.flow = flow
        self.how = how
        self.prompt: Prompt | None = None
        self.page = ""
        self._tasks: list[asyncio.Task[None]] = []

    def show(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self._tasks.append(asyncio.create_task(self._act(prompt)))

    async def _act(self, prompt: Prompt) -> None:
        if self.how == "visit":
            self.page = (await asyncio.to_thread(self.provider.visit, prompt.link)).text
        elif self.how == "paste":
            query = {name: value for name, [value] in parse_qs(urlsplit(prompt.link).query).items()}
            address = await asyncio.to_thread(self.provider.authenticate, query)
            assert address is not None
            with pytest.raises(LocalProtocolError, match="is not the address"):
                self.flow.paste("https://example.org/")
            with pytest.raises(LocalProtocolError, match="is not the address"):
                self.flow.paste(re.sub("state=[^&]*", "state=wrong", address))
            self.flow.paste(f"  {address}\n")

    async def run(self) -> IdentityRecord:
        try:
            return await self.flow.run(self.show)
        finally:
            await asyncio.gather(*self._tasks)


def sign_in(provider: GrantingProvider, how: str = "visit") -> tuple[IdentityRecord, Person]:
    person = Person(provider, flow_of(provider), how)
    return asyncio.run(asyncio.wait_for(person.run(), 60)), person


def test_a_code_becomes_a_certificate_and_a_renewal(provider: GrantingProvider) -> None:
    record, person = sign_in(provider)
    assert record.identity == ALICE
    key = PrivateKey.from_pem(record.private_key_pem)
    assert Certificate.parse(record.certificate).public_key == key.public_key
    assert record.renewal in provider.renewals
    assert record.renewal_expires > system_clock() + 29 * 86_400_000
    assert f"You are signed in as {ALICE}" in person.page
    assert "close this page" in person.page


def test_what_the_link_says(provider: GrantingProvider) -> None:
    record, person = sign_in(provider)
    assert person.prompt is not None and person.prompt.heard
    [page] = provider.pages
    assert set(page) == {
        *("email", "public-key", "state", "redirect_uri", "code_challenge"),
        *("code_challenge_method", "machine"),
    }
    assert (page["email"], page["machine"]) == (ALICE, "attic")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/browserid", page["redirect_uri"])
    assert len(b64.decode(page["state"], "state")) == 32
    public = parse_public_key(json.loads(b64.decode(page["public-key"], "key")))
    assert public == PrivateKey.from_pem(record.private_key_pem).public_key


def test_the_person_pastes_the_address(provider: GrantingProvider) -> None:
    record, _ = sign_in(provider, "paste")
    assert record.identity == ALICE


def test_cancelled_in_the_browser(provider: GrantingProvider) -> None:
    provider.consent = "cancel"
    person = Person(provider, flow_of(provider))
    with pytest.raises(CredentialError, match="cancelled in the browser") as raised:
        asyncio.run(asyncio.wait_for(person.run(), 60))
    assert raised.value.code is Code.INTERACT_FAILURE
    assert "You are not signed in" in person.page


def test_somebody_else_signs_in_and_is_named(provider: GrantingProvider) -> None:
    provider.identity = "bob@example.test"
    person = Person(provider, flow_of(provider))
    with pytest.raises(CredentialError) as raised:
        asyncio.run(asyncio.wait_for(person.run(), 60))
    assert raised.value.code is Code.BAD_INITIATOR_NAME
    assert "it is for bob@example.test, and alice@example.test was asked for" in str(raised.value)
    assert "bob@example.test" in person.page


def test_a_code_that_is_not_taken(provider: GrantingProvider) -> None:
    person = Person(provider, flow_of(provider))
    original = provider.authenticate

    def authenticate(query: dict[str, str]) -> str:
        original(query)
        provider.down = True
        return f"{query['redirect_uri']}?{urlencode({'code': 'x', 'state': query['state']})}"

    provider.authenticate = authenticate  # type: ignore[method-assign, assignment]
    with pytest.raises(CredentialError, match="lets nobody sign in just now"):
        asyncio.run(asyncio.wait_for(person.run(), 60))
    assert "You are not signed in" in person.page


def test_nobody_answers(provider: GrantingProvider) -> None:
    person = Person(provider, flow_of(provider, life=1), how="nothing")
    with pytest.raises(CredentialError, match="nobody has signed in as") as raised:
        asyncio.run(asyncio.wait_for(person.run(), 60))
    assert "browserid login" in raised.value.remedy


def test_who_cancels_listens_no_more(provider: GrantingProvider) -> None:
    async def run() -> None:
        person = Person(provider, flow_of(provider), how="nothing")
        task = asyncio.create_task(person.run())
        while person.prompt is None:
            await asyncio.sleep(0.01)
        query = parse_qs(urlsplit(person.prompt.link).query)
        port = urlsplit(query["redirect_uri"][0]).port
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("name", ["x" * 100, "caf\u00e9", ""])
def test_the_machines_name_is_one_to_show(name: str) -> None:
    shown = machine_name(name)
    assert 0 < len(shown) <= 64
    assert shown.isprintable()
