"""People of a directory at the provider: they sign in, get certificates, and lose them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.backends import DeniedError
from browserid_sasl.idp.backends.ldap import LdapBackend
from tests.idp.backends.conftest import Serve, access, place
from tests.idp.web.test_second_steps import registered, totp_of, use
from tests.support import directory as support
from tests.support.browser import Browser
from tests.support.directory import PASSWORD, Directory, Person
from tests.support.grants import Program
from tests.support.provider import ALICE, RunningProvider
from tests.support.provider import PASSWORD as ALICES

WRONG = "not the password"


def ask(running: RunningProvider, **members: object) -> tuple[int, dict[str, Any]]:
    """Ask for a certificate."""
    answer = running.post("/certify", json=members)
    return answer.status_code, answer.json()


def by_password(
    running: RunningProvider, email: str, password: str = PASSWORD, key: Program | None = None
) -> tuple[int, dict[str, Any]]:
    public = json.loads(json.dumps((key or Program()).key.public_key.to_json()))
    return ask(running, email=email, password=password, **{"public-key": public})


class Machine:
    """A program that has a certificate of somebody's, and renews it."""

    def __init__(self, running: RunningProvider, email: str) -> None:
        self.running = running
        self.program = Program()
        now = running.clock.now
        code = self.program.code(running.provider.codes, now, email=email)
        status, answer = ask(running, code=code, code_verifier=self.program.verifier)
        assert status == 200, answer
        self.certificate = answer["certificate"]
        self.token = answer["renewal"]

    def renew(self) -> tuple[int, dict[str, Any]]:
        at = f"https://{self.running.provider.domain}/certify"
        statement = self.program.renewal(self.token, self.running.clock.now, aud=at)
        return ask(self.running, renewal=statement)


def events(running: RunningProvider, name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, running.audit_log().splitlines())
    return [line for line in lines if line["event"] == name]


class TestSigningIn:
    def test_the_first_sign_in_makes_an_account_that_has_no_password(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person, more="displayName: Lena\n")
        status, answer = by_password(served, person.mail)
        assert status == 200
        read = Certificate.parse(answer["certificate"])
        assert (read.email, dict(read.attributes)) == (person.mail, {"name": ["Lena"]})
        assert not served.provider.accounts.has_password(person.mail)
        [added] = events(served, "account-added")
        assert (added["email"], added["backend"]) == (person.mail, "staff")

    def test_on_the_page(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person)
        browser = Browser.at(served)
        assert browser.sign_in(person.mail, WRONG).status == 401
        page = browser.sign_in(person.mail, PASSWORD)
        assert (page.status, page.path) == (200, "/browserid/account")
        assert person.mail in page.text

    @pytest.mark.parametrize("password", ["", WRONG, "\0"])
    def test_who_is_wrong_is_told_the_same_as_who_does_not_exist(
        self, directory: Directory, served: RunningProvider, person: Person, password: str
    ) -> None:
        directory.add(person)
        told = [
            by_password(served, email, password)
            for email in (person.mail, f"no-{person.mail}", ALICE)
        ]
        assert told[0] == told[1] == told[2]

    def test_own_accounts_go_on_to_sign_in_and_no_directory_learns_their_password(
        self, directory: Directory, served: RunningProvider
    ) -> None:
        theirs = Person("takes-over", ALICE)
        directory.add(theirs)
        try:
            assert by_password(served, ALICE, PASSWORD)[0] == 401
            assert by_password(served, ALICE, ALICES)[0] == 200
            assert served.provider.outside.identity(ALICE) is None
        finally:
            directory.change_group("delete", theirs)
            directory.remove(theirs)

    def test_the_limits_hold_before_the_directory_is_asked(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        """What locks an entry there is not reached by who is stopped here."""
        directory.add(person)
        for _ in range(5):
            status, _ = by_password(served, person.mail, WRONG)
        assert status == 401
        assert by_password(served, person.mail)[1]["error"] == "too-many-attempts"

    @pytest.mark.parametrize(
        ("attribute", "value", "word"),
        [
            ("pwdReset", "TRUE", "password-reset"),
            ("pwdAccountLockedTime", "000001010000Z", "wrong-credentials"),
        ],
    )
    def test_what_is_wrong_is_said_in_words(
        self,
        directory: Directory,
        served: RunningProvider,
        person: Person,
        attribute: str,
        value: str,
        word: str,
    ) -> None:
        directory.add(person)
        directory.set(person, attribute, value)
        assert by_password(served, person.mail)[1]["error"] == word

    def test_a_browser_of_theirs_is_told_that_they_are_locked(
        self,
        directory: Directory,
        served: RunningProvider,
        backend: LdapBackend,
        person: Person,
    ) -> None:
        directory.add(person)
        known, stranger = Browser.at(served), Browser.at(served)
        known.sign_in(person.mail, PASSWORD)
        known.put_cookie("__Host-browserid-session", "signed out")
        for _ in range(3):
            with pytest.raises(DeniedError):
                backend.verify(person.mail, WRONG)
        assert "is locked for now" in known.sign_in(person.mail, PASSWORD).text
        told = stranger.sign_in(person.mail, PASSWORD).text
        assert "is locked for now after too many" in told
        assert "Your account is locked" not in told

    def test_who_is_not_in_the_group_is_told_so_on_the_page(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person, member=False)
        page = Browser.at(served).sign_in(person.mail, PASSWORD)
        assert page.status == 403
        assert "Your account is not admitted here" in page.text
        assert not served.provider.accounts.exists(person.mail)

    def test_their_password_is_not_changed_here(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person)
        browser = Browser.at(served)
        browser.sign_in(person.mail, PASSWORD)
        assert "/browserid/account/password" not in browser.open("/browserid/account").text
        path = "/browserid/account/password"
        page = browser.open(path)
        assert (page.status, "kept elsewhere" in page.text) == (409, True)
        assert "password" not in [given.get("type") for _, given in page.tags]
        own, csrf = "a password of their own", browser.open("/browserid/account").csrf()
        page = browser.post(path, {"csrf": csrf, "password": own, "again": own})
        assert page.status == 409
        assert not served.provider.accounts.has_password(person.mail)

    def test_a_second_factor_of_theirs_is_asked_for_after_it(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person)
        browser = Browser.at(served)
        browser.sign_in(person.mail, PASSWORD)
        factors, now = served.provider.second_factors, served.clock.now
        secret = factors.begin(person.mail, now)
        code = totp_of(secret).generate(now // 1000).decode()
        assert factors.confirm(person.mail, code, "192.0.2.1", now)
        assert by_password(served, person.mail)[1]["error"] == "second-factor-needed"
        other = Browser.at(served)
        page = other.sign_in(person.mail, PASSWORD)
        assert page.path == "/browserid/second-step"
        served.clock.now += 60_000
        code = totp_of(secret).generate(served.clock.now // 1000).decode()
        page = other.submit(page, "/browserid/second-step", code=code)
        assert page.path == "/browserid/account"


def test_a_passkey_is_added_at_the_first_sign_in_and_follows_the_password_from_then_on(
    directory: Directory, serve: Serve, backend: LdapBackend, person: Person
) -> None:
    directory.add(person)
    served = serve(backend, second_step="required")
    assert by_password(served, person.mail)[1]["error"] == "second-step-missing"
    assert Browser.at(served).sign_in(person.mail, PASSWORD).path.endswith("/new-passkey")
    key = registered(served, person.mail)
    machine = Machine(served, person.mail)
    browser = Browser.at(served)
    page = browser.sign_in(person.mail, PASSWORD)
    assert page.path == "/browserid/second-step"
    assert use(browser, key, page).path == "/browserid/account"
    assert by_password(served, person.mail)[1]["error"] == "second-factor-needed"
    assert machine.renew()[0] == 200
    served.provider.passkeys.remove_all(person.mail, "192.0.2.1", served.clock.now)
    status, answer = machine.renew()
    assert (status, answer["error"]) == (403, "second-step-missing")


def test_who_is_put_out_does_not_get_in_by_a_passkey(
    directory: Directory, served: RunningProvider, person: Person
) -> None:
    directory.add(person)
    Browser.at(served).sign_in(person.mail, PASSWORD)
    key = registered(served, person.mail)
    browser = Browser.at(served)
    sign_in = f"/browserid/sign-in?email={person.mail}"
    assert use(browser, key, browser.open(sign_in)).path == "/browserid/account"
    directory.change_group("delete", person)
    browser = Browser.at(served)
    assert use(browser, key, browser.open(sign_in)).status == 401
    assert browser.open("/browserid/account").path == "/browserid/sign-in"


Change = Callable[[Directory, Person], object]

CHANGES: dict[str, tuple[Change, str]] = {
    "gone": (lambda directory, person: directory.remove(person), "gone"),
    "out of the group": (
        lambda directory, person: directory.change_group("delete", person),
        "not-admitted",
    ),
    "disabled": (
        lambda directory, person: directory.set(person, "pwdAccountLockedTime", "000001010000Z"),
        "account-disabled",
    ),
    "another address": (
        lambda directory, person: directory.set(person, "mail", f"x-{person.mail}"),
        "gone",
    ),
    "another password": (
        lambda directory, person: directory.set_password(person, "another"),
        "password-changed",
    ),
}


class TestWhatTheyHave:
    @pytest.fixture
    def machine(self, directory: Directory, served: RunningProvider, person: Person) -> Machine:
        directory.add(person, more="displayName: Lena\n")
        Browser.at(served).sign_in(person.mail, PASSWORD)
        # What follows may change the password: a server writes down the second in which it does.
        support.seconds(1.1)
        return Machine(served, person.mail)

    def test_it_is_renewed_as_long_as_all_is_as_it_was(
        self, directory: Directory, machine: Machine, person: Person
    ) -> None:
        directory.set(person, "displayName", "Lena B.")
        status, answer = machine.renew()
        assert status == 200
        assert Certificate.parse(answer["certificate"]).attributes == {"name": ["Lena B."]}

    @pytest.mark.parametrize("change", CHANGES)
    def test_it_ends_with_what_has_changed(
        self,
        directory: Directory,
        served: RunningProvider,
        machine: Machine,
        person: Person,
        change: str,
    ) -> None:
        browser = Browser.at(served)
        browser.sign_in(person.mail, PASSWORD)
        do, reason = CHANGES[change]
        do(directory, person)
        status, answer = machine.renew()
        assert (status, answer["error"]) == (401, "no-longer-vouched")
        # For good, and everywhere.
        assert machine.renew()[1]["error"] == "renewal-revoked"
        assert browser.open("/browserid/account").path == "/browserid/sign-in"
        assert served.provider.revocations.published(served.clock.now).text
        [ended] = events(served, "vouching-ended")
        assert (ended["email"], ended["reason"]) == (person.mail, reason)

    def test_a_code_that_was_given_before_the_change_gets_nothing(
        self, directory: Directory, served: RunningProvider, machine: Machine, person: Person
    ) -> None:
        now, program = served.clock.now, Program()
        code = program.code(served.provider.codes, now, email=person.mail)
        directory.change_group("delete", person)
        answer = ask(served, code=code, code_verifier=program.verifier)
        assert (answer[0], answer[1]["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_signing_in_with_another_password_ends_what_came_of_the_one_before(
        self, directory: Directory, served: RunningProvider, machine: Machine, person: Person
    ) -> None:
        directory.set_password(person, "another password")
        assert by_password(served, person.mail, "another password")[0] == 200
        assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_an_address_does_not_go_to_who_has_it_next(
        self, directory: Directory, served: RunningProvider, machine: Machine, person: Person
    ) -> None:
        directory.change_group("delete", person)
        directory.set(person, "mail", f"x-{person.mail}")
        directory.add(Person(f"{person.uid}-next", person.mail, "the next one's"))
        status, answer = by_password(served, person.mail, "the next one's")
        assert (status, answer["error"]) == (403, "other-person")
        assert machine.renew()[0] == 401
        # Who has removed the account has said so.
        assert served.provider.accounts.remove(person.mail)
        assert by_password(served, person.mail, "the next one's")[0] == 200


class TestADirectoryThatIsDown:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[Directory]:
        """One that does not run yet."""
        with support.directory(tmp_path / "d") as made:
            yield made

    def test_it_is_for_now(self, own: Directory, serve: Serve, person: Person) -> None:
        served = serve(LdapBackend("staff", access(own, servers=(own.ldaps,)), place()))
        with own.running():
            own.add(person)
            Browser.at(served).sign_in(person.mail, PASSWORD)
            machine = Machine(served, person.mail)
        status, answer = machine.renew()
        assert (status, answer["error"]) == (503, "backend-unavailable")
        assert by_password(served, person.mail)[0] == 503
        assert by_password(served, ALICE, ALICES)[0] == 200
        page = Browser.at(served).sign_in(person.mail, PASSWORD)
        assert page.status == 503
        assert "cannot be asked" in page.text
        assert events(served, "vouching-ended") == []
        with own.running():
            assert machine.renew()[0] == 200

    def test_what_is_left_out_of_the_configuration_certifies_nobody_and_ends_nothing(
        self, directory: Directory, served: RunningProvider, person: Person
    ) -> None:
        directory.add(person)
        Browser.at(served).sign_in(person.mail, PASSWORD)
        machine = Machine(served, person.mail)
        backends, served.provider.outside.backends = (
            served.provider.outside.backends,
            type(served.provider.outside.backends)(),
        )
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        served.provider.outside.backends = backends
        assert machine.renew()[0] == 200
