"""Two hosts serve one domain, from one database: what one does holds for the other at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle, takewhile
from pathlib import Path

import requests

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import Question
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.revocations import MEDIA_TYPE
from browserid_sasl.idp.wishes import Wish
from browserid_sasl.jose import b64
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey
from tests.support.grants import Program
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN, PASSWORD
from tests.support.provider_hosts import Hosts, Worker

KEYS = [PrivateKey.generate("ES256").public_key for _ in range(2)]

A_SECOND = 1.0
CAROL = f"carol@{DOMAIN}"


def within_a_second(condition: Callable[[], object]) -> bool:
    """Whether something comes true so soon after what was done before."""
    end = time.monotonic() + A_SECOND
    while time.monotonic() < end:
        began = time.monotonic()
        if condition():
            return True
        # On a busy machine the question itself may take so long, which is not the hosts' doing.
        end += time.monotonic() - began
        time.sleep(0.05)
    return bool(condition())


@contextmanager
def many_signing_in(workers: Sequence[Worker]) -> Iterator[None]:
    """People who sign in at each host, one after the other, as long as the block lasts."""
    over = threading.Event()

    def go_on(worker: Worker) -> int:
        signed_in = 0
        while not over.wait(0.1):
            signed_in += worker.sign_in(email=CAROL, client="203.0.113.9").status_code == 200
        return signed_in

    with ThreadPoolExecutor(len(workers)) as pool:
        people = [pool.submit(go_on, worker) for worker in workers]
        try:
            yield
        finally:
            over.set()
        assert all(each.result() for each in people)


def patiently(ask: Callable[[], requests.Response]) -> requests.Response:
    """An answer of somebody who asks again where the others were in the way for too long."""
    end = time.monotonic() + PATIENCE
    while (answer := ask()).status_code == 503 and time.monotonic() < end:
        pass
    return answer


def command(*arguments: str) -> None:
    assert main([*arguments]) == 0


def test_one_truth_on_both_under_load_while_somebody_guesses(hosts: Hosts, tmp_path: Path) -> None:
    config = ("--config", str(tmp_path / "host-1.toml"))
    with (
        hosts.two("failed_sign_ins = 5") as workers,
        ThreadPoolExecutor(2) as pool,
        contextlib.closing(Database(hosts.uri)) as database,
    ):
        Accounts(database, DOMAIN, hasher=CHEAP_HASHER).add(CAROL, PASSWORD, 1)
        first, second = workers
        with many_signing_in(workers):
            guessing = [pool.submit(guess_until_refused, worker, "bob") for worker in workers]

            # A certificate of one host is good by the document of the other.
            given = patiently(lambda: first.sign_in(key=KEYS[0]))
            assert given.status_code == 200, given.text
            assert second.keys() == first.keys()

            # A rotation on one host: both publish the new key first, and sign with it.
            before = first.keys()
            command("rotate-key", *config)
            assert within_a_second(lambda: all(w.keys()[1:] == before for w in workers))
            new = first.keys()
            assert second.keys() == new
            again = patiently(lambda: second.sign_in(key=KEYS[1]))
            certificate = Certificate.parse(again.json()["certificate"])
            active = hosts.open().keys.active(time.time_ns() // 1_000_000)
            assert active.private_key.public_key.to_json() == new[0]
            certificate.jwt.verify(active.private_key.public_key, "the certificate")

            # A revocation on one host is on the list of both, and counts on both.
            command("revoke", *config, "--all", ALICE)
            for worker in workers:
                assert within_a_second(lambda worker=worker: KEYS[0].thumbprint in revoked(worker))  # type: ignore[misc]
                refused = patiently(partial(worker.sign_in, key=KEYS[0]))
                assert refused.json()["error"] == "revoked-key"

        assert sum(each.result() for each in guessing) < 50


def guess_until_refused(worker: Worker, name: str) -> int:
    """How many guesses a host takes before it wants a wait."""
    guesses = takewhile(
        lambda answer: answer.status_code in (401, 503),
        # From elsewhere, or Alice would have to wait as well.
        (
            worker.sign_in("wrong", email=f"{name}@example.test", client="198.51.100.7")
            for _ in range(50)
        ),
    )
    return len(list(guesses))


def revoked(worker: Worker) -> set[bytes]:
    answer = worker.get("/revocations")
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    claims = Jwt.parse(answer.text, "the list", 1 << 20).claims
    listed = claims["revoked"]
    assert isinstance(listed, list)
    return {b64.decode(str(each), "a key") for each in listed}


def test_a_guesser_has_as_many_guesses_at_two_hosts_as_at_one(hosts: Hosts) -> None:
    free = 6
    with hosts.two(f"failed_sign_ins = {free}") as workers, ThreadPoolExecutor(8) as pool:
        # Many at the same moment, at both: those that are let through are as many as at one.
        turns, began = cycle(workers), time.monotonic()
        tries = [pool.submit(next(turns).sign_in, f"guess {n}") for n in range(24)]
        answers = [each.result().json()["error"] for each in tries]
        # On a busy machine some of the waits have passed meanwhile.
        passed_ms, more, policy = (time.monotonic() - began) * 1000, 0, Policy(free)
        while passed_ms >= policy.wait(free + more):
            passed_ms -= policy.wait(free + more)
            more += 1
        assert free <= answers.count("wrong-credentials") <= free + more
        # And the right one is not taken either, by neither of them, as long as there is a wait.
        assert {worker.sign_in().json().get("error") for worker in workers} <= {
            "too-many-attempts",
            None,
        }


def test_a_one_time_code_of_one_host_is_spent_on_the_other(hosts: Hosts) -> None:
    program, now = Program(), time.time_ns() // 1_000_000
    with hosts.two() as (first, second):
        code = program.code(hosts.open().open().codes, now)
        asked = {"code": code, "code_verifier": program.verifier}
        assert first.post("/certify", asked).status_code == 200
        refused = second.post("/certify", asked)
        assert refused.json()["error"] == "invalid-code"
        assert "revoked" in refused.json()["message"]


def test_a_device_that_began_at_one_host_is_let_in_by_the_other(hosts: Hosts) -> None:
    now = time.time_ns() // 1_000_000
    with hosts.two() as (first, second):
        wish = Wish(ALICE, KEYS[0], "", "127.0.0.1")
        begun = hosts.open(1).open().devices.begin(wish, now - 60_000)
        devices = hosts.open(2).open().devices
        pending = devices.find(begun.user_code, ALICE, "127.0.0.1", now)
        assert pending
        devices.approve(pending, False, now)
        polled = second.post("/certify", {"device_code": begun.device_code})
        assert polled.status_code == 200, polled.text
        assert first.post("/certify", {"device_code": begun.device_code}).status_code == 400


def test_a_rotation_at_the_same_moment_on_both_loses_no_key(hosts: Hosts) -> None:
    for number in (1, 2):
        hosts.set_up(number)
    now = time.time_ns() // 1_000_000
    before = hosts.open().keys.active(now).name
    with ThreadPoolExecutor(2) as pool:
        rotating = [pool.submit(hosts.open(n).keys.rotate, None, now) for n in (1, 2)]
        made = {each.result().name for each in rotating}
    names = {key.name for key in hosts.open().keys.all()}
    assert names == made | {before}


def test_what_happened_at_each_of_them_is_found_in_one_place(hosts: Hosts) -> None:
    with hosts.two() as (first, second):
        first.sign_in(client="192.0.2.1")
        second.sign_in(password="wrong", client="192.0.2.2")
    log = hosts.open().open().audit
    found = [(entry.event, entry.client) for entry in log.search(Question(email=ALICE), 10)]
    assert found[::-1] == [
        ("signed-in", "192.0.2.1"),
        ("certified", "192.0.2.1"),
        ("sign-in-failed", "192.0.2.2"),
    ]
    assert log.search(Question(client="192.0.2.2"), 10) == log.search(Question(text=ALICE), 1)


def test_a_host_that_is_killed_keeps_nobody_out(hosts: Hosts) -> None:
    with hosts.two() as (first, second):
        first.process.kill()
        assert second.sign_in().status_code == 200
