"""All pages of an identity provider, and how a person comes to each of them."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from playwright.sync_api import Locator, Page

from tests.support.applicant import Applicant
from tests.support.chromium import Authenticator, Window
from tests.support.household import Household
from tests.support.oidc import OidcProvider
from tests.support.provider import DOMAIN, PASSWORD

PREFIX: Final = "/browserid"
SESSION: Final = "__Host-browserid-session"


@dataclass
class Guest:
    """A person before a window, and their account.

    :param window: where they look.
    :param provider: whose pages they look at.
    :param email: their address; without one, a new account.
    """

    window: Window
    provider: Household
    email: str = ""

    def __post_init__(self) -> None:
        self.email = self.email or self.provider.add(f"{secrets.token_hex(4)}@{DOMAIN}")

    @property
    def page(self) -> Page:
        """What they look at."""
        return self.window.page

    def open(self, path: str) -> int:
        """Open a page of the provider's; the answer's status."""
        answer = self.page.goto(path if "://" in path else self.provider.url + path)
        assert answer is not None
        return answer.status

    def press(self, button: str) -> None:
        """Press a button by what is on it, and wait for where it leads."""
        self._press(self.page.get_by_role("button", name=button, exact=True))

    def submit(self, field: str) -> None:
        """Press the first button of the form that has a field, whatever the language."""
        self._press(self.page.locator(f"main form:has([name={field}]) button").first)

    def _press(self, button: Locator) -> None:
        with self.page.expect_navigation():
            button.click()

    def give_address(self) -> None:
        """Fill in the first form of the sign-in."""
        self.page.fill("main [name=email]", self.email)
        self.submit("email")

    def give_password(self, password: str = PASSWORD) -> None:
        """Fill in the form for a password."""
        self.page.fill("main [name=password]", password)
        self.submit("password")

    def sign_in(self) -> None:
        """Sign in by password, from the page that asks for it if there is one."""
        if not self.page.url.startswith(self.provider.url):
            self.open(f"{PREFIX}/sign-in?email={quote(self.email)}")
        if self.page.locator("main [name=password]").count() == 0:
            self.give_address()
        self.give_password()

    def invitation(self) -> str:
        """Where the administrator's link for their account leads to."""
        provider = self.provider.open()
        provider.accounts.add_without_password(self.email, _now())
        return f"{PREFIX}/invitation?token={provider.invitations.make(self.email, 'test', _now())}"

    def set_up_second_factor(self) -> tuple[TOTP, list[str]]:
        """Have an app that makes codes, which are asked for after the password.

        :returns: the app, and the recovery codes.
        """
        factors, codes = self.provider.open().second_factors, self.provider.open().recovery_codes
        app = app_with(factors.begin(self.email, _now()))
        assert factors.confirm(self.email, app.generate(_now() // 1000).decode(), "", _now())
        return app, codes.renew(self.email, "", _now())

    @property
    def headline(self) -> str:
        """Of the page."""
        return self.page.locator("h1").inner_text()


def _now() -> int:
    return time.time_ns() // 1_000_000


def app_with(secret: str) -> TOTP:
    """An authenticator app into which somebody has typed a key."""
    octets = base64.b32decode("".join(secret.split()).ljust(32, "="))
    return TOTP(octets, 6, SHA1(), 30, enforce_key_length=False)


def make_passkey(guest: Guest) -> Authenticator:
    """Have the authenticator of the page that is open make a passkey; the button is pressed."""
    authenticator = Authenticator(guest.page)
    guest.page.bring_to_front()
    with guest.page.expect_navigation():
        guest.page.locator("form[data-passkey=create] button").click()
    return authenticator


def confirm_second_factor(guest: Guest) -> TOTP:
    """Set a second factor up on the page for it; what is shown after that are recovery codes."""
    guest.open(f"{PREFIX}/account/second-factor")
    app = app_with(guest.page.locator("main ol code").inner_text())
    guest.page.fill("main [name=code]", app.generate(_now() // 1000).decode())
    guest.submit("code")
    return app


def bring_letters(guest: Guest) -> None:
    """Have those that another provider's pages want from elsewhere, which are none."""
    guest.page.route(
        "https://fonts.googleapis.com/**",
        lambda route: route.fulfill(content_type="text/css", body=""),
    )


def sign_in_elsewhere(guest: Guest, provider: OidcProvider, name: str) -> None:
    """Sign in at another provider's page, which is the next that comes, and consent to it."""
    guest.page.wait_for_selector("[name=login]")
    assert guest.page.url.startswith(provider.issuer)
    guest.page.fill("[name=login]", name)
    guest.page.fill("[name=password]", "any")
    guest.page.click("[type=submit]")
    guest.page.wait_for_selector("[name=prompt][value=consent]", state="attached")
    guest.page.click("[type=submit]")


def session_of(guest: Guest) -> str:
    """The secret that their browser has, empty if nobody is signed in there."""
    cookies = guest.window.context.cookies()
    return next((each["value"] for each in cookies if each["name"] == SESSION), "")


# The steps of a sign-in for a program, each of which can be cancelled. The last one lasts.


def at_address(guest: Guest, link: str) -> None:
    """Choosing who they are."""
    guest.open(link)
    guest.page.click("text=another address")


def at_password(guest: Guest, link: str) -> None:
    """Before they are asked for anything but proof."""
    guest.open(link)


def after_a_wrong_password(guest: Guest, link: str) -> None:
    """About to try again."""
    guest.open(link)
    guest.give_password("not the password")


def as_somebody_else(guest: Guest, link: str) -> None:
    """In a browser in which another person is signed in."""
    Guest(guest.window, guest.provider).sign_in()
    guest.open(link)


def at_consent(guest: Guest, link: str) -> None:
    """Asked whether the program may."""
    guest.open(link)
    guest.give_password()


def at_second_step(guest: Guest, link: str) -> None:
    """Asked for a code."""
    guest.set_up_second_factor()
    at_consent(guest, link)
    assert "/second-step" in guest.page.url


STEPS: Final = (
    at_address,
    at_password,
    after_a_wrong_password,
    as_somebody_else,
    at_consent,
    at_second_step,
)


@dataclass(frozen=True)
class Stop:
    """A page, as a person comes to it.

    :param name: of the page and its picture.
    :param visit: goes there.
    :param needs_scripts: whether it is about passkeys.
    """

    name: str
    visit: Callable[[Guest], object]
    needs_scripts: bool = False


def _wrong_password(guest: Guest) -> None:
    _address(guest)
    guest.give_password("not the password")


def _address(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-in?email={quote(guest.email)}")


def _not_an_address(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-in?email=alice@elsewhere.test")


def _too_many(guest: Guest) -> None:
    _address(guest)
    for _ in range(6):
        guest.give_password("not the password")


def _account(guest: Guest) -> None:
    guest.sign_in()


def _sign_out(guest: Guest) -> None:
    guest.sign_in()
    guest.open(f"{PREFIX}/sign-out")


def _signed_out(guest: Guest) -> None:
    _sign_out(guest)
    with guest.page.expect_navigation():
        guest.page.locator("main form button").click()


def _forged(guest: Guest) -> None:
    _address(guest)
    guest.window.context.clear_cookies()
    guest.give_password()


def _second_step(guest: Guest) -> None:
    guest.set_up_second_factor()
    guest.sign_in()


def _wrong_code(guest: Guest) -> None:
    _second_step(guest)
    guest.page.fill("main [name=code]", "000000")
    guest.submit("code")


def _signed_in_at(path: str) -> Callable[[Guest], None]:
    def visit(guest: Guest) -> None:
        guest.sign_in()
        guest.open(f"{PREFIX}/{path}")

    return visit


def _recovery_codes(guest: Guest) -> None:
    guest.sign_in()
    confirm_second_factor(guest)


def _account_with_everything(guest: Guest) -> None:
    _recovery_codes(guest)
    guest.open(f"{PREFIX}/account/new-passkey")
    make_passkey(guest)


def _with_second_factor_at(path: str) -> Callable[[Guest], None]:
    def visit(guest: Guest) -> None:
        _recovery_codes(guest)
        guest.open(f"{PREFIX}/{path}")

    return visit


def _without_password_at(path: str) -> Callable[[Guest], None]:
    def visit(guest: Guest) -> None:
        guest.email = f"{secrets.token_hex(4)}@{DOMAIN}"
        guest.open(guest.invitation())
        make_passkey(guest)
        guest.open(f"{PREFIX}/{path}")

    return visit


def _passkey(guest: Guest) -> None:
    guest.sign_in()
    guest.open(f"{PREFIX}/account/new-passkey")
    make_passkey(guest)
    guest.page.locator("main ul a").first.click()


def _invitation(guest: Guest) -> None:
    guest.open(guest.invitation())


def _spent_invitation(guest: Guest) -> None:
    guest.open(f"{PREFIX}/invitation?token=spent")


def _applicant(guest: Guest) -> Applicant:
    applicant = Applicant(guest.provider, guest.email, "Alice's laptop")
    applicant.redirect_uri = "http://127.0.0.1:1/done"
    return applicant


def _consent(guest: Guest) -> None:
    guest.open(_applicant(guest).page())
    guest.give_password()


def _sign_in_for_program(guest: Guest) -> None:
    guest.open(_applicant(guest).page())


def _other_identity(guest: Guest) -> None:
    guest.sign_in()
    other = Guest(guest.window, guest.provider)
    guest.open(_applicant(other).page())


def _bad_request(guest: Guest) -> None:
    guest.open(_applicant(guest).page(redirect_uri="https://elsewhere.test/"))


def _device(guest: Guest) -> None:
    guest.sign_in()
    guest.open(f"{PREFIX}/device")


def _wrong_user_code(guest: Guest) -> None:
    _device(guest)
    guest.page.fill("main [name=user_code]", "BCDF-GHJK")
    guest.submit("user_code")


def _device_consent(guest: Guest) -> None:
    guest.sign_in()
    grant = _applicant(guest).begin_on_device()
    guest.open(f"{PREFIX}/device?user_code={grant['user_code']}")
    guest.submit("user_code")


def _decided(decision: str) -> Callable[[Guest], None]:
    def visit(guest: Guest) -> None:
        _device_consent(guest)
        with guest.page.expect_navigation():
            guest.page.click(f"main button[value={decision}]")

    return visit


def _account_with_machine(guest: Guest) -> None:
    with Applicant(guest.provider, guest.email, "Alice's laptop").listening() as applicant:
        guest.open(applicant.page())
        guest.give_password()
        guest.page.check("main [name=renewal]")
        guest.submit("renewal")
        applicant.redeem(applicant.answer()["code"])
    guest.open(f"{PREFIX}/account")


def _before_administration(guest: Guest) -> None:
    """An administrator's, who has signed in a while ago; with the page that says so."""
    guest.sign_in()
    guest.open(f"{PREFIX}/account/new-passkey")
    make_passkey(guest)
    guest.provider.open().administrators.add(guest.email, "uid 0", _now())
    guest.open(f"{PREFIX}/admin")


def administer(guest: Guest) -> None:
    """Come to the people of the domain, as an administrator with a passkey."""
    _before_administration(guest)
    with guest.page.expect_navigation():
        guest.page.locator("form[data-passkey=get] button").click()


def _administering(path: str) -> Callable[[Guest], None]:
    def visit(guest: Guest) -> None:
        administer(guest)
        guest.open(f"{PREFIX}/admin/{path}")

    return visit


def _person(guest: Guest) -> None:
    """Somebody who has all that a person has, for an administrator to look at."""
    other = Guest(Window(guest.window.context, guest.window.complaints), guest.provider)
    _account_with_machine(other)
    administer(guest)
    guest.open(f"{PREFIX}/admin/person?email={quote(other.email)}")


def _open_invitation(guest: Guest) -> None:
    Guest(guest.window, guest.provider, f"newcomer-{secrets.token_hex(4)}@{DOMAIN}").invitation()
    administer(guest)
    guest.open(f"{PREFIX}/admin/invitations")


def _link(guest: Guest) -> None:
    administer(guest)
    guest.open(f"{PREFIX}/admin/invitations")
    guest.page.fill("main [name=email]", f"newcomer-{secrets.token_hex(4)}@{DOMAIN}")
    guest.submit("email")


STOPS: Final = (
    Stop("sign-in", lambda guest: guest.open(f"{PREFIX}/sign-in")),
    Stop("sign-in-not-an-address", _not_an_address),
    Stop("sign-in-as", _address),
    Stop("sign-in-wrong-password", _wrong_password),
    Stop("sign-in-too-many", _too_many),
    Stop("second-step", _second_step),
    Stop("second-step-wrong-code", _wrong_code),
    Stop("invitation", _invitation),
    Stop("invitation-spent", _spent_invitation),
    Stop("account", _account),
    Stop("account-with-everything", _account_with_everything, needs_scripts=True),
    Stop("account-passkey", _passkey, needs_scripts=True),
    Stop("new-passkey", _signed_in_at("account/new-passkey")),
    Stop("password", _signed_in_at("account/password")),
    Stop("second-factor", _signed_in_at("account/second-factor")),
    Stop("recovery-codes", _recovery_codes),
    Stop("second-factor-on", _with_second_factor_at("account/second-factor")),
    Stop("recovery-codes-again", _with_second_factor_at("account/recovery-codes")),
    Stop("account-without-password", _without_password_at("account"), needs_scripts=True),
    Stop("password-first", _without_password_at("account/password"), needs_scripts=True),
    Stop("sign-in-for-program", _sign_in_for_program),
    Stop("consent", _consent),
    Stop("other-identity", _other_identity),
    Stop("device", _device),
    Stop("device-wrong-code", _wrong_user_code),
    Stop("device-consent", _device_consent),
    Stop("device-allowed", _decided("allow")),
    Stop("device-denied", _decided("deny")),
    Stop("device-cancelled", lambda guest: guest.open(f"{PREFIX}/device/cancelled")),
    Stop("account-with-machine", _account_with_machine),
    Stop("admin-passkey", _before_administration, needs_scripts=True),
    Stop("admin-people", administer, needs_scripts=True),
    Stop("admin-person", _person, needs_scripts=True),
    Stop("admin-invitations", _open_invitation, needs_scripts=True),
    Stop("admin-link", _link, needs_scripts=True),
    Stop("admin-log", _administering("log"), needs_scripts=True),
    Stop("admin-log-wrong-time", _administering("log?since=yesterday"), needs_scripts=True),
    Stop("admin-backends", _administering("backends"), needs_scripts=True),
    Stop("admin-keys", _administering("keys"), needs_scripts=True),
    Stop("sign-out", _sign_out),
    Stop("signed-out", _signed_out),
    Stop("provisioning", lambda guest: guest.open("/provisioning")),
    Stop("error-form-expired", _forged),
    Stop("error-bad-request", _bad_request),
    Stop("error-not-found", lambda guest: guest.open(f"{PREFIX}/nowhere")),
)


def stop_named(name: str) -> Stop:
    """The stop of a name."""
    return next(stop for stop in STOPS if stop.name == name)
