"""People of a system at the provider: what PAM asks them on the page, and what becomes of it."""

from __future__ import annotations

import json

import pytest

from browserid_sasl.idp.backends import Asked, Prompt
from browserid_sasl.idp.backends.pam import PamBackend
from browserid_sasl.idp.exchanges import MOST, MOST_OF_A_NETWORK, Exchanges, Waiting
from browserid_sasl.web.refusal import RefusedError
from tests.idp.backends.conftest import Serve
from tests.idp.backends.test_pam import CHANGES, NEW, WRONG, address, pam
from tests.idp.backends.test_people import Machine, by_password, events
from tests.idp.web.test_second_steps import registered, use
from tests.support.browser import Browser, Shown
from tests.support.pam import PASSWORD, Accounts, code
from tests.support.patience import wait_until
from tests.support.provider import ALICE, RunningProvider
from tests.support.provider import PASSWORD as ALICES

QUESTIONS = "/browserid/questions"
LENA = address("lena")


@pytest.fixture
def backend(accounts: Accounts) -> PamBackend:
    accounts.put_in_group("staff", accounts.add("lena"))
    return pam(accounts, groups=("staff",))


@pytest.fixture
def served(serve: Serve, backend: PamBackend) -> RunningProvider:
    return serve(backend)


@pytest.fixture
def coded(accounts: Accounts, backend: PamBackend) -> None:
    """Whoever signs in is asked for a one-time password."""
    accounts.serve_codes()
    accounts.give_secret("lena")


def fill(browser: Browser, page: Shown, **fields: str) -> Shown:
    """Fill the form that has these fields in, and send it."""
    [form] = [each for each in page.forms if fields.keys() <= each.fields.keys()]
    return browser.post(form.action, form.fields | fields)


def answer(browser: Browser, page: Shown, text: str) -> Shown:
    return fill(browser, page, answer0=text)


def failures(running: RunningProvider) -> int:
    return len(events(running, "sign-in-failed"))


class TestOnThePage:
    def test_a_password(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        assert browser.sign_in(LENA, WRONG).status == 401
        assert browser.sign_in(LENA, PASSWORD).path == "/browserid/account"
        assert not served.provider.accounts.has_password(LENA)

    @pytest.mark.usefixtures("coded")
    def test_a_code_after_it(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        page = browser.sign_in(LENA, PASSWORD)
        assert page.path == QUESTIONS
        assert "One-time password" in page.text
        assert browser.open(QUESTIONS).text == page.text
        assert browser.open("/browserid/account").path == "/browserid/sign-in"
        assert not served.provider.accounts.exists(LENA)
        page = answer(browser, page, code(0))
        assert page.path == "/browserid/account"
        assert LENA in page.text
        assert Browser.at(served).sign_in(LENA, WRONG).status == 401

    @pytest.mark.usefixtures("coded")
    def test_a_code_that_is_wrong(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        page = browser.sign_in(LENA, PASSWORD)
        before = failures(served)
        page = answer(browser, page, "000000")
        assert page.status == 401
        assert "That was not right" in page.text
        assert failures(served) == before + 1
        assert browser.open(QUESTIONS).status == 410
        page = fill(browser, page, password=PASSWORD)
        assert answer(browser, page, code(0)).path == "/browserid/account"

    @pytest.mark.usefixtures("coded")
    def test_codes_are_not_guessed_as_often_as_one_likes(self, served: RunningProvider) -> None:
        for _ in range(5):
            browser = Browser.at(served)
            assert answer(browser, browser.sign_in(LENA, PASSWORD), "000000").status == 401
        assert Browser.at(served).sign_in(LENA, PASSWORD).status == 429

    def test_a_password_that_has_expired_is_changed(
        self, accounts: Accounts, served: RunningProvider
    ) -> None:
        accounts.expire_password("lena")
        browser = Browser.at(served)
        page = browser.sign_in(LENA, PASSWORD)
        assert "change your password" in page.text
        for text in (PASSWORD, NEW, NEW):
            assert page.path == QUESTIONS
            page = answer(browser, page, text)
        assert page.path == "/browserid/account"
        assert Browser.at(served).sign_in(LENA, PASSWORD).status == 401
        assert Browser.at(served).sign_in(LENA, NEW).path == "/browserid/account"

    def test_what_modules_say_is_text(self, accounts: Accounts, served: RunningProvider) -> None:
        (accounts.etc / "says").write_text("<script>alert(1)</script>")
        accounts.serve_codes()
        accounts.give_secret("lena")
        service = accounts.etc / "pam.d" / "browserid-idp"
        service.write_text(f"auth optional pam_echo.so file=/etc/says\n{service.read_text()}")
        page = Browser.at(served).sign_in(LENA, PASSWORD)
        assert page.path == QUESTIONS
        assert "&lt;script&gt;alert(1)" in page.html

    def test_an_account_that_has_expired_is_told(
        self, accounts: Accounts, served: RunningProvider
    ) -> None:
        accounts.expire("lena")
        page = Browser.at(served).sign_in(LENA, PASSWORD)
        assert page.status == 403
        assert "Your account has expired" in page.text

    @pytest.mark.usefixtures("coded")
    def test_what_is_not_here_begins_anew(self, served: RunningProvider) -> None:
        """It is another host's, or another browser's."""
        browser, other = Browser.at(served), Browser.at(served)
        page = browser.sign_in(LENA, PASSWORD)
        other.open("/browserid/sign-in")
        shown = other.open(QUESTIONS)
        assert shown.status == 410
        assert "Begin again" in shown.text
        served.provider.outside.exchanges.take(browser.cookies["__Host-browserid-exchange"])
        assert answer(browser, page, code(0)).status == 410

    def test_own_accounts_go_on_to_sign_in(self, served: RunningProvider) -> None:
        assert Browser.at(served).sign_in(ALICE, ALICES).path == "/browserid/account"
        assert Browser.at(served).sign_in(ALICE, WRONG).status == 401

    def test_own_accounts_sign_in_where_nobody_is_asked_for_more(
        self, accounts: Accounts, served: RunningProvider
    ) -> None:
        """Those whom PAM does not know are asked the same, unless their password is right."""
        accounts.serve("auth required pam_unix.so nodelay\nauth required pam_ftp.so\n")
        told = [Browser.at(served).sign_in(email, WRONG) for email in (LENA, address("otto"))]
        assert [page.path for page in told] == [QUESTIONS, QUESTIONS]
        assert by_password(served, ALICE, ALICES)[0] == 200

    def test_a_passkey_after_it(
        self, accounts: Accounts, serve: Serve, backend: PamBackend, coded: None
    ) -> None:
        served = serve(backend, second_step="required")
        browser = Browser.at(served)
        page = answer(browser, browser.sign_in(LENA, PASSWORD), code(0))
        assert page.path.endswith("/new-passkey")
        key = registered(served, LENA)
        browser = Browser.at(served)
        page = answer(browser, browser.sign_in(LENA, PASSWORD), code(1))
        assert page.path == "/browserid/second-step"
        assert use(browser, key, page).path == "/browserid/account"


class TestPrograms:
    def test_a_password_is_enough_where_no_more_is_asked(self, served: RunningProvider) -> None:
        assert by_password(served, LENA)[0] == 401
        assert by_password(served, LENA, PASSWORD)[0] == 200

    @pytest.mark.usefixtures("coded")
    def test_they_are_sent_to_a_browser_where_more_is(self, served: RunningProvider) -> None:
        status, answered = by_password(served, LENA, PASSWORD)
        assert (status, answered["error"]) == (403, "more-asked")

    def test_an_account_of_the_system_gets_nothing(self, served: RunningProvider) -> None:
        told = [by_password(served, address(name), PASSWORD) for name in ("root", "nobody")]
        assert told[0] == told[1]
        assert told[0][0] == 401

    @pytest.mark.parametrize("change", CHANGES)
    def test_what_they_have_ends_with_what_has_changed(
        self, accounts: Accounts, served: RunningProvider, change: str
    ) -> None:
        browser = Browser.at(served)
        browser.sign_in(LENA, PASSWORD)
        machine = Machine(served, LENA)
        assert machine.renew()[0] == 200
        do, denial = CHANGES[change]
        do(accounts)
        status, answered = machine.renew()
        assert (status, answered["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"
        assert browser.open("/browserid/account").path == "/browserid/sign-in"
        [ended] = events(served, "vouching-ended")
        assert (ended["email"], ended["reason"]) == (LENA, denial.value)

    def test_another_number_is_another_person(
        self, accounts: Accounts, served: RunningProvider
    ) -> None:
        Browser.at(served).sign_in(LENA, PASSWORD)
        machine = Machine(served, LENA)
        accounts.renumber("lena", 3000)
        assert by_password(served, LENA, PASSWORD)[1]["error"] == "other-person"
        assert machine.renew()[0] == 401

    def test_a_system_that_is_out_of_order_ends_nothing(
        self, accounts: Accounts, served: RunningProvider
    ) -> None:
        Browser.at(served).sign_in(LENA, PASSWORD)
        machine = Machine(served, LENA)
        service = accounts.etc / "pam.d" / "browserid-idp"
        text = service.read_text()
        service.unlink()
        status, answered = machine.renew()
        assert (status, answered["error"]) == (503, "backend-unavailable")
        assert Browser.at(served).sign_in(LENA, PASSWORD).status == 503
        service.write_text(text)
        assert machine.renew()[0] == 200


class Questions:
    """An exchange of nobody's, which says whether it was ended."""

    knows = True
    asked = Asked((Prompt("?", hidden=True),))

    def __init__(self) -> None:
        self.ended = False

    def answer(self, answers: object) -> None:
        """Ask for more."""

    def end(self) -> None:
        self.ended = True


class TestExchanges:
    def wait(self) -> Waiting:
        return Waiting("desks", LENA, Questions())

    def test_one_is_taken_once(self) -> None:
        exchanges, waiting = Exchanges(), self.wait()
        token = exchanges.keep(waiting, "192.0.2.1")
        assert exchanges.find(token) is waiting
        assert exchanges.find(f"{token}x") is None
        assert exchanges.take(token) is waiting
        assert exchanges.take(token) is None
        assert exchanges.find(token) is None

    def test_one_that_nobody_comes_back_to_is_ended(self) -> None:
        exchanges, questions = Exchanges(patience=0.01), Questions()
        token = exchanges.keep(Waiting("desks", LENA, questions), "192.0.2.1")
        wait_until(lambda: questions.ended, "the end of an exchange")
        assert exchanges.take(token) is None

    def test_a_network_has_a_few_and_leaves_room_for_others(self) -> None:
        exchanges = Exchanges()
        for number in range(MOST_OF_A_NETWORK):
            exchanges.keep(self.wait(), f"2001:db8::{number:x}")
        questions = Questions()
        with pytest.raises(RefusedError) as caught:
            exchanges.keep(Waiting("desks", LENA, questions), "2001:db8::ffff")
        assert (caught.value.word, questions.ended) == ("too-many-exchanges", True)
        assert exchanges.keep(self.wait(), "2001:db8:1::1")

    def test_there_is_an_end_to_them(self) -> None:
        exchanges = Exchanges()
        for number in range(MOST):
            exchanges.keep(self.wait(), f"192.0.2.{number}")
        with pytest.raises(RefusedError) as caught:
            exchanges.keep(self.wait(), "198.51.100.1")
        assert caught.value.status == 429


@pytest.mark.usefixtures("coded")
def test_no_secret_is_in_the_audit_log(served: RunningProvider) -> None:
    browser = Browser.at(served)
    answer(browser, browser.sign_in(LENA, PASSWORD), "000000")
    log = json.dumps(served.audit_log())
    assert PASSWORD not in log
    assert "000000" not in log
