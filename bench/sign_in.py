"""What signing in costs a provider: its pages' bytes, and their time in a browser.

A provider in a process of its own is asked over TLS by a browser for its pages. What a certificate
costs is measured beside the signature that is in it. What many people cost at once is in `crowd`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from bench.crowd import a_network
from bench.measure import in_turns, verdict
from browserid_sasl.idp.certification import Certifier
from browserid_sasl.idp.web.assets import ASSETS
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from tests.support.chromium import Complaints, Window, chromium
from tests.support.household import Authority, Household
from tests.support.provider import DOMAIN
from tests.support.tour import Guest, stop_named

PAGES: Final = ("sign-in", "sign-in-as", "consent", "account")
PAGE_ROUNDS: Final = 5
INTERACTIVE: Final = "performance.getEntriesByType('navigation')[0].domInteractive"
ROUNDS: Final = 200


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with _provider() as household:
        return [*_pages(household), *_certificates(household)]


@contextmanager
def _provider() -> Iterator[Household]:
    with tempfile.TemporaryDirectory(prefix="browserid-bench-") as name:
        folder = Path(name)
        household = Household(folder, Authority(folder / "authority"))
        household.start()
        try:
            yield household
        finally:
            household.stop()


# What a page is to a browser


def _pages(household: Household) -> list[str]:
    files = sum(len(asset.content) for asset in ASSETS.values())
    lines = ["pages, each in a browser that knows nothing yet"]
    largest = 0
    with chromium(household.folder / "browser", household.authority.file) as browser:
        for name in PAGES:
            sizes, times = [], []
            for _ in range(PAGE_ROUNDS):
                context = browser.new_context(extra_http_headers=a_network())
                guest = Guest(Window(context, Complaints()), household)
                stop_named(name).visit(guest)
                sizes.append(len(guest.page.content().encode()))
                times.append(guest.page.evaluate(INTERACTIVE))
                context.close()
            largest = max(largest, *sizes)
            lines.append(
                f"{f'  {name}':<42} {max(sizes):>6} octets, interactive in {median(times):.0f} ms"
            )
    whole = files + largest
    kilobytes = f"{whole / 1000:.1f} KB"
    lines.append(
        verdict("  all files and the largest page", kilobytes, "60 KB at most", met=whole <= 60_000)
    )
    return lines


# What a certificate costs beside its signature


def _certificates(household: Household) -> list[str]:
    email = f"certified@{DOMAIN}"
    household.add(email)
    provider = household.open()
    certifier = Certifier(provider, 3_600_000)
    wish = Wish(email, PrivateKey.generate("ES256").public_key, "bench", "203.0.113.1")
    signing = provider.keys.active(system_clock()).private_key
    took = in_turns(
        {
            "signature": lambda: signing.sign(b"x" * 300),
            "certificate": lambda: certifier.certify_granted(
                Granted(wish, renewal=False), "code", 3_600_000, system_clock()
            ),
        },
        ROUNDS,
    )
    return [
        "certificates a second, once somebody is known, of one thread's CPU time",
        f"{'  bare signatures':<42} {1000 / took['signature']:>9.0f}",
        f"{'  certificates, listed and in the audit log':<42} {1000 / took['certificate']:>9.0f}",
    ]


if __name__ == "__main__":
    print("\n".join(run()))
