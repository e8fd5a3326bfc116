"""A program asks in the person's browser: what it gets, and what it does not get."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from browserid_sasl.identity.certificate import Certificate
from tests.browser.conftest import OpenWindow
from tests.support.applicant import Applicant
from tests.support.elsewhere import NEIGHBOUR, show
from tests.support.household import Household
from tests.support.provider import DOMAIN, PASSWORD
from tests.support.tour import STEPS, Guest, at_consent

MACHINES = [
    "<script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title = \'taken\'">',
    "\N{HEBREW LETTER ALEF}" * 64,
]


@pytest.fixture
def guest(open_window: OpenWindow, provider: Household) -> Guest:
    return Guest(open_window(), provider)


@pytest.fixture
def applicant(guest: Guest) -> Iterator[Applicant]:
    with Applicant(guest.provider, guest.email).listening() as applicant:
        yield applicant


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_program_gets_a_certificate_for_its_key(
    open_window: OpenWindow, provider: Household, host: str, scripts: bool
) -> None:
    guest = Guest(open_window(java_script_enabled=scripts), provider)
    with Applicant(provider, guest.email).listening(host) as applicant:
        at_consent(guest, applicant.page())
        said = guest.page.inner_text("main")
        assert guest.email in said
        assert applicant.machine in said
        guest.page.check("main [name=renewal]")
        guest.press("Allow")
        answer = applicant.answer()
    assert answer["state"] == applicant.state
    granted = applicant.redeem(answer["code"])
    assert granted.status_code == 200
    certificate = Certificate.parse(granted.json()["certificate"])
    assert certificate.email == guest.email
    assert certificate.public_key == applicant.key.public_key
    assert granted.json()["renewal"]


def test_nothing_of_the_certificate_is_in_the_browser(guest: Guest, applicant: Applicant) -> None:
    at_consent(guest, applicant.page())
    with guest.page.expect_navigation():
        guest.press("Allow")
    assert set(applicant.answer()) == {"code", "state"}


@pytest.mark.parametrize("come", STEPS, ids=lambda come: come.__name__)
def test_it_can_be_cancelled_at_every_step(
    guest: Guest, applicant: Applicant, come: Callable[[Guest, str], None]
) -> None:
    come(guest, applicant.page())
    with guest.page.expect_navigation():
        guest.page.get_by_role("link", name="Cancel", exact=True).click()
    assert applicant.answer() == {"error": "access_denied", "state": applicant.state}


REDIRECTS = [
    "https://stranger.test/",
    "http://stranger.test/",
    "http://127.0.0.1@stranger.test/",
    "http://127.0.0.1.stranger.test/",
    "http://localhost.stranger.test:80/",
    "http://127.0.0.1:80\\@stranger.test/",
    "//stranger.test/",
    "javascript:alert(1)",
    "https://127.0.0.1/",
    "http://127.0.0.1/#fragment",
    "http://127.0.0.1/?a=b",
    "http://0.0.0.0/",
    "http://2130706433/",
    "",
]


def test_nobody_is_sent_anywhere_but_to_their_own_machine(guest: Guest) -> None:
    """Neither with a code nor with an error."""
    applicant = Applicant(guest.provider, guest.email)
    for target in REDIRECTS:
        assert guest.open(applicant.page(redirect_uri=target)) == 400, target
        assert guest.page.url.startswith(guest.provider.url)
        assert guest.page.locator("main form").count() == 0


def test_a_code_is_good_once_and_a_thief_ends_what_it_gave(
    guest: Guest, applicant: Applicant
) -> None:
    at_consent(guest, applicant.page())
    guest.page.check("main [name=renewal]")
    guest.press("Allow")
    code = applicant.answer()["code"]
    assert applicant.redeem(code).status_code == 200
    assert applicant.redeem(code).status_code in (400, 401)
    guest.open("/browserid/account")
    assert "No machine has a certificate of yours." in guest.page.inner_text("main")


def test_who_has_the_code_but_not_the_verifier_gets_nothing_and_nobody_does_after_that(
    guest: Guest, applicant: Applicant
) -> None:
    at_consent(guest, applicant.page())
    guest.press("Allow")
    code = applicant.answer()["code"]
    assert applicant.redeem(code, code_verifier="x" * 43).status_code in (400, 401)
    assert applicant.redeem(code).status_code in (400, 401)


def test_a_look_at_the_page_is_no_consent(guest: Guest, applicant: Applicant) -> None:
    """Whatever the address says, and whatever key is held down while it opens."""
    at_consent(guest, applicant.page())
    extra = "&renewal=yes&decision=allow&csrf=1"
    before = guest.provider.changes()
    assert guest.open(applicant.page() + extra) == 200
    assert not guest.page.is_checked("main [name=renewal]")
    assert guest.page.evaluate("document.activeElement.tagName") == "BODY"
    guest.page.keyboard.press("Enter")
    assert guest.provider.changes() == before
    assert not applicant.has_answer()


def test_the_question_cannot_be_framed(guest: Guest, applicant: Applicant) -> None:
    at_consent(guest, applicant.page())
    guest.window.context.grant_permissions(["local-network-access"], origin=NEIGHBOUR)
    with guest.page.expect_console_message(lambda message: "Framing" in message.text):
        show(guest.page, NEIGHBOUR, f'<iframe src="{applicant.page()}"></iframe>')
    guest.window.complaints.take()


@pytest.mark.parametrize("machine", MACHINES)
def test_what_a_machine_calls_itself_is_text(
    open_window: OpenWindow, provider: Household, machine: str
) -> None:
    """In the question, on the page of the other device, and in the account's list."""
    guest = Guest(open_window(), provider)
    with Applicant(provider, guest.email, machine).listening() as applicant:
        at_consent(guest, applicant.page())
        assert machine in shown(guest)
        guest.page.check("main [name=renewal]")
        guest.press("Allow")
        applicant.redeem(applicant.answer()["code"])
        guest.open("/browserid/account")
        assert machine in shown(guest)
        guest.open(f"/browserid/device?user_code={applicant.begin_on_device()['user_code']}")
        guest.submit("user_code")
        assert machine in shown(guest)


def shown(guest: Guest) -> str:
    """What the page says, on which nothing has run and nothing is wider than the window."""
    page = guest.page
    assert "taken" not in page.title()
    assert page.locator("main script, main img").count() == 0
    page.set_viewport_size({"width": 320, "height": 480})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    return page.inner_text("main")


@pytest.mark.parametrize("local", ['"o\'neil+x"', "x" * 64, "!#$%&'*+-/=?^_`{|}~"])
def test_odd_addresses_break_no_page(
    open_window: OpenWindow, provider: Household, local: str
) -> None:
    typed = f"{local}@{DOMAIN}"
    provider.add(typed)
    guest = Guest(open_window(), provider, typed.replace('"', ""))
    guest.open("/browserid/sign-in")
    guest.page.fill("main [name=email]", typed)
    guest.submit("email")
    assert guest.email in shown(guest)
    with Applicant(provider, guest.email).listening() as applicant:
        at_consent(guest, applicant.page())
        assert guest.email in shown(guest)
        guest.press("Allow")
        granted = applicant.redeem(applicant.answer()["code"]).json()
    assert Certificate.parse(granted["certificate"]).email == guest.email
    guest.open("/browserid/account")
    assert guest.email in shown(guest)


def test_an_address_that_nobody_can_have_is_said_to_be_none(guest: Guest) -> None:
    for email in (f'"o neil"@{DOMAIN}', f"{'x' * 65}@{DOMAIN}"):
        guest.open("/browserid/sign-in")
        guest.page.locator("main form").first.evaluate("form => { form.noValidate = true }")
        guest.page.fill("main [name=email]", email)
        guest.submit("email")
        assert guest.page.input_value("main [name=email]") == email
        assert "not an address" in shown(guest)


def come_to(page: Page, target: str) -> None:
    """Press Tab until a thing has the focus, which has to be seen there."""
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and focused.evaluate("(each, target) => each.matches(target)", target):
            style = "each => getComputedStyle(each).outlineStyle"
            assert focused.evaluate(style) != "none"
            return
    raise AssertionError(f"nobody comes to {target} by keyboard")


def test_a_keyboard_is_enough(guest: Guest, applicant: Applicant) -> None:
    guest.open(applicant.page())
    page = guest.page
    come_to(page, "[name=password]")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    come_to(page, "[name=renewal]")
    page.keyboard.press("Space")
    come_to(page, "main button")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert applicant.redeem(applicant.answer()["code"]).json()["renewal"]
