"""Limits on guessing: how often an account or a client may fail, and how long it waits then."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.idp.database import Database
from browserid_sasl.idp.limits import Attempt, Policy, SignInLimits
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

BOB = f"bob@{DOMAIN}"
HOME = "198.51.100.7"
AWAY = "203.0.113.9"
POLICY = Policy(free=3, window=60_000)


@pytest.fixture
def limits(database: Database) -> SignInLimits:
    return SignInLimits(database, POLICY)


def fail(limits: SignInLimits, email: str, client: str, now: int, times: int = 1) -> None:
    for _ in range(times):
        assert not limits.begin(email, client, now).blocked


class TestPolicy:
    @pytest.mark.parametrize(
        ("failures", "wait"),
        [(0, 0), (2, 0), (3, 1_000), (4, 2_000), (5, 4_000), (8, 32_000), (9, 60_000)],
    )
    def test_the_wait_doubles_up_to_the_window(self, failures: int, wait: int) -> None:
        assert POLICY.wait(failures) == wait

    def test_a_million_failures_are_no_problem(self) -> None:
        assert POLICY.wait(1_000_000) == 60_000


class TestLimits:
    def test_the_first_failures_cost_nothing(self, limits: SignInLimits) -> None:
        assert limits.begin(ALICE, HOME, 0) == Attempt(blocked=0, penalty=0)
        assert limits.begin(ALICE, HOME, 0) == Attempt(blocked=0, penalty=0)
        assert limits.begin(ALICE, HOME, 0) == Attempt(blocked=0, penalty=1_000)

    def test_then_there_is_a_wait(self, limits: SignInLimits) -> None:
        fail(limits, ALICE, HOME, 0, times=3)
        assert limits.begin(ALICE, HOME, 0).blocked == 1_000
        assert limits.begin(ALICE, HOME, 999).blocked == 1
        assert limits.begin(ALICE, HOME, 1_000) == Attempt(blocked=0, penalty=2_000)
        assert limits.begin(ALICE, HOME, 1_000).blocked == 2_000

    def test_being_refused_does_not_lengthen_it(self, limits: SignInLimits) -> None:
        fail(limits, ALICE, HOME, 0, times=3)
        for _ in range(10):
            assert limits.begin(ALICE, HOME, 500).blocked == 500

    def test_an_account_is_limited_wherever_the_guesses_come_from(
        self, limits: SignInLimits
    ) -> None:
        for client in ("198.51.100.1", "198.51.100.2", "198.51.100.3"):
            fail(limits, ALICE, client, 0)
        assert limits.begin(ALICE, "198.51.100.4", 0).blocked
        assert not limits.begin(BOB, "198.51.100.4", 0).blocked

    def test_a_client_is_limited_whatever_account_it_guesses_at(self, limits: SignInLimits) -> None:
        for email in ("a@example.test", "b@example.test", "c@example.test"):
            fail(limits, email, HOME, 0)
        assert limits.begin(ALICE, HOME, 0).blocked
        assert not limits.begin(ALICE, AWAY, 0).blocked

    def test_failures_are_forgotten_after_the_window(self, limits: SignInLimits) -> None:
        fail(limits, ALICE, HOME, 0, times=3)
        fail(limits, ALICE, HOME, 60_000, times=3)

    def test_the_window_slides(self, limits: SignInLimits) -> None:
        fail(limits, ALICE, HOME, 0, times=1)
        fail(limits, ALICE, HOME, 59_000, times=2)
        assert limits.begin(ALICE, HOME, 59_000).blocked == 1_000
        fail(limits, ALICE, HOME, 60_000)

    def test_a_success_forgets_the_accounts_failures(self, limits: SignInLimits) -> None:
        fail(limits, ALICE, HOME, 0, times=3)
        limits.succeeded(ALICE)
        fail(limits, ALICE, HOME, 0, times=3)

    def test_a_success_is_no_help_for_guessing_at_others(self, limits: SignInLimits) -> None:
        fail(limits, BOB, HOME, 0, times=2)
        fail(limits, ALICE, HOME, 0)
        limits.succeeded(ALICE)
        fail(limits, BOB, HOME, 0)
        assert limits.begin("carol@example.test", HOME, 0).blocked

    def test_a_clock_that_was_set_back_does_not_lock_anybody_out(
        self, limits: SignInLimits
    ) -> None:
        fail(limits, ALICE, HOME, 10_000_000, times=3)
        assert limits.begin(ALICE, HOME, 0).blocked == 1_000

    def test_they_outlive_the_process(self, limits: SignInLimits, tmp_path: Path) -> None:
        fail(limits, ALICE, HOME, 0, times=3)
        again = SignInLimits(Database(tmp_path / "provider.sqlite"), POLICY)
        assert again.begin(ALICE, HOME, 0).blocked


class TestOverHttp:
    @pytest.fixture
    def running(self, tmp_path: Path) -> Iterator[RunningProvider]:
        with running_provider(tmp_path / "provider", policy=POLICY) as provider:
            yield provider

    def guess(self, running: RunningProvider, password: str, email: str = ALICE) -> int:
        key = running.provider.keys.published(running.clock.now)[0].to_json()
        request = {"email": email, "password": password, "public-key": key}
        response = running.post("/certify", json=request)
        if response.status_code == 429:
            assert response.json()["error"] == "too-many-attempts"
            assert f"in {response.headers['Retry-After']} s" in response.json()["message"]
        else:
            assert "Retry-After" not in response.headers
        return response.status_code

    def test_wrong_passwords_end_in_a_wait_for_the_right_one_too(
        self, running: RunningProvider
    ) -> None:
        assert [self.guess(running, "wrong") for _ in range(5)] == [401, 401, 401, 429, 429]
        assert self.guess(running, PASSWORD) == 429
        running.clock.now += 1_000
        assert self.guess(running, PASSWORD) == 200
        assert self.guess(running, "wrong") == 401

    def test_an_address_without_account_is_limited_like_one_with(
        self, running: RunningProvider
    ) -> None:
        nobody = f"nobody@{DOMAIN}"
        answers = [self.guess(running, "wrong", nobody) for _ in range(5)]
        assert answers == [401, 401, 401, 429, 429]

    def test_a_restart_does_not_help(self, running: RunningProvider) -> None:
        for _ in range(3):
            self.guess(running, "wrong")
        with running_provider(running.folder.path, policy=POLICY, clock=running.clock) as restarted:
            assert self.guess(restarted, PASSWORD) == 429

    def test_guesses_made_at_once_count_each(self, running: RunningProvider) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.guess(running, "wrong"), range(16)))
        assert answers.count(401) == 3
        assert answers.count(429) == 13

    def test_malformed_requests_cost_nobody_anything(self, running: RunningProvider) -> None:
        for _ in range(6):
            assert running.post("/certify", json={"email": ALICE}).status_code == 400
        assert self.guess(running, PASSWORD) == 200
