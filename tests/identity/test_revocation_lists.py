"""Lists of revoked keys: how often they are fetched, and what happens without one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity import revocation_lists as module
from browserid_sasl.identity.revocation_lists import INTERVAL_MS, RevocationLists
from browserid_sasl.jose import jwt
from tests.support.refusal import refused
from tests.support.revocations import LIFE, PATH, Lists, publishing, thumbprint
from tests.support.world import ALICE, START, World, key, support_document

KEY = key("alice").public_key


class Watch:
    """Somebody who looks at the lists of a small world.

    :param required: whether the list is.
    """

    def __init__(self, *, required: bool = False) -> None:
        self.world = World()
        self.world.provider.documents["idp.test"] = publishing(key("idp"))
        self.clock = self.world.clock
        self.lists = Lists(self.clock)
        self._required = required
        self.revoked = self.another_process()

    def another_process(self) -> RevocationLists:
        """What another process of the same service has."""
        return RevocationLists(
            self.world.resolver,
            self.lists,
            self.world.server_stores.authorities,
            required=self._required,
            skew=300_000,
            wait=5,
            tell=self.lists.told.append,
        )

    def sees(self) -> bool:
        """Whether the key of Alice is seen to be revoked."""
        return self.revoked.has("idp.test", ALICE, thumbprint(KEY), self.clock())

    def unavailable(self) -> str:
        with refused(Code.UNAVAILABLE, kind=DiscoveryError) as refusal:
            self.sees()
        return str(refusal.value)


@pytest.fixture(params=[False, True], ids=["when-available", "required"])
def watch(request: pytest.FixtureRequest) -> Watch:
    return Watch(required=request.param)


class TestInterval:
    def test_a_list_is_fetched_once_a_minute(self, watch: Watch) -> None:
        for later in (0, 1, INTERVAL_MS - 1):
            watch.clock.now = START + later
            assert not watch.sees()
        assert watch.lists.fetched == [("idp.test", PATH)]
        watch.clock.now = START + INTERVAL_MS
        assert not watch.sees()
        assert len(watch.lists.fetched) == 2

    def test_a_revocation_takes_no_more_than_a_minute(self, watch: Watch) -> None:
        assert not watch.sees()
        watch.clock.now += 1
        watch.lists.revoke(KEY)
        watch.clock.now = START + INTERVAL_MS
        assert watch.sees()
        assert INTERVAL_MS <= 60_000

    def test_a_clock_that_was_set_back_keeps_no_old_list(self, watch: Watch) -> None:
        assert not watch.sees()
        watch.lists.revoke(KEY)
        watch.clock.now -= 1000
        assert watch.sees()

    def test_many_at_once_fetch_it_once(self, watch: Watch) -> None:
        arrived = threading.Barrier(8)

        def look(_: int) -> bool:
            arrived.wait()
            return watch.sees()

        with ThreadPoolExecutor(8) as pool:
            assert not any(pool.map(look, range(8)))
        assert len(watch.lists.fetched) == 1

    def test_processes_that_share_a_store_share_the_list(self, watch: Watch) -> None:
        other = watch.another_process()
        for process in (watch.revoked, other):
            assert not process.has("idp.test", ALICE, thumbprint(KEY), START)
        assert len(watch.lists.fetched) == 1
        watch.lists.revoke(KEY)
        watch.clock.now += INTERVAL_MS
        for process in (other, watch.revoked):
            assert process.has("idp.test", ALICE, thumbprint(KEY), watch.clock())
        assert len(watch.lists.fetched) == 2

    def test_a_large_list_is_each_processes_own(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_MAX_SHARED", 100)
        for process in (watch.revoked, watch.another_process()):
            assert not process.has("idp.test", ALICE, thumbprint(KEY), START)
        assert len(watch.lists.fetched) == 2

    def test_a_failure_is_not_tried_again_for_a_minute(self, watch: Watch) -> None:
        watch.sees()
        watch.lists.answers = False
        watch.clock.now += INTERVAL_MS
        for _ in range(3):
            watch.sees()
        assert len(watch.lists.fetched) == 2

    def test_a_list_at_another_place_is_fetched_at_once(self, watch: Watch) -> None:
        watch.sees()
        document = support_document(key("idp")) | {"revocations": "/elsewhere"}
        watch.world.provider.documents["idp.test"] = document
        watch.world.resolver.refreshed_keys_for("idp.test", ALICE, watch.clock())
        watch.sees()
        assert watch.lists.fetched[1:] == [("idp.test", "/elsewhere")]


class TestWithoutAList:
    """Whether that matters is the administrator's choice; what is known to be revoked stays so."""

    def test_what_was_revoked_stays_so(self, watch: Watch) -> None:
        watch.lists.revoke(KEY)
        assert watch.sees()
        watch.lists.answers = False
        for later in (INTERVAL_MS, 10 * INTERVAL_MS, 1000 * INTERVAL_MS):
            watch.clock.now = START + later
            assert watch.sees()

    def test_the_last_one_holds_for_as_long_as_it_says(self) -> None:
        watch = Watch(required=True)
        assert not watch.sees()
        watch.lists.answers = False
        watch.clock.now = START + LIFE - 1
        assert not watch.sees()
        watch.clock.now = START + LIFE
        assert "nobody answers" in watch.unavailable()
        watch.lists.answers = True
        watch.clock.now += INTERVAL_MS
        assert not watch.sees()

    def test_logins_go_on_where_it_is_not_required(self) -> None:
        watch = Watch()
        watch.lists.answers = False
        assert not watch.sees()
        watch.clock.now += 1000 * INTERVAL_MS
        assert not watch.sees()

    def test_that_logins_go_on_is_told_once_a_minute_and_why(self) -> None:
        watch = Watch()
        assert not watch.sees()
        watch.lists.answers = False
        # The last one holds for as long as it says.
        watch.clock.now = START + LIFE - 1
        assert not watch.sees()
        assert watch.lists.told == []
        for later in (0, 1, INTERVAL_MS - 1):
            watch.clock.now = START + LIFE + later
            assert not watch.sees()
        [told] = watch.lists.told
        for part in ("idp.test", "nobody answers", "`revocations`"):
            assert part in told
        watch.clock.now = START + LIFE + INTERVAL_MS
        assert not watch.sees()
        assert len(watch.lists.told) == 2
        watch.clock.now = START + LIFE - 1000
        assert not watch.sees()
        assert len(watch.lists.told) == 2

    def test_many_providers_do_not_flood_the_log(self) -> None:
        watch = Watch()
        watch.lists.answers = False
        for number in range(100):
            name = f"idp{number}.test"
            watch.world.provider.documents[name] = publishing(key("idp"))
            email = f"alice@{name}"
            assert not watch.revoked.has(name, email, thumbprint(KEY), START)
        assert len(watch.lists.told) == 16
        watch.clock.now += INTERVAL_MS
        assert not watch.sees()
        assert len(watch.lists.told) == 17

    def test_a_required_one_is_told_to_who_logs_in(self) -> None:
        watch = Watch(required=True)
        watch.lists.answers = False
        watch.unavailable()
        assert watch.lists.told == []

    def test_one_that_is_signed_by_another_key_is_none(self) -> None:
        watch = Watch(required=True)
        watch.lists.key = key("forger")
        assert "signature" in watch.unavailable()

    def test_one_of_another_issuer_is_none(self) -> None:
        watch = Watch(required=True)
        watch.lists.claims = {"iss": "elsewhere.test"}
        assert "elsewhere.test" in watch.unavailable()

    def test_one_that_has_expired_is_none(self) -> None:
        watch = Watch(required=True)
        watch.lists.claims = {"iat": START - 2 * LIFE, "exp": START - LIFE}
        assert "expired" in watch.unavailable()

    def test_a_forged_one_takes_nothing_off(self, watch: Watch) -> None:
        watch.lists.revoke(KEY)
        assert watch.sees()
        watch.lists.revoked.clear()
        watch.lists.key = key("forger")
        watch.clock.now += INTERVAL_MS
        assert watch.sees()

    def test_a_provider_that_publishes_none(self) -> None:
        for required in (False, True):
            watch = Watch(required=required)
            watch.world.provider.documents["idp.test"] = support_document(key("idp"))
            if required:
                assert "publishes none" in watch.unavailable()
            else:
                assert not watch.sees()
            assert watch.lists.fetched == []
            # That is as it is, and not for a while.
            assert watch.lists.told == []

    def test_a_provider_that_has_begun_to_publish_one(self) -> None:
        """Its document may have been fetched before, and that is good for an hour."""
        watch = Watch(required=True)
        watch.world.provider.documents["idp.test"] = support_document(key("idp"))
        watch.unavailable()
        watch.world.provider.documents["idp.test"] = publishing(key("idp"))
        watch.clock.now += INTERVAL_MS
        assert not watch.sees()

    def test_a_provider_that_does_not_answer_at_all(self) -> None:
        for required in (False, True):
            watch = Watch(required=required)
            del watch.world.provider.documents["idp.test"]
            if required:
                assert "nobody answers" in watch.unavailable()
            else:
                assert not watch.sees()


class TestANewSigningKey:
    def test_is_asked_for(self, watch: Watch) -> None:
        """The document that is at hand can be an hour old."""
        watch.sees()
        watch.world.provider.documents["idp.test"] = publishing(key("new", "ES256"))
        watch.lists.key = key("new", "ES256")
        watch.lists.revoke(KEY)
        watch.clock.now += INTERVAL_MS
        assert watch.sees()
        assert len(watch.world.provider.fetched) == 2

    def test_is_found_by_steps_that_are_repeated(self, watch: Watch) -> None:
        """In a worker each document is fetched elsewhere, and the step made again."""

        class Elsewhere(Exception):
            pass

        at_hand: set[str] = set()
        needed: list[str] = []
        fetch, fetch_list = watch.world.provider.fetch, watch.lists.fetch_list

        def need(what: str) -> None:
            if what not in at_hand:
                needed.append(what)
                raise Elsewhere

        def fetch_if_there(domain: str, principal_domain: str) -> object:
            need("document")
            return fetch(domain, principal_domain)

        def fetch_list_if_there(domain: str, principal_domain: str, path: str) -> bytes:
            need("list")
            return fetch_list(domain, principal_domain, path)

        watch.sees()
        watch.world.provider.documents["idp.test"] = publishing(key("new", "ES256"))
        watch.lists.key = key("new", "ES256")
        watch.lists.revoke(KEY)
        watch.clock.now += INTERVAL_MS
        watch.world.provider.fetch = fetch_if_there  # type: ignore[method-assign, assignment]
        watch.lists.fetch_list = fetch_list_if_there  # type: ignore[method-assign]
        for expected in ("list", "document"):
            with pytest.raises(Elsewhere):
                watch.sees()
            assert needed[-1] == expected
            at_hand = {expected}
        assert watch.sees()
        assert needed == ["list", "document"]

    def test_is_none_of_a_step_that_nobody_came_back_for(self) -> None:
        """The list that comes for the next one is as old as that, and no older."""
        watch = Watch(required=True)
        fetch_list = watch.lists.fetch_list

        def elsewhere(domain: str, principal_domain: str, path: str) -> bytes:
            raise LookupError

        watch.lists.fetch_list = elsewhere  # type: ignore[method-assign]
        with pytest.raises(LookupError):
            watch.sees()
        watch.clock.now += 2 * LIFE
        watch.lists.fetch_list = fetch_list  # type: ignore[method-assign]
        assert not watch.sees()
        watch.clock.now += INTERVAL_MS - 1
        assert not watch.sees()
        assert len(watch.lists.fetched) == 1


class TestMemory:
    def test_is_shared_between_providers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_KEPT", 3)
        watch = Watch()
        documents = watch.world.provider.documents
        keys = [f"{number:043d}" for number in range(3)]
        for name, revoked in (("small.test", keys[:1]), ("large.test", keys)):
            documents[name] = publishing(key("idp"))
            claims = {"iss": name, "iat": START, "exp": START + LIFE, "revoked": revoked}
            watch.lists.octets = jwt.sign(claims, key("idp")).encode()
            assert watch.revoked.has(name, f"x@{name}", keys[0], START)
        watch.lists.answers = False
        later = START + INTERVAL_MS
        assert watch.revoked.has("small.test", "x@small.test", keys[0], later)
        assert not watch.revoked.has("large.test", "x@large.test", keys[0], later)
