"""The pages for administrators: who gets in, what is there, and what others try with them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import insert

from browserid_sasl.idp.administration import Administration
from browserid_sasl.idp.administrators import IDLE_MS
from browserid_sasl.idp.audit import AuditRow, Event, Question
from browserid_sasl.idp.backends import Identity, UnavailableError, Vouched
from browserid_sasl.idp.database import Account
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.site import PAGES
from browserid_sasl.idp.web.visit import FRESH_MS
from browserid_sasl.idp.wishes import Granted, Wish
from tests.support.administering import (
    answered,
    make_administrator,
    passkey_of,
    press_passkey,
    sign_in_with,
)
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, Shown
from tests.support.grants import Program
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

BOB = f"bob@{DOMAIN}"
CAROL = f"carol@{DOMAIN}"
PERSON = f"{paths.ADMIN_PERSON}?email={quote(BOB)}"
SHOWN = [page.path for page in PAGES if page.path.startswith(paths.ADMIN) and page.show]
SUBMITTED = [page.path for page in PAGES if page.path.startswith(paths.ADMIN) and page.submit]
NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7331*7331}}"
MANY = 100_000


@pytest.fixture
def alice(running: RunningProvider) -> Authenticator:
    """An administrator's device. Bob is there too, with a password."""
    running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
    return make_administrator(running)


@pytest.fixture
def inside(browser: Browser, alice: Authenticator) -> Browser:
    """The browser of an administrator who has signed in just now."""
    assert sign_in_with(browser, alice).path == paths.ADMIN
    return browser


def sign_machine_in(running: RunningProvider, email: str = BOB, name: str = "desk") -> int:
    """Have a machine get a certificate; its number."""
    wish = Wish(email, Program().key.public_key, name, "192.0.2.5")
    now = running.clock.now
    running.provider.renewals.issue(
        Granted(wish, renewal=True),
        now + 1_000,
        now,
        lambda: running.provider.audit.write(
            Event.CERTIFIED, now, email=email, client="192.0.2.5", key="k", machine=name
        ),
    )
    return running.provider.renewals.all(email, now)[0].id


def act(browser: Browser, do: str, page: str = PERSON, **fields: str) -> Shown:
    """Press a button of a page."""
    return browser.post(page, {"csrf": browser.open(page).csrf(), "do": do, **fields})


class TestWhoGetsIn:
    def test_an_administrator_with_a_passkey(self, inside: Browser) -> None:
        for path in SHOWN:
            assert inside.open(f"{path}?email={BOB}").path == path
        assert paths.ADMIN in inside.open(paths.ACCOUNT).html

    @pytest.mark.parametrize("path", SHOWN)
    def test_nobody_else(self, browser: Browser, alice: Authenticator, path: str) -> None:
        """Who is signed out signs in, as before any page; others are told that there is none."""
        assert browser.open(path).path == paths.SIGN_IN
        browser.sign_in(BOB)
        nowhere = browser.open("/browserid/nowhere")
        for address in (ALICE, BOB, f"nobody@{DOMAIN}"):
            page = browser.open(f"{path}?email={address}")
            assert page.status == 404
            assert page.text == nowhere.text
        assert "Administration" not in browser.open(paths.ACCOUNT).text

    def test_not_somebody_with_a_passkey_who_is_none(
        self, browser: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        assert sign_in_with(browser, passkey_of(running, BOB), BOB).status == 404

    def test_not_an_administrator_with_a_password(
        self, browser: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        browser.sign_in()
        for path in SHOWN:
            page = browser.open(path)
            assert page.status == 403
            assert "sign in with a passkey" in page.text
        for path in SUBMITTED:
            page = browser.post(path, {"csrf": page.csrf(), "do": "invite", "email": BOB})
            assert page.status == 403
        assert running.provider.invitations.open(running.clock.now, 9) == []
        assert '"reason":"passkey-needed"' in running.audit_log()
        # It leads on.
        page = press_passkey(browser, browser.open(PERSON), alice)
        assert (page.status, page.path) == (200, paths.ADMIN_PERSON)

    def test_nor_one_with_a_password_and_a_passkey_that_they_have_just_added(
        self, browser: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        """Whoever knows the password would be an administrator."""
        token = browser.sign_in().csrf()
        assert browser.open(paths.NEW_PASSKEY).status == 403
        options = running.provider.passkeys.registration_options(ALICE, running.clock.now)
        fields = {"csrf": token, "response": Authenticator().create(options)}
        for path in (paths.NEW_PASSKEY, paths.NEW_PASSKEY_OPTIONS):
            assert browser.post(path, fields).status == 403
        assert len(running.provider.passkeys.all(ALICE)) == 1
        assert sign_in_with(browser, alice, goal=paths.NEW_PASSKEY).status == 200

    def test_a_password_alone_takes_no_passkey_away(
        self, browser: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        """Whoever knows it would leave a domain without an administrator."""
        browser.sign_in()
        [passkey] = running.provider.passkeys.all(ALICE)
        page = f"{paths.ACCOUNT_PASSKEY}?id={passkey.id}"
        refused = act(browser, "remove", page)
        assert (refused.status, "passkeys are changed with care" in refused.text) == (403, True)
        assert running.provider.passkeys.all(ALICE) == [passkey]
        assert sign_in_with(browser, alice, goal=page).status == 200
        assert act(browser, "remove", page).path == paths.ACCOUNT
        assert running.provider.passkeys.all(ALICE) == []

    def test_one_who_has_no_passkey_is_told_how_to_get_one(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        running.provider.administrators.add(ALICE, "uid 0", running.clock.now)
        browser.sign_in()
        page = browser.open(paths.ADMIN)
        assert page.status == 403
        assert "Have yourself invited by a command" in page.text

    def test_the_one_who_is_removed_is_out_with_the_next_request(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        token = inside.open(PERSON).csrf()
        running.provider.administrators.remove(ALICE, "uid 0", running.clock.now)
        assert inside.open(paths.ADMIN).status == 404
        assert inside.post(PERSON, {"csrf": token, "do": "sessions"}).status == 404

    def test_an_account_that_is_removed_and_made_again_is_none(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        running.provider.accounts.remove(ALICE)
        running.provider.accounts.add(ALICE, PASSWORD, running.clock.now + 1)
        assert inside.open(paths.ADMIN).path == paths.SIGN_IN
        running.clock.now += 2
        inside.sign_in()
        assert inside.open(paths.ADMIN).status == 404


class TestForHowLong:
    def test_a_change_takes_a_sign_in_of_a_few_minutes_ago(
        self, inside: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        token = inside.open(PERSON).csrf()
        running.clock.now += FRESH_MS
        assert inside.open(PERSON).status == 200
        page = inside.post(PERSON, {"csrf": token, "do": "invite"})
        assert page.status == 403
        page = press_passkey(inside, page, alice)
        assert (page.path, page.query) == (paths.ADMIN_PERSON, f"email={quote(BOB)}")
        assert "is shown this once" in act(inside, "invite").text

    def test_nobody_looks_who_was_away(
        self, inside: Browser, running: RunningProvider, alice: Authenticator
    ) -> None:
        """However much else the browser is used for meanwhile."""
        for _ in range(3):
            running.clock.now += IDLE_MS // 2
            assert inside.open(paths.ADMIN).status == 200
        for _ in range(3):
            running.clock.now += IDLE_MS // 3
            assert inside.open(paths.ACCOUNT).status == 200
        for path in SHOWN:
            assert inside.open(f"{path}?email={BOB}").status == 403
        assert press_passkey(inside, inside.open(paths.ADMIN), alice).status == 200

    def test_an_answer_of_a_passkey_is_good_once(
        self, browser: Browser, other_browser: Browser, alice: Authenticator
    ) -> None:
        fields = answered(browser, browser.open(f"{paths.SIGN_IN}?email={ALICE}"), alice)
        assert browser.post(paths.PASSKEY, fields | {"next": paths.ADMIN}).path == paths.ADMIN
        token = other_browser.open(paths.SIGN_IN).csrf()
        for again in (browser, other_browser):
            own = {"csrf": browser.open(paths.ADMIN).csrf() if again is browser else token}
            page = again.post(paths.PASSKEY, fields | own)
            assert page.status in (400, 401, 403)
        assert other_browser.open(paths.ADMIN).path == paths.SIGN_IN

    def test_a_session_is_good_until_it_is_signed_out(
        self, inside: Browser, other_browser: Browser
    ) -> None:
        """Whoever has copied its cookie has nothing after that, nor a form that was left open."""
        token, cookies = inside.open(PERSON).csrf(), inside.cookies
        inside.submit(inside.open(paths.ADMIN), paths.SIGN_OUT)
        for name, value in cookies.items():
            other_browser.put_cookie(name, value)
        assert other_browser.open(paths.ADMIN).path == paths.SIGN_IN
        page = other_browser.post(PERSON, {"csrf": token, "do": "sessions"})
        assert page.path == paths.SIGN_IN


class TestForgery:
    @pytest.mark.parametrize("path", SUBMITTED)
    def test_no_form_of_somebody_else_s(
        self, inside: Browser, other_browser: Browser, running: RunningProvider, path: str
    ) -> None:
        own = inside.open(f"{path}?email={BOB}").csrf()
        theirs = other_browser.open(paths.SIGN_IN).csrf()
        before = running.audit_log().count('"by":')
        fields = {"do": "reset", "email": BOB, "minutes": "0", "confirm": BOB}
        elsewhere = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}
        for given, headers in (
            ({}, {}),
            ({"csrf": theirs}, {}),
            ({"csrf": own}, elsewhere),
            ({"csrf": own}, {"Sec-Fetch-Site": "same-site"}),
        ):
            page = inside.post(f"{path}?email={BOB}", fields | given, headers)
            assert page.status == 403, (given, headers)
        assert running.audit_log().count('"by":') == before

    def test_none_can_be_framed_or_has_scripts_of_others(self, inside: Browser) -> None:
        for path in SHOWN:
            page = inside.open(f"{path}?email={BOB}")
            policy = page.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy
            assert re.search(r"script-src 'nonce-[\w-]{22}'", policy)
            assert page.headers["X-Frame-Options"] == "DENY"
            assert page.headers["Cache-Control"] == "no-store"


class TestPeople:
    def test_are_found_by_a_part_of_their_address(self, inside: Browser) -> None:
        assert BOB in inside.open(paths.ADMIN).text
        page = inside.submit(inside.open(paths.ADMIN), paths.ADMIN, search="ALI")
        assert ALICE in page.text
        assert BOB not in page.text
        for text in ("%", "_", "\\", "a%", "' OR 1=1 --", "\0"):
            page = inside.open(f"{paths.ADMIN}?{urlencode({'search': text})}")
            assert "There is nobody with that" in page.text, text

    def test_are_shown_page_by_page(self, inside: Browser, running: RunningProvider) -> None:
        for number in range(60):
            email = f"p{number:02}@{DOMAIN}"
            running.provider.accounts.add_without_password(email, running.clock.now)
        page, found = inside.open(paths.ADMIN), set[str]()
        while True:
            found |= set(re.findall(r"p\d\d@", page.text))
            further = re.search(r'href="([^"]+after=[^"]+)"', page.html)
            if further is None:
                break
            page = inside.open(further[1].replace("&amp;", "&"))
        assert len(found) == 60
        assert "From the beginning" in page.text

    @pytest.mark.parametrize(
        "email", [f"nobody@{DOMAIN}", "bob@elsewhere.test", "", "x", NASTY, "\0", "a" * 3_000]
    )
    def test_nobody_is_nobody(self, inside: Browser, email: str) -> None:
        page = inside.open(f"{paths.ADMIN_PERSON}?{urlencode({'email': email})}")
        assert page.status == 404
        assert "There is no such account" in page.text

    def test_one_has_all_that_there_is_of_them(
        self, inside: Browser, other_browser: Browser, running: RunningProvider
    ) -> None:
        other_browser.session.headers["User-Agent"] = "Bob's browser"
        other_browser.sign_in(BOB)
        sign_machine_in(running)
        page = inside.open(PERSON)
        for text in ("password", "Bob's browser", "desk", "certified", "192.0.2.5"):
            assert text in page.text


class TestWhatIsDone:
    def test_a_link_is_shown_once_and_is_in_no_address(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        page = act(inside, "invite", paths.ADMIN_INVITATIONS, email=CAROL)
        [token] = re.findall(r"token=([\w-]+)", page.text)
        assert running.provider.invitations.find(token, running.clock.now) == CAROL
        assert (page.answer.history, page.query) == ([], "")
        for later in (paths.ADMIN_INVITATIONS, f"{paths.ADMIN_PERSON}?email={CAROL}"):
            assert token not in inside.open(later).html
        assert token not in running.audit_log()

    def test_an_invitation_is_withdrawn(self, inside: Browser, running: RunningProvider) -> None:
        act(inside, "invite")
        page = act(inside, "withdraw", paths.ADMIN_INVITATIONS, email=BOB)
        assert "The invitation was withdrawn." in page.text
        assert running.provider.invitations.open(running.clock.now, 9) == []
        page = act(inside, "withdraw", paths.ADMIN_INVITATIONS, email=BOB)
        assert page.status == 404

    def test_somebody_is_signed_out(self, inside: Browser, other_browser: Browser) -> None:
        other_browser.sign_in(BOB)
        assert "signed out in all browsers" in act(inside, "sessions").text
        assert other_browser.open(paths.ACCOUNT).path == paths.SIGN_IN
        assert inside.open(paths.ADMIN).status == 200

    def test_a_machine_is_revoked_and_no_other_person_s(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        number, of_alice = sign_machine_in(running), sign_machine_in(running, ALICE)
        for guess in (str(of_alice), "0", "-1", "1e9", "9" * 40, "x", ""):
            assert act(inside, "machine", id=guess).status == 404, guess
        assert running.provider.renewals.all(ALICE, running.clock.now)
        assert act(inside, "machine", id=str(number)).status == 200
        assert running.provider.renewals.all(BOB, running.clock.now) == []

    def test_all_of_it_is_taken_away(self, inside: Browser, running: RunningProvider) -> None:
        sign_machine_in(running)
        passkey_of(running, BOB)
        assert "is shown this once" in act(inside, "reset").text
        assert not running.provider.means.has_any(BOB)
        assert running.provider.renewals.all(BOB, running.clock.now) == []

    def test_all_machines_are_revoked(self, inside: Browser, running: RunningProvider) -> None:
        sign_machine_in(running)
        assert "has ended" in act(inside, "machines").text
        assert running.provider.renewals.all(BOB, running.clock.now) == []

    def test_an_account_is_removed_by_who_types_it(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        for typed in ("", ALICE, "bob"):
            page = act(inside, "remove", confirm=typed)
            assert page.status == 422
            assert "Type the address of the account" in page.text
        assert running.provider.accounts.exists(BOB)
        page = act(inside, "remove", confirm=f" {BOB.upper()} ")
        assert (page.path, page.status) == (paths.ADMIN, 200)
        assert not running.provider.accounts.exists(BOB)

    def test_nothing_else_is(self, inside: Browser) -> None:
        for do in ("", "promote", NASTY):
            assert act(inside, do).status == 400

    def test_a_key_is_made_and_announced(self, inside: Browser, running: RunningProvider) -> None:
        keys, now = running.provider.keys, running.clock.now
        before = keys.active(now).name
        page = inside.submit(inside.open(paths.ADMIN_KEYS), paths.ADMIN_KEYS, minutes="90")
        assert "There is a new key." in page.text
        assert keys.active(now).name == before
        assert keys.active(now + 90 * 60_000).name != before
        assert [key.signs for key in keys.listed(now)] == [True, False]
        for minutes in ("", "-1", "1441", "x", "1.5", "9" * 30, "\u0661"):
            page = inside.submit(inside.open(paths.ADMIN_KEYS), paths.ADMIN_KEYS, minutes=minutes)
            assert page.status == 422, minutes
        assert len(keys.listed(now)) == 2

    def test_all_of_it_is_in_the_log_with_who_has_done_it(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        sign_machine_in(running)
        before = len(running.audit_log().splitlines())
        act(inside, "invite", paths.ADMIN_INVITATIONS, email=CAROL)
        for do in ("sessions", "machines", "reset"):
            act(inside, do)
        act(inside, "remove", confirm=BOB)
        inside.submit(inside.open(paths.ADMIN_KEYS), paths.ADMIN_KEYS, minutes="0")
        told = [json.loads(line) for line in running.audit_log().splitlines()[before:]]
        assert {(each.get("by"), each["client"]) for each in told} == {(ALICE, "127.0.0.1")}
        assert {"account-added", "invited", "sessions-ended", "revoked", "password-removed"} | {
            "account-removed",
            "key-created",
        } == {each["event"] for each in told}


class TestWhoseRightIsTakenMeanwhile:
    """Between the look at the door and the change."""

    @pytest.mark.parametrize(
        ("page", "fields"),
        [
            (PERSON, {"do": "sessions"}),
            (paths.ADMIN_INVITATIONS, {"do": "invite", "email": BOB}),
            (paths.ADMIN_KEYS, {"minutes": "0"}),
        ],
    )
    def test_is_told_that_there_is_no_page(
        self,
        inside: Browser,
        running: RunningProvider,
        monkeypatch: pytest.MonkeyPatch,
        page: str,
        fields: dict[str, str],
    ) -> None:
        token = inside.open(page).csrf()
        acting = Administration._acting

        def too_late(self: Administration) -> AbstractContextManager[None]:
            running.provider.administrators.remove(ALICE, "uid 0", running.clock.now)
            return acting(self)

        monkeypatch.setattr(Administration, "_acting", too_late)
        answer = inside.post(page, {"csrf": token, **fields})
        assert answer.status == 404
        assert BOB not in answer.text
        assert "There is no such page" in answer.text


class TestOtherAdministrators:
    """Who takes one over makes no other, and locks none out."""

    @pytest.mark.parametrize("email", [ALICE, BOB])
    def test_are_left_to_the_commands(
        self, inside: Browser, running: RunningProvider, email: str
    ) -> None:
        """Nor does one remove themself, so the last one is not removed here."""
        running.provider.administrators.add(BOB, "uid 0", running.clock.now)
        page = f"{paths.ADMIN_PERSON}?email={email}"
        for do in ("invite", "reset", "remove"):
            answer = act(inside, do, page, confirm=email)
            assert answer.status == 403
            assert "an administrator" in answer.text
        assert act(inside, "invite", paths.ADMIN_INVITATIONS, email=email).status == 403
        assert [each.email for each in running.provider.administrators.all()] == [ALICE, BOB]
        assert running.provider.invitations.open(running.clock.now, 9) == []
        assert running.provider.means.has_any(email)
        shown = inside.open(page)
        assert "by a command on the server" in shown.text
        assert ("do", "remove") not in shown.forms[-2].buttons

    def test_end_what_others_have_as_they_would_be_asked_to(
        self, inside: Browser, running: RunningProvider
    ) -> None:
        running.provider.administrators.add(BOB, "uid 0", running.clock.now)
        sign_machine_in(running)
        assert act(inside, "machines").status == 200
        assert running.provider.renewals.all(BOB, running.clock.now) == []


class TestTheLog:
    def test_is_searched(self, inside: Browser, running: RunningProvider) -> None:
        sign_machine_in(running)
        query = {"event": "certified", "email": BOB.upper(), "client": "192.0.2.5"}
        since = {"since": "2020-01-01", "until": "2199-01-01T00:00"}
        page = inside.submit(inside.open(paths.ADMIN_LOG), paths.ADMIN_LOG, **query, **since)
        assert page.text.count("machine: desk") == 1
        for other in ({"event": "revoked"}, {"email": ALICE}, {"client": "192.0.2.6"}):
            page = inside.open(f"{paths.ADMIN_LOG}?{urlencode(query | other)}")
            assert "There is no such entry." in page.text
        page = inside.open(f"{paths.ADMIN_LOG}?{urlencode({'until': '2020-01-01'})}")
        assert "There is no such entry." in page.text
        for wrong in ("yesterday", "2026-02-31", NASTY, "9" * 50):
            page = inside.open(f"{paths.ADMIN_LOG}?{urlencode({'since': wrong})}")
            assert page.status == 422, wrong
            assert "Write a time as" in page.text

    def test_is_shown_page_by_page(self, inside: Browser, running: RunningProvider) -> None:
        for number in range(120):
            running.provider.audit.write(
                Event.CONSENTED, running.clock.now, email=BOB, machine=f"m{number:03}"
            )
        page, found = inside.open(f"{paths.ADMIN_LOG}?event=consented&email={BOB}"), list[str]()
        while True:
            found += re.findall(r"machine: (m\d\d\d)", page.text)
            further = re.search(r'href="([^"]+before=[^"]+)"', page.html)
            if further is None:
                break
            page = inside.open(further[1].replace("&amp;", "&"))
        assert found == [f"m{number:03}" for number in reversed(range(120))]
        for wrong in ("x", "1", "1-x", "-", "9" * 50 + "-1", "1-2-3", "\u0661-1"):
            page = inside.open(f"{paths.ADMIN_LOG}?{urlencode({'before': wrong})}")
            assert page.status == 200, wrong


class TestWhatStrangersSay:
    """All texts that somebody else chooses are texts."""

    def check(self, page: Shown) -> None:
        assert "53743561" not in page.html
        assert "<script>alert" not in page.html
        for tag, given in page.tags:
            assert tag != "img"
            assert not [name for name in given if name.startswith("on")]
        assert not set("\u2028\x00\u202e") & set(page.text)

    def test_browsers_machines_clients_and_names(
        self, inside: Browser, other_browser: Browser, running: RunningProvider
    ) -> None:
        odd = f"{NASTY}\u202e"
        running.provider.sessions.begin(BOB, odd, odd, odd, running.clock.now)
        sign_machine_in(running, name=NASTY)
        audit = running.provider.audit
        audit.write(
            Event.REFUSED,
            running.clock.now,
            email=f"{odd}@x",
            client=odd,
            **{odd: f"{odd}\0\u2028"},
        )
        with running.provider.database.transaction() as session:
            # As another release may write it.
            row = AuditRow(time=running.clock.now, event=odd, email=BOB, client="", host=odd)
            row.details = json.dumps({"a": {"b": [odd]}})
            session.add(row)
        for path in (PERSON, paths.ADMIN_LOG, f"{paths.ADMIN_LOG}?email={BOB}"):
            self.check(inside.open(path))
        assert "<script>alert(1)</script>" in inside.open(PERSON).text

    def test_what_is_typed(self, inside: Browser) -> None:
        texts = (NASTY, "a\u2028\x00\u202ez")
        for path in SHOWN:
            for name in ("search", "after", "email", "event", "client", "since", "before", "done"):
                for text in texts:
                    self.check(inside.open(f"{path}?{urlencode({name: text})}"))
        for path in SUBMITTED:
            for name in ("do", "email", "id", "confirm", "minutes"):
                for text in texts:
                    token = inside.open(f"{path}?email={BOB}").csrf()
                    fields = {"csrf": token, "do": "machine", name: text}
                    self.check(inside.post(f"{path}?email={BOB}", fields))


class Odd:
    """A backend whose server says what it likes."""

    name = "staff"

    def check(self, identity: Identity) -> Vouched:
        raise AssertionError

    def probe(self) -> list[str]:
        raise UnavailableError(f"ldap://a: {NASTY}\u202e")


def test_backends_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    backends = Backends(["staff", "accounts"], [Odd()])
    with running_provider(tmp_path / "provider", backends=backends) as running:
        browser = Browser.at(running)
        sign_in_with(browser, make_administrator(running))
        page = browser.open(paths.ADMIN_BACKENDS)
        TestWhatStrangersSay().check(page)
        assert "ldap://a: " in page.text
        assert "accounts answers" in page.text


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_hundred_thousand_people_and_their_entries_are_no_burden(
    inside: Browser, running: RunningProvider
) -> None:
    """Pages are small, and come at once."""
    now = running.clock.now
    with running.provider.database.transaction() as session:
        session.execute(
            insert(Account),
            [
                {"email": f"p{n:06}@{DOMAIN}", "password": "", "created": now, "changed": now}
                for n in range(MANY)
            ],
        )
        entry = {"client": "192.0.2.9", "host": "h", "details": "{}", "event": "certified"}
        session.execute(
            insert(AuditRow),
            [entry | {"time": now - n, "email": f"p{n:06}@{DOMAIN}"} for n in range(MANY)],
        )
    long_ago = "1970-01-01"
    for path in (
        paths.ADMIN,
        f"{paths.ADMIN}?after=p05",
        f"{paths.ADMIN}?search=p09999",
        f"{paths.ADMIN}?search=nobody-at-all",
        f"{paths.ADMIN_PERSON}?email=p050000@{DOMAIN}",
        f"{paths.ADMIN_LOG}?event=certified&since={long_ago}",
        f"{paths.ADMIN_LOG}?client=192.0.2.9&event=revoked",
        f"{paths.ADMIN_LOG}?email=p050000@{DOMAIN}&event=certified",
        f"{paths.ADMIN_LOG}?before={now - MANY // 2}-1",
    ):
        with within(5):
            page = inside.open(path)
        assert page.status == 200, path
        assert len(page.html) < 60_000, path
    assert running.provider.audit.search(Question(email=f"p050000@{DOMAIN}"), 2)
