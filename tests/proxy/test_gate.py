"""Who may come in on loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.proxy.accounts import Account, Kind, Security, Service
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.failures import WrongPasswordError
from browserid_sasl.proxy.gate import Gate, is_own
from tests.support.refusal import refused

SERVICE = Service(Kind.IMAP, "mail.example.org", 993, Security.TLS, 12_345)
WORK = Account("work", "alice@example.org", "alice", (SERVICE,))
HOME = Account("home", "alice@home.example", "", (SERVICE,))
PASSWORD = "пароль"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock, clock.sleep)


def check(gate: Gate, *login: str, account: Account = WORK) -> None:
    asyncio.run(gate.check(account, PASSWORD, Credentials(*login)))


@pytest.mark.parametrize(
    "login",
    [
        ("work", PASSWORD),
        ("WORK", PASSWORD),
        ("alice@example.org", PASSWORD),
        ("work", PASSWORD, "work"),
        ("work", PASSWORD, "alice"),
    ],
)
def test_the_accounts_name_or_address_with_its_password(
    gate: Gate, clock: Clock, login: tuple[str, ...]
) -> None:
    check(gate, *login)
    assert clock.slept == []


@pytest.mark.parametrize(
    "login",
    [
        ("work", ""),
        ("work", PASSWORD + " "),
        ("work", PASSWORD.upper()),
        ("", PASSWORD),
        ("home", PASSWORD),
        ("work", PASSWORD, "bob"),
        ("work", "\udcff"),
    ],
)
def test_anything_else_is_refused(gate: Gate, clock: Clock, login: tuple[str, ...]) -> None:
    with refused(Code.REMOTE_VERIFY_FAILURE, kind=WrongPasswordError) as caught:
        check(gate, *login)
    assert len(clock.slept) == 1
    assert PASSWORD not in str(caught.value)


def test_wrong_ones_take_longer_and_longer_and_the_right_one_never_waits(
    gate: Gate, clock: Clock
) -> None:
    for _ in range(8):
        with pytest.raises(WrongPasswordError):
            check(gate, "work", "guess")
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    check(gate, "work", PASSWORD)
    assert len(clock.slept) == 8


def test_who_guesses_at_one_account_slows_down_no_other(gate: Gate, clock: Clock) -> None:
    for account in (WORK, WORK, WORK, HOME):
        with pytest.raises(WrongPasswordError):
            check(gate, "x", "guess", account=account)
    assert clock.slept[-1] == 0.5


def test_it_is_forgotten_after_a_while(gate: Gate, clock: Clock) -> None:
    for pause in (0.0, 400.0):
        clock.now += pause
        with pytest.raises(WrongPasswordError):
            check(gate, "work", "guess")
    assert clock.slept == [0.5, 0.5]


@pytest.mark.parametrize(
    ("family", "listens_at", "calls"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_the_kernel_tells_whose_the_other_end_is(
    family: socket.AddressFamily, listens_at: str, calls: str
) -> None:
    listens = socket.AF_INET if "." in listens_at else socket.AF_INET6
    with socket.create_server((listens_at, 0), family=listens) as listener:
        with socket.socket(family) as caller:
            caller.connect((calls, listener.getsockname()[1]))
            accepted, _ = listener.accept()
            with accepted:
                assert is_own(accepted)
                caller.close()
                listener.close()


def test_one_that_is_gone_is_nobodys() -> None:
    with socket.socket(socket.AF_INET) as never_connected:
        assert not is_own(never_connected)
