"""Signing in at another provider: a real one, on loopback."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select

from browserid_sasl.idp.backends import Backend, UnavailableError
from browserid_sasl.idp.backends.oidc import OidcBackend
from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.schema import bring_up_to_date
from browserid_sasl.idp.seal import Seal
from browserid_sasl.idp.upstream_tokens import UpstreamToken, UpstreamTokens
from tests.idp.backends.conftest import Serve
from tests.idp.backends.test_people import Machine, events
from tests.idp.web.test_device import DEVICE, type_in
from tests.idp.web.test_device import Machine as Waiting
from tests.idp.web.test_second_steps import registered
from tests.support.browser import Browser, Shown
from tests.support.oidc import WITHOUT_REFRESH, OidcProvider, oidc_provider, path_of
from tests.support.provider import ALICE, DOMAIN, RunningProvider, running_provider

PREFIX = "/browserid"
BEGIN, BACK = f"{PREFIX}/upstream/company", f"{PREFIX}/upstream/company/back"
UPSTREAM = "__Host-browserid-upstream"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """The other provider, with nobody in it yet."""
    folder = tmp_path_factory.mktemp("company")
    with oidc_provider(folder, ("company", "second")) as provider:
        yield provider


@pytest.fixture
def lena(company: OidcProvider) -> str:
    """Somebody who is known there; what they are called there is what is before the @."""
    name = f"lena{next(_NUMBERS)}"
    company.put(name, email=f"{name}@{DOMAIN}", email_verified=True, preferred_username=name)
    return name


@pytest.fixture
def served(serve: Serve, company: OidcProvider) -> RunningProvider:
    return serve(company.backend())


ServeOnly = Callable[..., RunningProvider]


@pytest.fixture
def serve_only(tmp_path: Path) -> Iterator[ServeOnly]:
    """Runs a provider without accounts of its own, until the test ends."""
    with ExitStack() as stack:

        def start(*backends: Backend) -> RunningProvider:
            order = [each.name for each in backends]
            return stack.enter_context(
                running_provider(tmp_path / "only", backends=Backends(order, backends))
            )

        yield start


def address(name: str) -> str:
    return f"{name}@{DOMAIN}"


def by_claim(company: OidcProvider) -> OidcBackend:
    """One that takes a claim for what is before the @."""
    return company.backend(local_part_claim="preferred_username", scopes=("profile",))


def sent(browser: Browser, page: str = BEGIN) -> str:
    """Where somebody is sent who begins."""
    shown = browser.open(page)
    assert shown.status == 303, shown.text
    return shown.location


def sign_in(browser: Browser, company: OidcProvider, name: str, page: str = BEGIN) -> Shown:
    return browser.open(path_of(company.visitor().sign_in(sent(browser, page), name)))


def is_signed_in(browser: Browser) -> bool:
    return browser.open(f"{PREFIX}/account").path == f"{PREFIX}/account"


class TestSigningIn:
    def test_the_first_one_makes_an_account(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser = Browser.at(served)
        page = sign_in(browser, company, lena)
        assert (page.status, page.path) == (200, f"{PREFIX}/account")
        assert address(lena) in page.text
        identity = served.provider.outside.identity(address(lena))
        assert identity is not None
        assert (identity.backend, identity.subject) == ("company", f"{company.issuer} {lena}")
        assert not served.provider.accounts.has_password(address(lena))

    def test_it_goes_on_to_where_somebody_wanted_to_go(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        page = sign_in(Browser.at(served), company, lena, f"{BEGIN}?next={PREFIX}/device")
        assert page.path == f"{PREFIX}/device"
        other = sign_in(Browser.at(served), company, lena, f"{BEGIN}?next=https://evil.test/")
        assert other.path == f"{PREFIX}/account"

    def test_what_it_is_asked(self, company: OidcProvider, served: RunningProvider) -> None:
        asked = parse_qs(urlsplit(sent(Browser.at(served), f"{BEGIN}?email={ALICE}")).query)
        assert asked["scope"] == ["openid email"]
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["login_hint"] == [ALICE]
        assert asked["redirect_uri"] == [f"https://{DOMAIN}{BACK}"]
        again = parse_qs(urlsplit(sent(Browser.at(served))).query)
        for name in ("state", "nonce", "code_challenge"):
            assert asked[name] != again[name]

    def test_to_change_what_they_sign_in_with_they_have_to_have_signed_in_just_now(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser, visitor = Browser.at(served), company.visitor()
        begin = f"{BEGIN}?again=1"
        assert parse_qs(urlsplit(sent(browser, begin)).query)["max_age"] == ["600"]
        page = browser.open(path_of(visitor.sign_in(sent(browser, begin), lena)))
        assert page.path == f"{PREFIX}/account"

    def test_the_pages_have_a_button_beside_the_password(self, served: RunningProvider) -> None:
        browser = Browser.at(served)
        for query in ("", f"?email={ALICE}"):
            page = browser.open(f"{PREFIX}/sign-in{query}")
            assert "Sign in with the Company" in page.text
            links = [given.get("href", "") for tag, given in page.tags if tag == "a"]
            assert [link for link in links if link.startswith(BEGIN)]
        german = Browser.at(served, {"Accept-Language": "de"})
        assert "Mit the Company anmelden" in german.open(f"{PREFIX}/sign-in").text

    def test_where_it_is_the_only_way_they_go_there_at_once(
        self, serve_only: ServeOnly, company: OidcProvider
    ) -> None:
        page = Browser.at(serve_only(company.backend())).open(f"{PREFIX}/sign-in")
        assert page.headers["Refresh"].startswith(f"0; url={BEGIN}")
        assert "password" not in page.html

    def test_of_two_they_choose(self, serve_only: ServeOnly, company: OidcProvider) -> None:
        served = serve_only(company.backend(), company.backend("second", label="Second"))
        page = Browser.at(served).open(f"{PREFIX}/sign-in")
        assert "Refresh" not in page.headers
        assert "Sign in with the Company" in page.text
        assert "Sign in with Second" in page.text

    def test_a_second_step_follows(self, company: OidcProvider, serve: Serve, lena: str) -> None:
        served = serve(company.backend(), second_step="required")
        page = sign_in(Browser.at(served), company, lena)
        assert page.path == f"{PREFIX}/account/new-passkey"
        registered(served, address(lena))
        assert sign_in(Browser.at(served), company, lena).path == f"{PREFIX}/second-step"

    def test_a_claim_can_have_what_is_before_the_at(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        company.put(lena, preferred_username=lena)
        browser = Browser.at(serve(by_claim(company)))
        assert address(lena) in sign_in(browser, company, lena).text

    def test_who_does_not_go_on_there_is_told_so(
        self, company: OidcProvider, served: RunningProvider
    ) -> None:
        browser = Browser.at(served)
        page = browser.open(path_of(company.visitor().cancel(sent(browser))))
        assert page.status == 403
        assert "came to nothing" in page.text
        assert not is_signed_in(browser)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "unverified": ({"email": f"x@{DOMAIN}", "email_verified": False}, "has not verified"),
    "verified in a word": ({"email": f"x@{DOMAIN}", "email_verified": "true"}, "has not verified"),
    "of unknown verification": ({"email": f"x@{DOMAIN}"}, "has not verified"),
    "foreign": ({"email": "x@elsewhere.test", "email_verified": True}, "none that is certified"),
    "almost ours": ({"email": f"x@{DOMAIN}.evil", "email_verified": True}, "none that is certif"),
    "almost in our letters": (
        {"email": f"\N{KELVIN SIGN}ate@{DOMAIN}", "email_verified": True},
        "none that is certified",
    ),
    "two": ({"email": f"x@{DOMAIN},y@evil.test", "email_verified": True}, "none that is certif"),
}


class TestWhoIsRefused:
    @pytest.mark.parametrize("wrong", WRONG)
    def test_an_address_that_is_not_theirs_or_not_ours(
        self, company: OidcProvider, served: RunningProvider, lena: str, wrong: str
    ) -> None:
        claims, words = WRONG[wrong]
        company.put(lena, **claims)
        browser = Browser.at(served)
        page = sign_in(browser, company, lena)
        assert page.status == 403
        assert words in page.text
        assert not is_signed_in(browser)
        assert not served.provider.accounts.exists(f"x@{DOMAIN}")

    def test_an_account_of_our_own_is_not_taken_over(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        company.put(lena, email=ALICE, email_verified=True)
        page = sign_in(Browser.at(served), company, lena)
        assert page.status == 403
        assert "signed in to in another way" in page.text

    def test_an_address_that_somebody_else_had_there(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        sign_in(Browser.at(served), company, lena)
        next_one = f"{lena}-next"
        company.put(next_one, email=address(lena), email_verified=True)
        page = sign_in(Browser.at(served), company, next_one)
        assert page.status == 403
        assert "somebody else" in page.text

    @pytest.mark.parametrize("name", [f"x@{DOMAIN}", "\N{KELVIN SIGN}ate"])
    def test_a_claim_with_what_cannot_be_before_the_at(
        self, company: OidcProvider, serve: Serve, lena: str, name: str
    ) -> None:
        company.put(lena, preferred_username=name)
        page = sign_in(Browser.at(serve(by_claim(company))), company, lena)
        assert (page.status, "none that is certified" in page.text) == (403, True)

    def test_a_sign_in_that_is_not_of_the_kind_that_is_needed(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(acr_values=("urn:strong",)))
        browser = Browser.at(served)
        assert parse_qs(urlsplit(sent(browser)).query)["acr_values"] == ["urn:strong"]
        page = sign_in(browser, company, lena)
        assert page.status == 403
        assert "not strong enough" in page.text

    def test_an_address_that_comes_back_is_good_once_and_in_one_browser(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser, other = Browser.at(served), Browser.at(served)
        back = path_of(company.visitor().sign_in(sent(browser), lena))
        began = browser.cookies[UPSTREAM]
        # The victim of somebody who wants them to be signed in as another.
        assert other.open(back).status == 400
        sent(other)
        assert other.open(back).status == 400
        assert browser.open(back).path == f"{PREFIX}/account"
        browser.put_cookie(UPSTREAM, began)
        assert browser.open(back).status == 400

    def test_it_takes_no_longer_than_it_may(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser = Browser.at(served)
        back = path_of(company.visitor().sign_in(sent(browser), lena))
        served.clock.now += 900_001
        page = browser.open(back)
        assert page.status == 400
        assert "took too long" in page.text

    def test_a_code_that_was_used_gets_nobody_in(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        """Not even with a state that is good: it is bound to the sign-in that it came of."""
        first, second = Browser.at(served), Browser.at(served)
        stolen = parse_qs(urlsplit(company.visitor().sign_in(sent(first), lena)).query)
        state = parse_qs(urlsplit(sent(second)).query)["state"][0]
        fields = {"code": stolen["code"][0], "state": state, "iss": company.issuer}
        page = second.open(f"{BACK}?{urlencode(fields)}")
        assert page.status == 503
        assert not is_signed_in(second)

    def test_one_provider_does_not_answer_for_another(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(), company.backend("second"))
        browser = Browser.at(served)
        back = path_of(company.visitor().sign_in(sent(browser), lena))
        began = browser.cookies[UPSTREAM]
        assert browser.open(back.replace("/company/", "/second/")).status == 400
        browser.put_cookie(UPSTREAM, began)
        assert browser.open(back).path == f"{PREFIX}/account"

    @pytest.mark.parametrize("iss", ["", "https://evil.test", None])
    def test_who_sends_somebody_back_says_who_it_is(
        self, company: OidcProvider, served: RunningProvider, lena: str, iss: str | None
    ) -> None:
        browser = Browser.at(served)
        url = company.visitor().sign_in(sent(browser), lena)
        fields = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert fields.pop("iss") == company.issuer
        fields |= {} if iss is None else {"iss": iss}
        assert browser.open(f"{BACK}?{urlencode(fields)}").status == 503
        assert not is_signed_in(browser)

    @pytest.mark.parametrize(
        "query", ["", "?state=", "?state=%00", "?state=AAAA", "?code=a&code=b"]
    )
    def test_what_nobody_was_sent_with(self, served: RunningProvider, query: str) -> None:
        for browser in (Browser.at(served), Browser.at(served, {"Cookie": f"{UPSTREAM}=%ff"})):
            assert browser.open(BACK + query).status == 400

    def test_a_provider_that_is_not_configured(self, served: RunningProvider) -> None:
        for name in ("other", "accounts", "..", "%00"):
            assert Browser.at(served).open(f"{PREFIX}/upstream/{name}").status == 404


class TestWhatTheyHave:
    @pytest.fixture
    def machine(self, company: OidcProvider, served: RunningProvider, lena: str) -> Machine:
        sign_in(Browser.at(served), company, lena)
        return Machine(served, address(lena))

    def test_it_is_renewed_again_and_again(self, machine: Machine) -> None:
        for _ in range(3):
            assert machine.renew()[0] == 200

    def test_several_programs_at_once_do_not_use_the_same_token(
        self, served: RunningProvider, machine: Machine, lena: str
    ) -> None:
        """Which would end all of it: this provider takes each token once."""
        machines = [machine, *(Machine(served, address(lena)) for _ in range(3))]
        with ThreadPoolExecutor() as pool:
            assert [each[0] for each in pool.map(Machine.renew, machines)] == [200] * 4
        assert machine.renew()[0] == 200

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            (None, "sign-in-over"),
            ({"email": f"another@{DOMAIN}", "email_verified": True}, "other-address"),
            ({"email_verified": False}, "unverified-address"),
        ],
    )
    def test_it_ends_with_what_has_changed_there(
        self,
        company: OidcProvider,
        served: RunningProvider,
        machine: Machine,
        lena: str,
        claims: dict[str, object] | None,
        reason: str,
    ) -> None:
        browser = Browser.at(served)
        sign_in(browser, company, lena)
        if claims is None:
            company.remove(lena)
        else:
            company.put(lena, **({"email": address(lena)} | claims))
        status, answer = machine.renew()
        assert (status, answer["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"
        assert not is_signed_in(browser)
        [ended] = [
            each for each in events(served, "vouching-ended") if each["email"] == address(lena)
        ]
        assert ended["reason"] == reason

    def test_it_ends_when_they_sign_out_there(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        browser, visitor = Browser.at(served), company.visitor()
        browser.open(path_of(visitor.sign_in(sent(browser), lena)))
        machine = Machine(served, address(lena))
        assert machine.renew()[0] == 200
        visitor.sign_out()
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        assert not is_signed_in(browser)

    def test_without_a_refresh_token_it_ends_by_itself(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(client_id=WITHOUT_REFRESH))
        sign_in(Browser.at(served), company, lena)
        machine = Machine(served, address(lena))
        assert machine.renew()[0] == 200
        ago = time.time_ns() // 1_000_000 - 600_000
        UpstreamTokens(served.provider.database).put(address(lena), "", ago)
        assert machine.renew()[1]["error"] == "no-longer-vouched"

    def test_it_is_not_good_for_longer_than_the_administrator_says(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(max_age=60_000))
        browser = Browser.at(served)
        assert parse_qs(urlsplit(sent(browser)).query)["max_age"] == ["60"]
        sign_in(browser, company, lena)
        machine = Machine(served, address(lena))
        tokens = UpstreamTokens(served.provider.database)
        with tokens.turn(address(lena), 1000) as kept:
            assert kept is not None
        assert kept.token
        tokens.put(address(lena), kept.token, kept.since - 60_000)
        assert machine.renew()[1]["error"] == "no-longer-vouched"


class TestWhatIsSaidBeforeAProgramIsAllowed:
    """Whether it can be kept signed in, and until when."""

    def ask(self, served: RunningProvider, company: OidcProvider, name: str) -> Shown:
        browser = Browser.at(served)
        sign_in(browser, company, name)
        waiting = Waiting(served, address(name))
        return type_in(browser, waiting.code)

    def test_as_long_as_it_is_used_with_a_refresh_token(
        self, company: OidcProvider, served: RunningProvider, lena: str
    ) -> None:
        assert "as long as it is used" in self.ask(served, company, lena).text

    def test_that_it_cannot_without_one(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(client_id=WITHOUT_REFRESH))
        page = self.ask(served, company, lena)
        assert "It cannot be kept signed in" in page.text
        assert "renewal" not in page.form(DEVICE).fields
        assert not [given for _, given in page.tags if given.get("name") == "renewal"]

    def test_until_the_sign_in_there_is_too_old(
        self, company: OidcProvider, serve: Serve, lena: str
    ) -> None:
        served = serve(company.backend(max_age=7_200_000))
        text = self.ask(served, company, lena).text
        over = served.provider.outside.over_at(address(lena))
        assert over is not None
        assert abs(over - served.clock.now - 7_200_000) < 120_000
        assert "may renew without asking until" in text
        assert "as long as it is used" not in text


def test_a_provider_that_is_down_ends_nothing(tmp_path: Path, serve: Serve) -> None:
    folder = tmp_path / "company"
    folder.mkdir()
    with oidc_provider(folder) as company:
        company.put("lena", email=address("lena"), email_verified=True)
        served = serve(company.backend())
        browser = Browser.at(served)
        back = path_of(company.visitor().sign_in(sent(browser), "lena"))
        other = Browser.at(served)
        sign_in(other, company, "lena")
        machine = Machine(served, address("lena"))
    assert browser.open(back).status == 503
    status, answer = machine.renew()
    assert (status, answer["error"]) == (503, "backend-unavailable")
    assert is_signed_in(other)
    assert events(served, "vouching-ended") == []


def test_what_it_is_asked_again_with_is_sealed(
    tmp_path: Path, company: OidcProvider, lena: str
) -> None:
    seal = Seal([bytes(32)])
    database = Database(tmp_path / "idp.sqlite", seal)
    bring_up_to_date(database)
    with database.transaction() as session:
        session.add(Account(email=address(lena), password="", created=0, changed=0))
    tokens = UpstreamTokens(database)
    tokens.put(address(lena), "the refresh token", 0)
    with database.reading() as session:
        [kept] = session.scalars(select(UpstreamToken.token))
    assert "refresh" not in kept
    with tokens.turn(address(lena), 1000) as found:
        assert found is not None
        assert found.token == "the refresh token"
        assert "refresh token" not in repr(found)
        with pytest.raises(UnavailableError), tokens.turn(address(lena), 100):
            pass
        # Who signs in meanwhile has the newer one.
        tokens.put(address(lena), "a newer one", 0)
        tokens.replace(found, "an older one")
        assert not tokens.is_of_now(found)
    with tokens.turn(address(lena), 1000) as found:
        assert found is not None
        assert found.token == "a newer one"
