"""Markup and controls in every field of every form, in every link, and in the names that come from
elsewhere. What there is to try is read from the site's table of pages and its templates.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp import web
from browserid_sasl.idp.app import AppSettings
from browserid_sasl.idp.backends import OWN_ACCOUNTS, Asked, Prompt
from browserid_sasl.idp.backends.oidc import OidcBackend, Terms
from browserid_sasl.idp.backends.oidc_upstream import Access, Upstream
from browserid_sasl.idp.exchanges import Waiting
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.mail_limits import DAY_MS
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.languages import LANGUAGES
from browserid_sasl.idp.web.site import PAGES
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PrivateKey
from tests.idp.web.test_attacks import path_of
from tests.idp.web.test_by_request import Headers
from tests.idp.web.test_consent import BACK, KEY, asked
from tests.idp.web.test_device import Machine, decide, type_in
from tests.support.administering import passkey_of, sign_in_with
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, Shown, ShownForm
from tests.support.fallback import NOBODY, RunningFallback, running_fallback
from tests.support.patience import wait_until
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

BOB = f"bob@{DOMAIN}"
CAROL = f"carol@{DOMAIN}"
EITHER = "either.test"
DAVE = f"dave@{DOMAIN}"
ERIN = f"erin@{DOMAIN}"
DIALOG = "https://dialog.elsewhere.test"
MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{7331*7331}}",
    "javascript:alert(1)",
)
CONTROLS = "\u2028\x00\u202e"
TRIED = (*MARKUP, f"a{CONTROLS}z")
SOURCE = Path(web.__file__).parent
NEEDED = frozenset({"password", "again"})
REFUSED = (400, 403, 404, 422)
LINKS = ("href", "src", "action", "formaction", "data-options")

S = TypeVar("S")
Scene = Callable[[Browser, S], Shown]
Tried = tuple[str, frozenset[str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """One for all of these, with dialogs that embed it and as many guesses as it takes."""
    folder = tmp_path_factory.mktemp("injected") / "provider"
    settings = AppSettings(embedders=(DIALOG,))
    with running_provider(folder, settings=settings, policy=Policy(free=10_000)) as running:
        prepare(running)
        yield running


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFallback]:
    """One that signs people in by mail."""
    folder = tmp_path_factory.mktemp("mailed") / "provider"
    upstream = Upstream(Access("https://localhost:1", "client"))
    either = OidcBackend("either", upstream, Terms("Either", domains=(EITHER,), mail_too=True))
    backends = Backends(["either", OWN_ACCOUNTS], [either])
    with running_fallback(folder, per_hour=100_000, backends=backends) as site:
        yield site


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """One that knows people by their requests."""
    folder = tmp_path_factory.mktemp("known") / "provider"
    with running_provider(folder, backends=Backends(["desks"], [Headers()])) as running:
        yield running


def prepare(running: RunningProvider) -> None:
    provider, now = running.provider, running.clock.now
    for email in (BOB, CAROL, DAVE, ERIN):
        provider.accounts.add(email, PASSWORD, now)
    provider.administrators.add(DAVE, "uid 0", now)
    provider.invitations.make(ERIN, "uid 0", now)
    wish = Wish(ERIN, PrivateKey.generate("ES256").public_key, MARKUP[0], "192.0.2.1")
    provider.renewals.issue(Granted(wish, renewal=True), now + 1, now, lambda: None)
    name_passkey(running, "phone")
    name_passkey(running, "phone", CAROL)
    secret = provider.second_factors.begin(CAROL, now)
    code = TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(now // 1000).decode()
    assert provider.means.confirm_second_factor(CAROL, code, "::1", now, keep=0)


def name_passkey(running: RunningProvider, name: str, email: str = ALICE) -> None:
    passkeys, now = running.provider.passkeys, running.clock.now
    answer = Authenticator().create(passkeys.registration_options(email, now))
    passkeys.register(email, answer, name, "::1", now)


def page_at(path: str) -> Scene[RunningProvider]:
    """A page for whom is signed in, as Alice if nobody is."""

    def show(browser: Browser, _: RunningProvider) -> Shown:
        page = browser.open(path)
        return page if page.path != paths.SIGN_IN else browser.sign_in(goal=path)

    return show


def account(browser: Browser, running: RunningProvider) -> Shown:
    """Alice's with a machine, and signed in elsewhere too."""
    if not running.provider.renewals.all(ALICE, running.clock.now):
        sign_machine_in(browser, running, "laptop")
    Browser.at(running).sign_in()
    return page_at(paths.ACCOUNT)(browser, running)


def sign_machine_in(browser: Browser, running: RunningProvider, name: str) -> None:
    page_at(paths.ACCOUNT)(browser, running)
    machine = Machine(running, name=name)
    decide(browser, type_in(browser, machine.code), "allow", renewal="yes")
    assert "renewal" in machine.poll()


def passkey(browser: Browser, running: RunningProvider) -> Shown:
    number = running.provider.passkeys.all(ALICE)[0].id
    return page_at(f"{paths.ACCOUNT_PASSKEY}?id={number}")(browser, running)


def address(browser: Browser, _: RunningProvider) -> Shown:
    browser.session.cookies.clear()
    return browser.open(paths.SIGN_IN)


def sign_in(browser: Browser, _: RunningProvider) -> Shown:
    browser.session.cookies.clear()
    return browser.open(f"{paths.SIGN_IN}?email={ALICE}")


def second_step(browser: Browser, running: RunningProvider) -> Shown:
    """With all that may follow a password."""
    steps = running.provider.second_steps
    page = sign_in(browser, running)
    steps._policy = "passkey"
    try:
        return browser.submit(page, paths.SIGN_IN, email=CAROL, password=PASSWORD)
    finally:
        steps._policy = "code"


class Questions:
    """What a module of PAM may say at its worst."""

    knows = True
    asked = Asked(tuple(Prompt(text, hidden=False) for text in MARKUP[:1]), MARKUP, MARKUP)

    def answer(self, answers: object) -> None:
        """Nobody is behind it."""

    def end(self) -> None:
        """There is nothing to end."""


def questions(browser: Browser, running: RunningProvider) -> Shown:
    exchanges = running.provider.outside.exchanges
    exchanges.take(browser.cookies.get(cookies.EXCHANGE, ""))
    sign_in(browser, running)
    token = exchanges.keep(Waiting("desks", ALICE, Questions()), "192.0.2.1")
    browser.put_cookie(cookies.EXCHANGE, token)
    return browser.open(paths.QUESTIONS)


_devices: dict[str, Authenticator] = {}


def admin_at(path: str) -> Scene[RunningProvider]:
    """A page for administrators, for Dave, about Erin who has a machine and an invitation."""

    def show(browser: Browser, running: RunningProvider) -> Shown:
        page = browser.open(path)
        if page.status != 200 or page.path == paths.SIGN_IN:
            browser.session.cookies.clear()
            if running.url not in _devices:
                _devices[running.url] = passkey_of(running, DAVE)
            page = sign_in_with(browser, _devices[running.url], DAVE, path)
        assert page.status == 200
        return page

    return show


def admin_passkey(browser: Browser, _: RunningProvider) -> Shown:
    """What an administrator sees who has signed in with a password."""
    browser.session.cookies.clear()
    browser.sign_in(DAVE)
    return browser.open(paths.ADMIN)


def invitation(browser: Browser, running: RunningProvider) -> Shown:
    token = running.provider.invitations.make(BOB, "uid 0", running.clock.now)
    return browser.open(f"{paths.INVITATION}?token={token}")


def other_identity(browser: Browser, running: RunningProvider) -> Shown:
    page_at(paths.ACCOUNT)(browser, running)
    return browser.open(asked(email=BOB))


def device(browser: Browser, running: RunningProvider) -> Shown:
    # Guesses are few, so each try is a day of its own.
    running.clock.now += 86_400_000
    return page_at(paths.DEVICE)(browser, running)


def device_consent(browser: Browser, running: RunningProvider) -> Shown:
    device(browser, running)
    return type_in(browser, Machine(running).code)


SCENES: dict[str, Scene[RunningProvider]] = {
    "address": address,
    "sign-in": sign_in,
    "second-step": second_step,
    "questions": questions,
    "invitation": invitation,
    "account": account,
    "passkey": passkey,
    "new-passkey": page_at(paths.NEW_PASSKEY),
    "password": page_at(paths.PASSWORD),
    "second-factor": page_at(paths.SECOND_FACTOR),
    "recovery-codes": page_at(paths.RECOVERY_CODES),
    "sign-out": page_at(paths.SIGN_OUT),
    "consent": page_at(asked()),
    "other-identity": other_identity,
    "provisioning": page_at(paths.PROVISIONING),
    "admin-people": admin_at(paths.ADMIN),
    "admin-person": admin_at(f"{paths.ADMIN_PERSON}?email={ERIN}"),
    "admin-invitations": admin_at(paths.ADMIN_INVITATIONS),
    "admin-log": admin_at(paths.ADMIN_LOG),
    "admin-backends": admin_at(paths.ADMIN_BACKENDS),
    "admin-keys": admin_at(paths.ADMIN_KEYS),
    "admin-passkey": admin_passkey,
    "device-consent": device_consent,
    "device": device,
}


def mail_address(browser: Browser, site: RunningFallback) -> Shown:
    # Mails are few, so each try is a day of its own.
    site.clock.now += 2 * DAY_MS
    site.fallback.limits.allow(NOBODY, "a test", site.clock.now)
    browser.session.cookies.clear()
    return browser.open(paths.SIGN_IN)


def mail_code(browser: Browser, site: RunningFallback) -> Shown:
    return browser.submit(mail_address(browser, site), paths.SIGN_IN, email=NOBODY)


def mail_link(browser: Browser, site: RunningFallback) -> Shown:
    """Opened in another browser than the one that has asked."""
    # What was asked for before may not have come yet, and its link is good no more.
    wait_until(lambda: not site.fallback.postman._outbox._names(), "the mails of before")
    before = len(site.mailbox.deliveries)
    mail_code(browser, site)
    browser.session.cookies.clear()
    return browser.open(site.mailbox.wait(before + 1).link)


def at_door(browser: Browser, _: RunningProvider) -> Shown:
    """With a button for those whom their request makes known."""
    return browser.open(paths.SIGN_IN)


def mail_elsewhere(browser: Browser, site: RunningFallback) -> Shown:
    return browser.submit(mail_address(browser, site), paths.SIGN_IN, email=f"alice@{EITHER}")


MAIL_SCENES: dict[str, Scene[RunningFallback]] = {
    "mail-address": mail_address,
    "mail-elsewhere": mail_elsewhere,
    "mail-code": mail_code,
    "mail-link": mail_link,
}


def forms_of(page: Shown) -> list[ShownForm]:
    """All that can be sent from a page: by its forms, with any of their boxes and buttons, and by
    its scripts.
    """
    forms: list[ShownForm] = []
    for tag, given in page.tags:
        if tag == "form":
            forms.append(ShownForm(given["action"] or page.path, given.get("method", "get")))
            if "data-options" in given:
                # The same fields, which the script sends there first.
                forms.append(ShownForm(given["data-options"], "post", forms[-1].fields))
        elif tag in ("input", "button") and given.get("name"):
            forms[-1].fields.setdefault(given["name"], given.get("value", ""))
        elif given.get("data-step") == "provisioning":
            fields = {"csrf": given["data-csrf"], "email": given["data-email"], "public-key": "{}"}
            forms.append(ShownForm(paths.PROVISIONING, "post", fields))
    return forms


def check(page: Shown, what: object) -> None:
    """Nothing in an answer is made of what was sent."""
    assert page.status < 500, what
    assert leads_home(page.location), (what, page.location)
    if page.headers.get("Content-Type", "").startswith("application/json"):
        assert page.headers["X-Content-Type-Options"] == "nosniff", what
        return
    assert "53743561" not in page.html, what
    assert not set(CONTROLS) & set(page.text), what
    for tag, given in page.tags:
        assert tag != "img", what
        assert not [name for name in given if name.startswith("on")], what
        assert tag != "script" or urlsplit(given.get("src", "")).path.startswith(paths.STATIC), what
        for link in LINKS:
            assert leads_home(given.get(link, "")), (what, given[link])


def leads_home(location: str) -> bool:
    """Whether an address is the site's own, or that of a program or dialog that is allowed."""
    if location.startswith((f"{BACK}?", f"{DIALOG}/sign_in?")):
        return True
    parts = urlsplit(location)
    return not (parts.scheme or parts.netloc) and location[:1] in ("", "/", "#")


def try_fields(
    browser: Browser,
    running: S,
    scene: Scene[S],
    tried: set[Tried],
    texts: Sequence[str],
) -> None:
    """Send each form of a page that was not tried before, each time with one of its fields bad."""
    page = scene(browser, running)
    for number, form in enumerate(forms_of(page)):
        path, names = urlsplit(form.action).path, frozenset(form.fields)
        if (path, names) in tried:
            continue
        tried.add((path, names))
        for field, text in product(sorted(names), texts):
            given = forms_of(page)[number]
            filled = given.fields | dict.fromkeys(NEEDED & names, PASSWORD)
            answer = browser.post(given.action, filled | {field: text})
            check(answer, (path, field, text))
            # What was refused has changed nothing, and can be sent again.
            if answer.status not in REFUSED:
                page = scene(browser, running)


@pytest.mark.parametrize(("language", "texts"), [("en", TRIED[::2]), ("de", TRIED[1::2])])
def test_no_field_puts_anything_into_a_page(
    running: RunningProvider, language: str, texts: Sequence[str]
) -> None:
    """Every field in both languages, with half of the texts in each."""
    tried: set[Tried] = set()
    for scene in SCENES.values():
        browser = Browser.at(running, {"Accept-Language": language})
        try_fields(browser, running, scene, tried, texts)
        for later in (paths.ACCOUNT, asked()):
            check(page_at(later)(browser, running), later)


@pytest.mark.parametrize(("language", "texts"), [("en", TRIED[1::2]), ("de", TRIED[::2])])
def test_nor_does_one_of_a_sign_in_by_mail(
    mailing: RunningFallback, language: str, texts: Sequence[str]
) -> None:
    browser = mailing.browser({"Accept-Language": language})
    tried: set[Tried] = set()
    for scene in MAIL_SCENES.values():
        try_fields(browser, mailing, scene, tried, texts)


def test_nor_does_one_of_a_sign_in_by_a_request(knowing: RunningProvider) -> None:
    tried: set[Tried] = set()
    try_fields(Browser.at(knowing), knowing, at_door, tried, TRIED)


def test_that_is_every_form_and_field(
    running: RunningProvider, mailing: RunningFallback, knowing: RunningProvider
) -> None:
    forms = [forms_of(scene(Browser.at(running), running)) for scene in SCENES.values()]
    forms += [forms_of(scene(mailing.browser(), mailing)) for scene in MAIL_SCENES.values()]
    forms.append(forms_of(at_door(Browser.at(knowing), knowing)))
    actions = {urlsplit(form.action).path for page in forms for form in page}
    actions = {each.replace("/known/desks", "/known/{name}") for each in actions}
    # The same handler as that of the page for programs, at the host that people are led to.
    assert actions >= {page.path for page in PAGES if page.submit} - {paths.CONSENT}
    shown = [{name for form in page for name in form.fields} for page in forms]
    for template in (SOURCE / "templates").glob("*.html"):
        names = named_in(template)
        assert any(names <= page for page in shown), (template.name, names)
    read = {name for module in SOURCE.glob("*.py") for name in read_in(module, "form")}
    assert read <= set().union(*shown)


def named_in(template: Path) -> set[str]:
    """The fields in a template's forms."""
    text = re.sub(r"<meta[^>]*>", "", template.read_text())
    return {
        name
        for name in re.findall(r'(?:\bname=|ui\.(?:field|hidden)\()"([^"]+)"', text)
        if "{" not in name
    }


def read_in(module: Path, what: str) -> set[str]:
    """The fields that a module looks at."""
    text = module.read_text()
    return set(re.findall(rf'\b{what}(?:\.get\(|\[)"([^"]+)"', text)) | set(
        re.findall(rf'"([^"]+)" in visit\.{what}\b', text)
    )


@pytest.mark.parametrize(("language", "signed_in"), [("en", False), ("de", True)])
def test_nor_does_a_link(running: RunningProvider, language: str, signed_in: bool) -> None:
    browser = Browser.at(running, {"Accept-Language": language})
    if signed_in:
        browser.sign_in()
    names = {name for module in SOURCE.glob("*.py") for name in read_in(module, "query")}
    assert {"email", "next", "token", "user_code"} <= names
    for path in sorted({path_of(page.path) for page in PAGES if page.show}):
        for name, text in product(sorted(names), ("".join(MARKUP), TRIED[-1])):
            check(browser.open(f"{path}?{urlencode({name: text})}"), (path, name, text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nor_does_what_a_program_asks_for(running: RunningProvider, language: str) -> None:
    browser = Browser.at(running, {"Accept-Language": language})
    browser.sign_in()
    names = ("email", "public_key", "state", "redirect_uri", "code_challenge", "machine")
    for name, text in product(names, TRIED):
        for path in (paths.AUTHENTICATION, paths.CONSENT, paths.CANCEL):
            query = urlsplit(asked(**{name: text})).query
            check(browser.open(f"{path}?{query}"), (path, name, text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nor_do_names_that_are_kept(running: RunningProvider, language: str) -> None:
    browser = Browser.at(running, {"Accept-Language": language, "User-Agent": MARKUP[0]})
    device(browser, running)
    for text in MARKUP:
        sign_machine_in(browser, running, text)
        name_passkey(running, text)
    pages = [browser.open(path) for path in (paths.ACCOUNT, *(passkeys_of(running)))]
    for page in pages:
        check(page, page.path)
    assert all(text in pages[0].text for text in MARKUP)
    machine = Machine(running, name=MARKUP[1])
    page = type_in(browser, machine.code)
    check(page, "device")
    assert MARKUP[1] in page.text


def passkeys_of(running: RunningProvider) -> list[str]:
    return [f"{paths.ACCOUNT_PASSKEY}?id={p.id}" for p in running.provider.passkeys.all(ALICE)]


def test_controls_are_no_part_of_a_machine_s_name(running: RunningProvider) -> None:
    for control in CONTROLS:
        question = {"email": ALICE, "public-key": KEY.to_json(), "machine": f"a{control}z"}
        answer = running.post("/device-authorization", json=question)
        assert answer.json()["error"] == "invalid-machine", json.dumps(control)


@pytest.mark.parametrize("local", [*MARKUP, *CONTROLS])
def test_nor_does_an_address(running: RunningProvider, local: str) -> None:
    accounts, email = running.provider.accounts, f"{local}@{DOMAIN}"
    try:
        accounts.add(email, PASSWORD, running.clock.now)
    except LocalProtocolError:
        return
    page = Browser.at(running).sign_in(email)
    check(page, email)
    assert email in page.text
