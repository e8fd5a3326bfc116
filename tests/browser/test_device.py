"""A machine without a browser: its code is typed in a browser elsewhere."""

from __future__ import annotations

import pytest

from browserid_sasl.identity.certificate import Certificate
from tests.browser.conftest import OpenWindow
from tests.support.applicant import Applicant
from tests.support.household import Household
from tests.support.tour import Guest

DEVICE = "/browserid/device"


@pytest.fixture
def guest(open_window: OpenWindow, provider: Household) -> Guest:
    """Somebody signed in, on a telephone."""
    guest = Guest(open_window(viewport={"width": 390, "height": 700}), provider)
    guest.sign_in()
    return guest


def type_code(guest: Guest, code: str) -> None:
    guest.open(DEVICE)
    guest.page.fill("main [name=user_code]", code)
    guest.submit("user_code")


def test_a_code_that_is_typed_signs_the_machine_in(guest: Guest) -> None:
    """However it is written."""
    applicant = Applicant(guest.provider, guest.email, "build server")
    grant = applicant.begin_on_device()
    type_code(guest, grant["user_code"].lower().replace("-", " "))
    said = guest.page.inner_text("main")
    assert guest.email in said
    assert "build server" in said
    assert "127.0.0.1" in said
    guest.press("Allow")
    answer = applicant.poll(grant)
    assert answer.status_code == 200, answer.text
    assert Certificate.parse(answer.json()["certificate"]).email == guest.email


def test_a_code_that_is_in_the_link_has_to_be_confirmed(guest: Guest) -> None:
    applicant = Applicant(guest.provider, guest.email)
    grant = applicant.begin_on_device()
    guest.open(grant["verification_uri_complete"])
    assert guest.page.input_value("main [name=user_code]") == grant["user_code"]
    guest.submit("user_code")
    # Shown, and not yet allowed.
    assert applicant.poll(grant).json()["error"] == "authorization_pending"


def test_a_machine_that_is_denied_is_told(guest: Guest) -> None:
    applicant = Applicant(guest.provider, guest.email)
    grant = applicant.begin_on_device()
    type_code(guest, grant["user_code"])
    guest.press("Deny")
    assert applicant.poll(grant).json()["error"] == "access_denied"


def test_nobody_approves_for_somebody_else(guest: Guest, provider: Household) -> None:
    other = provider.add(f"other-{guest.email}")
    applicant = Applicant(provider, other)
    grant = applicant.begin_on_device()
    type_code(guest, grant["user_code"])
    assert "No machine waits with this code for you." in guest.page.inner_text("main")
    assert guest.page.get_by_role("button", name="Allow").count() == 0


def test_who_is_not_signed_in_signs_in_first(open_window: OpenWindow, provider: Household) -> None:
    guest = Guest(open_window(java_script_enabled=False), provider)
    grant = Applicant(provider, guest.email).begin_on_device()
    guest.open(grant["verification_uri_complete"])
    guest.give_address()
    guest.give_password()
    assert guest.page.input_value("main [name=user_code]") == grant["user_code"]


def test_guesses_are_stopped(guest: Guest) -> None:
    for _ in range(12):
        type_code(guest, "BCDF-GHJK")
        if "Too many wrong codes" in guest.page.inner_text("main"):
            return
    raise AssertionError("nobody stopped it")
