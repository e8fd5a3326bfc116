"""Signing in on another device: codes that are typed, and polled for (RFC 8628)."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.idp import devices as module
from browserid_sasl.idp.devices import (
    FEWEST_OF_NETWORK,
    INTERVAL_S,
    LENGTH,
    LETTERS,
    LIFE_MS,
    MOST_OF_NETWORK,
    MOST_WAITING,
    TRIES,
    DeviceCode,
    Devices,
    PendingDevice,
)
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.web.refusal import RefusedError
from tests.support.grants import ALICE, BOB, CLIENT, NOW, Program, events, provider_in, wish_of

KEY = Program().key
BROWSER = "198.51.100.20"
INTERVAL_MS = INTERVAL_S * 1000


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


@pytest.fixture
def devices(provider: Provider) -> Devices:
    return provider.devices


def begin(
    devices: Devices, now: int = NOW, *, email: str = ALICE, client: str = CLIENT
) -> DeviceCode:
    return devices.begin(wish_of(KEY, email, client), now)


def find(devices: Devices, typed: str, now: int = NOW, email: str = ALICE) -> PendingDevice | None:
    return devices.find(typed, email, BROWSER, now)


def pending(devices: Devices, code: DeviceCode, now: int = NOW) -> PendingDevice:
    found = find(devices, code.user_code, now)
    assert found is not None
    return found


def word(refused: pytest.ExceptionInfo[RefusedError]) -> str:
    return refused.value.word


def poll(devices: Devices, code: DeviceCode, now: int) -> Granted | str:
    try:
        return devices.poll(code.device_code, now)
    except RefusedError as refused:
        assert refused.status == 400
        return refused.word


class TestTheCode:
    def test_has_no_letter_that_looks_like_something_else(self, devices: Devices) -> None:
        code = begin(devices).user_code
        assert len(code) == LENGTH + 1
        assert code[4] == "-"
        assert set(code) - {"-"} <= set(LETTERS)
        assert not set(LETTERS) & set("AEIOUY0125")
        assert code not in repr(begin(devices))

    def test_is_typed_as_people_type(self, devices: Devices) -> None:
        code = begin(devices)
        for typed in (
            code.user_code.lower(),
            code.user_code.replace("-", ""),
            f" {code.user_code} ",
            code.user_code.replace("-", " \u2013 "),
        ):
            assert find(devices, typed) == pending(devices, code)

    def test_says_which_machine_asks_and_from_where(self, devices: Devices) -> None:
        found = pending(devices, begin(devices))
        assert found.wish == wish_of(KEY)
        assert (found.begun, found.expires) == (NOW, NOW + LIFE_MS)

    def test_is_looked_at_for_its_expiry_when_it_is_typed(self, devices: Devices) -> None:
        code = begin(devices)
        pending(devices, code, NOW + LIFE_MS - 1)
        with pytest.raises(RefusedError) as refused:
            find(devices, code.user_code, NOW + LIFE_MS)
        assert word(refused) == "code-expired"

    def test_and_when_it_is_approved(self, devices: Devices) -> None:
        found = pending(devices, begin(devices))
        with pytest.raises(RefusedError) as refused:
            devices.approve(found, True, NOW + LIFE_MS)
        assert word(refused) == "code-expired"

    def test_of_another_account_is_none(self, devices: Devices) -> None:
        code = begin(devices)
        assert find(devices, code.user_code, email=BOB) is None

    def test_is_not_in_the_database(self, devices: Devices, tmp_path: Path) -> None:
        code = begin(devices)
        for path in filter(Path.is_file, tmp_path.rglob("*")):
            assert code.device_code.encode() not in path.read_bytes()
            assert code.user_code.replace("-", "").encode() not in path.read_bytes()


class TestGuessing:
    def test_hits_at_most_one_time_in_a_million(self) -> None:
        """Within a code's life, at any rate, of any number of accounts, with all codes there are.

        An account is told of its own codes only, of which each try hits at most as many as wait;
        and what waits for all accounts together is no more than `MOST_WAITING`.
        """
        assert TRIES * MOST_WAITING / len(LETTERS) ** LENGTH <= 1e-6

    def test_ends_after_some_tries(self, devices: Devices, tmp_path: Path) -> None:
        code = begin(devices)
        for number in range(TRIES):
            assert find(devices, "BCDFGHJK", NOW + number) is None
        with pytest.raises(RefusedError) as refused:
            find(devices, code.user_code, NOW + TRIES)
        assert (refused.value.status, word(refused)) == (429, "too-many-attempts")
        assert 0 < refused.value.retry_after <= LIFE_MS // 1000
        assert [line["event"] for line in events(tmp_path)[-TRIES:]] == [
            "device-code-wrong"
        ] * TRIES

    def test_goes_on_in_no_window_of_a_codes_life(self, devices: Devices) -> None:
        """Tries at any times: there are never more than `TRIES` in as long as a code lives."""
        looked: list[int] = []
        for step in range(300):
            now = NOW + step * LIFE_MS // 60
            try:
                find(devices, "BCDFGHJK", now)
            except RefusedError:
                continue
            looked.append(now)
        assert len(looked) > TRIES
        for first in looked:
            assert sum(first <= each < first + LIFE_MS for each in looked) <= TRIES

    def test_of_one_account_does_not_hold_up_another(self, devices: Devices) -> None:
        code = begin(devices)
        for _ in range(TRIES):
            assert find(devices, "BCDFGHJK", email=BOB) is None
        pending(devices, code)


class TestPolling:
    def test_waits_for_the_person_and_gets_it_once(self, devices: Devices) -> None:
        code = begin(devices)
        times = [NOW + INTERVAL_MS * number for number in range(1, 5)]
        assert poll(devices, code, times[0]) == "authorization_pending"
        devices.approve(pending(devices, code), True, NOW)
        assert poll(devices, code, times[1]) == Granted(wish_of(KEY), True)
        assert poll(devices, code, times[2]) == "expired_token"

    def test_learns_of_a_refusal(self, devices: Devices) -> None:
        code = begin(devices)
        devices.deny(pending(devices, code), NOW)
        assert poll(devices, code, NOW + INTERVAL_MS) == "access_denied"

    def test_that_is_too_fast_becomes_slower_and_slower(self, devices: Devices) -> None:
        code = begin(devices)
        now = NOW + 1_000
        assert poll(devices, code, now) == "slow_down"
        assert poll(devices, code, now + INTERVAL_MS) == "slow_down"
        now += INTERVAL_MS
        assert poll(devices, code, now + 3 * INTERVAL_MS) == "authorization_pending"

    def test_that_is_too_fast_gets_nothing(self, devices: Devices) -> None:
        code = begin(devices)
        devices.approve(pending(devices, code), True, NOW)
        assert poll(devices, code, NOW + 1_000) == "slow_down"
        assert isinstance(poll(devices, code, NOW + 1_000 + 2 * INTERVAL_MS), Granted)

    def test_ends_with_the_code(self, devices: Devices) -> None:
        code = begin(devices)
        devices.approve(pending(devices, code), True, NOW)
        assert poll(devices, code, NOW + LIFE_MS) == "expired_token"

    def test_with_a_code_that_nobody_has_got(self, devices: Devices) -> None:
        with pytest.raises(RefusedError) as refused:
            devices.poll("x" * 43, NOW)
        assert word(refused) == "expired_token"

    def test_with_the_code_that_is_typed(self, devices: Devices) -> None:
        with pytest.raises(RefusedError) as refused:
            devices.poll(begin(devices).user_code, NOW + INTERVAL_MS)
        assert word(refused) == "expired_token"


class TestTheDecision:
    def test_is_made_once(self, devices: Devices) -> None:
        code = begin(devices)
        found = pending(devices, code)
        devices.deny(found, NOW)
        for again in (
            lambda: devices.approve(found, True, NOW),
            lambda: devices.deny(found, NOW),
            lambda: pending(devices, code),
        ):
            with pytest.raises(RefusedError) as refused:
                again()
            assert word(refused) == "code-used"
        assert poll(devices, code, NOW + INTERVAL_MS) == "access_denied"

    def test_is_written_down(self, devices: Devices, tmp_path: Path) -> None:
        devices.approve(pending(devices, begin(devices)), False, NOW)
        devices.deny(pending(devices, begin(devices)), NOW)
        approved, denied = events(tmp_path)[-2:]
        assert (approved["event"], denied["event"]) == ("consented", "device-denied")
        for line in (approved, denied):
            assert (line["email"], line["client"], line["device"]) == (ALICE, BROWSER, CLIENT)


class TestStrangers:
    """Whoever is nobody here can begin, but not for ever."""

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MOST_WAITING", 20)
        monkeypatch.setattr(module, "MOST_OF_NETWORK", 8)
        monkeypatch.setattr(module, "FEWEST_OF_NETWORK", 2)

    def test_of_one_network_leave_room_for_others(self, devices: Devices) -> None:
        for _ in range(8):
            begin(devices, client="2001:db8::1")
        with pytest.raises(RefusedError) as refused:
            begin(devices, client="2001:db8:0:ffff::2")
        assert (refused.value.status, word(refused)) == (429, "too-many-devices")
        begin(devices, client="2001:db8:1::1")

    def test_have_less_when_there_are_many(self, devices: Devices) -> None:
        for number in range(10):
            begin(devices, client=f"192.0.2.{number % 2}")
        begin(devices, client="192.0.2.9")
        begin(devices, client="192.0.2.9")
        with pytest.raises(RefusedError):
            begin(devices, client="192.0.2.9")
        begin(devices, client="192.0.2.10")

    def test_all_together_are_limited(self, devices: Devices) -> None:
        for number in range(20):
            begin(devices, client=f"192.0.2.{number}")
        with pytest.raises(RefusedError):
            begin(devices, client="192.0.2.100")
        begin(devices, NOW + LIFE_MS, client="192.0.2.100")


def test_the_limits_leave_room() -> None:
    assert FEWEST_OF_NETWORK < MOST_OF_NETWORK < MOST_WAITING // 2


class TestAnAccount:
    def test_that_is_made_to_approve_it_does(self, provider: Provider) -> None:
        """Somebody begins at the program, and sets their account up when the page asks for it."""
        provider.accounts.remove(ALICE)
        devices = provider.devices
        code = begin(devices)
        provider.accounts.add_without_password(ALICE, NOW + INTERVAL_MS)
        devices.approve(pending(devices, code), False, NOW + INTERVAL_MS)
        assert isinstance(poll(devices, code, NOW + 2 * INTERVAL_MS), Granted)

    def test_that_is_made_anew_has_approved_nothing(self, provider: Provider) -> None:
        devices = provider.devices
        code = begin(devices)
        devices.approve(pending(devices, code), False, NOW)
        provider.accounts.remove(ALICE)
        provider.accounts.add_without_password(ALICE, NOW + 1)
        assert poll(devices, code, NOW + INTERVAL_MS) == "access_denied"
