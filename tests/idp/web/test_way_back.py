"""Whatever comes between, people get back to where they were going, in words they understand."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import pytest

from browserid_sasl.idp import (
    authorization_request,
    challenges,
    devices,
    invitations,
    means,
    passkey_answers,
    passkeys,
    totp,
    wishes,
)
from browserid_sasl.idp.web import device, forms, machines, paths
from browserid_sasl.idp.web.errors import explain
from browserid_sasl.idp.web.languages import LANGUAGES
from browserid_sasl.idp.web.visit import FRESH_MS
from browserid_sasl.web import bodies
from browserid_sasl.web.refusal import RefusedError
from tests.idp.web.test_consent import asked
from tests.idp.web.test_device import Machine, decide, type_in
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, PASSWORD, RunningProvider

GERMAN = {"Accept-Language": "de"}
WORD = re.compile("[a-z]+(-[a-z]+)+")


def links(page: Shown) -> list[str]:
    """Where the links in a page lead."""
    return [given["href"] for tag, given in page.tags if tag == "a"]


def goes_on(browser: Browser, page: Shown) -> Shown:
    """Sign in where the first of its links leads to."""
    again = next(each for each in links(page) if each != paths.ACCOUNT)
    page = browser.open(again)
    if "password" not in page.form(paths.SIGN_IN).fields:
        page = browser.submit(page, paths.SIGN_IN, email=ALICE)
    return browser.submit(page, paths.SIGN_IN, password=PASSWORD)


def in_german(browser: Browser, page: Shown) -> Shown:
    return browser.submit(page, paths.LANGUAGE, language="de")


class TestAFormThatHasExpired:
    @pytest.mark.parametrize(
        "goal", [paths.DEVICE + "?user_code=BCDF-GHJK", asked()], ids=["device", "program"]
    )
    def test_of_a_passkey_leads_to_where_the_sign_in_leads(
        self, browser: Browser, goal: str
    ) -> None:
        page = browser.open(goal)
        browser.session.cookies.clear()
        page = browser.submit(page, paths.PASSKEY, response="{}")
        assert page.status == 403
        page = goes_on(browser, page)
        assert (page.path, page.query) == (urlsplit(goal).path, urlsplit(goal).query)

    def test_of_consent_leads_to_the_question(self, browser: Browser) -> None:
        page = browser.sign_in(goal=asked())
        page = browser.submit(page, paths.AUTHENTICATION, csrf="x")
        assert page.status == 403
        assert browser.open(links(page)[1]).form(paths.AUTHENTICATION)

    def test_of_a_language_leads_to_the_page(self, browser: Browser) -> None:
        page = browser.open(paths.with_query(paths.SIGN_IN, email=ALICE, next=paths.DEVICE))
        browser.session.cookies.clear()
        assert goes_on(browser, in_german(browser, page)).path == paths.DEVICE

    def test_that_nobody_knows_where_it_was_leads_to_where_it_came_from(
        self, browser: Browser
    ) -> None:
        came_from = {"Referer": f"{browser.origin}{paths.DEVICE}?user_code=BCDF-GHJK"}
        page = browser.post(paths.PASSKEY, {}, came_from)
        assert goes_on(browser, page).path == paths.DEVICE
        page = browser.post(paths.PASSKEY, {}, {"Referer": "https://evil.test/browserid/device"})
        assert set(links(page)) == {paths.ACCOUNT}


class TestWhatCannotBeRead:
    def test_in_an_address_is_not_opened_again(self, browser: Browser) -> None:
        for query in ("email=%ff", "email=a&email=b", "&".join("a" * 40)):
            page = browser.open(f"{paths.SIGN_IN}?{query}")
            assert page.status == 400
            assert set(links(page)) == {paths.ACCOUNT}

    def test_in_a_form_leads_to_the_form(self, browser: Browser) -> None:
        page = browser.post(f"{paths.SIGN_IN}?next={paths.DEVICE}", b"csrf=%ff")
        assert page.status == 400
        assert goes_on(browser, page).path == paths.DEVICE


class TestASessionThatEnds:
    def test_before_the_code_was_sent_keeps_the_code(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        machine = Machine(running)
        browser.sign_in()
        page = browser.open(paths.DEVICE)
        running.provider.sessions.end_all(ALICE)
        page = browser.submit(page, paths.DEVICE, user_code=machine.code)
        page = browser.submit(page, paths.SIGN_IN, email=ALICE)
        page = browser.submit(page, paths.SIGN_IN, password=PASSWORD)
        assert page.form(paths.DEVICE).fields["user_code"] == machine.code

    def test_at_the_question_keeps_it_too_and_decides_nothing(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        machine = Machine(running)
        browser.sign_in()
        page = type_in(browser, machine.code)
        running.provider.sessions.end_all(ALICE)
        page = decide(browser, page, "allow")
        page = browser.submit(page, paths.SIGN_IN, email=ALICE)
        page = browser.submit(page, paths.SIGN_IN, password=PASSWORD)
        assert page.form(paths.DEVICE).fields["user_code"] == machine.code
        assert machine.poll()["error"] == "authorization_pending"


class TestAnotherLanguage:
    def test_loses_no_recovery_codes(self, browser: Browser) -> None:
        browser.sign_in()
        page = browser.open(paths.RECOVERY_CODES)
        assert [form for form in page.forms if form.action == paths.LANGUAGE]
        page = browser.submit(page, paths.RECOVERY_CODES)
        assert "They are shown this once." in page.text
        assert not [form for form in page.forms if form.action == paths.LANGUAGE]

    def test_loses_no_code_of_a_machine(self, browser: Browser, running: RunningProvider) -> None:
        machine = Machine(running)
        browser.sign_in()
        page = in_german(browser, type_in(browser, machine.code))
        assert 'lang="de"' in page.html
        page = browser.submit(page, paths.DEVICE)
        assert "server" in page.text
        page = in_german(browser, type_in(browser, "BCDF-GHJK"))
        assert page.form(paths.DEVICE).fields["user_code"] == "BCDF-GHJK"

    def test_of_an_error_leads_to_the_page_that_it_was_about(self, browser: Browser) -> None:
        page = browser.open(paths.with_query(paths.SIGN_IN, next=paths.DEVICE))
        page = browser.submit(page, paths.PASSKEY, csrf="x")
        assert page.status == 403
        page = in_german(browser, page)
        assert page.path == paths.SIGN_IN
        assert parse_qs(page.query)["next"] == [paths.DEVICE]


class TestCancelling:
    def test_the_sign_in_for_a_machine_signs_nothing_in(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        machine = Machine(running)
        page = browser.open(f"{paths.DEVICE}?user_code={machine.code}")
        assert paths.DEVICE_CANCELLED in links(page)
        page = browser.submit(page, paths.SIGN_IN, email=ALICE)
        assert paths.DEVICE_CANCELLED in links(page)
        page = browser.open(paths.DEVICE_CANCELLED)
        assert (page.status, page.path) == (200, paths.DEVICE_CANCELLED)
        assert paths.DEVICE in links(page)
        assert machine.poll()["error"] == "authorization_pending"

    def test_another_sign_in_leads_back_to_the_account(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        browser.sign_in()
        running.clock.now += FRESH_MS + 1
        page = browser.open(paths.PASSWORD)
        assert page.path == paths.SIGN_IN
        # The first leads there from every page.
        assert links(page).count(paths.ACCOUNT) == 2


class TestWaiting:
    def test_a_page_says_for_how_long_to_programs_too(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        browser.sign_in()
        pages = [type_in(browser, f"BBBB-BBB{letter}") for letter in "BCDFGHJKLMN"]
        assert pages[-1].status == 429
        assert 0 < int(pages[-1].headers["Retry-After"]) <= 600
        other = Browser.at(running)
        while (page := other.sign_in(password="wrong")).status == 401:
            assert "Retry-After" not in page.headers
        assert int(page.headers["Retry-After"]) > 0


# The words of every refusal


def words_of(module: ModuleType) -> Iterator[str]:
    """What a module's refusals are called."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in ("RefusedError", "_refused", "refused"):
            yield from (
                each.value
                for each in node.args[:2]
                if isinstance(each, ast.Constant)
                and isinstance(each.value, str)
                and WORD.fullmatch(each.value)
            )


MODULES = (
    *(authorization_request, challenges, invitations, means, passkey_answers, passkeys, totp),
    *(wishes, bodies, device, forms, machines),
)
PAGES = [importlib.import_module(f"browserid_sasl.idp.web.{name}") for name in ("forgery", "visit")]
ELSEWHERE = explain(RefusedError(400, "none of them", ""))


@pytest.mark.parametrize(
    "word", sorted({word for module in (*MODULES, *PAGES) for word in words_of(module)})
)
def test_every_refusal_is_explained_in_every_language(word: str) -> None:
    explanation = explain(RefusedError(400, word, ""))
    assert explanation != ELSEWHERE
    for language in LANGUAGES.values():
        assert all(language.gettext(text) for text in explanation if text)


def test_the_words_are_found() -> None:
    assert {"invalid-state", "stale-challenge", "no-machine"} <= {
        word for module in MODULES for word in words_of(module)
    }
    assert "too-many-attempts" in set(words_of(devices))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"redirect_uri": "https://evil.test/"}, "führt nicht zu diesem Gerät"),
        ({"state": ""}, "fehlt etwas"),
        ({"code_challenge": "x"}, "was seine Antwort schützt"),
        ({"public_key": "bm9uZQ"}, "lässt sich nicht beglaubigen"),
        ({"email": "alice@elsewhere.test"}, "nicht zu dieser Domain"),
        ({"machine": "a\x00b"}, "Name des Geräts"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_the_person_s_language(
    running: RunningProvider, change: dict[str, str], said: str
) -> None:
    page = Browser.at(running, GERMAN).open(asked(**change))
    assert page.status == 400
    assert re.search(said, page.text)
    assert page.location == ""


def test_a_refusal_that_a_script_asked_for_is_no_page(browser: Browser) -> None:
    answer = browser.post(paths.PASSKEY_OPTIONS, {}, {"Accept": "application/json"})
    assert json.loads(answer.html)["error"] == "form-expired"
