"""Takes pictures of all pages of the identity provider, on a telephone and a desktop, in light and
dark, in every language.

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
from tests.support.tour import STOPS, Guest, Stop

FOLDER: Final = Path("build/screenshots")
LANGUAGES: Final = {"en": "en-GB", "de": "de-DE"}
SIZES: Final = {"phone": (390, 700), "desktop": (1024, 700)}
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
        finally:
            provider.stop()
    print(f"the pictures are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
