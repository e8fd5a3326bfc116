"""BrowserID's own dialog, which frames the page `provisioning`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from playwright.sync_api import Page

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.jose.keys import PrivateKey
from tests.browser.conftest import OpenWindow
from tests.support.household import Authority, Household
from tests.support.tour import Guest

# A host of the same site: in windows such as a test's Chromium keeps another site's cookies apart.
DIALOG: Final = "https://dialog.example.test"
OTHER: Final = "https://other.test"
KEY: Final = PrivateKey.generate("RS256").public_key

# What the dialog's half of the channel does: jschannel, in the scope of provisioning.
SCRIPT: Final = """
window.heard = [];
addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  const name = (message.method || "").split("::")[1];
  const frame = document.querySelector("iframe").contentWindow;
  const say = (said) => frame.postMessage(JSON.stringify(said), ORIGIN);
  if (event.origin !== ORIGIN) return;
  if (name === "__ready" && message.params === "ping") {
    say({ method: message.method, params: "pong" });
  } else if (name === "beginProvisioning") {
    say({ id: message.id, result: { email: EMAIL, cert_duration_s: 3600 } });
  } else if (name === "genKeyPair") {
    say({ id: message.id, result: KEY });
  } else if (name !== "__ready") {
    heard.push([name, message.params]);
  }
});
"""


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Household]:
    """A provider that a dialog may embed."""
    folder = tmp_path_factory.mktemp("embedded")
    household = Household(folder, authority, {"embedders": [DIALOG]})
    household.start()
    yield household
    household.stop()


def show_dialog(page: Page, household: Household, email: str, origin: str = DIALOG) -> None:
    """Have a site of somebody's show a dialog that frames the provider's page."""
    names = {"ORIGIN": household.url, "EMAIL": email, "KEY": json.dumps(KEY.to_json())}
    constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items())
    frame = f'<iframe src="{household.url}/provisioning"></iframe>'
    html = f"<!DOCTYPE html><title>Dialog</title><script>{constants}{SCRIPT}</script>{frame}"
    page.route(f"{origin}/", lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(f"{origin}/")


def heard(page: Page) -> tuple[str, str]:
    """What the dialog hears in the end."""
    page.wait_for_function("window.heard.length > 0")
    [(name, params)] = page.evaluate("window.heard")
    return name, params


def test_who_is_signed_in_gets_a_certificate_through_it(
    open_window: OpenWindow, embedded: Household
) -> None:
    guest = Guest(open_window(), embedded)
    guest.sign_in()
    guest.window.context.grant_permissions(["local-network-access"], origin=DIALOG)
    show_dialog(guest.page, embedded, guest.email)
    name, certificate = heard(guest.page)
    assert name == "registerCertificate", certificate
    parsed = Certificate.parse(certificate)
    assert (parsed.email, parsed.public_key) == (guest.email, KEY)


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_who_is_not_is_said_not_to_be(
    open_window: OpenWindow, embedded: Household, who: str
) -> None:
    guest = Guest(open_window(), embedded)
    if who == "somebody else":
        guest.sign_in()
    guest.window.context.grant_permissions(["local-network-access"], origin=DIALOG)
    show_dialog(guest.page, embedded, "alice@example.test")
    assert heard(guest.page)[0] == "raiseProvisioningFailure"


def test_a_site_that_is_not_named_cannot_frame_it(
    open_window: OpenWindow, embedded: Household
) -> None:
    guest = Guest(open_window(), embedded)
    guest.sign_in()
    guest.window.context.grant_permissions(["local-network-access"], origin=OTHER)
    with guest.page.expect_console_message(lambda message: "Framing" in message.text):
        show_dialog(guest.page, embedded, guest.email, OTHER)
    assert guest.page.evaluate("window.heard") == []
    guest.window.complaints.take()


def test_a_dialog_that_has_sent_somebody_to_sign_in_gets_them_back(
    open_window: OpenWindow, embedded: Household
) -> None:
    guest = Guest(open_window(), embedded)
    answer: Callable[..., None] = lambda route: route.fulfill(body="back")  # noqa: E731
    guest.page.route(f"{DIALOG}/**", answer)
    guest.open(f"/authentication?email={guest.email}")
    guest.give_password()
    guest.page.wait_for_url(f"{DIALOG}/sign_in?AUTH_RETURN")
