"""The pages for clients that embed a provider, as BrowserID's own dialog did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.app import AppSettings
from browserid_sasl.idp.web import paths
from browserid_sasl.jose.keys import PrivateKey
from tests.support.browser import Browser
from tests.support.provider import ALICE, DOMAIN, RunningProvider, running_provider

DIALOG = "https://dialog.elsewhere.test"
KEY = PrivateKey.generate("ES256").public_key
EMBEDDED = "__Host-browserid-embedded"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningProvider]:
    settings = AppSettings(embedders=(DIALOG,))
    with running_provider(tmp_path / "provider", settings=settings) as provider:
        yield provider


def certify(browser: Browser, email: str = ALICE, key: str = "") -> tuple[int, dict[str, str]]:
    """What the script asks for in the frame."""
    page = browser.open(paths.PROVISIONING)
    script = next(given for tag, given in page.tags if "data-csrf" in given)
    fields = {
        "csrf": script["data-csrf"],
        "email": email,
        "public-key": key or json.dumps(KEY.to_json()),
    }
    answer = browser.post(paths.PROVISIONING, fields, {"Accept": "application/json"})
    return answer.status, answer.answer.json()


class TestProvisioning:
    def test_that_page_alone_may_be_framed_and_by_whom_it_is_said(self, browser: Browser) -> None:
        headers = browser.open(paths.PROVISIONING).headers
        assert f"frame-ancestors {DIALOG};" in headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in headers
        headers = browser.open(paths.SIGN_IN).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"

    def test_there_is_nothing_in_it_to_be_clicked_on(self, browser: Browser) -> None:
        browser.sign_in()
        page = browser.open(paths.PROVISIONING)
        assert not {"a", "button", "form", "input"} & {tag for tag, _ in page.tags}

    def test_who_is_signed_in_gets_a_certificate(self, browser: Browser) -> None:
        browser.sign_in()
        status, answer = certify(browser)
        assert status == 200
        certificate = Certificate.parse(answer["certificate"])
        assert (certificate.email, certificate.public_key) == (ALICE, KEY)

    def test_the_cookie_for_frames_is_good_for_that_page_alone(self, browser: Browser) -> None:
        browser.sign_in()
        cookie = next(each for each in browser.session.cookies if each.name == EMBEDDED)
        assert cookie.get_nonstandard_attr("SameSite") == "none"
        token = browser.cookies[EMBEDDED]
        browser.session.cookies.clear()
        browser.put_cookie(EMBEDDED, token)
        assert certify(browser)[0] == 200
        assert browser.open(paths.ACCOUNT).path == paths.SIGN_IN

    def test_for_another_address_there_is_none(self, browser: Browser) -> None:
        browser.sign_in()
        assert certify(browser, f"bob@{DOMAIN}")[1]["error"] == "other-account"
        assert certify(browser, "alice@elsewhere.test")[0] == 400

    @pytest.mark.parametrize("key", ["{}", "x", "[]"])
    def test_for_what_is_no_key_there_is_none(self, browser: Browser, key: str) -> None:
        browser.sign_in()
        assert certify(browser, key=key)[0] == 400

    def test_a_stranger_gets_none(self, browser: Browser) -> None:
        status, answer = certify(browser)
        assert status in (401, 403)
        assert "certificate" not in answer

    def test_signing_out_ends_it(self, browser: Browser) -> None:
        browser.submit(browser.sign_in(), paths.SIGN_OUT)
        assert EMBEDDED not in browser.cookies


class TestAuthentication:
    def test_the_dialog_gets_its_person_back(self, browser: Browser) -> None:
        page = browser.sign_in(goal=f"{paths.AUTHENTICATION}?email={ALICE}")
        assert page.path == paths.AUTHENTICATION
        assert f'href="{DIALOG}/sign_in?AUTH_RETURN"' in page.html
        # A window that the dialog has opened stays in touch with it.
        assert page.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"

    def test_or_hears_that_they_did_not_want_to(self, browser: Browser) -> None:
        page = browser.open(f"{paths.AUTHENTICATION}?email={ALICE}")
        link = next(
            given["href"]
            for tag, given in page.tags
            if tag == "a" and given.get("href", "").startswith(paths.CANCEL)
        )
        assert browser.open(link).location == f"{DIALOG}/sign_in?AUTH_RETURN_CANCEL"
