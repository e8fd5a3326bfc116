"""What people sign in with, as it changes: whole, recorded, never down to nothing by accident."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.web.refusal import RefusedError
from tests.support.authenticator import PRESENT, Authenticator
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN, PASSWORD

CLIENT = "192.0.2.1"
NOW = 1_800_000_000_000


@dataclass
class Home:
    """A provider, and Alice in two browsers.

    :param here: the session in the one in which she changes things.
    """

    folder: ProviderFolder
    provider: Provider
    here: int = 0

    def add_passkey(self, device: Authenticator | None = None) -> int:
        options = self.provider.passkeys.registration_options(ALICE, NOW)
        answer = (device or Authenticator()).create(options)
        self.provider.means.add_passkey(ALICE, answer, "", CLIENT, NOW, keep=self.here)
        return self.provider.passkeys.all(ALICE)[-1].id

    def add_second_factor(self) -> list[str]:
        secret = self.provider.second_factors.begin(ALICE, NOW)
        code = TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(NOW // 1000).decode()
        codes = self.provider.means.confirm_second_factor(ALICE, code, CLIENT, NOW, keep=self.here)
        assert codes
        return codes

    def set_password(self, password: str = PASSWORD) -> None:
        self.provider.means.set_password(ALICE, password, CLIENT, NOW, keep=self.here)

    def certify(self) -> None:
        """A program of Alice's gets a certificate, which it may renew."""
        key = PrivateKey.generate("ES256").public_key
        granted = Granted(Wish(ALICE, key, "laptop", CLIENT), renewal=True)
        self.provider.renewals.issue(granted, NOW + 3_600_000, NOW, lambda: None)

    def sign_in_twice(self) -> None:
        sessions = self.provider.sessions
        sessions.begin(ALICE, "password", CLIENT, "", NOW)
        self.here = sessions.begin(ALICE, "password", CLIENT, "", NOW)[1].id

    def sessions(self) -> list[int]:
        return [session.id for session in self.provider.sessions.all(ALICE, NOW)]

    def events(self) -> list[dict[str, Any]]:
        lines = (self.folder.path / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = ProviderFolder(tmp_path / "provider")
    folder.create(DOMAIN, "ES256", NOW, local_tls=False)
    provider = folder.open()
    provider.accounts._hasher = CHEAP_HASHER
    provider.accounts.add_without_password(ALICE, NOW)
    return Home(folder, provider)


def test_each_change_ends_the_other_sessions(home: Home) -> None:
    means = home.provider.means

    def remove_passkey() -> None:
        means.remove_passkey(ALICE, home.add_passkey(), CLIENT, NOW, keep=home.here)

    for change in (
        home.set_password,
        home.add_passkey,
        home.add_second_factor,
        lambda: means.renew_recovery_codes(ALICE, CLIENT, NOW, keep=home.here),
        lambda: means.remove_second_factor(ALICE, CLIENT, NOW, keep=home.here),
        remove_passkey,
        lambda: means.remove_password(ALICE, CLIENT, NOW, keep=home.here),
    ):
        home.sign_in_twice()
        assert len(home.sessions()) > 1
        change()
        assert home.sessions() == [home.here]


def test_the_last_means_stays(home: Home) -> None:
    means = home.provider.means
    number = home.add_passkey()
    with pytest.raises(RefusedError) as caught:
        means.remove_passkey(ALICE, number, CLIENT, NOW, keep=0)
    assert (caught.value.status, caught.value.word) == (409, "last-means")
    assert home.provider.passkeys.usable(ALICE) == 1
    home.set_password()
    means.remove_passkey(ALICE, number, CLIENT, NOW, keep=0)
    with pytest.raises(RefusedError) as caught:
        means.remove_password(ALICE, CLIENT, NOW, keep=0)
    assert caught.value.word == "last-means"
    assert home.provider.accounts.verify(ALICE, PASSWORD, NOW)


def test_a_passkey_for_another_rp_id_is_no_means(home: Home) -> None:
    home.add_passkey()
    home.set_password()
    moved = home.folder.open(public_url=f"https://id.{DOMAIN}")
    with pytest.raises(RefusedError) as caught:
        moved.means.remove_password(ALICE, CLIENT, NOW, keep=0)
    assert caught.value.word == "last-means"
    assert moved.accounts.has_password(ALICE)


def test_what_comes_after_a_password_goes_with_it(home: Home) -> None:
    home.add_passkey()
    home.set_password()
    home.add_second_factor()
    home.provider.means.remove_password(ALICE, CLIENT, NOW, keep=0)
    assert not home.provider.second_factors.has(ALICE)
    assert home.provider.recovery_codes.left(ALICE) == 0


def test_recovery_codes_come_and_go_with_the_second_factor(home: Home) -> None:
    home.set_password()
    assert len(home.add_second_factor()) == home.provider.recovery_codes.left(ALICE) == 10
    home.provider.means.remove_second_factor(ALICE, CLIENT, NOW, keep=0)
    assert home.provider.recovery_codes.left(ALICE) == 0


def test_a_wrong_code_changes_nothing(home: Home) -> None:
    home.sign_in_twice()
    home.provider.second_factors.begin(ALICE, NOW)
    assert home.provider.means.confirm_second_factor(ALICE, "", CLIENT, NOW, keep=0) is None
    assert len(home.sessions()) == 2


def test_nobody_waits_for_the_database_while_a_password_is_hashed(home: Home) -> None:
    begin = home.provider.sessions.begin

    class Meanwhile(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            with ThreadPoolExecutor(1) as somebody:
                somebody.submit(begin, ALICE, "passkey", CLIENT, "", NOW).result(PATIENCE)
            return CHEAP_HASHER.hash(password, salt=salt)

    home.provider.accounts._hasher = Meanwhile()
    home.set_password()
    token = home.provider.invitations.make(ALICE, "uid 0", NOW)
    home.provider.means.accept_with_password(token, PASSWORD, CLIENT, NOW)
    assert home.provider.accounts.has_password(ALICE)


class TestInvitations:
    def test_one_is_accepted_with_a_passkey(self, home: Home) -> None:
        token = home.provider.invitations.make(ALICE, "uid 0", NOW)
        device = Authenticator()
        answer = device.create(home.provider.passkeys.registration_options(ALICE, NOW))
        assert home.provider.means.accept_with_passkey(token, answer, CLIENT, NOW) == ALICE
        options = home.provider.passkeys.authentication_options(None, NOW)
        assert home.provider.passkeys.authenticate(device.get(options), CLIENT, NOW) == ALICE
        with pytest.raises(RefusedError) as caught:
            home.provider.means.accept_with_password(token, "thief's own", CLIENT, NOW)
        assert caught.value.word == "invitation-spent"
        assert not home.provider.accounts.has_password(ALICE)

    def test_one_is_accepted_with_a_password(self, home: Home) -> None:
        token = home.provider.invitations.make(ALICE, "uid 0", NOW)
        assert home.provider.means.accept_with_password(token, PASSWORD, CLIENT, NOW) == ALICE
        assert home.provider.accounts.verify(ALICE, PASSWORD, NOW)

    def test_it_takes_the_place_of_all_before(self, home: Home) -> None:
        home.add_passkey()
        home.set_password()
        home.add_second_factor()
        home.sign_in_twice()
        home.certify()
        token = home.provider.invitations.make(ALICE, "uid 0", NOW)
        home.provider.means.accept_with_password(token, "another one", CLIENT, NOW)
        assert home.provider.passkeys.all(ALICE) == []
        assert not home.provider.second_factors.has(ALICE)
        assert not home.provider.accounts.verify(ALICE, PASSWORD, NOW)
        assert home.provider.accounts.verify(ALICE, "another one", NOW)
        assert home.sessions() == []
        assert home.provider.renewals.all(ALICE, NOW) == []

    def test_what_is_refused_leaves_everything(self, home: Home) -> None:
        number = home.add_passkey()
        home.set_password()
        home.sign_in_twice()
        home.certify()
        token = home.provider.invitations.make(ALICE, "uid 0", NOW)
        options = home.provider.passkeys.registration_options(ALICE, NOW)
        with pytest.raises(RefusedError) as caught:
            home.provider.means.accept_with_passkey(
                token, Authenticator(flags=PRESENT).create(options), CLIENT, NOW
            )
        assert caught.value.word == "not-verified"
        with pytest.raises(LocalProtocolError):
            home.provider.means.accept_with_password(token, "", CLIENT, NOW)
        assert [passkey.id for passkey in home.provider.passkeys.all(ALICE)] == [number]
        assert home.provider.accounts.verify(ALICE, PASSWORD, NOW)
        assert len(home.sessions()) == 2
        assert len(home.provider.renewals.all(ALICE, NOW)) == 1
        assert home.provider.invitations.find(token, NOW) == ALICE

    def test_what_happens_is_logged(self, home: Home) -> None:
        home.set_password()
        token = home.provider.invitations.make(ALICE, "uid 0", NOW)
        home.provider.means.accept_with_password(token, PASSWORD, CLIENT, NOW)
        assert [event["event"] for event in home.events()[1:]] == [
            "password-changed",
            "invited",
            "password-removed",
            "password-changed",
            "invitation-accepted",
        ]
