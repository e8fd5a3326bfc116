"""What PAM says of people, in each of its answers, and how it is kept in bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    Exchange,
    Identity,
    MoreAskedError,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.child_process import ChildProcess
from browserid_sasl.idp.backends.pam import MOST_ANSWER, PROGRAM, PamBackend, Service
from tests.support.pam import PASSWORD, SERVICE, Accounts, code
from tests.support.patience import wait_until
from tests.support.provider import DOMAIN

WRONG = "not the password"
NEW = "quite another secret 42"


def pam(accounts: Accounts, **changed: object) -> PamBackend:
    given: dict[str, object] = {
        "service": SERVICE,
        "user_template": "{user}",
        "least_uid": 1000,
        "groups": (),
        "timeout": 60_000,
    }
    service = Service(**(given | changed))  # type: ignore[arg-type]
    return PamBackend("desks", service, (*accounts.program_before, *PROGRAM))


@pytest.fixture
def backend(accounts: Accounts) -> PamBackend:
    return pam(accounts)


def address(name: str) -> str:
    return f"{name}@{DOMAIN}"


def identity(vouched: Vouched) -> Identity:
    return Identity(vouched.email, "desks", vouched.subject)


def vouched_for(backend: PamBackend, name: str, password: str = PASSWORD) -> Vouched:
    vouched = backend.verify(address(name), password)
    assert vouched is not None
    return vouched


@contextmanager
def denied(denial: Denial) -> Iterator[None]:
    with pytest.raises(DeniedError) as caught:
        yield
    assert caught.value.denial is denial


@contextmanager
def asked(backend: PamBackend, name: str, password: str = PASSWORD) -> Iterator[Exchange]:
    """What is asked after the password."""
    with pytest.raises(MoreAskedError) as caught:
        backend.verify(address(name), password)
    try:
        yield caught.value.exchange
    finally:
        caught.value.exchange.end()


class TestAPassword:
    def test_it_says_who_somebody_is(self, accounts: Accounts, backend: PamBackend) -> None:
        accounts.add("lena")
        vouched = vouched_for(backend, "lena")
        uid = accounts.people["lena"]
        assert vouched == Vouched(address("lena"), f"{SERVICE}:{uid}:lena")

    @pytest.mark.parametrize("password", [WRONG, "", "\0", "x" * (MOST_ANSWER + 1), "é" * 300])
    def test_another_one_is_wrong(
        self, accounts: Accounts, backend: PamBackend, password: str
    ) -> None:
        accounts.add("lena")
        try:
            assert backend.verify(address("lena"), password) is None
        except DeniedError as error:
            assert error.denial is Denial.WRONG_PASSWORD

    def test_who_is_not_there_is_not_known(self, backend: PamBackend) -> None:
        assert backend.verify(address("nobody-at-all"), PASSWORD) is None

    @pytest.mark.parametrize("name", ["root", "daemon"])
    def test_accounts_of_the_system_are_not_known(self, backend: PamBackend, name: str) -> None:
        """Their password is right."""
        assert backend.verify(address(name), PASSWORD) is None

    def test_modules_are_not_asked_about_them(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.serve("auth required pam_permit.so\naccount required pam_permit.so\n")
        for name in ("root", "daemon", "nobody-at-all"):
            assert backend.verify(address(name), PASSWORD) is None
        accounts.add("lena")
        assert vouched_for(backend, "lena")

    @pytest.mark.parametrize(
        "local",
        [
            *("-lena", "le\0na", "lena\n", "lena\nroot", "../lena", "lena/", "/lena", ""),
            *("lena:x", "l e na", "{user}", "+", "lénä", "a" * 65, "LENA"),
        ],
    )
    def test_what_is_no_name_gets_to_nobody(
        self, accounts: Accounts, backend: PamBackend, local: str
    ) -> None:
        accounts.serve("auth required pam_permit.so\naccount required pam_permit.so\n")
        accounts.add("lena")
        assert backend.verify(f"{local}@{DOMAIN}", PASSWORD) is None
        with denied(Denial.GONE):
            backend.check(Identity(f"{local}@{DOMAIN}", "desks", "x"))

    def test_the_name_is_made_of_the_address(self, accounts: Accounts) -> None:
        accounts.add("x-lena")
        assert pam(accounts).verify(address("lena"), PASSWORD) is None
        assert vouched_for(pam(accounts, user_template="x-{user}"), "lena")

    def test_a_service_of_another_name_is_not_taken(self, accounts: Accounts) -> None:
        accounts.add("lena")
        accounts.serve("auth required pam_permit.so\naccount required pam_permit.so\n", "other")
        with pytest.raises(UnavailableError, match=r"no file /etc/pam\.d/imap"):
            pam(accounts, service="imap").verify(address("lena"), PASSWORD)

    def test_a_module_that_puts_somebody_else_in_ones_place_lets_nobody_in(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.serve(
            "auth required pam_permit.so\n"
            "auth optional pam_set_items.so\n"
            "account required pam_permit.so\n"
        )
        assert vouched_for(backend, "lena")


class TestWhoIsAdmitted:
    def test_an_account_that_has_expired_is_not(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.expire("lena")
        with denied(Denial.EXPIRED):
            backend.verify(address("lena"), PASSWORD)

    def test_that_is_told_with_the_right_password_only(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.expire("lena")
        with denied(Denial.WRONG_PASSWORD):
            backend.verify(address("lena"), WRONG)

    @pytest.mark.parametrize(
        ("module", "denial"),
        [
            ("pam_succeed_if.so uid < 0", Denial.NOT_NOW),
            ("pam_time.so conffile=/etc/times", Denial.NOT_NOW),
            ("pam_debug.so acct=perm_denied", Denial.NOT_NOW),
            ("pam_debug.so acct=acct_expired", Denial.EXPIRED),
            ("pam_debug.so acct=maxtries", Denial.LOCKED),
            ("pam_debug.so acct=user_unknown", Denial.GONE),
            ("pam_debug.so acct=authtok_expired", Denial.PASSWORD_EXPIRED),
        ],
    )
    def test_modules_say_why(
        self, accounts: Accounts, backend: PamBackend, module: str, denial: Denial
    ) -> None:
        accounts.add("lena")
        (accounts.etc / "times").write_text("*;*;lena;!Al0000-2400\n")
        before = identity(vouched_for(backend, "lena"))
        accounts.serve(f"auth required pam_unix.so nodelay\naccount required {module}\n")
        with denied(denial):
            backend.verify(address("lena"), PASSWORD)
        with denied(denial):
            backend.check(before)

    def test_a_fault_of_the_system_is_nobodys(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.serve("auth required pam_debug.so auth=authinfo_unavail\n")
        with pytest.raises(UnavailableError, match="password"):
            backend.verify(address("lena"), PASSWORD)

    def test_who_is_in_a_group(self, accounts: Accounts) -> None:
        accounts.add("lena")
        accounts.put_in_group("staff", accounts.add("otto"))
        accounts.put_in_group("guests", "lena")
        with denied(Denial.NOT_ADMITTED):
            pam(accounts, groups=("staff",)).verify(address("lena"), PASSWORD)
        with denied(Denial.WRONG_PASSWORD):
            pam(accounts, groups=("staff",)).verify(address("lena"), WRONG)
        assert vouched_for(pam(accounts, groups=("staff", "guests")), "lena")
        with pytest.raises(UnavailableError, match="group"):
            pam(accounts, groups=("there is none",)).verify(address("lena"), PASSWORD)


class TestMoreThanAPassword:
    def test_a_code_is_asked_for(self, accounts: Accounts, backend: PamBackend) -> None:
        accounts.serve_codes()
        accounts.give_secret(accounts.add("lena"))
        with asked(backend, "lena") as exchange:
            [prompt] = exchange.asked.prompts
            assert (prompt.hidden, "One-time password" in prompt.text) == (True, True)
            assert exchange.knows
            assert exchange.answer([code(0)]) is not None
        with asked(backend, "lena") as exchange, denied(Denial.WRONG_PASSWORD):
            exchange.answer(["000000"])
        with asked(backend, "lena") as exchange, denied(Denial.WRONG_PASSWORD):
            exchange.answer([code(0)])
        with denied(Denial.WRONG_PASSWORD):
            backend.verify(address("lena"), WRONG)

    @pytest.mark.parametrize("answers", [[], ["a", "b"], ["\0"], ["x" * (MOST_ANSWER + 1)]])
    def test_what_is_no_answer_ends_it(
        self, accounts: Accounts, backend: PamBackend, answers: list[str]
    ) -> None:
        accounts.serve_codes()
        accounts.give_secret(accounts.add("lena"))
        with asked(backend, "lena") as exchange, denied(Denial.WRONG_PASSWORD):
            exchange.answer(answers)
        with pytest.raises(UnavailableError):
            exchange.answer([code(0)])

    def test_a_password_that_has_expired_is_changed(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.expire_password("lena")
        with asked(backend, "lena") as exchange:
            assert any("change your password" in each for each in exchange.asked.errors)
            vouched, answers = None, iter((PASSWORD, NEW, NEW))
            while vouched is None:
                vouched = exchange.answer([next(answers) for _ in exchange.asked.prompts])
        assert vouched == vouched_for(backend, "lena", NEW)

    def test_one_that_is_not_changed_lets_nobody_in(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.expire_password("lena")
        with asked(backend, "lena") as exchange, denied(Denial.PASSWORD_EXPIRED):
            for answer in (PASSWORD, *(NEW, WRONG) * 10):
                exchange.answer([answer])
        with asked(backend, "lena"):
            pass

    def test_a_module_that_does_not_give_up_is_given_up(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.add("lena")
        accounts.serve("auth required pam_oath.so usersfile=/etc/oath\n" * 20)
        accounts.give_secret("lena")
        with asked(backend, "lena") as exchange, denied(Denial.WRONG_PASSWORD):
            for _ in range(30):
                exchange.answer(["000000"])

    def test_nobody_is_asked_the_same(self, accounts: Accounts, backend: PamBackend) -> None:
        accounts.serve("auth required pam_unix.so nodelay\nauth required pam_ftp.so\n")
        accounts.add("lena")
        with asked(backend, "lena", WRONG) as known, asked(backend, "otto") as unknown:
            told = [each.asked.prompts[0].text for each in (known, unknown)]
            assert told[0].replace("lena", "otto") == told[1]
            assert "otto" in told[1]
            assert (known.knows, unknown.knows) == (True, False)
            with denied(Denial.WRONG_PASSWORD):
                known.answer([PASSWORD])
            with denied(Denial.WRONG_PASSWORD):
                unknown.answer([PASSWORD])

    def test_what_modules_say_is_text_of_a_bounded_length(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        accounts.serve_codes()
        accounts.give_secret(accounts.add("lena"))
        (accounts.etc / "says").write_text("<b>\x1b[2J" + "long " * 200)
        service = (accounts.etc / "pam.d" / SERVICE).read_text()
        says = "auth optional pam_echo.so file=/etc/says\n"
        accounts.serve(says * 40 + service)
        with asked(backend, "lena") as exchange:
            assert exchange.asked.infos
            assert len(exchange.asked.infos) <= 8
            assert all(len(each) <= 512 for each in exchange.asked.infos)
            assert exchange.asked.infos[0].startswith("<b> [2Jlong long")


class TestModulesThatFail:
    def test_one_that_hangs_is_killed(self, accounts: Accounts, tmp_path: Path) -> None:
        accounts.add("lena")
        sleeps = tmp_path / "sleeps"
        sleeps.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
        sleeps.chmod(0o755)
        accounts.serve(f"auth required pam_exec.so {sleeps}\n")
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="too long"):
            pam(accounts, timeout=4_000).verify(address("lena"), PASSWORD)
        assert time.monotonic() - began < 60
        pid = int((tmp_path / "pid").read_text())
        wait_until(lambda: is_gone(pid), "the end of a process")

    def test_one_that_crashes_takes_nothing_with_it(
        self, accounts: Accounts, backend: PamBackend, tmp_path: Path
    ) -> None:
        accounts.add("lena")
        kills = tmp_path / "kills"
        kills.write_text("#!/bin/sh\nkill -SEGV $PPID\n")
        kills.chmod(0o755)
        accounts.serve(f"auth required pam_exec.so {kills}\n")
        with pytest.raises(UnavailableError, match="signal 11"):
            backend.verify(address("lena"), PASSWORD)

    def test_one_that_prints_says_nothing(
        self, accounts: Accounts, backend: PamBackend, tmp_path: Path
    ) -> None:
        accounts.add("lena")
        prints = tmp_path / "prints"
        prints.write_text(
            '#!/bin/sh\necho \'{"step": "account", "result": 0}\' | tee /dev/stderr\n'
        )
        prints.chmod(0o755)
        accounts.serve(f"auth required pam_exec.so {prints}\nauth required pam_deny.so\n")
        with denied(Denial.WRONG_PASSWORD):
            backend.verify(address("lena"), PASSWORD)

    def test_it_ends_when_nobody_listens_any_more(self, accounts: Accounts) -> None:
        """The provider may be killed, which then kills nothing."""
        accounts.add("lena")
        process = process_of(accounts)
        try:
            process.hear(time.monotonic() + 60)
            assert "messages" in process.hear(time.monotonic() + 60)
            process._socket.close()
            assert process._process.wait(60) == 1
        finally:
            process.end()

    def test_it_ends_by_itself_after_a_while(self, accounts: Accounts) -> None:
        accounts.add("lena")
        process = process_of(accounts, patience=1)
        try:
            with pytest.raises(UnavailableError, match="signal 14"):
                while True:
                    process.hear(time.monotonic() + 60)
        finally:
            process.end()

    def test_no_secret_is_to_be_seen_of_it(self, accounts: Accounts, backend: PamBackend) -> None:
        accounts.serve_codes()
        accounts.give_secret(accounts.add("lena"))
        with asked(backend, "lena") as exchange:
            pid = exchange._process._process.pid  # type: ignore[attr-defined]
            for name in ("cmdline", "environ"):
                assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
            assert PASSWORD not in repr(exchange)
        wait_until(lambda: is_gone(pid), "the end of a process")

    def test_a_program_that_is_not_there_is_for_the_log(self, accounts: Accounts) -> None:
        backend = pam(accounts)
        backend._program = ("/nonexistent/python",)
        with pytest.raises(UnavailableError, match="does not start"):
            backend.verify(address("lena"), PASSWORD)


def process_of(accounts: Accounts, patience: int = 60) -> ChildProcess:
    task = {
        **{"service": SERVICE, "user": "lena", "least_uid": 1000, "groups": []},
        **{"check": False, "step": 60, "patience": patience},
    }
    return ChildProcess("PAM", (*accounts.program_before, *PROGRAM), task)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet is a line of a table."""
    try:
        os.kill(pid, 0)
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


CHANGES: dict[str, tuple[Callable[[Accounts], object], Denial]] = {
    "gone": (lambda accounts: accounts.remove("lena"), Denial.GONE),
    "expired": (lambda accounts: accounts.expire("lena"), Denial.EXPIRED),
    "an expired password": (
        lambda accounts: accounts.expire_password("lena"),
        Denial.PASSWORD_EXPIRED,
    ),
    "out of the group": (lambda accounts: accounts.put_in_group("staff"), Denial.NOT_ADMITTED),
    "one of the system": (lambda accounts: accounts.renumber("lena", 999), Denial.GONE),
}


class TestWhetherItStillHolds:
    @pytest.fixture
    def backend(self, accounts: Accounts) -> PamBackend:
        accounts.put_in_group("staff", accounts.add("lena"))
        return pam(accounts, groups=("staff",))

    def test_it_does(self, backend: PamBackend) -> None:
        vouched = vouched_for(backend, "lena")
        assert backend.check(identity(vouched)) == vouched

    @pytest.mark.parametrize("change", CHANGES)
    def test_what_has_changed_is_said(
        self, accounts: Accounts, backend: PamBackend, change: str
    ) -> None:
        before = identity(vouched_for(backend, "lena"))
        do, denial = CHANGES[change]
        do(accounts)
        with denied(denial):
            backend.check(before)

    def test_another_number_is_another_person(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        before = vouched_for(backend, "lena")
        accounts.renumber("lena", 3000)
        assert backend.check(identity(before)).subject != before.subject

    def test_accounts_that_cannot_be_asked_end_nothing(
        self, accounts: Accounts, backend: PamBackend
    ) -> None:
        before = identity(vouched_for(backend, "lena"))
        (accounts.etc / "passwd").unlink()
        with pytest.raises(UnavailableError, match="accounts cannot be asked"):
            backend.check(before)

    def test_nobody_is_there_to_answer(self, accounts: Accounts, backend: PamBackend) -> None:
        before = identity(vouched_for(backend, "lena"))
        says = '{"messages": [[1, "Who are you?"]]}'
        backend._program = ("sh", "-c", f"echo '{says}' >&0; sleep 600")
        with pytest.raises(UnavailableError, match="nobody is there"):
            backend.check(before)


def test_it_says_how_it_is_without_asking_a_module(accounts: Accounts) -> None:
    accounts.serve("auth required pam_there_is_none.so")
    assert pam(accounts).probe() == []
    with pytest.raises(UnavailableError, match=r"no file /etc/pam\.d/imap"):
        pam(accounts, service="imap").probe()
