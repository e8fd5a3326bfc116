"""Who is signed in on the pages, as it is kept: tokens, lives, ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.idp.sessions import SessionPolicy, Sessions
from tests.support.grants import ALICE, BOB, CLIENT, NOW, provider_in

MINUTE = 60_000
POLICY = SessionPolicy(life=60 * MINUTE, idle=10 * MINUTE)


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path / "provider")


@pytest.fixture
def sessions(provider: Provider) -> Sessions:
    sessions = provider.sessions
    sessions.policy = POLICY
    return sessions


def begin(sessions: Sessions, email: str = ALICE, now: int = NOW, *, half_way: bool = False) -> str:
    token, _ = sessions.begin(email, "password", CLIENT, "Tester", now, half_way=half_way)
    return token


class TestASession:
    def test_is_found_by_its_token(self, sessions: Sessions) -> None:
        found = sessions.find(begin(sessions), NOW)
        assert found is not None
        assert (found.email, found.method, found.client) == (ALICE, "password", CLIENT)

    @pytest.mark.parametrize("token", ["", "x", "\udcff", "a" * 10_000])
    def test_is_not_found_by_another(self, sessions: Sessions, token: str) -> None:
        begin(sessions)
        assert sessions.find(token, NOW) is None

    def test_has_a_token_that_the_database_has_not(
        self, sessions: Sessions, tmp_path: Path
    ) -> None:
        token = begin(sessions)
        with closing(sqlite3.connect(tmp_path / "provider" / "provider.sqlite")) as database:
            rows = list(database.execute("SELECT * FROM page_sessions"))
        assert len(rows) == 1
        assert token not in str(rows)

    def test_ends_when_nobody_uses_it(self, sessions: Sessions) -> None:
        token = begin(sessions)
        assert sessions.find(token, NOW + 9 * MINUTE)
        assert sessions.find(token, NOW + 18 * MINUTE)
        assert sessions.find(token, NOW + 28 * MINUTE) is None

    def test_ends_at_a_certain_age_however_it_is_used(self, sessions: Sessions) -> None:
        token = begin(sessions)
        for minute in range(0, 60, 5):
            assert sessions.find(token, NOW + minute * MINUTE)
        assert sessions.find(token, NOW + 60 * MINUTE) is None

    def test_is_ended(self, sessions: Sessions) -> None:
        token = begin(sessions)
        sessions.end(token)
        assert sessions.find(token, NOW) is None

    def test_ends_with_its_account(self, sessions: Sessions, provider: Provider) -> None:
        token = begin(sessions)
        provider.accounts.remove(ALICE)
        provider.accounts.add(ALICE, "x", NOW + 1)
        assert sessions.find(token, NOW + 1) is None

    def test_is_its_account_s_after_the_clock_was_set_back(
        self, sessions: Sessions, provider: Provider
    ) -> None:
        provider.accounts.remove(ALICE)
        provider.accounts.add(ALICE, "x", NOW + 90 * MINUTE)
        token = begin(sessions)
        assert sessions.find(token, NOW + MINUTE)
        assert sessions.find(token, NOW + 12 * MINUTE) is None

    def test_ends_when_the_clock_is_set_back_by_much(self, sessions: Sessions) -> None:
        token = begin(sessions, now=NOW + 600 * MINUTE)
        assert sessions.find(token, NOW + 596 * MINUTE)
        assert sessions.find(token, NOW) is None

    def test_is_one_of_fifty_of_its_account(self, sessions: Sessions) -> None:
        tokens = [begin(sessions) for _ in range(51)]
        theirs = begin(sessions, BOB)
        assert sessions.find(tokens[0], NOW) is None
        assert all(sessions.find(token, NOW) for token in (tokens[1], tokens[50], theirs))

    def test_does_not_show_its_token(self, sessions: Sessions) -> None:
        token = begin(sessions)
        assert token not in repr(sessions.all(ALICE, NOW))


class TestAllOfAnAccount:
    def test_are_listed(self, sessions: Sessions) -> None:
        begin(sessions)
        begin(sessions, now=NOW + MINUTE)
        begin(sessions, BOB)
        begin(sessions, half_way=True)
        assert [each.used for each in sessions.all(ALICE, NOW + MINUTE)] == [NOW + MINUTE, NOW]
        assert sessions.all(ALICE, NOW + 30 * MINUTE) == []

    def test_are_ended_but_for_one(self, sessions: Sessions) -> None:
        tokens = [begin(sessions) for _ in range(3)]
        theirs = begin(sessions, BOB)
        kept = sessions.find(tokens[1], NOW)
        assert kept is not None
        sessions.end_all(ALICE, except_id=kept.id)
        assert [bool(sessions.find(token, NOW)) for token in tokens] == [False, True, False]
        sessions.end_all(ALICE)
        assert sessions.all(ALICE, NOW) == []
        assert sessions.find(theirs, NOW)


class TestHalfWay:
    def test_is_good_for_the_second_step_only(self, sessions: Sessions) -> None:
        token = begin(sessions, half_way=True)
        assert sessions.find(token, NOW) is None
        assert sessions.find_half_way(token, NOW)

    def test_a_whole_session_is_none(self, sessions: Sessions) -> None:
        assert sessions.find_half_way(begin(sessions), NOW) is None

    def test_waits_ten_minutes(self, sessions: Sessions) -> None:
        token = begin(sessions, half_way=True)
        assert sessions.find_half_way(token, NOW + 10 * MINUTE - 1)
        assert sessions.find_half_way(token, NOW + 10 * MINUTE) is None


class TestTheServersSecret:
    def test_is_the_same_after_a_restart(self, tmp_path: Path) -> None:
        first = provider_in(tmp_path / "provider").secret.key("x")
        assert provider_in(tmp_path / "provider").secret.key("x") == first

    def test_is_another_for_another_purpose_and_another_provider(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        other = provider_in(tmp_path / "other")
        keys = {provider.secret.key("x"), provider.secret.key("y"), other.secret.key("x")}
        assert len(keys) == 3
        assert {len(key) for key in keys} == {32}

    def test_is_not_shown(self, provider: Provider) -> None:
        secret: ServerSecret = provider.secret
        secret.key("x")
        assert secret._secret.hex() not in repr(secret)
        assert repr(secret._secret) not in repr(secret)
