"""Administrators before a browser without scripts: they sign in with a passkey of a test's."""

from __future__ import annotations

import json
from urllib.parse import quote

from browserid_sasl.idp.web import paths
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, RunningProvider


def passkey_of(running: RunningProvider, email: str = ALICE) -> Authenticator:
    """A device with a passkey for an account."""
    device, passkeys, now = Authenticator(), running.provider.passkeys, running.clock.now
    answer = device.create(passkeys.registration_options(email, now))
    passkeys.register(email, answer, "", "::1", now)
    return device


def make_administrator(running: RunningProvider, email: str = ALICE) -> Authenticator:
    """Have somebody administrate; their device."""
    device = passkey_of(running, email)
    running.provider.administrators.add(email, "uid 0", running.clock.now)
    return device


def sign_in_with(
    browser: Browser, device: Authenticator, email: str = ALICE, goal: str = paths.ADMIN
) -> Shown:
    """What the script does with the form of the sign-in."""
    page = browser.open(f"{paths.SIGN_IN}?email={quote(email)}&next={quote(goal)}&again=1")
    return press_passkey(browser, page, device)


def press_passkey(browser: Browser, page: Shown, device: Authenticator) -> Shown:
    """What the script does with the form for a passkey on a page."""
    return browser.post(paths.PASSKEY, answered(browser, page, device))


def answered(browser: Browser, page: Shown, device: Authenticator) -> dict[str, str]:
    """What that form sends."""
    fields = page.form(paths.PASSKEY).fields
    options = browser.post(paths.PASSKEY_OPTIONS, fields, {"Accept": "application/json"})
    return fields | {"response": device.get(json.loads(options.html))}
