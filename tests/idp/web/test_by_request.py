"""Signing in by what a computer adds to a request: here a header with a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.idp.backends import (
    OWN_ACCOUNTS,
    Backend,
    Carried,
    Challenge,
    Denial,
    DeniedError,
    Identity,
    Known,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.rations import MOST_TOLD
from browserid_sasl.web.refusal import RefusedError
from tests.idp.web.test_second_steps import registered
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, DOMAIN, RunningProvider, running_provider

PREFIX = "/browserid"
DOOR = f"{PREFIX}/known/desks"
NEGOTIATION = "__Host-browserid-negotiation"
LENA = f"lena@{DOMAIN}"


@dataclass
class Headers:
    """Believes a header `X-Person`, and asks those twice who are in a hurry."""

    name: str = "desks"
    label: str = ""
    method: str = "kerberos"
    at_once: bool = False

    def look(self, carried: Carried) -> Known | Challenge:
        said = carried.only("x-person")
        if said == "nobody":
            raise DeniedError(Denial.NOT_ADMITTED)
        if said == "away":
            raise UnavailableError("it is away")
        if not said or (said == "twice" and carried.exchange != "once"):
            return Challenge({"WWW-Authenticate": "Person"}, "once" if said else "")
        return Known(Vouched(f"{said}@{DOMAIN}", said), {"WWW-Authenticate": "Person yes"})

    def check(self, identity: Identity) -> Vouched:
        return Vouched(identity.email, identity.subject)


class Forgetful(Headers):
    """Cannot keep what people were known by."""

    def keep_in(self, database: Database) -> None:
        pass

    def keep(self, email: str, known: Known) -> None:
        raise StoreError(Code.CACHE_ERROR, "it cannot be kept")


Serve = Callable[..., RunningProvider]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(
            *backends: Backend, own: bool = True, second_step: str = "code"
        ) -> RunningProvider:
            order = (*(each.name for each in backends), *((OWN_ACCOUNTS,) if own else ()))
            return stack.enter_context(
                running_provider(
                    tmp_path / "provider",
                    backends=Backends(order, backends),
                    second_step=second_step,  # type: ignore[arg-type]
                )
            )

        yield start


@pytest.fixture
def served(serve: Serve) -> RunningProvider:
    return serve(Headers())


def press(browser: Browser, person: str = "", *, following: str = "", **headers: str) -> Shown:
    """Press the button at a computer of somebody's."""
    page = browser.open(f"{PREFIX}/sign-in{following}")
    given = headers | ({"X-Person": person} if person else {})
    return browser.post(DOOR, page.form(DOOR).fields, given)


def is_signed_in(browser: Browser) -> bool:
    return browser.open(f"{PREFIX}/account").path == f"{PREFIX}/account"


class TestSigningIn:
    def test_the_button_signs_in_who_is_known(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        assert "Sign in with this computer's account" in browser.open(f"{PREFIX}/sign-in").text
        page = press(browser, "lena")
        assert (page.status, page.path) == (200, f"{PREFIX}/account")
        assert LENA in page.text
        identity = served.provider.outside.identity(LENA)
        assert identity is not None
        assert (identity.backend, identity.subject) == ("desks", "lena")

    def test_it_leads_to_where_somebody_wanted_to_go(self, served: RunningProvider) -> None:
        page = press(Browser.at(served), "lena", following=f"?next={PREFIX}/device")
        assert page.path == f"{PREFIX}/device"
        page = press(Browser.at(served), "lena", following="?next=https://evil.test/")
        assert page.path == f"{PREFIX}/account"

    def test_who_is_not_known_is_asked_and_led_back_to_the_other_ways(
        self, served: RunningProvider
    ) -> None:
        browser = Browser.at(served)
        page = press(browser, following=f"?next={PREFIX}/device")
        assert (page.status, page.headers["WWW-Authenticate"]) == (401, "Person")
        assert "Your browser has not said who you are" in page.text
        [back] = [given["href"] for tag, given in page.tags if tag == "a"][:1]
        assert browser.open(back).form(f"{PREFIX}/sign-in").fields["next"] == f"{PREFIX}/device"
        again = browser.post(DOOR, page.form(DOOR).fields, {"X-Person": "lena"})
        assert again.path == f"{PREFIX}/device"

    def test_it_may_take_several_requests(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        page = press(browser, "twice")
        assert page.status == 401
        assert browser.cookies[NEGOTIATION] == "once"
        page = browser.post(DOOR, page.form(DOOR).fields, {"X-Person": "twice"})
        assert page.path == f"{PREFIX}/account"
        assert NEGOTIATION not in browser.cookies

    def test_the_answer_has_the_backends_own_header(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        fields = browser.open(f"{PREFIX}/sign-in").form(DOOR).fields
        headers = {"X-Person": "lena", "Origin": browser.origin}
        answer = browser.session.post(
            f"{browser.url}{DOOR}", fields, headers=headers, allow_redirects=False, timeout=20
        )
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (303, "Person yes")

    @pytest.mark.parametrize("query", ["", f"?email={ALICE}"])
    def test_it_is_beside_the_other_ways(self, served: RunningProvider, query: str) -> None:
        page = Browser.at(served, {"Accept-Language": "de"}).open(f"{PREFIX}/sign-in{query}")
        assert "Mit dem Konto dieses Rechners anmelden" in page.text
        assert page.form(DOOR).method == "post"

    def test_it_is_called_what_the_administrator_calls_it(self, serve: Serve) -> None:
        page = Browser.at(serve(Headers(label="the desk"))).open(f"{PREFIX}/sign-in")
        assert "Sign in with the desk" in page.text

    @pytest.mark.parametrize("at_once", [False, True])
    def test_as_the_only_way_it_may_be_gone_at_once(self, serve: Serve, at_once: bool) -> None:
        page = Browser.at(serve(Headers(at_once=at_once), own=False)).open(f"{PREFIX}/sign-in")
        scripts = [given.get("src", "") for tag, given in page.tags if tag == "script"]
        assert any("at-once.js" in each for each in scripts) is at_once
        assert page.form(DOOR).fields["csrf"]

    def test_beside_others_nothing_is_at_once(self, serve: Serve) -> None:
        served = serve(Headers(at_once=True))
        assert "at-once.js" not in Browser.at(served).open(f"{PREFIX}/sign-in").html

    def test_a_second_step_follows(self, serve: Serve) -> None:
        served = serve(Headers(), second_step="required")
        assert press(Browser.at(served), "lena").path == f"{PREFIX}/account/new-passkey"
        registered(served, LENA)
        browser = Browser.at(served)
        assert press(browser, "lena").path == f"{PREFIX}/second-step"
        assert not is_signed_in(browser)


class TestWhoIsRefused:
    """Nobody is signed in, or as somebody else, by what a page elsewhere makes a browser send."""

    def test_a_link_signs_nobody_in(self, served: RunningProvider) -> None:
        browser = Browser.at(served, {"X-Person": "lena"})
        page = browser.open(DOOR)
        assert (page.status, page.form(DOOR).method) == (200, "post")
        assert "WWW-Authenticate" not in page.headers
        assert not is_signed_in(browser)

    @pytest.mark.parametrize(
        ("fields", "headers"),
        [
            ({}, {}),
            ({"csrf": "guessed"}, {}),
            (None, {"Sec-Fetch-Site": "cross-site"}),
            (None, {"Origin": "https://evil.test"}),
        ],
    )
    def test_nor_does_a_form_elsewhere(
        self,
        served: RunningProvider,
        fields: dict[str, str] | None,
        headers: dict[str, str],
    ) -> None:
        browser = Browser.at(served)
        own = browser.open(f"{PREFIX}/sign-in").form(DOOR).fields
        sent = own if fields is None else fields
        page = browser.post(DOOR, sent, {"X-Person": "lena", **headers})
        assert page.status == 403
        assert "WWW-Authenticate" not in page.headers
        assert not is_signed_in(browser)
        assert not served.provider.accounts.exists(LENA)

    def test_nor_a_form_that_was_shown_to_another_browser(self, served: RunningProvider) -> None:
        fields = Browser.at(served).open(f"{PREFIX}/sign-in").form(DOOR).fields
        browser = Browser.at(served)
        browser.open(f"{PREFIX}/sign-in")
        assert browser.post(DOOR, fields, {"X-Person": "lena"}).status == 403

    def test_an_account_of_the_providers_own_is_not_taken_over(
        self, served: RunningProvider
    ) -> None:
        browser = Browser.at(served)
        page = press(browser, ALICE.partition("@")[0])
        assert page.status == 403
        assert "signed in to in another way" in page.text
        assert not is_signed_in(browser)

    @pytest.mark.parametrize(("person", "status"), [("nobody", 403), ("away", 503)])
    def test_who_is_denied_or_cannot_be_looked_up(
        self, served: RunningProvider, person: str, status: int
    ) -> None:
        browser = Browser.at(served)
        page = press(browser, person)
        assert page.status == status
        assert not is_signed_in(browser)

    def test_strangers_do_not_fill_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        backends, away = Backends(("desks",), [Headers()]), Carried((("x-person", "away"),), "")
        for _ in range(5 * MOST_TOLD):
            with pytest.raises(RefusedError):
                backends.ask("desks", lambda _: Headers().look(away))
        said = [each for each in caplog.messages if each.startswith("backend desks: ")]
        # Another minute may have begun.
        assert MOST_TOLD <= len(said) <= 2 * MOST_TOLD

    def test_what_they_were_known_by_is_kept_or_nothing_is(self, serve: Serve) -> None:
        served = serve(Forgetful())
        browser = Browser.at(served)
        assert press(browser, "lena").status >= 500
        assert not is_signed_in(browser)
        assert not served.provider.accounts.exists(LENA)

    def test_a_header_that_is_there_twice_is_nobodys(self) -> None:
        carried = Carried((("x-person", "lena"), ("x-person", "mia")), "192.0.2.1")
        assert carried.only("x-person") == ""

    def test_a_backend_that_is_not_there(self, served: RunningProvider) -> None:
        assert Browser.at(served).open(f"{PREFIX}/known/others").status == 404

    def test_a_password_says_nothing_there(self, served: RunningProvider) -> None:
        press(Browser.at(served), "lena")
        assert Browser.at(served).sign_in(LENA, "a password").status == 401
