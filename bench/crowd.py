"""A thousand people sign in by password within a minute: at one host, and at two with PostgreSQL.

Each of them asks for a certificate over TLS, with argon2's usual cost, from a network of their own.
PostgreSQL waits for its disk, as it does where it is in use. PEOPLE says how many else.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from argon2 import PasswordHasher

from bench.measure import in_turns, verdict
from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.passwords import Cost
from browserid_sasl.jose.keys import PrivateKey
from tests.support.household import Authority, Household
from tests.support.postgresql import postgresql_server, processor_time
from tests.support.provider import DOMAIN, PASSWORD
from tests.support.provider_hosts import Hosts
from tests.support.sealing import write_keys

MINUTE: Final = 60.0
CALLERS: Final = 8
"""Connections at a time: fewer than a provider lets wait."""

_THOUSAND: Final = 1_000
_TRIES: Final = 10


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    people = [f"person{n}@{DOMAIN}" for n in range(int(os.environ.get("PEOPLE", _THOUSAND)))]
    hasher = Cost().hasher()
    return [
        *_hashes(people, hasher),
        *_one_host(people, hasher),
        *_two_hosts(people, hasher),
    ]


def _hashes(people: Sequence[str], hasher: PasswordHasher) -> Iterator[str]:
    cost = f"{hasher.memory_cost // 1024} MiB, {hasher.time_cost} passes"
    yield f"{len(people)} people sign in by password over TLS, argon2id with {cost}"
    processors = os.cpu_count() or 1
    took = in_turns({"hash": lambda: hasher.hash(PASSWORD)}, 10)["hash"]
    bare = took * len(people) / processors / 1000
    yield f"{f'  their hashes alone, on {processors} processors':<42} {bare:>9.1f} s"


def _one_host(people: Sequence[str], hasher: PasswordHasher) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="browserid-bench-") as name:
        folder = Path(name)
        household = Household(folder, Authority(folder / "authority"))
        household.start()
        try:
            household.add_many(people, hasher)
            urls = [f"https://localhost:{household.port}"]
            yield _signed_in(people, urls, household.authority.file, "one host, SQLite")
        finally:
            household.stop()


def _two_hosts(people: Sequence[str], hasher: PasswordHasher) -> Iterator[str]:
    with (
        postgresql_server("fsync=on", "full_page_writes=on") as server,
        tempfile.TemporaryDirectory(prefix="browserid-bench-") as name,
    ):
        folder, uri = Path(name), server.make_database("provider")
        key_file = write_keys(folder / "key-encryption", secrets.token_bytes(32))
        hosts = Hosts(folder, uri, key_file)
        with hosts.two() as workers, closing(Database(uri)) as database:
            now, hashed = time.time_ns() // 1_000_000, hasher.hash(PASSWORD)
            with database.transaction() as session:
                session.add_all(
                    Account(email=email, password=hashed, created=now, changed=now)
                    for email in people
                )
            pids = [worker.process.pid for worker in workers]
            urls = [worker.url for worker in workers]
            before = server.processor_time(), sum(map(processor_time, pids))
            yield _signed_in(people, urls, workers[0].anchor, "two hosts, PostgreSQL")
            after = server.processor_time(), sum(map(processor_time, pids))
            database_ms, hosts_ms = (
                (end - begin) * 1000 / len(people) for begin, end in zip(before, after, strict=True)
            )
            yield f"{'    of it processors, a sign-in: hosts':<42} {hosts_ms:>9.1f} ms"
            yield f"{'    and the database':<42} {database_ms:>9.1f} ms"


def _signed_in(people: Sequence[str], urls: Sequence[str], anchor: Path, where: str) -> str:
    start = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        tries = list(pool.map(_Caller(urls, anchor).sign_in, people))
    took = time.perf_counter() - start
    again = sum(tries) - len(people)
    rate = f"{took:.1f} s, {len(people) / took:.1f}/s, {again} tried again"
    most = MINUTE * len(people) / _THOUSAND
    return verdict(f"  {where}", rate, f"{most:.0f} s at most", met=took <= most)


_numbers = itertools.count()


def a_network() -> dict[str, str]:
    """The header of somebody who comes from a network of their own."""
    number = next(_numbers)
    return {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"}


class _Caller:
    """Programs that ask for certificates, each thread over a connection of its own."""

    def __init__(self, urls: Sequence[str], anchor: Path) -> None:
        self._places = itertools.cycle([urlsplit(url).netloc for url in urls])
        self._context = ssl.create_default_context(cafile=str(anchor))
        self._own = threading.local()

    def sign_in(self, email: str) -> int:
        """Have a new key of somebody's certified, from a network of theirs; in how many tries."""
        key = PrivateKey.generate("ES256").public_key.to_json()
        request = {"email": email, "password": PASSWORD, "public-key": key}
        headers = {"Content-Type": "application/json", **a_network()}
        tries = 0
        while tries < _TRIES:
            tries += 1
            connection = self._connection()
            connection.request("POST", "/certify", json.dumps(request), headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                break
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(body.decode())
        return tries

    def _connection(self) -> http.client.HTTPSConnection:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPSConnection(
                next(self._places), context=self._context
            )
        connection: http.client.HTTPSConnection = self._own.connection
        return connection
