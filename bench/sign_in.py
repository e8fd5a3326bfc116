"""What signing in costs a provider: its pages' bytes, their time in a browser, and its crowds.

A provider in a process of its own, with argon2's usual cost, is asked over TLS: by a browser for
its pages, and by people who give their passwords, all of them within a minute. What a certificate
costs is measured beside the signature that is in it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from bench.measure import in_turns, verdict
from browserid_sasl.idp.certification import Certifier
from browserid_sasl.idp.passwords import Cost
from browserid_sasl.idp.web.assets import ASSETS
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.base import system_clock
from tests.support.chromium import Complaints, Window, chromium
from tests.support.household import Authority, Household
from tests.support.provider import DOMAIN, PASSWORD
from tests.support.tour import Guest, stop_named

CROWD: Final = 1_000
"""People who sign in."""

MINUTE: Final = 60.0
PAGES: Final = ("sign-in", "sign-in-as", "consent", "account")
PAGE_ROUNDS: Final = 5
INTERACTIVE: Final = "performance.getEntriesByType('navigation')[0].domInteractive"
ROUNDS: Final = 200
CALLERS: Final = 8
"""Connections at a time: fewer than the provider lets wait."""


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with _provider() as household:
        return [*_pages(household), *_certificates(household), *_crowd(household)]


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
                context = browser.new_context(extra_http_headers=_a_network())
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


# A thousand people within a minute


def _crowd(household: Household) -> list[str]:
    people = [f"person{number}@{DOMAIN}" for number in range(CROWD)]
    hasher = Cost().hasher()
    household.add_many(people, hasher)
    start = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(Caller(household).sign_in, people))
    took = time.perf_counter() - start
    cost = f"{hasher.memory_cost // 1024} MiB, {hasher.time_cost} passes"
    processors = os.cpu_count() or 1
    bare = in_turns({"hash": lambda: hasher.hash(PASSWORD)}, 10)["hash"] * CROWD / processors / 1000
    return [
        f"{CROWD} people sign in by password over TLS, argon2id with {cost}",
        f"{'  sign-ins a second':<42} {CROWD / took:>9.1f}",
        f"{f'  their hashes alone, on {processors} processors':<42} {bare:>9.1f} s",
        verdict("  all of them", f"{took:.1f} s", f"{MINUTE:.0f} s at most", met=took <= MINUTE),
    ]


_numbers = itertools.count()


def _a_network() -> dict[str, str]:
    """The header of somebody who comes from a network of their own."""
    number = next(_numbers)
    return {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"}


class Caller:
    """Programs that ask for certificates, each thread over a connection of its own."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._context = ssl.create_default_context(cafile=str(household.authority.file))
        self._own = threading.local()

    def sign_in(self, email: str) -> None:
        """Have a new key of somebody's certified, from a network of theirs."""
        key = PrivateKey.generate("ES256").public_key.to_json()
        request = {"email": email, "password": PASSWORD, "public-key": key}
        headers = {"Content-Type": "application/json", **_a_network()}
        connection = self._connection()
        connection.request("POST", "/certify", json.dumps(request), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(body.decode())

    def _connection(self) -> http.client.HTTPSConnection:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPSConnection(
                "localhost", self._household.port, context=self._context
            )
        connection: http.client.HTTPSConnection = self._own.connection
        return connection


if __name__ == "__main__":
    print("\n".join(run()))
