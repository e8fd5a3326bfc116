"""Takes pictures of all pages of the identity provider, on a telephone and a desktop, in light and
dark, in every language; and those that the documentation shows.

usage: python -m tools.screenshots [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser

from tests.support.chromium import Complaints, Window, chromium
from tests.support.household import Authority, Household
from tests.support.provider import ALICE, DOMAIN
from tests.support.sample_programs import ROOT
from tests.support.tour import STOPS, Guest, Stop, stop_named
from tools.pictures import with_text

FOLDER: Final = Path("build/screenshots")
LANGUAGES: Final = {"en": "en-GB", "de": "de-DE"}
SIZES: Final = {"phone": (390, 700), "desktop": (1024, 700)}
DOCUMENTATION: Final = ROOT / "docs" / "pictures"
DOCUMENTED: Final = (
    "invitation",
    "sign-in-for-program",
    "consent",
    "device-consent",
    "account-with-machine",
)
"""Pages that the documentation shows."""
WIDTH: Final = 420
NEWCOMER: Final = f"bob@{DOMAIN}"
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def take_pictures(browser: Browser, provider: Household, stop: Stop, folder: Path) -> None:
    """Take all pictures of a page."""
    for language, locale in LANGUAGES.items():
        network = {"X-Forwarded-For": f"192.0.2.{STOPS.index(stop) + 1}"}
        context = browser.new_context(locale=locale, extra_http_headers=network)
        guest = Guest(Window(context, Complaints()), provider)
        stop.visit(guest)
        for size, (width, height) in SIZES.items():
            guest.page.set_viewport_size({"width": width, "height": height})
            for theme in THEMES:
                guest.page.emulate_media(color_scheme=theme)
                path = folder / language / f"{stop.name}-{size}-{theme}.png"
                guest.page.screenshot(path=path, full_page=True, animations="disabled")
        context.close()


def take_documentation(browser: Browser, provider: Household, folder: Path) -> None:
    """Take the pictures that pages of documentation show, with alice before the browser."""
    folder.mkdir(parents=True, exist_ok=True)
    provider.add(ALICE)
    for name in DOCUMENTED:
        context = browser.new_context(
            locale=LANGUAGES["en"],
            viewport={"width": WIDTH, "height": 300},
            extra_http_headers={"X-Forwarded-For": "192.0.2.1"},
        )
        email = NEWCOMER if name == "invitation" else ALICE
        guest = Guest(Window(context, Complaints()), provider, email)
        stop_named(name).visit(guest)
        picture = guest.page.screenshot(full_page=True, animations="disabled")
        text = guest.page.inner_text("main")
        (folder / f"{name}.png").write_bytes(with_text(picture, text))
        context.close()


def main(arguments: list[str]) -> int:
    """Take pictures of everything; the exit status.

    :param arguments: the folder for them, if another one is wanted.
    """
    folder = Path(*arguments) if arguments else FOLDER
    with tempfile.TemporaryDirectory(prefix="browserid-screenshots-") as name:
        own = Path(name)
        authority = Authority(own / "authority")
        provider = Household(own, authority)
        provider.start()
        try:
            with chromium(own / "home", authority.file) as browser:
                for stop in STOPS:
                    print(stop.name, flush=True)
                    take_pictures(browser, provider, stop, folder)
                take_documentation(browser, provider, DOCUMENTATION)
        finally:
            provider.stop()
    print(f"the pictures are in {folder}, and in {DOCUMENTATION}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
