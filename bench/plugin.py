"""Logins to Cyrus imapd by the plugin, beside SCRAM-SHA-256 of the same libsasl2.

A login is timed from the client: the time spent waiting for the server, from the first octet of
AUTHENTICATE to the last of its answer, without what the client itself computes. Both mechanisms
are measured in turns, on the same server; only ratios of figures of one run mean anything. The
acceptor is there, as it is on a host that is up; what it does for a login is part of its time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Protocol

from bench.measure import verdict
from tests.support.services import (
    AES128,
    HOST,
    Imapd,
    installed_site,
)
from tests.support.services import (
    run as run_program,
)

SCRAM = "SCRAM-SHA-256"
USER, PASSWORD = "bench", "correct horse battery staple"
FIRST_LOGINS = 21
FURTHER_LOGINS = 100
FIRST_LOGIN_TARGET = 1.0
FURTHER_LOGIN_TARGET = 0.2
"""Both times SCRAM's."""
MEMORY_TARGET = 0.3
"""MB."""
LOGINS_IN_A_PROCESS = 20
TO_REPORT = 0.1
"""Seconds in which a process tells master that it is ready for the next client."""

TICKET, ASSERTION = "by ticket", "new assertion"


class Mechanism(Protocol):
    """A client's side: challenge in, response out."""

    def step(self, challenge: bytes | None) -> bytes:
        """Take a challenge, None for the initial response."""


Ways = Mapping[str, tuple[str, Callable[[], Mechanism]]]
"""Ways to log in, by label: the mechanism's name, and what makes a client's side of it."""


class Scram:
    """SCRAM-SHA-256 (RFC 7677) without channel binding, for one user."""

    def __init__(self) -> None:
        self._bare = f"n={USER},r={secrets.token_urlsafe(18)}".encode()
        self._final = False

    def step(self, challenge: bytes | None) -> bytes:
        """Take a challenge, None for the initial response."""
        if challenge is None:
            return b"n,," + self._bare
        if self._final:
            return b""
        self._final = True
        fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={fields['r']}".encode()
        message = b",".join((self._bare, challenge, without_proof))
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)


class Connection:
    """An IMAP connection that knows the time it spent waiting."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.waited = 0.0

    def log_in(self, name: str, mechanism: Mechanism) -> float:
        """Authenticate; the time the server took, in ms."""
        response = base64.b64encode(mechanism.step(None))
        answer = self._ask(f"a AUTHENTICATE {name} ".encode() + response)
        while answer.startswith(b"+"):
            response = base64.b64encode(mechanism.step(base64.b64decode(answer[1:])))
            answer = self._ask(response)
        if not answer.startswith(b"a OK"):
            raise RuntimeError(answer.decode())
        return self.waited * 1000

    def _ask(self, line: bytes) -> bytes:
        start = time.perf_counter()
        self._socket.sendall(line + b"\r\n")
        answer = self._lines.readline()
        self.waited += time.perf_counter() - start
        return answer

    def close(self) -> None:
        """Log out, so that the process is ready for the next one."""
        self._socket.sendall(b"b LOGOUT\r\n")
        while self._lines.readline():
            pass
        self._lines.close()
        self._socket.close()


def run() -> list[str]:
    """Measure, and give the result as lines of text."""
    if os.geteuid() != 0:
        return ["imapd: not measured, since starting it needs root"]
    with _server() as imapd:
        person = imapd.site.realm.person()  # with a key as `browserid login` makes it
        client = imapd.site.client("imap", person)

        def without_ticket() -> Mechanism:
            return imapd.site.mechanism("imap", person=person)

        ways: Ways = {
            TICKET: (AES128, lambda: client.start_with(AES128)),
            ASSERTION: (AES128, without_ticket),
            SCRAM: (SCRAM, Scram),
        }
        first = _logins(imapd, ways, FIRST_LOGINS, fresh=True)
        further = _logins(imapd, ways, FURTHER_LOGINS, fresh=False)
        added = {way: memory_added(imapd, *ways[way]) for way in (TICKET, SCRAM)}
    return [
        f"{'imapd, from the client':<42} {AES128:>16} {SCRAM:>14}",
        *_line("first login of a process", first, TICKET, FIRST_LOGIN_TARGET),
        *_line("first login of a process", first, ASSERTION, FIRST_LOGIN_TARGET),
        *_line("further login", further, TICKET, FURTHER_LOGIN_TARGET),
        *_line("further login", further, ASSERTION),
        *_memory_lines(added[TICKET], added[SCRAM]),
    ]


def _line(
    what: str, figures: Mapping[str, float], way: str, target: float | None = None
) -> list[str]:
    ours, theirs = figures[way], figures[SCRAM]
    label = f"{what}, {way}"
    lines = [f"{label:<42} {ours:>13.2f} ms {theirs:>11.2f} ms"]
    ratio = f"{ours / theirs:.2f}"
    if target is None:
        return [*lines, f"{'  ratio':<42} {ratio:>11}"]
    met = ours <= target * theirs
    return [*lines, verdict("  ratio", ratio, f"{target:g} at most", met=met)]


def _memory_lines(ours: float, theirs: float) -> list[str]:
    label = f"private memory after {LOGINS_IN_A_PROCESS} logins, added"
    more = ours - theirs
    return [
        f"{label:<42} {ours:>13.2f} MB {theirs:>11.2f} MB",
        verdict(
            "  more than SCRAM",
            f"{more:.2f} MB",
            f"{MEMORY_TARGET} MB at most",
            met=more <= MEMORY_TARGET,
        ),
    ]


@contextmanager
def _server() -> Iterator[Imapd]:
    with installed_site("cyrus") as site:
        passwords = site.folder / "sasldb2"
        _add_password(passwords)
        mechanisms = f"{AES128} {SCRAM}"
        options = {"sasl_mech_list": mechanisms, "sasl_sasldb_path": str(passwords)}
        with Imapd(site, options=options).running() as imapd:
            yield imapd


def _add_password(passwords: Path) -> None:
    command = ("saslpasswd2", "-p", "-c", "-f", passwords, "-u", HOST, USER)
    done = run_program(command, input=PASSWORD)
    if done.returncode != 0:
        raise subprocess.SubprocessError(done.stdout)
    passwords.chmod(0o644)


def _logins(imapd: Imapd, ways: Ways, rounds: int, *, fresh: bool) -> dict[str, float]:
    """Medians without the first round, after which the caches of the machine are warm.

    :param fresh: whether each login gets a process of its own.
    """
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (name, make) in ways.items():
            if fresh:
                imapd.end_processes()
            times[way].append(_log_in(imapd, name, make()))
    return {way: median(all_times[1:]) for way, all_times in times.items()}


def _log_in(imapd: Imapd, name: str, mechanism: Mechanism) -> float:
    connection = Connection(imapd.port)
    try:
        return connection.log_in(name, mechanism)
    finally:
        connection.close()


def memory_added(imapd: Imapd, name: str, make: Callable[[], Mechanism]) -> float:
    """By how much a process grows from its start to the end of some logins, in MB.

    What the plugin itself takes in a process that nobody has logged in to yet counts as added by
    its mechanisms, and by no other.
    """
    imapd.end_processes()
    connection = Connection(imapd.port)
    [process] = imapd.processes()
    before = _private_memory(process) - (_of_plugin(process) if name == AES128 else 0)
    connection.close()
    for _ in range(LOGINS_IN_A_PROCESS):
        imapd.wait_until_idle()
        time.sleep(TO_REPORT)
        _log_in(imapd, name, make())
    if imapd.processes() != [process]:
        raise RuntimeError("the logins were not all in one process")
    return _private_memory(process) - before


def _private_memory(process: int) -> float:
    """What a process has to itself, in MB."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(_private_kib(line) for line in rollup.splitlines()) / 1024


def _of_plugin(process: int) -> float:
    """What of it is mapped from the plugin's file, in MB."""
    inside, found = False, 0
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if re.match("[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith("libbrowserid.so")
        elif inside:
            found += _private_kib(line)
    return found / 1024


def _private_kib(line: str) -> int:
    # What is clean comes from files, and is private as long as nobody else happens to map them.
    return int(line.split()[1]) if line.startswith("Private_Dirty:") else 0
