"""Which identity provider may vouch for whom, with which keys, and how often one is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.attempts import MAX_REMEMBERED
from browserid_sasl.identity.authority import (
    MAX_LIFETIME_MS,
    MIN_LIFETIME_MS,
    NONE_MS,
    RECENT_MS,
    RETRY_MS,
    AuthorityResolver,
    FetchedDocument,
)
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.identity.support import Disabled
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.store import memory_acceptor
from tests.support.forging import dump
from tests.support.refusal import refused
from tests.support.world import ALICE, HOUR, START, Provider, key, support_document

OLD, NEW, OTHER = (key(name, "ES256") for name in ("old", "new", "other"))
MINUTE = 60_000


@dataclass
class Landscape:
    """Domains, what they publish, and a resolver that asks them."""

    documents: dict[str, Any]
    secondary: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    lifetime: int | None = HOUR
    provider: Provider = field(init=False)
    resolver: AuthorityResolver = field(init=False)

    def __post_init__(self) -> None:
        self.provider = Provider(self.documents, lifetime=self.lifetime)
        self.cache = memory_acceptor().authorities
        self.resolver = AuthorityResolver(
            self.provider, self.cache, secondary=self.secondary, pinned=self.pinned
        )

    def keys(self, issuer: str, email: str = ALICE, now: int = START) -> tuple[PublicKey, ...]:
        return self.resolver.keys_for(issuer, email, now)

    def refreshed(self, issuer: str = "idp.test", now: int = START) -> tuple[PublicKey, ...]:
        return self.resolver.refreshed_keys_for(issuer, ALICE, now)

    def publish(self, *keys: Any, domain: str = "idp.test") -> None:
        self.provider.documents[domain] = support_document(*keys)

    @property
    def asked(self) -> list[str]:
        return self.provider.fetched


def one_domain() -> Landscape:
    return Landscape({"idp.test": support_document(OLD)})


def chain(length: int) -> Landscape:
    """idp.test, and as many delegations to the domain at the end, which has the keys."""
    names = ["idp.test", *(f"d{i}.test" for i in range(1, length + 1))]
    documents: dict[str, Any] = {name: {"authority": other} for name, other in pairwise(names)}
    return Landscape(documents | {names[-1]: support_document(OLD)})


def fallback(documents: dict[str, Any]) -> Landscape:
    """A provider that may stand in for those that there are not."""
    return Landscape({"fallback.test": support_document(OTHER), **documents}, ("Fallback.test",))


class TestADomainsOwnProvider:
    def test_it_vouches_for_its_own_addresses(self) -> None:
        assert one_domain().keys("idp.test") == (OLD.public_key,)

    def test_case_does_not_matter(self) -> None:
        assert one_domain().keys("idp.test", "Alice@IDP.Test") == (OLD.public_key,)

    @pytest.mark.parametrize(
        "email",
        ["alice@other.test", "alice@sub.idp.test", "alice@xidp.test", "alice@idp.test.other.test"],
    )
    def test_it_vouches_for_no_others(self, email: str) -> None:
        domain = email.rpartition("@")[2]
        landscape = Landscape({"idp.test": support_document(OLD), domain: support_document(OTHER)})
        with refused(Code.UNTRUSTED_ISSUER, f"idp.test may not certify addresses of {domain}"):
            landscape.keys("idp.test", email)

    def test_a_domain_does_not_vouch_for_its_subdomain_nor_that_for_it(self) -> None:
        landscape = one_domain()
        landscape.publish(OTHER, domain="sub.idp.test")
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.keys("sub.idp.test")

    @pytest.mark.parametrize("email", ["", "alice", "@idp.test", "alice@127.0.0.1"])
    def test_what_is_no_address_has_no_provider(self, email: str) -> None:
        landscape = one_domain()
        for ask in (landscape.resolver.keys_for, landscape.resolver.refreshed_keys_for):
            with refused(Code.UNKNOWN_PRINCIPAL_TYPE, kind=RemoteProtocolError):
                ask("idp.test", email, START)
        assert landscape.asked == []

    def test_all_its_keys_count(self) -> None:
        landscape = Landscape({"idp.test": support_document(OLD, NEW)})
        assert landscape.keys("idp.test") == (OLD.public_key, NEW.public_key)

    def test_a_disabled_domain_vouches_for_nobody(self) -> None:
        landscape = Landscape({"idp.test": {"disabled": True}})
        with refused(Code.UNTRUSTED_ISSUER, "`disabled`"):
            landscape.keys("idp.test")

    def test_a_domain_that_delegates_does_not_vouch_itself_any_more(self) -> None:
        with refused(Code.UNTRUSTED_ISSUER, "delegates to d1.test"):
            chain(1).keys("idp.test")

    def test_a_domain_that_does_not_answer(self) -> None:
        with refused(Code.HTTP_ERROR, kind=DiscoveryError):
            Landscape({}).keys("idp.test")

    def test_a_document_that_cannot_be_read(self) -> None:
        with refused(Code.NO_KEY, kind=DiscoveryError):
            Landscape({"idp.test": {}}).keys("idp.test")


class TestDelegation:
    @pytest.mark.parametrize("length", range(1, 7))
    def test_six_steps_are_followed(self, length: int) -> None:
        assert chain(length).keys(f"d{length}.test") == (OLD.public_key,)

    def test_seven_are_not(self) -> None:
        landscape = chain(7)
        with refused(Code.UNTRUSTED_ISSUER, "more than 6 steps"):
            landscape.keys("d7.test")
        assert len(landscape.asked) == 7

    def test_only_the_last_domain_vouches(self) -> None:
        for stranger in ("d1.test", "d2.test", "evil.test"):
            with refused(Code.UNTRUSTED_ISSUER, f"{stranger} may not certify"):
                chain(3).keys(stranger)

    @pytest.mark.parametrize(
        "documents",
        [
            {"idp.test": {"authority": "idp.test"}},
            {"idp.test": {"authority": "b.test"}, "b.test": {"authority": "idp.test"}},
            {"idp.test": {"authority": "b.test"}, "b.test": {"authority": "b.test"}},
            {"idp.test": {"authority": "B.test"}, "b.test": {"authority": "IDP.test"}},
        ],
    )
    def test_circles_are_refused(self, documents: dict[str, Any]) -> None:
        landscape = Landscape(documents)
        with refused(Code.UNTRUSTED_ISSUER, "in a circle"):
            landscape.keys("evil.test")
        assert len(landscape.asked) == len(documents)

    def test_a_delegation_to_a_disabled_domain_leads_nowhere(self) -> None:
        landscape = Landscape({"idp.test": {"authority": "b.test"}, "b.test": {"disabled": True}})
        with refused(Code.UNTRUSTED_ISSUER, "b.test has no identity provider"):
            landscape.keys("b.test")

    def test_a_delegation_to_a_domain_that_does_not_answer(self) -> None:
        with refused(Code.HTTP_ERROR, kind=DiscoveryError):
            Landscape({"idp.test": {"authority": "b.test"}}).keys("b.test")

    def test_the_domain_delegated_to_is_told_about_whom(self) -> None:
        asked = []

        class Recorder(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                asked.append((domain, principal_domain))
                return super().fetch(domain, principal_domain)

        documents = {"idp.test": {"authority": "b.test"}, "b.test": support_document(OLD)}
        resolver = AuthorityResolver(Recorder(documents), memory_acceptor().authorities)
        resolver.keys_for("b.test", ALICE, START)
        assert asked == [("idp.test", "idp.test"), ("b.test", "idp.test")]

    def test_what_a_domain_says_about_a_stranger_does_not_count_for_its_own(self) -> None:
        # Anybody can delegate a domain of theirs to a large provider that does not want it.
        class Choosy(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                if (domain, principal_domain) == ("idp.test", "evil.test"):
                    return FetchedDocument(dump({"disabled": True}), MAX_LIFETIME_MS)
                return super().fetch(domain, principal_domain)

        documents = {"idp.test": support_document(OLD), "evil.test": {"authority": "idp.test"}}
        resolver = AuthorityResolver(Choosy(documents), memory_acceptor().authorities)
        with refused(Code.UNTRUSTED_ISSUER):
            resolver.keys_for("idp.test", "mallory@evil.test", START)
        assert resolver.keys_for("idp.test", ALICE, START) == (OLD.public_key,)

    def test_neither_does_its_silence_about_a_stranger(self) -> None:
        class Silent(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                if (domain, principal_domain) == ("idp.test", "evil.test"):
                    raise DiscoveryError(Code.HTTP_ERROR, "status 404")
                return super().fetch(domain, principal_domain)

        documents = {"idp.test": support_document(OLD), "evil.test": {"authority": "idp.test"}}
        resolver = AuthorityResolver(Silent(documents), memory_acceptor().authorities)
        with refused(Code.HTTP_ERROR):
            resolver.keys_for("idp.test", "mallory@evil.test", START)
        assert resolver.keys_for("idp.test", ALICE, START) == (OLD.public_key,)


class TestSecondaryAuthorities:
    def test_there_are_none_by_default(self) -> None:
        landscape = one_domain()
        for historical in ("browserid.org", "login.persona.org", "persona.org"):
            landscape.publish(OTHER, domain=historical)
            with refused(Code.UNTRUSTED_ISSUER, "`secondary_authorities`"):
                landscape.keys(historical)

    def test_one_that_is_configured_vouches_where_there_is_no_other(self) -> None:
        for nothing in (None, {"disabled": True}):
            landscape = fallback({"idp.test": nothing, "elsewhere.test": nothing})
            assert landscape.keys("fallback.test") == (OTHER.public_key,)
            assert landscape.keys("fallback.test", "bob@elsewhere.test") == (OTHER.public_key,)

    def test_its_own_people_are_its_own(self) -> None:
        landscape = fallback({})
        assert landscape.keys("fallback.test", "bob@fallback.test") == (OTHER.public_key,)
        assert landscape.asked == ["fallback.test"]

    def test_the_domain_is_asked_first(self) -> None:
        landscape = fallback({"idp.test": None})
        landscape.keys("fallback.test")
        assert landscape.asked == ["idp.test", "fallback.test"]

    def test_not_for_a_domain_that_has_a_provider(self) -> None:
        landscape = fallback({"idp.test": support_document(OLD)})
        with refused(Code.UNTRUSTED_ISSUER, "they have the identity provider idp.test"):
            landscape.keys("fallback.test")

    def test_not_for_one_that_delegates_to_a_provider(self) -> None:
        landscape = fallback({"idp.test": {"authority": "d1.test"}})
        landscape.publish(OLD, domain="d1.test")
        with refused(Code.UNTRUSTED_ISSUER, "they have the identity provider d1.test"):
            landscape.keys("fallback.test")

    def test_for_one_that_delegates_to_it(self) -> None:
        landscape = fallback({"idp.test": {"authority": "fallback.test"}})
        assert landscape.keys("fallback.test") == (OTHER.public_key,)

    @pytest.mark.parametrize("end", [None, {"disabled": True}, {"authority": "idp.test"}])
    def test_not_for_one_that_names_a_provider_that_is_none(self, end: Any) -> None:
        landscape = fallback({"idp.test": {"authority": "d1.test"}, "d1.test": end})
        with refused(Code.HTTP_ERROR if end is None else Code.UNTRUSTED_ISSUER):
            landscape.keys("fallback.test")

    def test_not_for_one_that_is_out_of_reach(self) -> None:
        with refused(Code.HTTP_ERROR, "cannot be said: nobody answers", kind=DiscoveryError):
            fallback({}).keys("fallback.test")

    def test_not_for_one_whose_document_is_broken(self) -> None:
        with refused(Code.NO_KEY, "cannot be said", kind=DiscoveryError):
            fallback({"idp.test": {}}).keys("fallback.test")

    def test_that_a_domain_has_none_is_remembered_for_five_minutes(self) -> None:
        landscape = fallback({"idp.test": None})
        for now in (START, START + RETRY_MS, START + NONE_MS - 1):
            landscape.keys("fallback.test", now=now)
        assert landscape.asked.count("idp.test") == 1
        landscape.publish(OLD)
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.keys("fallback.test", now=START + NONE_MS)

    def test_it_is_not_once_the_domain_has_shown_one(self) -> None:
        landscape = fallback({"idp.test": None})
        landscape.keys("fallback.test")
        landscape.publish(OLD)
        landscape.keys("idp.test", now=START + RETRY_MS)
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.keys("fallback.test", now=START + RETRY_MS)

    def test_nor_once_it_is_out_of_reach(self) -> None:
        landscape = fallback({"idp.test": None})
        landscape.keys("fallback.test")
        del landscape.provider.documents["idp.test"]
        for issuer in ("idp.test", "fallback.test"):
            with refused(Code.HTTP_ERROR):
                landscape.keys(issuer, now=START + RETRY_MS)

    def test_the_domain_itself_still_counts(self) -> None:
        landscape = Landscape({"idp.test": support_document(OLD)}, ("fallback.test",))
        assert landscape.keys("idp.test") == (OLD.public_key,)

    def test_one_that_delegates_or_is_disabled_does_not_vouch(self) -> None:
        for document in ({"authority": "idp.test"}, {"disabled": True}):
            landscape = fallback({"idp.test": None, "fallback.test": document})
            with refused(Code.UNTRUSTED_ISSUER):
                landscape.keys("fallback.test")


class TestCaching:
    @pytest.mark.parametrize(
        ("lifetime", "kept"),
        [
            (-1, MIN_LIFETIME_MS),
            (0, MIN_LIFETIME_MS),
            (5 * MINUTE - 1, 5 * MINUTE),
            (HOUR, HOUR),
            (24 * HOUR + 1, 24 * HOUR),
            (10**15, MAX_LIFETIME_MS),
        ],
    )
    def test_a_document_is_kept_for_its_life_within_bounds(self, lifetime: int, kept: int) -> None:
        landscape = Landscape({"idp.test": support_document(OLD)}, lifetime=lifetime)
        landscape.keys("idp.test")
        landscape.keys("idp.test", now=START + kept - 1)
        assert landscape.asked == ["idp.test"]
        landscape.keys("idp.test", now=START + kept)
        assert landscape.asked == ["idp.test"] * 2

    def test_the_bounds_are_five_minutes_and_a_day(self) -> None:
        assert (MIN_LIFETIME_MS, MAX_LIFETIME_MS) == (5 * MINUTE, 24 * HOUR)

    def test_delegations_are_kept_too(self) -> None:
        landscape = chain(2)
        for _ in range(3):
            landscape.keys("d2.test")
        assert landscape.asked == ["idp.test", "d1.test", "d2.test"]

    def test_what_another_process_has_fetched_is_used_within_seconds(self) -> None:
        landscape = one_domain()
        for later in range(3):
            landscape.keys("idp.test", now=START + later)
        newer = CachedDocument(dump(support_document(NEW)), START + HOUR)
        landscape.cache.put("idp.test", newer)
        assert landscape.keys("idp.test", now=START + 10 + RECENT_MS) == (NEW.public_key,)
        assert landscape.asked == ["idp.test"]

    def test_a_thread_that_is_slow_does_not_bring_back_what_was_replaced(self) -> None:
        landscape = one_domain()
        landscape.keys("idp.test")
        get = landscape.cache.get

        def slow(domain: str, now: int) -> CachedDocument | None:
            found = get(domain, now)
            landscape.cache.get = get  # type: ignore[method-assign]
            landscape.publish(NEW)
            landscape.refreshed()
            return found

        landscape.cache.get = slow  # type: ignore[method-assign]
        assert landscape.keys("idp.test") == (OLD.public_key,)
        assert landscape.keys("idp.test") == (NEW.public_key,)

    def test_a_document_is_not_used_after_its_time_however_recently_it_was(self) -> None:
        landscape = one_domain()
        ends = START + 1000
        landscape.cache.put("idp.test", CachedDocument(dump(support_document(NEW)), ends))
        for now in (START, START + 1, ends - 1):
            assert landscape.keys("idp.test", now=now) == (NEW.public_key,)
        assert landscape.keys("idp.test", now=ends) == (OLD.public_key,)

    def test_a_clock_that_is_set_back_does_not_make_it_older(self) -> None:
        landscape = one_domain()
        landscape.keys("idp.test")
        landscape.keys("idp.test", now=START + 1)
        landscape.cache.put("idp.test", CachedDocument(dump(support_document(NEW)), START + HOUR))
        assert landscape.keys("idp.test", now=START - HOUR) == (NEW.public_key,)

    def test_a_broken_document_is_not_kept(self) -> None:
        landscape = Landscape({"idp.test": {}})
        with refused(Code.NO_KEY):
            landscape.keys("idp.test")
        assert list(landscape.cache.all(START)) == []

    def test_a_document_can_be_asked_for_as_such(self) -> None:
        landscape = Landscape({"idp.test": {"disabled": True}})
        assert landscape.resolver.document("idp.test", "idp.test", START) == Disabled()


class TestPinnedDocuments:
    """Those that are always at hand, on this machine's disk."""

    @staticmethod
    def landscape() -> Landscape:
        return Landscape({"idp.test": support_document(OLD)}, pinned=("idp.test",), lifetime=None)

    def test_one_that_is_replaced_counts_at_once(self) -> None:
        landscape = self.landscape()
        for _ in range(2):
            assert landscape.keys("idp.test") == (OLD.public_key,)
        landscape.publish(NEW)
        assert landscape.keys("idp.test") == (NEW.public_key,)

    def test_it_is_kept_nowhere(self) -> None:
        landscape = self.landscape()
        landscape.keys("idp.test")
        landscape.refreshed()
        assert list(landscape.cache.all(START)) == []

    def test_it_counts_before_what_was_cached_when_it_was_not_pinned(self) -> None:
        landscape = self.landscape()
        stale = CachedDocument(dump(support_document(OTHER)), START + HOUR)
        landscape.cache.put("idp.test", stale)
        assert landscape.keys("idp.test") == (OLD.public_key,)
        assert landscape.refreshed() == (OLD.public_key,)

    def test_one_that_is_repaired_counts_at_once(self) -> None:
        landscape = self.landscape()
        landscape.provider.documents["idp.test"] = {}
        for _ in range(2):
            with refused(Code.NO_KEY):
                landscape.keys("idp.test")
        landscape.publish(NEW)
        assert landscape.keys("idp.test") == (NEW.public_key,)

    def test_a_document_without_a_lifetime_is_not_kept_in_any_case(self) -> None:
        landscape = Landscape({"idp.test": support_document(OLD)}, lifetime=None)
        landscape.keys("idp.test")
        landscape.publish(NEW)
        assert landscape.keys("idp.test") == (NEW.public_key,)

    def test_those_of_others_are_cached_as_ever(self) -> None:
        documents = {name: support_document(OLD) for name in ("idp.test", "b.test")}
        landscape = Landscape(documents, pinned=("idp.test",))
        for _ in range(2):
            landscape.keys("b.test", "bob@b.test")
        assert landscape.asked == ["b.test"]


class TestFailures:
    def test_a_failure_is_remembered_for_half_a_minute(self) -> None:
        landscape = Landscape({})
        for later in (0, 1, RETRY_MS - 1):
            with refused(Code.HTTP_ERROR, "nobody answers"):
                landscape.keys("idp.test", now=START + later)
        assert landscape.asked == ["idp.test"]
        landscape.publish(OLD)
        assert landscape.keys("idp.test", now=START + RETRY_MS) == (OLD.public_key,)

    def test_so_is_a_document_that_cannot_be_read_with_its_reason(self) -> None:
        landscape = Landscape({"idp.test": {"authority": 1}})
        reasons = set()
        for _ in range(3):
            with refused(Code.INVALID_ISSUER, kind=DiscoveryError) as refusal:
                landscape.keys("idp.test")
            reasons.add(str(refusal.value))
        assert len(reasons) == 1
        assert landscape.asked == ["idp.test"]

    def test_every_refusal_is_an_exception_of_its_own(self) -> None:
        # One that is raised again by many threads would grow a traceback without end.
        landscape = Landscape({})
        refusals = []
        for _ in range(3):
            with refused(Code.HTTP_ERROR) as refusal:
                landscape.keys("idp.test")
            refusals.append(refusal.value)
        assert len({id(error) for error in refusals}) == 3

    def test_one_domain_does_not_pay_for_another(self) -> None:
        landscape = Landscape({"idp.test": support_document(OLD)})
        with refused(Code.HTTP_ERROR):
            landscape.keys("silent.test", "bob@silent.test")
        assert landscape.keys("idp.test")

    @pytest.mark.parametrize("name", ["{}.evil.test", "evil{}.test"])
    def test_what_is_remembered_is_bounded_and_strangers_push_out_nobody(self, name: str) -> None:
        landscape = Landscape({})
        domains = ["idp.test", *(name.format(number) for number in range(MAX_REMEMBERED + 100))]
        for domain in (*domains, *domains):
            with refused(Code.HTTP_ERROR):
                landscape.keys(domain, f"bob@{domain}")
        assert landscape.asked.count("idp.test") == 1
        assert len(landscape.asked) > len(domains) + 100

    def test_having_no_room_to_ask_is_no_failure_of_the_domain(self) -> None:
        class Busy(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                super().fetch(domain, principal_domain)
                raise DiscoveryError(Code.UNAVAILABLE, "too much is under way")

        provider = Busy({"idp.test": support_document(OLD)})
        resolver = AuthorityResolver(provider, memory_acceptor().authorities)
        for _ in range(2):
            with refused(Code.UNAVAILABLE):
                resolver.keys_for("idp.test", ALICE, START)
        for _ in range(2):
            with refused(Code.UNAVAILABLE):
                resolver.refreshed_keys_for("idp.test", ALICE, START)
        assert len(provider.fetched) == 4


@dataclass
class SlowProvider(Provider):
    """Answers when it is told to."""

    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        self.started.set()
        assert self.released.wait(10)
        return super().fetch(domain, principal_domain)


class TestManyAtOnce:
    """Fifty threads ask for one document: it is fetched once, and they all have it."""

    @staticmethod
    def ask(provider: SlowProvider, ask: Callable[[], object]) -> list[BrowserIDError | None]:
        def outcome() -> BrowserIDError | None:
            try:
                ask()
            except BrowserIDError as error:
                return error
            return None

        with ThreadPoolExecutor(50) as pool:
            asking = [pool.submit(outcome) for _ in range(50)]
            assert provider.started.wait(10)
            provider.released.set()
            return [each.result(10) for each in asking]

    def test_a_document_that_is_there(self) -> None:
        provider = SlowProvider({"idp.test": support_document(OLD)})
        resolver = AuthorityResolver(provider, memory_acceptor().authorities)
        outcomes = self.ask(provider, lambda: resolver.keys_for("idp.test", ALICE, START))
        assert outcomes == [None] * 50
        assert provider.fetched == ["idp.test"]

    def test_one_that_is_not(self) -> None:
        provider = SlowProvider({})
        resolver = AuthorityResolver(provider, memory_acceptor().authorities)
        outcomes = self.ask(provider, lambda: resolver.keys_for("idp.test", ALICE, START))
        assert {outcome and outcome.code for outcome in outcomes} == {Code.HTTP_ERROR}
        assert provider.fetched == ["idp.test"]

    def test_all_who_come_with_a_new_key_wait_for_the_one_refresh(self) -> None:
        provider = SlowProvider({"idp.test": support_document(OLD)})
        provider.released.set()
        resolver = AuthorityResolver(provider, memory_acceptor().authorities)
        resolver.keys_for("idp.test", ALICE, START)
        provider.documents["idp.test"] = support_document(NEW)
        provider.started.clear()
        provider.released.clear()
        found = []
        outcomes = self.ask(
            provider,
            lambda: found.append(resolver.refreshed_keys_for("idp.test", ALICE, START)),
        )
        assert outcomes == [None] * 50
        assert found == [(NEW.public_key,)] * 50
        assert provider.fetched == ["idp.test"] * 2


class TestKeyRotation:
    def test_a_new_key_is_found_by_asking_again(self) -> None:
        landscape = one_domain()
        assert landscape.keys("idp.test") == (OLD.public_key,)
        landscape.publish(NEW)
        assert landscape.keys("idp.test") == (OLD.public_key,)
        assert landscape.refreshed() == (NEW.public_key,)
        assert landscape.keys("idp.test") == (NEW.public_key,)

    def test_nobody_can_make_us_ask_more_than_twice_a_minute(self) -> None:
        landscape = one_domain()
        landscape.keys("idp.test")
        for later in range(0, RETRY_MS, 1000):
            landscape.refreshed(now=START + later)
        assert len(landscape.asked) == 2
        landscape.refreshed(now=START + RETRY_MS)
        assert len(landscape.asked) == 3

    def test_a_stranger_who_delegates_to_a_provider_does_not_use_up_its_turn(self) -> None:
        landscape = one_domain()
        landscape.publish(OLD)
        landscape.provider.documents["evil.test"] = {"authority": "idp.test"}
        landscape.keys("idp.test")
        landscape.publish(NEW)
        landscape.resolver.refreshed_keys_for("idp.test", "mallory@evil.test", START)
        assert landscape.refreshed() == (NEW.public_key,)

    def test_who_breaks_off_to_get_the_document_elsewhere_may_come_again(self) -> None:
        class Elsewhere(Exception):
            pass

        class AtHand(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                if domain not in self.documents:
                    raise Elsewhere
                return super().fetch(domain, principal_domain)

        landscape = one_domain()
        landscape.keys("idp.test")
        provider = AtHand({})
        resolver = AuthorityResolver(provider, landscape.cache)
        for _ in range(2):
            with pytest.raises(Elsewhere):
                resolver.refreshed_keys_for("idp.test", ALICE, START)
        provider.documents["idp.test"] = support_document(NEW)
        assert resolver.refreshed_keys_for("idp.test", ALICE, START) == (NEW.public_key,)

    def test_one_provider_does_not_pay_for_another(self) -> None:
        landscape = one_domain()
        landscape.publish(OLD, domain="b.test")
        landscape.refreshed()
        landscape.resolver.refreshed_keys_for("b.test", "bob@b.test", START)
        assert landscape.asked.count("b.test") == 1

    def test_a_provider_that_is_gone_keeps_its_cached_keys(self) -> None:
        # Else the first forged certificate in its name would lock out everybody else.
        landscape = one_domain()
        landscape.keys("idp.test")
        del landscape.provider.documents["idp.test"]
        with refused(Code.HTTP_ERROR, kind=DiscoveryError):
            landscape.refreshed()
        assert landscape.keys("idp.test") == (OLD.public_key,)
        assert landscape.refreshed() == (OLD.public_key,)

    def test_a_provider_that_breaks_its_document_keeps_its_cached_keys(self) -> None:
        landscape = one_domain()
        landscape.keys("idp.test")
        landscape.provider.documents["idp.test"] = {}
        with refused(Code.NO_KEY):
            landscape.refreshed()
        assert landscape.keys("idp.test") == (OLD.public_key,)

    def test_a_provider_that_stops_is_believed(self) -> None:
        landscape = one_domain()
        landscape.keys("idp.test")
        landscape.provider.documents["idp.test"] = {"disabled": True}
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.refreshed()
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.keys("idp.test")

    def test_asking_again_makes_nobody_trusted(self) -> None:
        landscape = one_domain()
        landscape.publish(OTHER, domain="evil.test")
        with refused(Code.UNTRUSTED_ISSUER):
            landscape.refreshed("evil.test")

    def test_the_one_delegated_to_is_asked_again(self) -> None:
        landscape = chain(1)
        landscape.keys("d1.test")
        landscape.publish(NEW, domain="d1.test")
        assert landscape.refreshed("d1.test") == (NEW.public_key,)
        assert landscape.asked == ["idp.test", "d1.test", "d1.test"]


class TestAnHourUnderAttack:
    """Every second a stranger comes with a certificate that is signed by nobody.

    It is in the name of the provider, for an address in a domain of the stranger's that delegates
    to it, or for one of the provider's own.
    """

    SECOND = 1000
    STRANGERS = (
        lambda second: f"mallory@x{second}.evil.test",
        lambda second: f"mallory@evil{second}.test",
        lambda second: "mallory@evil.test",
        lambda second: "alice@idp.test",
    )

    @staticmethod
    def landscape() -> Landscape:
        class Delegating(Provider):
            def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
                if "evil" in domain:
                    return FetchedDocument(dump({"authority": "idp.test"}), MAX_LIFETIME_MS)
                return super().fetch(domain, principal_domain)

        landscape = one_domain()
        landscape.provider = Delegating(landscape.documents)
        landscape.resolver = AuthorityResolver(landscape.provider, landscape.cache)
        landscape.keys("idp.test")
        return landscape

    def attack(self, landscape: Landscape, second: int) -> None:
        email = self.STRANGERS[second % 4](second)
        now = START + second * self.SECOND
        landscape.resolver.keys_for("idp.test", email, now)
        landscape.resolver.refreshed_keys_for("idp.test", email, now)

    @pytest.mark.parametrize("rotated", [0, 1, 29, 1799])
    def test_a_new_key_is_found_within_the_time_between_two_refreshes(self, rotated: int) -> None:
        landscape = self.landscape()
        for second in range(1, rotated + 1):
            self.attack(landscape, second)
        landscape.publish(NEW)
        found = None
        for second in range(rotated + 1, rotated + 120):
            self.attack(landscape, second)
            if landscape.refreshed(now=START + second * self.SECOND) == (NEW.public_key,):
                found = second
                break
        assert found is not None
        assert (found - rotated) * self.SECOND <= RETRY_MS

    def test_a_key_that_was_withdrawn_is_gone_when_the_document_ends(self) -> None:
        landscape = self.landscape()
        landscape.publish(NEW)
        for second in range(1, HOUR // self.SECOND):
            self.attack(landscape, second)
        assert landscape.keys("idp.test", now=START + HOUR) == (NEW.public_key,)

    def test_a_provider_is_asked_twice_for_each_of_the_strangers_logins_at_the_most(self) -> None:
        landscape = self.landscape()
        attacks = HOUR // self.SECOND
        for second in range(attacks):
            self.attack(landscape, second)
        assert landscape.asked.count("idp.test") <= 2 * attacks


def test_short_keys_are_taken_where_that_is_configured() -> None:
    document = support_document(OLD)
    document["public-key"] = {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}
    for allow_legacy in (True, False):
        cache = memory_acceptor().authorities
        resolver = AuthorityResolver(
            Provider({"idp.test": document}), cache, allow_legacy=allow_legacy
        )
        try:
            assert resolver.keys_for("idp.test", ALICE, START) and allow_legacy
        except BrowserIDError as error:
            assert error.code is Code.KEY_TOO_SHORT and not allow_legacy
