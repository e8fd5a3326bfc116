"""What other people's pages, links and programs try with the provider's pages, each refused."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from html import escape
from urllib.parse import quote, urlencode

import pytest

from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.assets import ASSETS
from browserid_sasl.idp.web.site import PAGES
from tests.support.browser import Browser
from tests.support.provider import (
    ALICE,
    DOMAIN,
    PASSWORD,
    RunningProvider,
    running_provider,
)

SIGN_IN = paths.SIGN_IN
SESSION = "__Host-browserid-session"
SUBMITTED = sorted({page.path for page in PAGES if page.submit})
SHOWN = sorted({page.path for page in PAGES if page.show})
SCRIPT = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


def path_of(page: str) -> str:
    """A page's path without what a route leaves open."""
    return re.sub(r"\{\w+\}", "x", page)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """One for all of these: none of them gets anywhere."""
    with running_provider(tmp_path_factory.mktemp("attacked") / "provider") as provider:
        yield provider


class TestForgery:
    def test_a_form_without_its_token_does_nothing(self, browser: Browser) -> None:
        browser.sign_in()
        for path in SUBMITTED:
            answer = browser.post(path_of(path), {"email": ALICE, "password": PASSWORD})
            assert answer.status == 403, path

    def test_the_token_of_another_browser_is_none(
        self, browser: Browser, other_browser: Browser
    ) -> None:
        browser.sign_in()
        stolen = other_browser.open(SIGN_IN).csrf()
        for path in SUBMITTED:
            assert browser.post(path_of(path), {"csrf": stolen}).status == 403, path

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.test"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null"},
            {"Origin": f"https://{DOMAIN}.evil.test"},
        ],
        ids=str,
    )
    def test_another_site_sends_none_with_a_good_token_either(
        self, browser: Browser, headers: dict[str, str]
    ) -> None:
        token = browser.sign_in().csrf()
        for path in SUBMITTED:
            assert browser.post(path_of(path), {"csrf": token}, headers).status == 403, path
        assert SESSION in browser.cookies
        assert browser.open(paths.ACCOUNT).path == paths.ACCOUNT

    @pytest.mark.parametrize("signed_in", [False, True])
    def test_every_form_that_does_something_has_it(self, browser: Browser, signed_in: bool) -> None:
        if signed_in:
            browser.sign_in()
        for path in SHOWN:
            forms = browser.open(path_of(path)).forms
            assert all(form.fields.get("csrf") for form in forms if form.method == "post"), path
            # What only shows something has none, or the token would be in addresses.
            assert not any("csrf" in form.fields for form in forms if form.method != "post"), path

    def test_before_a_sign_in_it_is_bound_to_a_cookie_that_nobody_can_make_up(
        self, browser: Browser, other_browser: Browser
    ) -> None:
        page = browser.submit(browser.open(SIGN_IN), SIGN_IN, email=ALICE)
        browser.put_cookie("__Host-browserid-visitor", "made-up.made-up")
        assert browser.submit(page, SIGN_IN, password=PASSWORD).status == 403
        browser.session.cookies.clear()
        assert browser.submit(page, SIGN_IN, password=PASSWORD).status == 403

    def test_a_token_from_before_the_sign_in_is_worth_nothing_after_it(
        self, browser: Browser
    ) -> None:
        before = browser.open(SIGN_IN).csrf()
        browser.sign_in()
        assert browser.post(paths.SIGN_OUT, {"csrf": before}).status == 403

    def test_what_is_refused_can_be_opened_again(self, browser: Browser) -> None:
        page = browser.post(f"{SIGN_IN}?email={ALICE}", {"csrf": "x"})
        assert f'href="{SIGN_IN}?email={ALICE}"' in page.html


ELSEWHERE = [
    "https://evil.test/",
    "//evil.test/",
    "///evil.test/",
    "/\\evil.test/",
    "\\\\evil.test",
    "/%09/evil.test",
    "/\t/evil.test",
    "https:evil.test",
    "javascript:alert(1)",
    "/browserid/account@evil.test",
    "/browserid/account/../../evil",
    "//evil.test/browserid/account",
    "https://evil.test/browserid/account",
    "http://127.0.0.1:1/",
    "/authentication\\@evil.test?x",
    "/" + "a" * 9000,
    "[",
]


class TestOpenRedirects:
    def test_a_sign_in_leads_to_pages_of_ours_only(self, running: RunningProvider) -> None:
        for goal in ELSEWHERE:
            browser = Browser.at(running)
            page = browser.open(f"{SIGN_IN}?{urlencode({'email': ALICE, 'next': goal[:4000]})}")
            page = browser.submit(page, SIGN_IN, password=PASSWORD)
            assert (page.status, page.path, page.location) == (200, paths.ACCOUNT, ""), goal

    @pytest.mark.parametrize("action", [paths.LANGUAGE, paths.SIGN_OUT])
    def test_nor_do_other_forms(self, browser: Browser, action: str) -> None:
        for goal in ELSEWHERE:
            page = browser.submit(browser.open(SIGN_IN), paths.LANGUAGE, language="en", next=goal)
            assert page.location == "", goal
        page = browser.sign_in()
        for goal in ELSEWHERE[:3]:
            page = browser.submit(page, action, language="en", next=goal)
            assert page.location == "", goal
            assert page.path.startswith(paths.PREFIX)
            page = browser.open(paths.ACCOUNT)
            page = page if page.path == paths.ACCOUNT else browser.sign_in()

    def test_a_good_one_keeps_its_query_and_nothing_else(self) -> None:
        assert paths.own_path("/browserid/account?a=b#c", "x") == "/browserid/account?a=b"
        assert paths.own_path("/authentication?a=%2F%2Fx", "x") == "/authentication?a=%2F%2Fx"


class TestFraming:
    @pytest.mark.parametrize("signed_in", [False, True])
    def test_no_page_can_be_framed_or_scripted(self, browser: Browser, signed_in: bool) -> None:
        if signed_in:
            browser.sign_in()
        for path in (*SHOWN, "/browserid/none", "/browserid/static/none"):
            self._check(browser.open(path_of(path)).headers)

    def _check(self, headers: Mapping[str, str]) -> None:
        policy = dict(
            directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; ")
        )
        assert policy["frame-ancestors"] == "'none'"
        assert policy["default-src"] == "'none'"
        assert policy["base-uri"] == "'none'"
        assert re.fullmatch(r"'nonce-[\w-]{22}'", policy["script-src"])
        assert policy["style-src"] == policy["script-src"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "max-age" in headers["Strict-Transport-Security"]

    def test_a_nonce_is_good_for_one_answer(self, browser: Browser) -> None:
        policies = {browser.open(SIGN_IN).headers["Content-Security-Policy"] for _ in range(3)}
        assert len(policies) == 3

    def test_nothing_in_a_page_is_there_without_it(self, browser: Browser) -> None:
        for path in SHOWN:
            page = browser.open(path_of(path))
            for tag, given in page.tags:
                assert tag != "style"
                assert "style" not in given
                assert not [name for name in given if name.startswith("on")]
                if tag == "script" or given.get("rel") == "stylesheet":
                    assert given["nonce"] in page.headers["Content-Security-Policy"]


class TestInjection:
    @pytest.mark.parametrize("signed_in", [False, True])
    def test_a_link_puts_no_markup_into_a_page(self, browser: Browser, signed_in: bool) -> None:
        if signed_in:
            browser.sign_in()
        for path in SHOWN:
            for name in ("email", "next", "user_code", "done", "x"):
                page = browser.open(f"{path_of(path)}?{urlencode({name: SCRIPT})}")
                assert "<script>alert" not in page.html, (path, name)
                assert "<img" not in page.html, (path, name)

    def test_nor_does_a_field(self, browser: Browser) -> None:
        page = browser.submit(browser.open(SIGN_IN), SIGN_IN, email=SCRIPT)
        assert page.status == 422
        assert "<script>alert" not in page.html
        assert escape(SCRIPT).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.html

    def test_nor_do_headers(self, running: RunningProvider) -> None:
        browser = Browser.at(running, {"Accept-Language": SCRIPT, "User-Agent": SCRIPT})
        assert "<script>alert" not in browser.sign_in().html


class TestSizes:
    def test_a_large_form_is_refused_on_a_page(self, browser: Browser) -> None:
        page = browser.post(SIGN_IN, {"email": "a" * 20_000})
        assert page.status == 413
        assert "<h1>" in page.html

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b"a=1&a=2", "application/x-www-form-urlencoded", 400),
            (b"&".join(b"a%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
            (b"a=%FF", "application/x-www-form-urlencoded", 400),
            (b"\xff", "application/x-www-form-urlencoded", 403),
            (b"{}", "application/json", 415),
            (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        ],
    )
    def test_what_is_no_form_is_refused(
        self, browser: Browser, body: bytes, content_type: str, status: int
    ) -> None:
        assert browser.post(SIGN_IN, body, {"Content-Type": content_type}).status == status

    def test_a_slow_form_is_given_up(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("browserid_sasl.web.bodies._BODY_TIME_S", 0.5)
        head = (
            f"POST {SIGN_IN} HTTP/1.1\r\nHost: {DOMAIN}\r\nAccept: text/html\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nemail="
        )
        context = ssl.create_default_context(cafile=running.ca_file)
        port = int(running.url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=DOMAIN) as client,
        ):
            client.sendall(head.encode())
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")

    def test_a_query_that_is_none_is_refused_on_a_page(self, browser: Browser) -> None:
        page = browser.open(f"{SIGN_IN}?email=%FF")
        assert page.status == 400
        assert "<h1>" in page.html

    def test_what_browsers_load_is_small_and_all_our_own(self, browser: Browser) -> None:
        assert sum(len(asset.content) for asset in ASSETS.values()) < 40_000
        for name, asset in ASSETS.items():
            answer = browser.open(f"{paths.STATIC}/{name}?v={asset.version}").answer
            assert answer.content == asset.content
            assert "immutable" in answer.headers["Cache-Control"]
            assert not re.search(rb"//(?!www\.w3\.org/2000/svg)[a-z]+\.", asset.content), name


class TestErrors:
    def test_a_browser_gets_a_page_with_a_way_on(self, browser: Browser) -> None:
        page = browser.open("/browserid/none")
        assert page.status == 404
        assert f'href="{paths.ACCOUNT}"' in page.html

    def test_a_program_gets_its_word(self, running: RunningProvider) -> None:
        browser = Browser.at(running, {"Accept": "*/*"})
        assert browser.open("/browserid/none").answer.json()["error"] == "not-found"
        assert browser.post("/certify", b"").answer.json()["error"] == "unsupported-media-type"

    def test_what_is_for_programs_answers_browsers_as_programs(self, browser: Browser) -> None:
        assert browser.post("/certify", b"").answer.json()["error"] == "unsupported-media-type"


@pytest.mark.parametrize("local", ['"o\'neil+x"', "x" * 64, "a&b"])
def test_an_odd_address_breaks_no_page(
    browser: Browser, running: RunningProvider, local: str
) -> None:
    typed = f"{local}@{DOMAIN}"
    email = typed.replace('"', "")
    running.provider.accounts.add(email, PASSWORD, running.clock.now)
    assert browser.open(f"{SIGN_IN}?email={quote(typed)}").path == SIGN_IN
    page = browser.sign_in(typed)
    assert page.path == paths.ACCOUNT
    assert email in page.text
    page = browser.submit(page, paths.SIGN_OUT)
    assert page.path == paths.SIGN_OUT


def test_an_address_that_needs_its_quotes_is_refused_and_shown_as_it_was_typed(
    browser: Browser,
) -> None:
    email = f'"o neil"@{DOMAIN}'
    page = browser.open(f"{SIGN_IN}?{urlencode({'email': email})}")
    assert page.status == 422
    assert page.form(SIGN_IN).fields["email"] == email
