"""The flows with the project's own identity provider, over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from browserid_sasl.agent.application import Application
from browserid_sasl.agent.flows import renewal
from browserid_sasl.agent.flows.browser import BrowserFlow
from browserid_sasl.agent.flows.choice import Way, ways_of
from browserid_sasl.agent.flows.device import DeviceFlow
from browserid_sasl.agent.flows.prompt import Flow, Pace, Prompt
from browserid_sasl.agent.flows.renewal import RenewalOverError, renewed
from browserid_sasl.errors import CredentialError, LocalProtocolError
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.idp.wishes import Wish
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey, parse_public_key
from browserid_sasl.store.memory import MemoryIdentityStore
from tests.support.provider import ALICE, RunningProvider, running_provider

CLIENT = "127.0.0.1"
DAY = 86_400_000


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider") as running:
        yield running


def application(running: RunningProvider) -> Application:
    return Application.make(ALICE, running.fetcher(), running.clock, "ES256", "attic")


def run(flow: Flow, running: RunningProvider, shown: list[Prompt]) -> IdentityRecord:
    async def whole() -> IdentityRecord:
        record = await asyncio.wait_for(flow.run(shown.append), 120)
        return record

    return asyncio.run(whole())


def by_device(running: RunningProvider, decision: str = "approve") -> IdentityRecord:
    shown: list[Prompt] = []

    async def sleep(seconds: float) -> None:
        running.clock.now += int(seconds * 1000)
        if len(waits) == 1:
            devices, now = running.provider.devices, running.clock.now
            pending = devices.find(shown[0].code.lower(), ALICE, CLIENT, now)
            assert pending is not None
            assert pending.wish.machine == "attic"
            if decision == "approve":
                devices.approve(pending, True, now)
            elif decision == "deny":
                devices.deny(pending, now)
        waits.append(seconds)

    waits: list[float] = []
    flow = DeviceFlow(application(running), Pace(lambda: running.clock.now / 1000, sleep))
    return run(flow, running, shown)


class Browser:
    """Consents on a page that is not looked at, and goes where it leads."""

    def __init__(self, running: RunningProvider) -> None:
        self.running = running
        self.status = 0
        self.tasks: list[asyncio.Task[None]] = []

    def show(self, prompt: Prompt) -> None:
        self.tasks.append(asyncio.create_task(asyncio.to_thread(self._visit, prompt.link)))

    def _visit(self, link: str) -> None:
        self.status = requests.get(link, verify=str(self.running.ca_file), timeout=60).status_code
        query = {name: value for name, [value] in parse_qs(urlsplit(link).query).items()}
        key = parse_public_key(json.loads(b64.decode(query["public-key"], "the key")))
        wish = Wish(query["email"], key, query["machine"], CLIENT)
        code = self.running.provider.codes.grant(
            wish, query["code_challenge"], True, self.running.clock.now
        )
        sent = urlencode({"code": code, "state": query["state"]})
        assert requests.get(f"{query['redirect_uri']}?{sent}", timeout=60).status_code == 200


def by_browser(running: RunningProvider) -> tuple[IdentityRecord, Browser]:
    browser = Browser(running)

    async def whole() -> IdentityRecord:
        record = await BrowserFlow(application(running), 0, 120).run(browser.show)
        await asyncio.gather(*browser.tasks)
        return record

    return asyncio.run(whole()), browser


def test_it_has_every_way(running: RunningProvider) -> None:
    ways: tuple[Way, ...] = ("browser", "device", "password")
    assert ways_of(application(running).provider.document) == ways


def test_in_a_browser(running: RunningProvider) -> None:
    record, browser = by_browser(running)
    assert browser.status == 200  # the page takes what the link says
    assert record.identity == ALICE
    assert record.renewal_expires == running.clock.now + 30 * DAY


def test_on_a_device(running: RunningProvider) -> None:
    record = by_device(running)
    assert record.identity == ALICE
    assert record.renewal


@pytest.mark.parametrize(
    ("decision", "message"), [("deny", "refused on the other device"), ("wait", "expired")]
)
def test_on_a_device_that_does_not_want_it(
    running: RunningProvider, decision: str, message: str
) -> None:
    with pytest.raises(CredentialError, match=message):
        by_device(running, decision)


def test_renewed_until_it_is_ended(running: RunningProvider) -> None:
    store = MemoryIdentityStore()
    record = by_device(running)
    store.put(record)
    for _ in range(3):
        running.clock.now += 20 * DAY
        record = renewed(record, store, running.fetcher(), running.clock)
        assert record.expires > running.clock.now
    renewal.end(record, running.fetcher(), running.clock)
    renewal.end(record, running.fetcher(), running.clock)
    with pytest.raises(RenewalOverError):
        renewed(record, store, running.fetcher(), running.clock)
    kept = store.get(ALICE)
    assert kept is not None and kept.renewal == ""


def test_not_renewed_after_its_life_or_with_another_key(running: RunningProvider) -> None:
    store = MemoryIdentityStore()
    record = by_device(running)
    store.put(record)
    thief = replace(record, private_key_pem=PrivateKey.generate("ES256").to_pem())
    with pytest.raises(CredentialError):
        renewed(thief, MemoryIdentityStore(), running.fetcher(), running.clock)
    running.clock.now += 31 * DAY
    with pytest.raises(RenewalOverError):
        renewed(record, store, running.fetcher(), running.clock)


def test_renewed_by_a_provider_that_people_reach_elsewhere(tmp_path: Path) -> None:
    with running_provider(
        tmp_path / "provider", public_url="https://login.example.test:8443"
    ) as running:
        store = MemoryIdentityStore()
        record = by_device(running)
        store.put(record)
        running.clock.now += DAY
        assert renewed(record, store, running.fetcher(), running.clock).expires


def test_nothing_is_pasted_before_it_has_begun(running: RunningProvider) -> None:
    with pytest.raises(LocalProtocolError):
        BrowserFlow(application(running), 0, 60).paste("http://127.0.0.1/")
