"""Large mail domains at a fallback provider: their people sign in at a real other provider."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.backends import OWN_ACCOUNTS, Backend
from browserid_sasl.idp.backends.oidc import OidcBackend
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.web import paths
from tests.idp.backends.test_people import Machine, events
from tests.idp.web.test_mailed import ask, give
from tests.support.browser import Browser, Shown
from tests.support.fallback import FALLBACK, NOBODY, UNCLEAR, RunningFallback, running_fallback
from tests.support.oidc import CLIENT, WITHOUT_REFRESH, OidcProvider, oidc_provider, path_of

BIG, ALSO_BIG, EITHER, EVIL = "bigmail.test", "bigmail.co.test", "either.test", "evilmail.test"
ORIGIN = f"https://{FALLBACK}"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def bigmail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """A large provider, with nobody in it yet."""
    folder = tmp_path_factory.mktemp("bigmail")
    with oidc_provider(folder, ("bigmail", "either", "bigger"), ORIGIN) as provider:
        yield provider


@pytest.fixture(scope="module")
def evilmail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """Another one, which says whatever its owner likes."""
    with oidc_provider(tmp_path_factory.mktemp("evilmail"), ("evilmail",), ORIGIN) as provider:
        yield provider


def big(bigmail: OidcProvider, client_id: str = CLIENT) -> OidcBackend:
    return bigmail.backend("bigmail", client_id, label="Bigmail", domains=(BIG, ALSO_BIG))


def by(*backends: Backend) -> Backends:
    """These, and mail for everybody else."""
    return Backends([*(each.name for each in backends), OWN_ACCOUNTS], backends)


@pytest.fixture(scope="module")
def shared(
    bigmail: OidcProvider, evilmail: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningFallback]:
    backends = by(
        big(bigmail),
        bigmail.backend("either", label="Either", domains=(EITHER,), mail_too=True),
        evilmail.backend("evilmail", label="Evilmail", domains=(EVIL,)),
    )
    path = tmp_path_factory.mktemp("fallback") / "provider"
    with running_fallback(path, backends=backends) as site:
        yield site


@pytest.fixture
def site(shared: RunningFallback) -> RunningFallback:
    shared.mailbox.deliveries.clear()
    shared.domains.clear()
    shared.asked.clear()
    return shared


@pytest.fixture
def lena(bigmail: OidcProvider) -> str:
    """The address of somebody who has it from the large provider."""
    return put(bigmail, f"lena{next(_NUMBERS)}")


def put(provider: OidcProvider, name: str, domain: str = BIG) -> str:
    """Have somebody at a provider, who is called there what is before the @."""
    email = f"{name}@{domain}"
    provider.put(name, email=email, email_verified=True)
    return email


def begin(browser: Browser, email: str) -> str:
    """Give an address, and go where the page leads at once: the other provider's URL."""
    page = ask(browser, email)
    assert page.status == 200, page.text
    refresh = page.headers["Refresh"].removeprefix("0; url=")
    shown = browser.open(refresh)
    assert shown.status == 303, shown.text
    return shown.location


def sign_in(browser: Browser, provider: OidcProvider, email: str, subject: str = "") -> Shown:
    """Sign in at a provider to which an address leads."""
    there = begin(browser, email)
    name = subject or email.partition("@")[0]
    return browser.open(path_of(provider.visitor().sign_in(there, name, ORIGIN)))


def is_signed_in(browser: Browser, email: str) -> bool:
    return f"You are signed in as {email}." in browser.open(paths.ACCOUNT).text


class TestWhoIsSentThere:
    def test_who_has_an_address_of_a_large_domain(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str
    ) -> None:
        browser = site.browser()
        assert sign_in(browser, bigmail, lena).path == paths.ACCOUNT
        assert is_signed_in(browser, lena)
        machine = Machine(site.running, lena)
        certificate = Certificate.parse(machine.certificate)
        assert (certificate.issuer, certificate.email) == (FALLBACK, lena)
        assert machine.renew()[0] == 200

    def test_all_of_its_domains_however_they_are_written(
        self, site: RunningFallback, bigmail: OidcProvider
    ) -> None:
        email = put(bigmail, f"lena{next(_NUMBERS)}", ALSO_BIG)
        browser = site.browser()
        sign_in(browser, bigmail, email.upper(), email.partition("@")[0])
        assert is_signed_in(browser, email)

    def test_a_program_that_says_the_address_leads_there_at_once(
        self, site: RunningFallback, lena: str
    ) -> None:
        page = site.browser().open(paths.with_query(paths.SIGN_IN, email=lena))
        assert lena in page.text
        assert page.headers["Refresh"].startswith("0; url=/browserid/upstream/bigmail?")
        assert "Mit Bigmail anmelden" in (
            site.browser({"Accept-Language": "de"})
            .open(paths.with_query(paths.SIGN_IN, email=lena))
            .text
        )

    def test_everybody_else_gets_a_mail(self, site: RunningFallback) -> None:
        browser = site.browser()
        give(browser, ask(browser), site.mailbox.wait().code)
        assert is_signed_in(browser, NOBODY)
        # Nor is a part of a name, or one that begins with it, that of the large provider.
        for domain in (f"mail.{BIG}", f"{BIG}.evil.test", f"x{BIG}"):
            assert ask(site.browser(), f"lena@{domain}").path == paths.MAIL
        # The tests after this one count from nothing.
        site.mailbox.wait(4)

    def test_nobody_gets_a_mail_as_a_way_around(self, site: RunningFallback, lena: str) -> None:
        browser = site.browser()
        csrf = browser.open(paths.SIGN_IN).csrf()
        fields = {"csrf": csrf, "email": lena, "by-mail": "yes"}
        assert "Refresh" in browser.post(paths.SIGN_IN, fields).headers
        page = browser.open(paths.with_query(paths.MAIL, email=lena))
        assert page.path == paths.SIGN_IN
        # What was asked for before the configuration said so is good no more.
        mailed = site.fallback.codes.begin(
            lena, browser.cookies["__Host-browserid-visitor"], "", "192.0.2.1", site.clock.now
        )
        page = browser.post(paths.MAIL, {"csrf": csrf, "email": lena, "code": mailed.code})
        assert (page.status, "sign in at another provider" in page.text) == (403, True)
        assert not is_signed_in(browser, lena)
        ask(site.browser(), email := f"after-{lena.partition('@')[0]}@nobody.test")
        assert site.mailbox.wait().recipient == email

    def test_who_may_choose_gets_either(self, site: RunningFallback, bigmail: OidcProvider) -> None:
        email = put(bigmail, f"lena{next(_NUMBERS)}", EITHER)
        browser = site.browser()
        page = ask(browser, email)
        assert "Refresh" not in page.headers
        mailed = browser.submit(page, paths.SIGN_IN, **{"by-mail": "yes"})
        assert mailed.path == paths.MAIL
        give(browser, mailed, site.mailbox.wait().code, email)
        assert is_signed_in(browser, email)
        other = site.browser()
        [link] = [
            given["href"] for tag, given in page.tags if "/upstream/" in given.get("href", "")
        ]
        there = other.open(link).location
        other.open(path_of(bigmail.visitor().sign_in(there, email.partition("@")[0], ORIGIN)))
        assert is_signed_in(other, email)


class TestWhoIsRefused:
    @pytest.mark.parametrize(
        ("claims", "words"),
        [
            ({"email": f"x@{BIG}", "email_verified": False}, "has not verified"),
            ({"email": f"x@{BIG}"}, "has not verified"),
            ({"email": "x@nobody.test", "email_verified": True}, "none that is certified"),
            ({"email": f"x@{EVIL}", "email_verified": True}, "none that is certified"),
            ({"email": f"x@{EITHER}", "email_verified": True}, "none that is certified"),
            ({"email": f"x@{FALLBACK}", "email_verified": True}, "none that is certified"),
            ({"email": f"x@{BIG}.evil.test", "email_verified": True}, "none that is certified"),
            ({"email": f"x@sub.{BIG}", "email_verified": True}, "none that is certified"),
            ({"email": f'"x y"@{BIG}', "email_verified": True}, "none that is certified"),
            ({"email": f"\N{KELVIN SIGN}ate@{BIG}", "email_verified": True}, "none that is"),
            ({"email": f"\N{CYRILLIC SMALL LETTER A}@{BIG}", "email_verified": True}, "none that"),
        ],
    )
    def test_an_address_that_the_provider_does_not_stand_for(
        self,
        site: RunningFallback,
        bigmail: OidcProvider,
        lena: str,
        claims: dict[str, object],
        words: str,
    ) -> None:
        bigmail.put(lena.partition("@")[0], **claims)
        browser = site.browser()
        page = sign_in(browser, bigmail, lena)
        assert (page.status, words in page.text) == (403, True), page.text
        assert browser.open(paths.ACCOUNT).path == paths.SIGN_IN
        assert not site.provider.accounts.exists(
            str(claims["email"]).replace("\N{KELVIN SIGN}", "k")
        )

    def test_another_person_who_has_got_the_address(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str
    ) -> None:
        sign_in(site.browser(), bigmail, lena)
        bigmail.put(f"next-{lena}", email=lena, email_verified=True)
        browser = site.browser()
        page = sign_in(browser, bigmail, lena, f"next-{lena}")
        assert (page.status, "somebody else's before" in page.text) == (403, True)
        assert not is_signed_in(browser, lena)

    def test_a_provider_does_not_speak_for_another_s_people(
        self, site: RunningFallback, evilmail: OidcProvider, lena: str
    ) -> None:
        evilmail.put("mallory", email=lena, email_verified=True)
        browser = site.browser()
        page = sign_in(browser, evilmail, f"mallory@{EVIL}")
        assert (page.status, "none that is certified" in page.text) == (403, True)
        assert not is_signed_in(browser, lena)

    def test_a_sign_in_that_one_provider_has_begun_is_not_ended_by_another(
        self, site: RunningFallback, bigmail: OidcProvider, evilmail: OidcProvider, lena: str
    ) -> None:
        """Mix-up (RFC 9207): the code of one is not redeemed at the other, nor taken as its."""
        put(evilmail, "mallory", EVIL)
        browser = site.browser()
        there = begin(browser, f"mallory@{EVIL}")
        state = parse_qs(urlsplit(there).query)["state"][0]
        victim = site.browser()
        good = bigmail.visitor().sign_in(begin(victim, lena), lena.partition("@")[0], ORIGIN)
        code = parse_qs(urlsplit(good).query)["code"][0]
        back = "/browserid/upstream/{}/back?{}"
        for name, iss, status in (
            ("bigmail", bigmail.issuer, 400),
            ("bigmail", evilmail.issuer, 400),
            ("evilmail", bigmail.issuer, 503),
        ):
            query = urlencode({"code": code, "state": state, "iss": iss})
            assert browser.open(back.format(name, query)).status == status
        assert browser.open(paths.ACCOUNT).path == paths.SIGN_IN
        # What was not redeemed there is good where it belongs.
        assert victim.open(path_of(good)).path == paths.ACCOUNT

    def test_a_domain_that_has_a_provider_of_its_own_is_still_asked_first(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str
    ) -> None:
        browser = site.browser()
        back = path_of(
            bigmail.visitor().sign_in(begin(browser, lena), lena.partition("@")[0], ORIGIN)
        )
        site.domains[BIG] = f"idp.{BIG}"
        page = browser.open(back)
        assert (page.status, "of its own" in page.text) == (403, True)
        other = site.browser()
        refresh = ask(other, lena).headers["Refresh"].removeprefix("0; url=")
        assert other.open(refresh).status == 403
        site.domains[BIG] = UNCLEAR
        assert other.open(refresh).status == 503
        assert not is_signed_in(browser, lena)


class TestWhatTheyHave:
    def test_the_provider_is_asked_at_every_renewal(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str
    ) -> None:
        sign_in(site.browser(), bigmail, lena)
        machine = Machine(site.running, lena)
        bigmail.remove(lena.partition("@")[0])
        status, answer = machine.renew()
        assert (status, answer["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"

    @pytest.mark.parametrize("address", [f"other@{BIG}", NOBODY])
    def test_and_what_it_says_then_counts(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str, address: str
    ) -> None:
        sign_in(site.browser(), bigmail, lena)
        machine = Machine(site.running, lena)
        bigmail.put(lena.partition("@")[0], email=address, email_verified=True)
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        [ended] = [each for each in events(site.running, "vouching-ended") if each["email"] == lena]
        assert ended["reason"] == "other-address"

    def test_it_ends_when_the_domain_gets_a_provider(
        self, site: RunningFallback, bigmail: OidcProvider, lena: str
    ) -> None:
        sign_in(site.browser(), bigmail, lena)
        machine = Machine(site.running, lena)
        site.domains[BIG] = BIG
        assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_by_mail_and_there_it_is_one_way_at_a_time(
        self, site: RunningFallback, bigmail: OidcProvider
    ) -> None:
        email = put(bigmail, f"lena{next(_NUMBERS)}", EITHER)

        def by_mail() -> Browser:
            browser = site.browser()
            site.mailbox.deliveries.clear()
            site.clock.now += 3_600_000
            page = browser.submit(ask(browser, email), paths.SIGN_IN, **{"by-mail": "yes"})
            give(browser, page, site.mailbox.wait().code, email)
            return browser

        def there() -> Browser:
            browser = site.browser()
            page = ask(browser, email)
            links = [given.get("href", "") for _, given in page.tags]
            [link] = [each for each in links if "/upstream/" in each]
            url = browser.open(link).location
            name = email.partition("@")[0]
            browser.open(path_of(bigmail.visitor().sign_in(url, name, ORIGIN)))
            return browser

        for one, other in ((by_mail, there), (there, by_mail)):
            browser = one()
            assert is_signed_in(browser, email)
            machine = Machine(site.running, email)
            assert machine.renew()[0] == 200
            assert is_signed_in(other(), email)
            assert machine.renew()[1]["error"] == "renewal-revoked"
            assert not is_signed_in(browser, email)


class TestAnotherConfiguration:
    """What becomes of live certificates when it says something else than before."""

    def test_a_domain_gets_a_provider_there(
        self, tmp_path: Path, bigmail: OidcProvider, lena: str
    ) -> None:
        path = tmp_path / "provider"
        with running_fallback(path) as site:
            browser = site.browser()
            give(browser, ask(browser, lena), site.mailbox.wait().code, lena)
            machines = [Machine(site.running, lena) for _ in range(2)]
        with running_fallback(path, backends=by(big(bigmail))) as site:
            for machine in machines:
                machine.running = site.running
            assert machines[0].renew()[1]["error"] == "no-longer-vouched"
            assert machines[1].renew()[1]["error"] == "renewal-revoked"
            browser = site.browser()
            sign_in(browser, bigmail, lena)
            assert is_signed_in(browser, lena)
            assert Machine(site.running, lena).renew()[0] == 200

    def test_who_signs_in_there_first_ends_what_came_of_mails(
        self, tmp_path: Path, bigmail: OidcProvider, lena: str
    ) -> None:
        path = tmp_path / "provider"
        with running_fallback(path) as site:
            browser = site.browser()
            give(browser, ask(browser, lena), site.mailbox.wait().code, lena)
            machine = Machine(site.running, lena)
        with running_fallback(path, backends=by(big(bigmail))) as site:
            sign_in(site.browser(), bigmail, lena)
            machine.running = site.running
            assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_a_domain_goes_to_another_provider_and_back_to_mail(
        self, tmp_path: Path, bigmail: OidcProvider, lena: str
    ) -> None:
        path = tmp_path / "provider"
        with running_fallback(path, backends=by(big(bigmail))) as site:
            sign_in(site.browser(), bigmail, lena)
            machine = Machine(site.running, lena)
        bigger = bigmail.backend("bigger", label="Bigger", domains=(BIG,))
        without = bigmail.backend("bigmail", label="Bigmail", domains=(ALSO_BIG,))
        with running_fallback(path, backends=by(without, bigger)) as site:
            machine.running = site.running
            assert machine.renew()[1]["error"] == "no-longer-vouched"
            browser = site.browser()
            sign_in(browser, bigmail, lena)
            assert is_signed_in(browser, lena)
            machine = Machine(site.running, lena)
        with running_fallback(path) as site:
            machine.running = site.running
            # A section that is left out may come back.
            assert machine.renew()[1]["error"] == "no-longer-vouched"
            browser = site.browser()
            give(browser, ask(browser, lena), site.mailbox.wait().code, lena)
            assert is_signed_in(browser, lena)
            assert machine.renew()[1]["error"] == "renewal-revoked"
            assert Machine(site.running, lena).renew()[0] == 200

    def test_without_a_refresh_token_that_ends_it_too(
        self, tmp_path: Path, bigmail: OidcProvider, lena: str
    ) -> None:
        path = tmp_path / "provider"
        with running_fallback(path, backends=by(big(bigmail, WITHOUT_REFRESH))) as site:
            sign_in(site.browser(), bigmail, lena)
            machine = Machine(site.running, lena)
            assert machine.renew()[0] == 200
        less = bigmail.backend("bigmail", WITHOUT_REFRESH, label="Bigmail", domains=(ALSO_BIG,))
        with running_fallback(path, backends=by(less)) as site:
            machine.running = site.running
            assert machine.renew()[1]["error"] == "no-longer-vouched"
