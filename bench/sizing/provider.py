"""What certificates cost an identity provider, with its database in a file and in PostgreSQL.

Its process is asked over HTTPS, each time by a new connection, as programs ask. The statements, and
for how long each change keeps all others out, are those of its parts in this process.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg
import trustme
from sqlalchemy import Engine, Pool, event, insert

from bench.sizing import figures
from bench.sizing.figures import Request
from bench.sizing.meters import thread_times
from bench.sizing.relay import relay
from bench.sizing.stores import IN_EARNEST
from browserid_sasl.idp.certification import Certifier
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.database import Account
from browserid_sasl.idp.folder import Provider, ProviderFolder, Sharing
from browserid_sasl.idp.passwords import Cost
from browserid_sasl.idp.renewals import RENEWAL_LIFE_MS, Certified
from browserid_sasl.idp.tokens import digest, new_token
from browserid_sasl.jose import b64
from browserid_sasl.store.base import system_clock
from tests.support.grants import ALICE, CLIENT, DOMAIN, HOUR_MS, Program, wish_of
from tests.support.postgresql import postgresql_server

PEOPLE: Final = 100_000
REQUESTS: Final = 300
WARM_UP: Final = 20
CODE: Final = "code"
"""A first certificate, after its person has signed in."""
RENEWAL: Final = "renewal"
"""A further one, without a question."""

_FILLED_AT_ONCE: Final = 1_000
_LOCKS: Final = ("SELECT pg_advisory_xact_lock", "BEGIN IMMEDIATE")
_HASH: Final = Cost().hasher().hash("a password")


def measured(
    people: int = PEOPLE, count: int = REQUESTS, warm_up: int = WARM_UP
) -> figures.Provider:
    """Ask a provider for certificates.

    :param people: whose accounts there are, with a certified key each.
    :param count: requests of each kind.
    :param warm_up: how many of each kind the process answers before that.
    """
    requests = {}
    with _folder() as folder:
        requests["SQLite"], _ = _asked(_Site(folder), people, count, warm_up)
    with _folder() as folder, postgresql_server(*IN_EARNEST) as server, relay(server.port) as way:
        uri = server.make_database("provider").replace(f":{server.port}/", f":{way.port}/")
        site = _Site(folder, uri, lambda: way.round_trips)
        requests["PostgreSQL"], sizes = _asked(site, people, count, warm_up)
    hasher = Cost().hasher()
    start = time.process_time()
    for _ in range(10):
        hasher.hash("a password")
    return figures.Provider(people, requests, (time.process_time() - start) * 100, *sizes)


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="browserid-capacity-") as name:
        yield Path(name)


class _Site:
    """A provider's folder and database.

    :param folder: an empty one.
    :param database: its URI, empty for a file.
    :param round_trips: how many there were so far.
    """

    def __init__(
        self, folder: Path, database: str = "", round_trips: Callable[[], int] = lambda: 0
    ) -> None:
        self.database = database
        self.round_trips = round_trips
        authority = trustme.CA()
        self._file, server = folder / "idp.toml", folder / "server.pem"
        issued = authority.issue_cert("127.0.0.1")
        server.touch(mode=0o600)
        issued.private_key_and_cert_chain_pem.write_to_path(str(server))
        self._context = ssl.create_default_context(
            cadata=authority.cert_pem.bytes().decode("ascii")
        )
        options = {"domain": DOMAIN, "directory": "idp", "listen": "127.0.0.1"} | {
            "tls_certificate": str(server),
            "tls_key": str(server),
        }
        if database:
            options["database"] = database
        lines = (f"{name} = {json.dumps(value)}" for name, value in options.items())
        self._file.write_text("\n".join(("[idp]", "port = 0", *lines, "")))
        if main(["init", "--config", str(self._file)]) != 0:
            raise RuntimeError("the provider could not be made")
        self.log = folder / "idp" / "audit.log"
        self.provider: Provider = ProviderFolder(folder / "idp", Sharing(database)).open()

    @contextmanager
    def serving(self) -> Iterator[tuple[int, Callable[[object], dict[str, Any]]]]:
        """Its process, and what asks it for a certificate."""
        command = [str(Path(sys.executable).with_name("browserid-idp")), "serve"]
        with subprocess.Popen(
            [*command, "--config", str(self._file)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                port = int(line.split()[-1].rpartition(":")[2])
                yield process.pid, lambda request: self._ask(port, request)
            finally:
                process.terminate()

    def _ask(self, port: int, request: object) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        with closing(
            http.client.HTTPSConnection("127.0.0.1", port, context=self._context)
        ) as connection:
            connection.request("POST", "/certify", json.dumps(request), headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise RuntimeError(body.decode())
        members: dict[str, Any] = json.loads(body)
        return members


def _asked(
    site: _Site, people: int, count: int, warm_up: int
) -> tuple[dict[str, Request], tuple[float, float]]:
    fill(site.provider, people)
    site.provider.accounts.add_without_password(ALICE, system_clock())
    sizes = _sizes(site.database, people) if site.database else (0.0, 0.0)
    here = _here(site, count)
    with site.serving() as (pid, ask):
        served = _served(site, pid, ask, count, warm_up)
    return {kind: replace(here[kind], cpu=served[kind]) for kind in here}, sizes


def fill(provider: Provider, people: int) -> None:
    """Give a provider accounts, and each of them a machine with a certificate."""
    now = system_clock()
    wish = wish_of(Program().key)
    columns = Certified(wish=wish)
    for start in range(0, people, _FILLED_AT_ONCE):
        emails = [f"person{start + number}@{DOMAIN}" for number in range(_FILLED_AT_ONCE)]
        with provider.database.transaction() as session:
            session.execute(
                insert(Account), [_account(email, now) for email in emails[: people - start]]
            )
            session.execute(
                insert(Certified),
                [_machine(email, columns.public_key, now) for email in emails[: people - start]],
            )


def _account(email: str, now: int) -> dict[str, object]:
    return {"email": email, "password": _HASH, "created": now, "changed": now}


def _machine(email: str, public_key: str, now: int) -> dict[str, object]:
    """A row as it is after a renewal."""
    return {
        "email": email,
        "public_key": public_key,
        "machine": "laptop",
        "client": CLIENT,
        "key": b64.encode(os.urandom(32)),
        "token": digest(new_token()),
        "created": now,
        "last": now,
        "certificate": now + HOUR_MS,
        "expires": now + RENEWAL_LIFE_MS,
        "revoked": 0,
    }


def _sizes(uri: str, people: int) -> tuple[float, float]:
    with psycopg.connect(uri) as connection:
        size = "SELECT pg_total_relation_size(%s::regclass)"
        tables = (Account.__tablename__, Certified.__tablename__)
        found = [connection.execute(size, (name,)).fetchone() or (0,) for name in tables]
        account, machine = (octets / people for [octets] in found)
        return account, machine


class _Requests:
    """Makes what programs ask with.

    :param provider: whom.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def code(self, program: Program) -> dict[str, object]:
        """For a first certificate."""
        code = program.code(self._provider.codes, system_clock())
        return {"code": code, "code_verifier": program.verifier}

    def renewal(self, program: Program, token: str) -> dict[str, object]:
        """For a further one."""
        return {"renewal": program.renewal(token, system_clock())}


Making = Callable[[], object]
"""Makes what is asked with, just before: codes are good for a minute."""


def _here(site: _Site, count: int) -> dict[str, Request]:
    """What they cost but for the process's time, by the provider's parts."""
    certifier = Certifier(site.provider, HOUR_MS)
    make = _Requests(site.provider)
    programs = [Program() for _ in range(count)]
    first = _observed(site, certifier, [partial(make.code, program) for program in programs])
    tokens = [answer["renewal"] for answer in first.answers]
    renewals = [partial(make.renewal, *each) for each in zip(programs, tokens, strict=True)]
    return {CODE: first.request(), RENEWAL: _observed(site, certifier, renewals).request()}


@dataclass
class _Observed:
    """What was seen of requests.

    :param answers: to them.
    :param statements: all that there were.
    :param round_trips: likewise.
    :param held: ms, of each.
    :param log: octets, of all.
    """

    answers: list[dict[str, Any]] = field(default_factory=list)
    statements: int = 0
    round_trips: int = 0
    held: list[float] = field(default_factory=list)
    log: int = 0

    def request(self) -> Request:
        """What is true of one."""
        count = len(self.answers)
        each = self.statements / count, self.round_trips / count
        return Request(0.0, *each, median(self.held), self.log / count)


def _observed(site: _Site, certifier: Certifier, making: Sequence[Making]) -> _Observed:
    found = _Observed()
    for make in making:
        body = json.dumps(make()).encode()
        before = site.round_trips(), site.log.stat().st_size
        with _watched(found):
            found.answers.append(certifier.certify(body, CLIENT, system_clock()))
        after = site.round_trips(), site.log.stat().st_size
        found.round_trips += after[0] - before[0]
        found.log += after[1] - before[1]
    return found


@contextmanager
def _watched(found: _Observed) -> Iterator[None]:
    """See what the database is asked in the block."""
    began: list[float] = []

    def seen(*told: object) -> None:
        found.statements += 1
        if str(told[2]).startswith(_LOCKS):
            began.append(time.perf_counter())

    def over(*_: object) -> None:
        if began:
            found.held.append((time.perf_counter() - began.pop()) * 1000)

    event.listen(Engine, "after_cursor_execute", seen)
    event.listen(Pool, "reset", over)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", seen)
        event.remove(Pool, "reset", over)


def _served(
    site: _Site, pid: int, ask: Callable[[object], dict[str, Any]], count: int, warm_up: int
) -> dict[str, float]:
    """CPU ms of the provider's process for a request of each kind."""
    make = _Requests(site.provider)
    programs = [Program() for _ in range(count + warm_up)]
    first = [partial(make.code, program) for program in programs]
    answers, of_codes = _timed(pid, ask, first, warm_up)
    renewals = [
        partial(make.renewal, program, answer["renewal"])
        for program, answer in zip(programs, answers, strict=True)
    ]
    return {CODE: of_codes, RENEWAL: _timed(pid, ask, renewals, warm_up)[1]}


def _timed(
    pid: int, ask: Callable[[object], dict[str, Any]], making: Sequence[Making], warm_up: int
) -> tuple[list[dict[str, Any]], float]:
    answers = [ask(make()) for make in making[:warm_up]]
    before = sum(thread_times([pid]).values())
    answers += [ask(make()) for make in making[warm_up:]]
    took = sum(thread_times([pid]).values()) - before
    return answers, took / (len(making) - warm_up)
