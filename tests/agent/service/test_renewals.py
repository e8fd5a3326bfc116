"""Renewals ahead of expiry: when, how often, and whose."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.agent.flows import renewal
from browserid_sasl.agent.service import people
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.agent.service.renewals import Renewals
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.keys import PrivateKey
from tests.support.pretended import HOUR, NOW, PROVIDER_KEY
from tests.support.provider import ALICE, DOMAIN

BOB = f"bob@{DOMAIN}"
KEY = PrivateKey.generate("ES256")
MINUTE = 60_000


class World:
    """A person's store, and a provider that is counted and not asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        self.offline = False
        self.asked: list[tuple[str, int]] = []
        file = folder / "browserid.toml"
        file.write_text(f'[store]\ndirectory = "{folder}/client"\n')
        self.clients = Clients(file)
        monkeypatch.setattr(renewal, "renewed", self.renew)
        monkeypatch.setattr(people, "system_clock", lambda: self.now)
        self.renewals = Renewals(self.clients, lambda: self.now)

    def sign_in(self, identity: str = ALICE, *, renewal: bool = True) -> None:
        self.clients.stores.identities.put(
            IdentityRecord(
                identity,
                KEY.to_pem(),
                self.issue(identity),
                self.now + HOUR,
                "secret" if renewal else "",
                self.now + 720 * HOUR if renewal else 0,
            )
        )

    def issue(self, identity: str) -> str:
        return certificate.issue(
            issuer=DOMAIN,
            email=identity,
            public_key=KEY.public_key,
            issued_at=self.now,
            expires=self.now + HOUR,
            signing_key=PROVIDER_KEY,
        )

    def renew(self, record: IdentityRecord, store: Any, *_: object) -> IdentityRecord:
        self.asked.append((record.identity, (self.now - NOW) // MINUTE))
        if self.offline:
            raise DiscoveryError(Code.HTTP_ERROR, "no connection")
        expires = self.now + HOUR
        certified = self.issue(record.identity)
        renewed = replace(record, certificate=certified, expires=expires)
        store.put(renewed)
        return renewed

    def live(self, minutes: int, then: Callable[[], Awaitable[object]] | None = None) -> None:
        """Let time pass, looked at every minute."""

        async def run() -> None:
            for _ in range(minutes):
                self.now += MINUTE
                await self.renewals.look()
            if then is not None:
                await then()

        asyncio.run(run())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_each_is_renewed_before_it_expires_and_not_before_it_must(world: World) -> None:
    world.sign_in()
    world.live(24 * 60)
    minutes = [0, *(minute for _, minute in world.asked)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(minutes)]
    assert all(42 <= gap <= 52 for gap in gaps), gaps
    assert len(gaps) > 24


def test_machines_that_signed_in_together_do_not_come_back_together(world: World) -> None:
    assert len({Renewals(world.clients, lambda: NOW)._early for _ in range(10)}) == 10


def test_who_cannot_be_renewed_is_left_alone(world: World) -> None:
    world.sign_in(BOB, renewal=False)
    world.live(120)
    assert world.asked == []


def test_twelve_hours_offline_are_a_few_attempts_and_then_it_is_renewed(world: World) -> None:
    world.sign_in()
    world.offline = True
    world.live(12 * 60)
    assert 30 < len(world.asked) < 70  # every quarter of an hour in the end
    world.offline = False
    # A program that needs it does not wait for the next attempt.
    world.live(0, lambda: world.renewals.renew(ALICE))
    record = world.clients.stores.identities.get(ALICE)
    assert record is not None and record.expires == world.now + HOUR
    assert record.renewal == "secret"


def test_a_machine_that_slept_renews_when_it_wakes(world: World) -> None:
    world.sign_in()
    world.now += 9 * HOUR
    world.live(1)
    assert [identity for identity, _ in world.asked] == [ALICE]


def test_a_clock_that_was_set_back_does_not_put_off_what_failed(world: World) -> None:
    world.sign_in()
    world.offline = True
    world.live(55)
    count = len(world.asked)
    assert count
    world.now -= 30 * 24 * HOUR
    world.offline = False
    world.sign_in()
    world.live(55)
    assert len(world.asked) > count


def test_many_who_need_one_renewal_cause_one(world: World) -> None:
    world.sign_in()
    world.now += 2 * HOUR

    async def at_once() -> None:
        done = await asyncio.gather(*(world.renewals.renew(ALICE) for _ in range(20)))
        assert done == [True] * 20

    asyncio.run(at_once())
    assert len(world.asked) == 1


def test_one_that_is_good_is_not_renewed_for_a_program(world: World) -> None:
    world.sign_in()

    async def ask() -> None:
        assert await world.renewals.renew(ALICE)
        assert not await world.renewals.renew(BOB)

    asyncio.run(ask())
    assert world.asked == []


def test_a_certificate_that_cannot_be_read_keeps_no_other_from_being_renewed(world: World) -> None:
    world.sign_in("aaron@example.test")
    world.sign_in()
    identities = world.clients.stores.identities
    broken = identities.get("aaron@example.test")
    assert broken is not None
    identities.put(replace(broken, certificate="not one"))
    world.live(60)
    assert {identity for identity, _ in world.asked} == {ALICE}
