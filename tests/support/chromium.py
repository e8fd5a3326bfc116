"""Debian's Chromium, which believes a test's authority, and what a test sees of its pages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import (
    Browser,
    BrowserContext,
    BrowserType,
    CDPSession,
    ConsoleMessage,
    Page,
    sync_playwright,
)

from tests.support.provider import DOMAIN

PROGRAM: Final = "/usr/bin/chromium"
PATIENCE_MS: Final = 30_000
"""For everything that is waited for: a busy machine is no failure."""

_NAMES: Final = "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.* ~NOTFOUND, EXCLUDE 127.0.0.1"
_AT_A_DESK: Final = {
    # Whether the library for tickets was needed before: it is loaded at the next start only.
    "net": {"received_http_auth_negotiate_headers": True},
    # Here a name of a test is an address, for which there is no service.
    "auth": {"disable_negotiate_cname_lookup": True},
}

AXE: Final = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@contextmanager
def chromium(home: Path, authority: Path) -> Iterator[Browser]:
    """A browser for which all names below `.test` are this machine, and there are no others.

    :param home: an empty folder, its user's.
    :param authority: whose certificates it believes, beside the public ones.
    """
    _believe(home, authority)
    with sync_playwright() as playwright, _launched(playwright.chromium, PROGRAM, home) as browser:
        yield browser


@contextmanager
def _launched(kind: BrowserType, program: str, home: Path) -> Iterator[Browser]:
    variables: dict[str, str | float | bool] = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    browser = kind.launch(
        executable_path=program,
        args=[_NAMES, "--disable-dev-shm-usage"],
        env=variables,
        timeout=2 * PATIENCE_MS,
    )
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def with_card(
    browser: Browser, home: Path, authority: Path, card: bytes, url: str
) -> Iterator[BrowserContext]:
    """Another browser, of somebody who has a certificate: it shows that to one site, unasked.

    :param browser: the one that there is.
    :param home: see `chromium`.
    :param authority: likewise.
    :param card: the certificate and its key, as PKCS #12 without a password.
    :param url: of the site. Elsewhere it would ask in a window, which nobody sees.
    """
    _believe(home, authority)
    (home / "card.p12").write_bytes(card)
    command = ("pk12util", "-i", home / "card.p12", "-d", f"sql:{home}/.pki/nssdb", "-W", "")
    subprocess.run(command, check=True, timeout=60)
    policies = home / "etc" / "policies" / "managed"
    policies.mkdir(parents=True)
    shown = json.dumps({"pattern": url, "filter": {}})
    (policies / "card.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [shown]}))
    # Policies are read in one place, which nobody but this browser sees changed.
    mounted = f"mount --bind {home}/etc /etc/chromium && exec {PROGRAM}"
    program = home / "chromium"
    program.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'{mounted} "$@"\' sh "$@"\n')
    program.chmod(0o755)
    with _launched(browser.browser_type, str(program), home) as own:
        yield own.new_context()


@contextmanager
def at_a_desk(
    browser: Browser, home: Path, authority: Path, variables: Mapping[str, str]
) -> Iterator[BrowserContext]:
    """Another browser, of somebody whose computer has signed them in: it shows whose it is.

    It is one of its own, as none does that in a window without a history.

    :param browser: the one that there is.
    :param home: see `chromium`.
    :param authority: likewise.
    :param variables: by which the tickets are found.
    """
    _believe(home, authority)
    profile = home / "profile"
    profile.mkdir()
    (profile / "Local State").write_text(json.dumps(_AT_A_DESK))
    context = browser.browser_type.launch_persistent_context(
        profile,
        executable_path=PROGRAM,
        args=[
            _NAMES,
            f"--auth-server-allowlist={DOMAIN}",
            "--disable-dev-shm-usage",
        ],
        env={"HOME": str(home), "LANG": "C.UTF-8", **variables},
        timeout=2 * PATIENCE_MS,
    )
    try:
        yield context
    finally:
        context.close()


def _believe(home: Path, authority: Path) -> None:
    """Put an authority where Chromium looks for those of its user."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for command in (
        ("certutil", "-N", "--empty-password", "-d", f"sql:{database}"),
        ("certutil", "-A", "-n", "tests", "-t", "C,,", "-i", authority, "-d", f"sql:{database}"),
    ):
        subprocess.run(command, check=True, timeout=60)


@dataclass
class Complaints:
    """What a browser had to say against the pages it was shown."""

    texts: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.texts.append(f"{page.url}: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        page, text = message.page, message.text
        if message.type != "error":
            return
        # A page whose own status is an error's is that for a reason; its parts are not.
        of_page = page is not None and message.location.get("url") == page.url
        if of_page and text.startswith("Failed to load resource: the server responded"):
            return
        self.texts.append(f"{message.location.get('url')}: {text}")

    def take(self) -> list[str]:
        """What was said until now, which is forgotten."""
        said, self.texts = self.texts, []
        return said


class Window:
    """A browser window that shares nothing with others, and a person before it.

    :param context: its own.
    :param complaints: where it puts what is wrong.
    """

    def __init__(self, context: BrowserContext, complaints: Complaints) -> None:
        self.context = context
        self.complaints = complaints
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", complaints.watch)
        self.page = context.new_page()


class Authenticator:
    """A device with passkeys, in one page of a browser.

    :param page: where it can be asked.
    :param options: of `WebAuthn.addVirtualAuthenticator`, in place of the usual.
    """

    def __init__(self, page: Page, **options: object) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable", {"enableUI": False})
        usual = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": usual | options})
        self._id = added["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        """The passkeys it holds."""
        found = self._session.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        credentials: list[dict[str, Any]] = found["credentials"]
        return credentials

    def put(self, credential: Mapping[str, object]) -> None:
        """Give it a passkey that another one has made."""
        kept = {name: value for name, value in credential.items() if value is not None}
        self._session.send(
            "WebAuthn.addCredential", {"authenticatorId": self._id, "credential": kept}
        )

    def remove(self) -> None:
        """Take it away."""
        options = {"authenticatorId": self._id}
        self._session.send("WebAuthn.removeVirtualAuthenticator", options)


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core finds wrong with a page as it is shown."""
    # Evaluated by the debugger, so that the page's policy need not permit it.
    page.evaluate(AXE)
    found = page.evaluate("async () => JSON.stringify((await axe.run()).violations)")
    return [
        f"{rule['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for rule in json.loads(found)
        for node in rule["nodes"]
    ]
