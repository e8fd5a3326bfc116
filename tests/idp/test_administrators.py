"""Who may administrate: who somebody has said may, as long as they have an account."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.idp.administrators import IDLE_MS
from browserid_sasl.idp.backup import KEPT
from browserid_sasl.idp.folder import Provider
from tests.support.grants import ALICE, BOB, CLIENT, NOW, events, provider_in

BY = "uid 0"


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


def told(path: Path, event: str) -> list[dict[str, object]]:
    return [each for each in events(path) if each["event"] == event]


def test_there_is_none_until_somebody_says(provider: Provider) -> None:
    assert provider.administrators.all() == []
    assert not provider.administrators.has(ALICE)


def test_one_is_added_once_and_removed(provider: Provider, tmp_path: Path) -> None:
    administrators = provider.administrators
    assert administrators.add(ALICE, BY, NOW)
    assert not administrators.add(ALICE, BY, NOW + 1)
    assert [(each.email, each.since, each.by) for each in administrators.all()] == [
        (ALICE, NOW, BY)
    ]
    assert administrators.has(ALICE)
    assert administrators.remove(ALICE, BY, NOW)
    assert not administrators.remove(ALICE, BY, NOW)
    assert not administrators.has(ALICE)
    for event in ("administrator-added", "administrator-removed"):
        assert [(each["email"], each["by"]) for each in told(tmp_path, event)] == [(ALICE, BY)]


def test_one_has_an_account(provider: Provider) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        provider.administrators.add("nobody@example.test", BY, NOW)
    assert caught.value.code is Code.INVALID_PARAMETER
    assert provider.administrators.all() == []


def test_the_right_goes_with_the_account(provider: Provider) -> None:
    provider.administrators.add(ALICE, BY, NOW)
    provider.accounts.remove(ALICE)
    provider.accounts.add_without_password(ALICE, NOW)
    assert not provider.administrators.has(ALICE)


def test_a_link_from_before_is_void(provider: Provider, tmp_path: Path) -> None:
    """Who has made it, or has it, would be the administrator."""
    link = provider.invitations.make(ALICE, BOB, NOW)
    others = provider.invitations.make(BOB, BY, NOW)
    provider.administrators.add(ALICE, BY, NOW)
    assert provider.invitations.find(link, NOW) is None
    assert provider.invitations.find(others, NOW) == BOB
    assert [each["email"] for each in told(tmp_path, "invitation-withdrawn")] == [ALICE]


def test_a_session_that_is_left_administrates_no_more(provider: Provider) -> None:
    token, session = provider.sessions.begin(ALICE, "passkey", CLIENT, "", NOW)
    may_go_on = provider.administrators.may_go_on
    assert may_go_on(session, NOW + IDLE_MS - 1)
    # Used until then: from there on it is as long again.
    assert may_go_on(session, NOW + 2 * IDLE_MS - 2)
    assert not may_go_on(session, NOW + 3 * IDLE_MS)
    # Whatever else it is used for, and however often it is tried.
    assert provider.sessions.find(token, NOW + 3 * IDLE_MS)
    assert not may_go_on(session, NOW + 3 * IDLE_MS)


def test_what_is_noted_of_a_session_ends_with_it(provider: Provider) -> None:
    _, session = provider.sessions.begin(ALICE, "passkey", CLIENT, "", NOW)
    assert provider.administrators.may_go_on(session, NOW)
    provider.sessions.end_all(ALICE)
    assert provider.administrators.may_go_on(session, NOW)
    _, another = provider.sessions.begin(ALICE, "passkey", CLIENT, "", NOW - IDLE_MS)
    assert not provider.administrators.may_go_on(another, another.created + IDLE_MS)


def test_administrators_are_in_a_backup() -> None:
    assert "administrators" in {table.name for table in KEPT}
