"""All pages of an identity provider, and how a person comes to each of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Locator, Page

from tests.support.chromium import Window
from tests.support.household import Household
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
        if not self.page.url.startswith(f"{self.provider.url}{PREFIX}/sign-in"):
            self.open(f"{PREFIX}/sign-in")
        if self.page.locator("main [name=password]").count() == 0:
            self.give_address()
        self.give_password()

    @property
    def headline(self) -> str:
        """Of the page."""
        return self.page.locator("h1").inner_text()


def session_of(guest: Guest) -> str:
    """The secret that their browser has, empty if nobody is signed in there."""
    cookies = guest.window.context.cookies()
    return next((each["value"] for each in cookies if each["name"] == SESSION), "")


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
    guest.open(f"{PREFIX}/sign-in")
    guest.give_address()
    guest.give_password("not the password")


def _address(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-in")
    guest.give_address()


def _not_an_address(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-in?email=alice@elsewhere.test")


def _too_many(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-in")
    guest.give_address()
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
    guest.open(f"{PREFIX}/sign-in")
    guest.give_address()
    guest.window.context.clear_cookies()
    guest.give_password()


STOPS: Final = (
    Stop("sign-in", lambda guest: guest.open(f"{PREFIX}/sign-in")),
    Stop("sign-in-not-an-address", _not_an_address),
    Stop("sign-in-as", _address),
    Stop("sign-in-wrong-password", _wrong_password),
    Stop("sign-in-too-many", _too_many),
    Stop("account", _account),
    Stop("sign-out", _sign_out),
    Stop("signed-out", _signed_out),
    Stop("provisioning", lambda guest: guest.open("/provisioning")),
    Stop("error-form-expired", _forged),
    Stop("error-not-found", lambda guest: guest.open(f"{PREFIX}/nowhere")),
)


def stop_named(name: str) -> Stop:
    """The stop of a name."""
    return next(stop for stop in STOPS if stop.name == name)
