"""An administrator before a browser: from an invitation to the end of what came of it."""

from __future__ import annotations

import secrets
import time
from urllib.parse import quote

import requests

from browserid_sasl.jose import jwt
from tests.browser.conftest import OpenWindow
from tests.support.applicant import Applicant
from tests.support.household import Household
from tests.support.provider import DOMAIN
from tests.support.tour import PREFIX, Guest, administer, make_passkey, session_of

ADMIN = f"{PREFIX}/admin"


def sign_program_in(guest: Guest) -> tuple[Applicant, str]:
    """Allow a program of theirs, for longer; it, and the secret with which it renews."""
    with Applicant(guest.provider, guest.email).listening() as program:
        guest.open(program.page())
        guest.page.check("main [name=renewal]")
        guest.submit("renewal")
        granted = program.redeem(program.answer()["code"])
    return program, granted.json()["renewal"]


def renew(program: Applicant, secret: str) -> requests.Response:
    claims = {
        "renewal": secret,
        "aud": f"https://{DOMAIN}/certify",
        "exp": time.time_ns() // 1_000_000 + 60_000,
    }
    return program.post("/certify", {"renewal": jwt.sign(claims, program.key)})


def test_from_an_invitation_to_a_machine_that_is_revoked(
    open_window: OpenWindow, provider: Household
) -> None:
    """The link is all that somebody gets, and the program of theirs is refused at its next try."""
    alice, email = Guest(open_window(), provider), f"new-{secrets.token_hex(4)}@{DOMAIN}"
    administer(alice)
    alice.open(f"{ADMIN}/invitations")
    alice.page.fill("main [name=email]", email)
    alice.press("Invite")
    link = alice.page.locator("main .card code").inner_text()
    bob = Guest(open_window(), provider, email)
    bob.open(link)
    make_passkey(bob)
    assert bob.headline == "Your account"
    program, secret = sign_program_in(bob)
    renewed = renew(program, secret)
    assert renewed.status_code == 200, renewed.text
    # They are no administrator, and see no page of one.
    assert bob.open(ADMIN) == 404
    alice.open(f"{ADMIN}/person?email={quote(email)}")
    assert alice.page.locator("main code", has_text="certified").count() == 2
    alice.press("Revoke laptop")
    assert "The machine's key was revoked." in alice.page.inner_text("main")
    refused = renew(program, secret)
    assert (refused.status_code, refused.json()["error"]) == (401, "renewal-revoked")
    alice.press("Sign out in all browsers")
    assert bob.open(f"{PREFIX}/account") == 200
    assert bob.headline == "Sign in"
    assert f'"by":"{alice.email}"' in provider.audit_log()


def test_who_administrates_no_more_is_out_with_the_next_request(
    open_window: OpenWindow, provider: Household
) -> None:
    alice = Guest(open_window(), provider)
    administer(alice)
    assert session_of(alice)
    provider.open().administrators.remove(alice.email, "uid 0", time.time_ns() // 1_000_000)
    assert alice.open(ADMIN) == 404
    assert alice.open(f"{PREFIX}/account") == 200
