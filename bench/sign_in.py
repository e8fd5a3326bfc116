"""What signing in costs a provider: its pages' bytes, their time in a browser, and its crowds.

A provider in a process of its own, with argon2 as it comes, is asked over TLS: by a browser for its
pages, and by people who give their passwords, all of them within a minute. What a certificate costs
is measured beside the signature that is in it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher

from bench.measure import verdict
from browserid_sasl.jose.keys import PrivateKey
from tests.support.household import Authority, Household
from tests.support.provider import DOMAIN, PASSWORD

CROWD: Final = 1_000
"""People who sign in."""

MINUTE: Final = 60.0
CALLERS: Final = 8
"""Connections at a time: fewer than the provider lets wait."""


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with _provider() as household:
        return [*_crowd(household)]


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


# A thousand people within a minute


def _crowd(household: Household) -> list[str]:
    people = [f"person{number}@{DOMAIN}" for number in range(CROWD)]
    household.add_many(people, PasswordHasher())
    start = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(Caller(household).sign_in, people))
    took = time.perf_counter() - start
    hasher = PasswordHasher()
    cost = f"{hasher.memory_cost // 1024} MiB, {hasher.time_cost} passes"
    return [
        f"{CROWD} people sign in by password over TLS, argon2id with {cost}",
        f"{'  sign-ins a second':<42} {CROWD / took:>9.1f}",
        verdict("  all of them", f"{took:.1f} s", f"{MINUTE:.0f} s at most", met=took <= MINUTE),
    ]


class Caller:
    """Programs that ask for certificates, each thread over a connection of its own."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._key = PrivateKey.generate("ES256").public_key.to_json()
        self._context = ssl.create_default_context(cafile=str(household.authority.file))
        self._own = threading.local()
        self._networks = itertools.count()

    def sign_in(self, email: str) -> None:
        """Have somebody's key certified, from a network of theirs."""
        number = next(self._networks)
        request = {"email": email, "password": PASSWORD, "public-key": self._key}
        headers = {
            "Content-Type": "application/json",
            "X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}",
        }
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
