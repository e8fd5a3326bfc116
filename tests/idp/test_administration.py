"""What an administrator does: all of it or nothing, and with their name in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.idp.administration import Actor, Administration
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.signing_keys import Algorithm
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.web.refusal import RefusedError
from tests.support.authenticator import Authenticator
from tests.support.grants import (
    ALICE,
    BOB,
    CLIENT,
    DOMAIN,
    NOW,
    Program,
    events,
    provider_in,
    wish_of,
)
from tests.support.patience import PATIENCE
from tests.support.provider import CHEAP_HASHER

CAROL = f"carol@{DOMAIN}"
NOBODY = f"nobody@{DOMAIN}"
HOME = "198.51.100.9"


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    """Alice and Carol administrate; Bob has a password, a passkey, a session and a machine."""
    provider = provider_in(tmp_path)
    provider.accounts._hasher = CHEAP_HASHER
    provider.accounts.add_without_password(CAROL, NOW)
    for email in (ALICE, CAROL):
        provider.administrators.add(email, "uid 0", NOW)
    provider.accounts.set_password(BOB, "secret", NOW)
    answer = Authenticator().create(provider.passkeys.registration_options(BOB, NOW))
    provider.passkeys.register(BOB, answer, "", CLIENT, NOW)
    provider.sessions.begin(BOB, "password", CLIENT, "", NOW)
    sign_machine_in(provider, BOB)
    return provider


def sign_machine_in(provider: Provider, email: str) -> None:
    granted = Granted(wish_of(Program().key, email), renewal=True)
    provider.renewals.issue(granted, NOW + 1, NOW, lambda: None)


@pytest.fixture
def alice(provider: Provider) -> Administration:
    """On the pages."""
    return Administration(provider, Actor(ALICE, HOME))


@pytest.fixture
def operator(provider: Provider) -> Administration:
    """At the provider's machine."""
    return Administration(provider, Actor("uid 0"))


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as caught:
        do()
    return caught.value.word


def has_nothing(provider: Provider, email: str) -> bool:
    machines, sessions = provider.renewals.all(email, NOW), provider.sessions.all(email, NOW)
    return not (machines or sessions or provider.means.has_any(email))


def test_all_of_it_says_who_has_done_it(
    provider: Provider, alice: Administration, tmp_path: Path
) -> None:
    before = len(events(tmp_path))
    machine = provider.renewals.all(BOB, NOW)[0].id
    alice.invite(f"new@{DOMAIN}", NOW)
    alice.withdraw(f"new@{DOMAIN}", NOW)
    alice.end_sessions(BOB, NOW)
    alice.revoke(machine, BOB, NOW)
    alice.revoke_all(BOB, NOW)
    alice.reset(BOB, NOW)
    alice.remove(BOB, NOW)
    alice.rotate_key(NOW, 1_000)
    told = events(tmp_path)[before:]
    assert {(each["by"], each["client"]) for each in told} == {(ALICE, HOME)}
    assert [each["event"] for each in told] == [
        *("account-added", "invited", "invitation-withdrawn"),
        *("sessions-ended", "revoked", "sessions-ended"),
        *("passkey-removed", "password-removed", "invited", "account-removed", "key-created"),
    ]


def test_a_reset_leaves_a_link_and_nothing_else(provider: Provider, alice: Administration) -> None:
    link = alice.reset(BOB, NOW)
    assert has_nothing(provider, BOB)
    token = link.partition("token=")[2]
    assert provider.invitations.find(token, NOW) == BOB


def test_an_account_that_is_removed_takes_all_with_it(
    provider: Provider, alice: Administration
) -> None:
    alice.remove(BOB, NOW)
    assert not provider.accounts.exists(BOB)
    assert has_nothing(provider, BOB)


def test_the_session_in_which_it_is_asked_for_stays(
    provider: Provider, alice: Administration
) -> None:
    _, own = provider.sessions.begin(ALICE, "passkey", HOME, "", NOW)
    provider.sessions.begin(ALICE, "password", CLIENT, "", NOW)
    alice.end_sessions(ALICE, NOW, keep=own.id)
    assert [each.id for each in provider.sessions.all(ALICE, NOW)] == [own.id]


def test_a_machine_is_one_of_the_account_s(provider: Provider, alice: Administration) -> None:
    sign_machine_in(provider, CAROL)
    [machine] = provider.renewals.all(CAROL, NOW)
    assert refused(lambda: alice.revoke(machine.id, BOB, NOW)) == "no-machine"
    assert provider.renewals.all(CAROL, NOW) == [machine]


def test_nobody_is_nobody(alice: Administration) -> None:
    for do in (alice.reset, alice.remove, alice.end_sessions):
        assert refused(lambda do=do: do(NOBODY, NOW)) == "no-person"  # type: ignore[misc]
    assert refused(lambda: alice.withdraw(NOBODY, NOW)) == "no-invitation"


@pytest.mark.parametrize("email", [ALICE, CAROL])
def test_what_an_administrator_has_is_not_given_to_another_on_the_pages(
    provider: Provider, alice: Administration, email: str, tmp_path: Path
) -> None:
    """Nor to themself: so the last one stays, and who was taken over locks nobody out."""
    provider.accounts.set_password(email, "secret", NOW)
    before = events(tmp_path)
    for do in (alice.invite, alice.reset, alice.remove):
        assert refused(lambda do=do: do(email, NOW)) == "administrator-account"  # type: ignore[misc]
    assert provider.accounts.verify(email, "secret", NOW)
    assert events(tmp_path) == before


def test_at_the_machine_it_is(provider: Provider, operator: Administration, tmp_path: Path) -> None:
    operator.invite(ALICE, NOW)
    operator.remove(CAROL, NOW)
    assert [each.email for each in provider.administrators.all()] == [ALICE]
    assert {each["by"] for each in events(tmp_path)[-2:]} == {"uid 0"}


def test_who_comes_from_an_unknown_address_is_not_at_the_machine(provider: Provider) -> None:
    unknown = Administration(provider, Actor(ALICE, ""))
    assert refused(lambda: unknown.reset(CAROL, NOW)) == "administrator-account"
    provider.administrators.remove(ALICE, "uid 0", NOW)
    assert refused(lambda: unknown.revoke_all(BOB, NOW)) == "not-found"


def test_who_is_no_administrator_any_more_does_nothing(
    provider: Provider, alice: Administration, tmp_path: Path
) -> None:
    provider.administrators.remove(ALICE, "uid 0", NOW)
    before, keys = events(tmp_path), provider.keys.all()
    machine = provider.renewals.all(BOB, NOW)[0].id
    for do in (
        lambda: alice.invite(BOB, NOW),
        lambda: alice.withdraw(BOB, NOW),
        lambda: alice.reset(BOB, NOW),
        lambda: alice.remove(BOB, NOW),
        lambda: alice.end_sessions(BOB, NOW),
        lambda: alice.revoke(machine, BOB, NOW),
        lambda: alice.revoke_all(BOB, NOW),
        lambda: alice.rotate_key(NOW, 0),
    ):
        assert refused(do) == "not-found"
    assert events(tmp_path) == before
    assert provider.keys.all() == keys


def test_a_key_that_cannot_be_written_down_is_not_published(
    provider: Provider, alice: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.rotate_key(NOW, 0)
    before = provider.keys.listed(NOW + 1)

    def fail(*_: object, **__: object) -> None:
        raise StoreError(Code.CACHE_ERROR, "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(provider.audit, "write", fail)
        with pytest.raises(StoreError):
            alice.rotate_key(NOW + 1, 0)
    assert provider.keys.listed(NOW + 1) == before
    assert alice.rotate_key(NOW + 2, 0) == provider.keys.active(NOW + 2).name


def test_a_key_is_made_before_others_have_to_wait(
    provider: Provider, alice: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = PrivateKey.generate

    def generate_meanwhile(algorithm: Algorithm) -> PrivateKey:
        # Another process writes: it would wait until it gives up.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(provider.accounts.add_without_password, NOBODY, NOW).result(PATIENCE)
        return generate(algorithm)

    monkeypatch.setattr(PrivateKey, "generate", generate_meanwhile)
    alice.rotate_key(NOW, 0)
    assert provider.accounts.exists(NOBODY)


def test_no_more_keys_are_made_than_can_be_published(alice: Administration) -> None:
    for number in range(1, 20):
        try:
            alice.rotate_key(NOW + number, 0)
        except RefusedError as error:
            assert error.word == "too-many-signing-keys"
            return
    raise AssertionError
