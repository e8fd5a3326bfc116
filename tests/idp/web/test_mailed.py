"""Signing in to a fallback provider by mail: what people do, and what others try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from browserid_sasl.idp.mail_limits import DAY_MS, HOUR_MS, MINUTE_MS, NOT_ME_MS, OF_NETWORK
from browserid_sasl.idp.mailed_codes import LIFE_MS, TRIES
from browserid_sasl.idp.web import paths
from browserid_sasl.web.refusal import RefusedError
from tests.idp.web.test_device import Machine, type_in
from tests.support.browser import Browser, Shown
from tests.support.fallback import FALLBACK, NOBODY, UNCLEAR, RunningFallback, running_fallback
from tests.support.patience import wait_until

BOB = "bob@nobody.test"

NO_ADDRESSES = [
    "alice@nobody.test\r\nBcc: eve@evil.test",
    "alice@nobody.test\nX: y",
    "alice@nobody.test, eve@evil.test",
    "alice@nobody.test,eve@evil.test",
    "eve@evil.test alice@nobody.test",
    '"a\r\nBcc: eve@evil.test"@nobody.test',
    '"x y"@nobody.test',
    "<alice@nobody.test>",
    "alice@nobody.test> SIZE=1",
    "alice@evil.test@nobody.test",
    "alice%evil.test@nobody.test\0",
    "alice@[127.0.0.1]",
    "alice@127.0.0.1",
    "alice@localhost",
    "alice@mail.localhost",
    "alice@nobody",
    "@nobody.test",
    "=?utf-8?q?a?=@nobody.test\t",
    f"{'a' * 65}@nobody.test",
    f"a@{'b' * 64}.test",
]

LOOK_ALIKES = [
    "alice@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test",
    "alice@ex\N{CYRILLIC SMALL LETTER A}mple.test",
    "\N{CYRILLIC SMALL LETTER A}lice@nobody.test",
    "alice@NOBODY.\N{KELVIN SIGN}test",
    "alice@nobody\N{FULLWIDTH FULL STOP}test",
    "\N{FULLWIDTH LATIN SMALL LETTER A}lice@nobody.test",
    "alice\N{FULLWIDTH COMMERCIAL AT}nobody.test",
    "al\N{LATIN SMALL LETTER DOTLESS I}ce@nobody.test",
    "alice\N{ZERO WIDTH SPACE}@nobody.test",
    "alice\N{SOFT HYPHEN}@nobody.test",
    "a\N{COMBINING ACUTE ACCENT}lice@nobody.test",
    '"\N{CYRILLIC SMALL LETTER A}lice"@nobody.test',
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFallback]:
    with running_fallback(tmp_path_factory.mktemp("fallback") / "provider") as site:
        yield site


@pytest.fixture
def site(shared: RunningFallback) -> RunningFallback:
    """The same for all, days later: nothing counts any more of what came before."""
    shared.clock.now += 2 * DAY_MS
    shared.fallback.limits.allow(NOBODY, "a test", shared.clock.now)
    shared.mailbox.deliveries.clear()
    shared.domains.clear()
    shared.asked.clear()
    return shared


def ask(browser: Browser, email: str = NOBODY, goal: str = "") -> Shown:
    """Ask for a mail; what is shown then."""
    page = browser.open(paths.with_query(paths.SIGN_IN, next=goal))
    fields = {"csrf": page.csrf(), "email": email, "next": goal}
    return browser.post(paths.SIGN_IN, fields)


def give(browser: Browser, page: Shown, code: str, email: str = NOBODY) -> Shown:
    """Type a code."""
    return browser.post(paths.MAIL, {"csrf": page.csrf(), "email": email, "code": code})


def press(browser: Browser, link: str, decision: str = "allow", letters: str = "") -> Shown:
    """Open a link, and press a button of what it shows."""
    page = browser.open(link)
    fields = {"csrf": page.csrf(), "decision": decision, "letters": letters, "sure": "yes"}
    return browser.post(link, fields)


def is_signed_in(browser: Browser, email: str = NOBODY) -> bool:
    return f"You are signed in as {email}." in browser.open(paths.ACCOUNT).text


def letters_of(page: Shown) -> str:
    found = re.search(r"letters: ([A-Z]{4})\.", page.text)
    assert found is not None
    return found[1]


class TestTheCode:
    def test_signs_in_where_it_was_asked_for(self, site: RunningFallback) -> None:
        browser = site.browser()
        page = ask(browser)
        assert page.path == paths.MAIL
        assert give(browser, page, site.mailbox.wait().code).path == paths.ACCOUNT
        assert is_signed_in(browser)

    def test_may_be_typed_with_its_space(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, code = ask(browser), site.mailbox.wait().code
        give(browser, page, f" {code[:3]} {code[3:]} ")
        assert is_signed_in(browser)

    def test_is_worth_nothing_in_another_browser(self, site: RunningFallback) -> None:
        ask(site.browser())
        code, other = site.mailbox.wait().code, site.browser()
        page = ask(other)
        assert give(other, page, code).status == 422
        assert not is_signed_in(other)

    def test_is_good_once(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, code = ask(browser), site.mailbox.wait().code
        give(browser, page, code)
        browser.session.cookies.pop("__Host-browserid-session")
        again = ask(browser, BOB)
        assert give(browser, again, code).status == 410

    def test_is_good_for_a_quarter_of_an_hour(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, code = ask(browser), site.mailbox.wait().code
        site.clock.now += LIFE_MS
        assert give(browser, page, code).status == 410
        assert not is_signed_in(browser)

    def test_can_be_guessed_a_few_times_and_then_not_even_known(
        self, site: RunningFallback
    ) -> None:
        browser = site.browser()
        page, code = ask(browser), site.mailbox.wait().code
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        statuses = [give(browser, page, wrong).status for _ in range(TRIES)]
        assert statuses == [422] * (TRIES - 1) + [410]
        assert give(browser, page, code).status == 410
        assert not is_signed_in(browser)
        assert "mail-code-wrong" in site.running.audit_log()

    def test_of_the_mail_before_is_good_too(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, first = ask(browser), site.mailbox.wait().code
        site.clock.now += MINUTE_MS
        ask(browser)
        site.mailbox.wait(2)
        give(browser, page, first)
        assert is_signed_in(browser)

    def test_is_not_in_the_database(self, site: RunningFallback) -> None:
        ask(site.browser())
        delivery = site.mailbox.wait()
        database = b"".join(
            file.read_bytes() for file in site.running.folder.path.glob("provider.sqlite*")
        )
        assert delivery.code.encode() not in database
        assert delivery.link.partition("token=")[2].encode() not in database
        assert delivery.code not in site.running.audit_log()

    def test_that_is_none(self, site: RunningFallback) -> None:
        browser = site.browser()
        page = ask(browser)
        site.mailbox.wait()
        for code in ("", "x", "\N{ARABIC-INDIC DIGIT ONE}" * 6, "9" * 10_000):
            assert give(browser, page, code).status in (409, 422)
        assert not is_signed_in(browser)


class TestTheLink:
    def test_signs_in_in_the_browser_that_has_asked(self, site: RunningFallback) -> None:
        browser = site.browser()
        ask(browser, goal=f"{paths.DEVICE}?user_code=X")
        page = press(browser, site.mailbox.wait().link)
        assert (page.path, page.query) == (paths.DEVICE, "user_code=X")
        assert is_signed_in(browser)

    def test_changes_nothing_when_a_scanner_opens_it(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, link = ask(browser), site.mailbox.wait().link
        scanner = site.browser()
        for _ in range(20):
            assert scanner.open(link).status == 200
            scanner.session.head(scanner.url + link, timeout=30)
        assert not is_signed_in(scanner)
        assert give(browser, page, "").status == 409
        press(browser, link)
        assert is_signed_in(browser)

    def test_nor_when_it_presses_all_buttons_that_there_are(self, site: RunningFallback) -> None:
        browser = site.browser()
        page, link = ask(browser), site.mailbox.wait().link
        scanner = site.browser()
        for _ in range(2 * TRIES):
            shown = scanner.open(link)
            assert len(shown.forms) >= 2
            for form in shown.forms:
                for name, value in form.buttons:
                    empty = dict.fromkeys({"letters"} & form.fields.keys(), "")
                    fields = form.fields | empty | {name: value}
                    # Of another language, which it may well choose.
                    if urlsplit(form.action).path == paths.MAIL_LINK:
                        assert scanner.post(form.action, fields).status == 422
        assert not is_signed_in(scanner)
        assert give(browser, page, "").status == 409
        press(browser, link)
        assert is_signed_in(browser)

    def test_elsewhere_signs_in_where_it_was_asked_for(self, site: RunningFallback) -> None:
        browser, phone = site.browser(), site.browser()
        page = ask(browser)
        done = press(phone, site.mailbox.wait().link, letters=letters_of(page).lower())
        assert "The other browser may go on" in done.text
        assert not is_signed_in(phone)
        give(browser, page, "")
        assert is_signed_in(browser)

    def test_elsewhere_takes_letters_that_only_the_one_that_asks_shows(
        self, site: RunningFallback
    ) -> None:
        """Or else people could be talked into letting in whoever asks in their name."""
        browser, phone = site.browser(), site.browser()
        page, link = ask(browser), site.mailbox.wait().link
        right = letters_of(page)
        wrong = "BBBB" if right != "BBBB" else "CCCC"
        statuses = [press(phone, link, letters=wrong).status for _ in range(TRIES)]
        assert statuses == [422] * (TRIES - 1) + [410]
        assert phone.open(link).status == 410
        assert give(browser, page, "").status == 409
        assert not is_signed_in(browser)

    def test_is_good_once(self, site: RunningFallback) -> None:
        browser = site.browser()
        ask(browser)
        link = site.mailbox.wait().link
        press(browser, link)
        assert browser.open(link).status == 410
        assert site.browser().open(link).status == 410

    def test_is_good_for_a_quarter_of_an_hour(self, site: RunningFallback) -> None:
        browser = site.browser()
        ask(browser)
        link = site.mailbox.wait().link
        site.clock.now += LIFE_MS
        assert browser.open(link).status == 410

    def test_that_is_none(self, site: RunningFallback) -> None:
        for token in ("", "x", "\0", "a" * 9_000):
            link = f"{paths.MAIL_LINK}?{urlencode({'token': token})}"
            assert site.browser().open(link).status in (400, 410)

    def test_leads_nowhere_else(self, site: RunningFallback) -> None:
        goals = ("https://evil.test/", "//evil.test", "/\\evil.test", "/x")
        for count, goal in enumerate(goals, 1):
            browser = site.browser()
            ask(browser, f"p{count}@nobody.test", goal)
            page = press(browser, site.mailbox.wait(count).link)
            assert (page.path, page.location) == (paths.ACCOUNT, "")

    def test_is_not_pressed_by_another_site(self, site: RunningFallback) -> None:
        browser = site.browser()
        ask(browser)
        link = site.mailbox.wait().link
        fields = {"csrf": browser.open(link).csrf(), "decision": "allow"}
        evil = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}
        assert browser.post(link, fields, evil).status == 403
        assert not is_signed_in(browser)


class TestNotMe:
    def test_ends_what_was_asked_for(self, site: RunningFallback) -> None:
        thief, owner = site.browser(), site.browser()
        page = ask(thief)
        delivery = site.mailbox.wait()
        assert "Nobody was signed in" in press(owner, delivery.link, "not-me").text
        assert give(thief, page, delivery.code).status == 410
        assert thief.open(delivery.link).status == 410
        assert not is_signed_in(thief)

    def test_and_the_mail_for_half_a_year(self, site: RunningFallback) -> None:
        ask(site.browser())
        press(site.browser(), site.mailbox.wait().link, "not-me")
        for later in (MINUTE_MS, 2 * DAY_MS, NOT_ME_MS - 3 * DAY_MS):
            site.clock.now += later
            # Nothing is said of it.
            assert "one is on its way" in ask(site.browser()).text
        site.clock.now += DAY_MS
        ask(site.browser())
        site.mailbox.wait(2)
        assert [each.recipient for each in site.mailbox.deliveries] == [NOBODY] * 2

    def test_is_for_who_has_the_mail(self, site: RunningFallback) -> None:
        page = site.browser().open(f"{paths.MAIL_LINK}?token=guessed")
        assert page.status == 410
        assert not site.fallback.limits.allow(NOBODY, "test", site.clock.now)


class TestWhatIsNotSaid:
    """Whether a mail was sent: it would tell what others do, and who wants none."""

    def test_what_is_typed_is_answered_the_same(self, site: RunningFallback) -> None:
        page, other_page = ask(one := site.browser()), ask(other := site.browser())
        sent = site.mailbox.wait().code
        wrong = f"{(int(sent) + 1) % 1_000_000:06}"
        tried = [""] + [wrong] * (TRIES + 1) + [""]
        told = [
            [give(browser, shown, code).status for code in tried]
            for browser, shown in ((one, page), (other, other_page))
        ]
        assert told[0] == told[1] == [409, *[422] * (TRIES - 1), 410, 410, 409]
        assert '"event":"mail-spared"' in site.running.audit_log()

    def test_nor_where_its_owner_wants_none(self, site: RunningFallback) -> None:
        ask(site.browser())
        press(site.browser(), site.mailbox.wait().link, "not-me")
        site.clock.now += MINUTE_MS
        page = ask(browser := site.browser())
        assert [give(browser, page, "123456").status for _ in range(TRIES)] == [
            *[422] * (TRIES - 1),
            410,
        ]

    def test_what_was_not_sent_is_right_for_nobody(self, site: RunningFallback) -> None:
        browser = site.browser()
        page = ask(browser, BOB)
        visitor = browser.cookies["__Host-browserid-visitor"]
        codes, now = site.fallback.codes, site.clock.now
        mailed = codes.begin(NOBODY, visitor, "", "192.0.2.1", now, sent=False)
        assert give(browser, page, mailed.code).status == 422
        assert browser.open(f"{paths.MAIL_LINK}?token={mailed.token}").status == 410
        assert not is_signed_in(browser)
        site.mailbox.wait()

    def test_it_leaves_nothing_in_the_outbox(self, site: RunningFallback) -> None:
        for _ in range(3):
            ask(site.browser())
        ask(site.browser(), BOB)
        site.mailbox.wait(2)
        outbox = site.running.folder.path / "outbox"
        wait_until(lambda: not list(outbox.iterdir()), "the end of what is on its way")
        assert len(site.mailbox.deliveries) == 2


class TestGuessing:
    def test_in_many_browsers_and_networks_is_no_better(self, site: RunningFallback) -> None:
        """Each code that there is was sent to the owner, and is good for a few tries."""
        limits, codes, begun = site.fallback.limits, site.fallback.codes, site.clock.now
        known = []
        for number in range(24 * 6):
            now, browser = begun + number * 10 * MINUTE_MS, f"browser {number}"
            sent = limits.ask(NOBODY, f"198.51.{number // 250}.{number % 250}", now) is not None
            mailed = codes.begin(NOBODY, browser, "", "192.0.2.1", now, sent=sent)
            if sent:
                known.append((browser, mailed.code, now))
        assert len(known) == 10
        for browser, code, now in known:
            wrong = f"{(int(code) + 1) % 1_000_000:06}"
            for typed in [*[wrong] * TRIES, code]:
                with pytest.raises(RefusedError):
                    codes.type(NOBODY, browser, typed, "192.0.2.1", now)


class TestMailBombing:
    def test_a_plus_makes_no_other_mailbox(self, site: RunningFallback) -> None:
        limits, now = site.fallback.limits, site.clock.now

        def is_sent(at: int) -> bool:
            network = f"198.51.{at // 250}.{at % 250}"
            email = f"alice+{at}@nobody.test"
            return limits.ask(email, network, now + at * 10 * MINUTE_MS) is not None

        sent = [is_sent(at) for at in range(24 * 6)]
        assert (sum(sent[:6]), sum(sent)) == (5, 10)
        assert limits.ask(NOBODY, "192.0.2.1", now + 23 * HOUR_MS) is None
        assert limits.ask("+alice@nobody.test", "192.0.2.1", now) is not None

    def test_who_wants_none_gets_none_by_a_plus(self, site: RunningFallback) -> None:
        limits, now = site.fallback.limits, site.clock.now
        limits.not_me("alice+1@nobody.test", "192.0.2.1", now)
        for email in (NOBODY, "alice+2@nobody.test", "alice+1@nobody.test"):
            assert limits.ask(email, "192.0.2.1", now) is None
        assert limits.allow("alice+3@nobody.test", "a test", now)
        assert limits.ask(NOBODY, "192.0.2.1", now) is not None

    def test_what_cannot_be_delivered_to_is_that_address_alone(self, site: RunningFallback) -> None:
        limits, now = site.fallback.limits, site.clock.now
        token = limits.ask("alice+gone@nobody.test", "192.0.2.1", now)
        assert limits.bounced(token or "", now) == "alice+gone@nobody.test"
        later = now + HOUR_MS
        assert limits.ask("alice+gone@nobody.test", "192.0.2.1", later) is None
        assert limits.ask(NOBODY, "192.0.2.1", later) is not None

    def test_an_address_gets_one_a_minute(self, site: RunningFallback) -> None:
        texts = {ask(site.browser()).text.replace("", "") for _ in range(4)}
        ask(site.browser(), BOB)
        site.mailbox.wait(2)
        assert [each.recipient for each in site.mailbox.deliveries] == [NOBODY, BOB]
        # The same is said to all, but for the letters.
        assert len({re.sub(r"letters: [A-Z]{4}", "", text) for text in texts}) == 1

    def test_five_an_hour_and_ten_a_day(self, site: RunningFallback) -> None:
        limits, now = site.fallback.limits, site.clock.now
        # Every minute at first, when it is somebody else's turn every time; then six times an hour.
        minutes = (*range(2 * 60), *range(2 * 60, 24 * 60, 10))
        sent = [
            limits.ask(NOBODY, f"192.0.2.{at % 250}", now + at * MINUTE_MS) is not None
            for at in minutes
        ]
        assert sum(sent[:60]) == 5
        assert sum(sent) == 10

    def test_who_has_signed_in_before_is_counted_apart(self, site: RunningFallback) -> None:
        browser = site.browser()
        give(browser, ask(browser), site.mailbox.wait().code)
        browser.session.cookies.pop("__Host-browserid-session")
        for _ in range(5):
            site.clock.now += MINUTE_MS
            ask(site.browser())
        page = ask(browser)
        site.mailbox.wait(6)
        give(browser, page, site.mailbox.deliveries[-1].code)
        assert is_signed_in(browser)

    def test_a_network_asks_for_so_many_whatever_comes_of_it(self, site: RunningFallback) -> None:
        browser = site.browser()
        for number in range(OF_NETWORK):
            ask(browser, f"p{number}@nobody.test")
        asked = len(site.asked)
        page = ask(browser, "one-more@nobody.test")
        assert page.status == 429
        assert int(page.headers["Retry-After"]) in range(3590, 3601)
        # Nor is it asked about a domain any more.
        assert len(site.asked) == asked
        site.clock.now += HOUR_MS
        assert ask(browser, "one-more@nobody.test").status == 200

    def test_all_together_get_so_many(self, tmp_path: Path) -> None:
        with running_fallback(tmp_path / "provider", per_hour=3) as site:
            limits, now = site.fallback.limits, site.clock.now
            for at in range(3):
                assert limits.ask(f"p{at}@nobody.test", f"192.0.2.{at}", now) is not None
            page = ask(site.browser())
            assert (page.status, site.mailbox.deliveries) == (429, [])

    def test_an_ipv6_site_is_one_network(self, site: RunningFallback) -> None:
        limits, now = site.fallback.limits, site.clock.now
        for at in range(OF_NETWORK):
            limits.ask(f"p{at}@nobody.test", f"2001:db8:1:{at:x}::1", now)
        with pytest.raises(Exception, match="too many mails"):
            limits.ask(NOBODY, "2001:db8:1:ffff::1", now)
        assert limits.ask(NOBODY, "2001:db8:2::1", now) is not None


class TestTheMail:
    def test_says_what_it_is(self, site: RunningFallback) -> None:
        ask(site.browser())
        delivery = site.mailbox.wait()
        message = delivery.message
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["To"] == NOBODY
        assert message["From"] == f'"{FALLBACK}" <no-reply@{FALLBACK}>'
        assert message["Subject"] == f"Sign in at {FALLBACK}"
        assert message["Message-ID"].endswith(f"@{FALLBACK}>")
        assert message["Date"]
        assert message["Content-Language"] == "en"

    def test_comes_back_to_the_provider_and_nobody_else(self, site: RunningFallback) -> None:
        ask(site.browser())
        delivery = site.mailbox.wait()
        assert re.fullmatch(rf"bounces\+[0-9a-f]{{32}}@{FALLBACK}", delivery.sender)
        assert delivery.recipient == NOBODY

    def test_or_to_nobody(self, tmp_path: Path) -> None:
        with running_fallback(tmp_path / "provider", bounces="") as site:
            ask(site.browser())
            assert site.mailbox.wait().sender == ""

    def test_is_in_the_language_of_the_page(self, site: RunningFallback) -> None:
        browser = site.browser()
        browser.session.headers["Accept-Language"] = "de"
        ask(browser)
        delivery = site.mailbox.wait()
        assert delivery.message["Subject"] == f"Anmelden bei {FALLBACK}"
        assert "15 Minuten" in delivery.text

    def test_has_no_stranger_s_words(self, site: RunningFallback) -> None:
        browser = site.browser()
        browser.session.headers["User-Agent"] = "Buy-Now/1.0"
        browser.session.headers["Referer"] = "https://evil.test/buy-now"
        browser.session.headers["Accept-Language"] = "buy-now, x-evil;q=0.5"
        browser.session.headers["X-Forwarded-Host"] = "evil.test"
        browser.session.headers["X-Forwarded-For"] = "buy-now"
        browser.session.headers["Forwarded"] = 'host="evil.test"'
        browser.put_cookie("__Host-browserid-language", "buy-now")
        browser.put_cookie("__Host-browserid-known", "buy-now")
        ask(browser, goal=f"{paths.AUTHENTICATION}?machine=buy-now&state=buy-now")
        octets = site.mailbox.wait().octets.lower()
        assert b"buy-now" not in octets
        assert b"evil" not in octets

    def test_goes_to_nobody_for_what_is_no_address(self, site: RunningFallback) -> None:
        browser = site.browser()
        assert [email for email in NO_ADDRESSES if ask(browser, email).status != 422] == []
        assert (site.asked, site.mailbox.deliveries) == ([], [])

    def test_nor_for_one_that_looks_like_another(self, site: RunningFallback) -> None:
        """Addresses are ASCII: what looks like a letter of it and is none is refused."""
        browser = site.browser()
        assert [email for email in LOOK_ALIKES if ask(browser, email).status != 422] == []
        assert (site.asked, site.mailbox.deliveries) == ([], [])

    def test_a_domain_in_other_letters_is_shown_as_what_it_is(self, site: RunningFallback) -> None:
        email = "alice@xn--exmple-4nf.test"
        assert email in ask(site.browser(), email).text
        assert site.mailbox.wait().recipient == email

    def test_spellings_of_one_address_are_one(self, site: RunningFallback) -> None:
        for email in ("ALICE@Nobody.Test", '"alice"@nobody.test', NOBODY):
            ask(site.browser(), email)
        ask(site.browser(), BOB)
        site.mailbox.wait(2)
        assert [each.recipient for each in site.mailbox.deliveries] == [NOBODY, BOB]


class TestLookingFirst:
    def test_who_has_a_provider_is_sent_there(self, site: RunningFallback) -> None:
        site.domains["nobody.test"] = "idp.nobody.test"
        page = ask(site.browser())
        assert page.status == 403
        assert "Your domain has an identity provider of its own" in page.text
        assert "browserid login" in page.text
        assert site.mailbox.deliveries == []

    def test_of_whom_it_cannot_be_said_waits(self, site: RunningFallback) -> None:
        site.domains["nobody.test"] = UNCLEAR
        page = ask(site.browser())
        assert page.status == 503
        assert site.mailbox.deliveries == []

    def test_who_has_delegated_to_it_is_at_home(self, site: RunningFallback) -> None:
        site.domains["nobody.test"] = FALLBACK
        ask(site.browser())
        site.mailbox.wait()

    def test_its_own_domain_is_not_asked(self, site: RunningFallback) -> None:
        ask(site.browser(), f"bob@{FALLBACK}")
        site.mailbox.wait()
        assert site.asked == []


class TestOtherPages:
    def test_what_is_said_of_renewals_is_that_their_use_extends_none(
        self, site: RunningFallback
    ) -> None:
        browser = site.browser()
        give(browser, ask(browser), site.mailbox.wait().code)
        page = type_in(browser, Machine(site.running, NOBODY).code)
        assert "may renew without asking until" in page.text
        assert "as long as it is used" not in page.text

    def test_there_is_nothing_to_sign_in_with_but_mail(self, site: RunningFallback) -> None:
        browser = site.browser()
        give(browser, ask(browser), site.mailbox.wait().code)
        account = browser.open(paths.ACCOUNT)
        assert "Passkeys" not in account.text
        assert "Password" not in account.text
        for path in (paths.PASSWORD, paths.NEW_PASSKEY, paths.SECOND_FACTOR, paths.INVITATION):
            assert browser.open(path).status == 404

    def test_an_account_that_had_a_password_is_not_signed_in_to_with_it(
        self, site: RunningFallback
    ) -> None:
        browser = site.browser()
        page = browser.open(paths.SIGN_IN)
        fields = {"csrf": page.csrf(), "email": f"alice@{FALLBACK}"}
        browser.post(paths.SIGN_IN, fields | {"password": "correct horse battery staple"})
        assert not is_signed_in(browser, f"alice@{FALLBACK}")
