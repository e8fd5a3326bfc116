"""Many logins of people whose providers nobody knows, and what others notice of them."""

from __future__ import annotations

import gc
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.dialing import Dialer
from browserid_sasl.discovery.rooms import PARTY_SHARE
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.authority import AuthorityResolver
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.store import memory_acceptor, memory_initiator
from tests.support.https import answer, scripted_server
from tests.support.network import DOMAIN, PUBLIC, Network, fetcher
from tests.support.patience import wait_until
from tests.support.refusal import refused
from tests.support.world import ALICE, HOUR, START, Person, World, key, support_document

STRANGERS = 400
LATER = START + HOUR


def stranger(number: int) -> str:
    return f"stranger{number}.test"


@dataclass
class SlowNames:
    """A resolver that does not answer for strangers until it is told to."""

    names: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host in self.names:
            return self.names[host]
        self.released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@contextmanager
def under_way(
    ask: Callable[[int], object], count: int = STRANGERS
) -> Iterator[list[Future[object]]]:
    """That many threads asking. At the end they have to stop by themselves."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(ask, number) for number in range(count)]


def still_asking(asking: list[Future[object]]) -> int:
    """How many are not back yet."""
    return sum(not each.done() for each in asking)


def codes(asking: list[Future[object]]) -> list[Code]:
    """Why those that are back were refused."""
    refusals = [each.exception() for each in asking if each.done()]
    return [refusal.code for refusal in refusals if isinstance(refusal, DiscoveryError)]


def resolving() -> int:
    return sum(thread.name == "resolve" for thread in threading.enumerate())


class TestNamesThatAreNotResolved:
    """The system's resolver cannot be given a time limit, nor be stopped."""

    MOST = 20

    @pytest.fixture
    def names(self) -> Iterator[SlowNames]:
        names = SlowNames()
        yield names
        names.released.set()
        wait_until(lambda: resolving() == 0, "the end of the look-ups")

    def own(
        self,
        names: SlowNames,
        ca_file: Path | None = None,
        port: int = 9,
        *,
        timeout_ms: int = 300,
    ) -> HttpsFetcher:
        def connect(_: tuple[str, int], timeout: float) -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout)

        config = DiscoveryConfig(
            timeout_ms=timeout_ms,
            max_lookups=self.MOST,
            ca_file=ca_file,
            private_hosts=("known.test",),
        )
        return HttpsFetcher(config, {}, secondary=["secondary.test"], dialer=Dialer(names, connect))

    def test_threads_do_not_pile_up(self, names: SlowNames) -> None:
        own = self.own(names)
        for _ in range(3):
            with under_way(lambda number: own.fetch(stranger(number), "x.test")) as asking:
                pass
            assert len(codes(asking)) == STRANGERS
            assert set(codes(asking)) <= {Code.HTTP_ERROR, Code.UNAVAILABLE}
            assert resolving() <= self.MOST
        assert len(names.asked) == self.MOST

    def test_who_finds_no_room_is_told_at_once(self, names: SlowNames) -> None:
        own = self.own(names, timeout_ms=30_000)
        with under_way(lambda number: own.fetch(stranger(number), "x.test"), self.MOST):
            wait_until(lambda: resolving() == self.MOST, "looking up names")
            started = time.monotonic()
            with refused(Code.UNAVAILABLE, "max_lookups", kind=DiscoveryError):
                own.fetch("one-more.test", "one-more.test")
            assert time.monotonic() - started < 10
            names.released.set()

    def test_one_domain_does_not_take_all_the_room(self, names: SlowNames) -> None:
        own = self.own(names)
        with under_way(lambda number: own.fetch(f"x{number}.evil.test", "x.test")) as asking:
            pass
        assert len(names.asked) == self.MOST // PARTY_SHARE
        assert codes(asking).count(Code.UNAVAILABLE) == STRANGERS - self.MOST // PARTY_SHARE
        with refused(Code.HTTP_ERROR):
            own.fetch("other.test", "other.test")

    def test_there_is_room_again_when_the_resolver_has_answered(self, names: SlowNames) -> None:
        own = self.own(names)
        with under_way(lambda number: own.fetch(stranger(number), "x.test"), self.MOST):
            pass
        names.released.set()
        wait_until(lambda: resolving() == 0, "the end of the look-ups")
        with refused(Code.HTTP_ERROR, "Temporary failure"):
            own.fetch("one-more.test", "one-more.test")

    @pytest.mark.parametrize("domain", ["known.test", "secondary.test"])
    def test_providers_that_the_configuration_names_have_room_of_their_own(
        self, names: SlowNames, authority: trustme.CA, ca_file: Path, domain: str
    ) -> None:
        names.names[domain] = [PUBLIC]
        with scripted_server(authority.issue_cert(domain), answer()) as server:
            own = self.own(names, ca_file, server.port, timeout_ms=30_000)
            with under_way(lambda number: own.fetch(stranger(number), "x.test")):
                wait_until(lambda: resolving() == self.MOST, "looking up names")
                assert own.fetch(domain, domain).body == b"{}"
                names.released.set()


def test_a_process_that_can_start_no_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    own = fetcher(None, Network(9, {DOMAIN: [PUBLIC]}), max_lookups=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with refused(Code.UNAVAILABLE, kind=DiscoveryError):
                own.fetch(DOMAIN, DOMAIN)
    with refused(Code.HTTP_ERROR):
        own.fetch(DOMAIN, DOMAIN)


@contextmanager
def stalling_server() -> Iterator[socket.socket]:
    """A server that takes connections and then does nothing until it is closed."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


class ThroughDiscovery(World):
    """A server that pins alice's provider and looks for those of strangers, all of which stall."""

    def __init__(self, folder: Path, port: int, max_lookups: int) -> None:
        super().__init__()
        keys_file = folder / "support.json"
        keys_file.write_text(json.dumps(support_document(key("idp", "ES256"))))
        self.network = Network(port, {stranger(number): [PUBLIC] for number in range(STRANGERS)})
        self.fetcher = HttpsFetcher(
            DiscoveryConfig(timeout_ms=30_000, max_lookups=max_lookups),
            {"idp.test": AuthorityOverride(keys_file=keys_file)},
            dialer=self.network.dialer,
        )
        self.cache = memory_acceptor().authorities
        self.resolver = AuthorityResolver(self.fetcher, self.cache, pinned=["idp.test"])

    def message(self, email: str) -> bytes:
        """The first message of a login."""
        person = Person(
            self.clock,
            email,
            email.rpartition("@")[2],
            user_key=key("alice", "ES256"),
            signing_key=key("idp", "ES256"),
        )
        tickets = memory_initiator().tickets
        token = self.initiator(credentials=person, tickets=tickets).step()
        assert token is not None
        return token

    def usual_time(self, logins: int = 15) -> float:
        """Median of the times (s) that the server takes for logins of alice's."""
        times = []
        for _ in range(logins):
            message, acceptor = self.message(ALICE), self.acceptor()
            started = time.perf_counter()
            acceptor.step(message)
            times.append(time.perf_counter() - started)
            assert acceptor.failure is None
        return statistics.median(times)


@pytest.mark.parametrize("max_lookups", [64, 1024])
def test_a_pinned_providers_people_take_at_most_twice_their_usual_time(
    tmp_path: Path, max_lookups: int
) -> None:
    with stalling_server() as server:
        world = ThroughDiscovery(tmp_path, server.getsockname()[1], max_lookups)
        usual = world.usual_time()
        messages = [world.message(f"m@{stranger(number)}") for number in range(STRANGERS)]
        stalled = min(STRANGERS, max_lookups)
        with under_way(lambda number: world.acceptor().step(messages[number])) as asking:
            wait_until(lambda: still_asking(asking) == stalled, "stalling")
            # The machine may be busy with something else now and then.
            as_usual = any(world.usual_time() <= 2 * usual + 0.001 for _ in range(20))
            assert still_asking(asking) == stalled
            server.close()
    assert as_usual


def test_people_whose_providers_document_is_cached_are_behind_nobody(tmp_path: Path) -> None:
    with stalling_server() as server:
        world = ThroughDiscovery(tmp_path, server.getsockname()[1], 1)
        cached = CachedDocument(json.dumps(support_document(key("idp", "ES256"))).encode(), LATER)
        world.cache.put("cached.test", cached)
        with under_way(
            lambda number: world.fetcher.fetch(stranger(number), "x.test"), 50
        ) as asking:
            wait_until(lambda: still_asking(asking) == 1, "stalling")
            acceptor = world.acceptor()
            acceptor.step(world.message("carol@cached.test"))
            assert acceptor.failure is None
            server.close()


def test_a_domain_that_stalls_is_asked_once_for_all_who_come_from_it(tmp_path: Path) -> None:
    with stalling_server() as server:
        world = ThroughDiscovery(tmp_path, server.getsockname()[1], 64)
        messages = [world.message(f"m{number}@{stranger(0)}") for number in range(STRANGERS)]
        with under_way(lambda number: world.acceptor().step(messages[number])) as asking:
            wait_until(lambda: len(world.network.dialled) == 1, "dialling")
            time.sleep(0.2)
            server.close()
        assert all(each.done() for each in asking)
        assert len(world.network.dialled) == 1
        assert world.network.asked == [stranger(0)]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with stalling_server() as server:
        world = ThroughDiscovery(tmp_path, server.getsockname()[1], 64)
        with under_way(lambda number: world.fetcher.fetch(stranger(number), "x.test")) as asking:
            wait_until(lambda: still_asking(asking) == 64, "stalling")
            server.close()
    gc.collect()
    wait_until(lambda: threading.active_count() <= threads, "the end of the threads")
    assert len(os.listdir("/proc/self/fd")) <= descriptors
