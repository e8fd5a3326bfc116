"""What every store does, whatever it is made of."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from browserid_sasl.errors import StoreError
from browserid_sasl.identity.ports import CachedDocument
from tests.store.conftest import Kind
from tests.support.tickets import (
    HOUR,
    NOW,
    acceptor_ticket,
    identity_record,
    initiator_ticket,
    tid,
)

GRACE = 600_000

#: A store is cheap to share between examples: each brings keys of its own, or changes nothing.
shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)


class TestReplayStore:
    def test_accepts_an_assertion_once(self, kind: Kind) -> None:
        store = kind.replay()
        assert store.insert(b"a" * 32, NOW)
        assert not store.insert(b"a" * 32, NOW)
        assert store.insert(b"b" * 32, NOW)

    def test_of_simultaneous_presentations_one_succeeds(self, kind: Kind) -> None:
        store = kind.replay()
        start = threading.Barrier(8)

        def present(_: int) -> int:
            start.wait()
            return sum(store.insert(digest, NOW) for digest in digests)

        digests = [os.urandom(32) for _ in range(50)]
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(present, range(8))) == len(digests)

    def test_forgets_an_assertion_only_when_its_grace_is_over(self, kind: Kind) -> None:
        store = kind.replay(grace=GRACE)
        store.insert(b"a" * 32, NOW)
        assert store.purge(NOW + GRACE) == 0
        assert not store.insert(b"a" * 32, NOW)
        assert store.purge(NOW + GRACE + 1) == 1
        assert store.purge(NOW + GRACE + 1) == 0
        if kind.doubts:
            with pytest.raises(StoreError, match="can be lost"):
                store.insert(b"a" * 32, NOW)
        else:
            assert store.insert(b"a" * 32, NOW)

    def test_a_full_store_refuses_and_forgets_nothing(self, bounded: Kind) -> None:
        store = bounded.replay(max_entries=3)
        digests = [bytes([number]) * 32 for number in range(3)]
        assert all(store.insert(digest, NOW) for digest in digests)
        with pytest.raises(StoreError, match=r"maximum of 3 assertions.*: logins work again"):
            store.insert(b"d" * 32, NOW)
        assert not any(store.insert(digest, NOW) for digest in digests)

    def test_a_full_store_makes_room_of_what_has_expired(self, bounded: Kind) -> None:
        store = bounded.replay(max_entries=3, grace=GRACE)
        for number in range(3):
            store.insert(bytes([number]) * 32, NOW + number)
        bounded.clock.now = NOW + GRACE + 2
        assert store.insert(b"d" * 32, NOW + HOUR)
        assert not store.insert(b"\2" * 32, NOW + 2)
        assert store.insert(b"\0" * 32, NOW)

    def test_purge_leaves_room_for_as_many_as_it_removed(self, bounded: Kind) -> None:
        store = bounded.replay(max_entries=2, grace=0)
        for round_number in range(3):
            for number in range(2):
                assert store.insert(bytes([round_number, number]) * 16, NOW)
            assert store.purge(NOW + 1) == 2


class TestAcceptorTicketStore:
    def test_gives_back_what_was_put(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket(
            mutual=True,
            renewed=True,
            attributes={"name": "Älice", "groups": ["a", "b"], "age": 7, "more": {"x": None}},
        )
        assert store.put(ticket)
        assert store.get(ticket.tid, NOW) == ticket

    def test_knows_nothing_else(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        store.put(acceptor_ticket())
        assert store.get(tid("another"), NOW) is None

    def test_never_overwrites(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket(expires=NOW + HOUR)
        assert store.put(ticket)
        thief = acceptor_ticket(tid=ticket.tid, subject="mallory@example.org", ark=b"m" * 32)
        assert not store.put(thief)
        assert store.get(ticket.tid, NOW) == ticket

    def test_of_simultaneous_tickets_of_one_identifier_one_is_stored(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        tickets = [acceptor_ticket(tid=tid("one"), expires=NOW + number) for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(store.put, tickets)) == 1

    def test_an_expired_ticket_is_not_found(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket(expires=NOW + 1000)
        store.put(ticket)
        assert store.get(ticket.tid, NOW + 999) == ticket
        assert store.get(ticket.tid, NOW + 1000) is None
        assert list(store.all(NOW + 1000)) == []

    def test_delete_says_whether_it_was_there(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket()
        store.put(ticket)
        assert store.delete(ticket.tid)
        assert not store.delete(ticket.tid)
        assert store.get(ticket.tid, NOW) is None
        assert store.put(ticket)

    def test_lists_the_newest_first(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        # The newest expires soonest, and two are of the same moment.
        ages = [3, 1, 2, 0, 0]
        tickets = [
            acceptor_ticket(issued_at=NOW - age * HOUR, expires=NOW + (age + 1) * HOUR)
            for age in ages
        ]
        for ticket in tickets:
            store.put(ticket)
        assert [ticket.issued_at for ticket in store.all(NOW)] == [
            NOW - age * HOUR for age in sorted(ages)
        ]
        assert next(iter(store.all(NOW))) == tickets[-1]

    def test_purge_counts_what_had_expired(self, kind: Kind) -> None:
        store = kind.acceptor_tickets()
        tickets = [acceptor_ticket(expires=NOW + seconds * 1000) for seconds in range(5)]
        for ticket in tickets:
            store.put(ticket)
        assert store.purge(NOW + 2000) == 2
        assert store.purge(NOW + 2001) == 1
        assert store.get(tickets[3].tid, NOW) == tickets[3]

    def test_of_too_many_those_that_expire_soonest_go(self, bounded: Kind) -> None:
        store = bounded.acceptor_tickets(max_entries=3)
        lives = [4, 1, 3, 5, 2]
        tickets = {life: acceptor_ticket(expires=NOW + life * HOUR) for life in lives}
        for ticket in tickets.values():
            assert store.put(ticket)
        kept = [life for life in sorted(tickets) if store.get(tickets[life].tid, NOW)]
        assert kept == [3, 4, 5]

    def test_stays_bounded_when_tickets_come_and_go(self, bounded: Kind) -> None:
        store = bounded.acceptor_tickets(max_entries=10)
        for number in range(300):
            ticket = acceptor_ticket(expires=NOW + (number % 7 + 1) * HOUR)
            store.put(ticket)
            if number % 3:
                store.delete(ticket.tid)
        assert 0 < len(list(store.all(NOW))) <= 10

    def test_a_ticket_that_comes_and_goes_leaves_nothing_behind(self, bounded: Kind) -> None:
        store = bounded.acceptor_tickets(max_entries=10)
        restless, quiet = acceptor_ticket(), acceptor_ticket(expires=NOW + 1000)
        store.put(quiet)
        for hour in range(100):
            assert store.put(acceptor_ticket(tid=restless.tid, expires=NOW + hour * HOUR))
            assert store.delete(restless.tid)
        assert store.put(restless)
        assert store.purge(NOW + HOUR) == 1
        assert list(store.all(NOW)) == [restless]

    @shared
    @given(first=st.text(), second=st.text())
    def test_identifiers_are_told_apart_exactly(self, kind: Kind, first: str, second: str) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket(tid=first)
        store.put(ticket)
        other = store.get(second, NOW)
        assert other is None or other.tid == second
        assert store.get(first, NOW) == ticket
        store.delete(first)

    @pytest.mark.parametrize(
        "spelling",
        [
            lambda name: name + "=",
            lambda name: name[:-1] + chr(ord(name[-1]) + 1),  # the same 32 octets, sloppily
            lambda name: " " + name,
            lambda name: name[:-1],
            lambda name: name.replace("_", "/"),
            lambda name: "",
            lambda name: "\0" * 33,
            lambda name: "\ud800",
            lambda name: "é" * 43,
        ],
    )
    def test_other_spellings_of_an_identifier_do_not_find_it(
        self, kind: Kind, spelling: Callable[[str], str]
    ) -> None:
        store = kind.acceptor_tickets()
        ticket = acceptor_ticket(tid="_" * 42 + "8")
        store.put(ticket)
        assert store.get(spelling(ticket.tid), NOW) is None
        assert not store.delete(spelling(ticket.tid))
        odd = acceptor_ticket(tid=spelling(ticket.tid))
        assert store.put(odd)
        assert store.get(odd.tid, NOW) == odd
        assert list(store.all(NOW)) == [odd, ticket]
        assert store.get(ticket.tid, NOW) == ticket


class TestInitiatorTicketStore:
    def test_gives_back_what_was_put(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        ticket = initiator_ticket(mutual=True, renewed=True)
        store.put(ticket)
        assert store.get(ticket.identity, ticket.audience, ticket.curve, NOW) == ticket

    @pytest.mark.parametrize(
        "other",
        [
            {"identity": "bob@example.org"},
            {"audience": "smtp/mail.example.org"},
            {"curve": "P-521"},
        ],
    )
    def test_is_keyed_by_identity_audience_and_curve(
        self, kind: Kind, other: dict[str, str]
    ) -> None:
        store = kind.initiator_tickets()
        ticket = initiator_ticket()
        store.put(ticket)
        key = {"identity": ticket.identity, "audience": ticket.audience, "curve": ticket.curve}
        assert store.get(**key | other, now=NOW) is None

    def test_replaces_the_ticket_for_the_same(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        old, new = initiator_ticket(), initiator_ticket()
        store.put(old)
        store.put(new)
        assert list(store.all(NOW)) == [new]
        assert not store.delete(old.identity, old.audience, old.tid)
        assert list(store.all(NOW)) == [new]

    def test_an_expired_ticket_is_not_found(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        ticket = initiator_ticket(expires=NOW + 1)
        store.put(ticket)
        assert store.get(ticket.identity, ticket.audience, ticket.curve, NOW) == ticket
        assert store.get(ticket.identity, ticket.audience, ticket.curve, NOW + 1) is None
        assert list(store.all(NOW + 1)) == []

    def test_delete_says_whether_it_was_there(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        ticket = initiator_ticket()
        store.put(ticket)
        assert store.delete(ticket.identity, ticket.audience, ticket.tid)
        assert not store.delete(ticket.identity, ticket.audience, ticket.tid)
        assert list(store.all(NOW)) == []

    @pytest.mark.parametrize(
        "other",
        [{"identity": "bob@example.org"}, {"audience": "smtp/mail.example.org"}],
    )
    def test_one_server_s_identifier_deletes_no_ticket_of_another(
        self, kind: Kind, other: dict[str, str]
    ) -> None:
        store = kind.initiator_tickets()
        mine = initiator_ticket()
        theirs = initiator_ticket(tid=mine.tid, **other)
        store.put(mine)
        store.put(theirs)
        assert store.delete(theirs.identity, theirs.audience, theirs.tid)
        assert list(store.all(NOW)) == [mine]

    def test_lists_by_identity_and_audience(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        tickets = [
            initiator_ticket(identity=identity, audience=audience)
            for identity in ("alice@example.org", "bob@example.org")
            for audience in ("imap/mail", "smtp/mail")
        ]
        for ticket in reversed(tickets):
            store.put(ticket)
        assert list(store.all(NOW)) == tickets

    def test_purge_counts_what_had_expired(self, kind: Kind) -> None:
        store = kind.initiator_tickets()
        for number in range(4):
            store.put(initiator_ticket(audience=f"imap/{number}", expires=NOW + number))
        assert store.purge(NOW + 2) == 2
        assert [ticket.audience for ticket in store.all(NOW)] == ["imap/2", "imap/3"]

    def test_of_too_many_those_that_expire_soonest_go(self, kind: Kind) -> None:
        store = kind.initiator_tickets(max_entries=2)
        for number in (3, 1, 2):
            store.put(initiator_ticket(audience=f"imap/{number}", expires=NOW + number))
        assert [ticket.audience for ticket in store.all(NOW)] == ["imap/2", "imap/3"]


class TestIdentityStore:
    def test_gives_back_what_was_put(self, kind: Kind) -> None:
        store = kind.identities()
        record = identity_record()
        store.put(record)
        assert store.get(record.identity) == record
        assert store.get("bob@example.org") is None

    def test_replaces_the_record_of_the_same_identity(self, kind: Kind) -> None:
        store = kind.identities()
        store.put(identity_record(certificate="", expires=0))
        store.put(identity_record())
        assert list(store.all()) == [identity_record()]

    def test_lists_by_address(self, kind: Kind) -> None:
        store = kind.identities()
        for name in ("carol", "alice", "bob"):
            store.put(identity_record(identity=f"{name}@example.org"))
        assert [record.identity[0] for record in store.all()] == ["a", "b", "c"]

    def test_delete_says_whether_it_was_there(self, kind: Kind) -> None:
        store = kind.identities()
        store.put(identity_record())
        assert store.delete("alice@example.org")
        assert not store.delete("alice@example.org")
        assert store.get("alice@example.org") is None


class TestAuthorityCache:
    def test_gives_back_what_was_put_until_it_expires(self, kind: Kind) -> None:
        cache = kind.authorities()
        document = CachedDocument(b"{}", NOW + 1)
        cache.put("example.org", document)
        assert cache.get("example.org", NOW) == document
        assert cache.get("example.org", NOW + 1) is None
        assert cache.get("example.net", NOW) is None

    def test_replaces_the_document_of_the_same_domain(self, kind: Kind) -> None:
        cache = kind.authorities()
        new = CachedDocument(b"[]", NOW + 1)
        cache.put("example.org", CachedDocument(b"{}", NOW + HOUR))
        cache.put("example.org", new)
        assert list(cache.all(NOW)) == [("example.org", new)]
        assert list(cache.all(NOW + 1)) == []

    def test_delete_says_whether_it_was_there(self, kind: Kind) -> None:
        cache = kind.authorities()
        cache.put("example.org", CachedDocument(b"{}", NOW + 1))
        assert cache.delete("example.org")
        assert not cache.delete("example.org")

    def test_of_too_many_those_that_were_stored_first_go(self, kind: Kind) -> None:
        cache = kind.authorities(max_entries=2)
        for number in (3, 1, 3, 2):
            cache.put(f"{number}.example", CachedDocument(b"{}", NOW + number))
        assert [domain for domain, _ in cache.all(NOW)] == ["2.example", "3.example"]

    @pytest.mark.parametrize("name", ["{}.evil.example", "idp.test?domain={}.evil.example"])
    def test_nobody_pushes_out_the_documents_of_others(self, kind: Kind, name: str) -> None:
        cache = kind.authorities(max_entries=10)
        cache.put("idp.test", CachedDocument(b"{}", NOW + 1))
        for number in range(30):
            cache.put(name.format(number), CachedDocument(b"{}", NOW + HOUR))
        assert cache.get("idp.test", NOW) is not None
        assert len(list(cache.all(NOW))) == 10


class TestBundles:
    def test_an_acceptor_remembers_assertions_tickets_and_authorities(self, kind: Kind) -> None:
        stores = kind.acceptor()
        ticket = acceptor_ticket()
        assert stores.replay.insert(b"a" * 32, NOW)
        assert stores.tickets.put(ticket)
        stores.authorities.put("example.org", CachedDocument(b"{}", NOW + 1))
        stores.close()
        assert not stores.replay.insert(b"a" * 32, NOW)
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert stores.authorities.get("example.org", NOW) is not None
        stores.close()

    def test_an_initiator_remembers_tickets_identities_and_authorities(self, kind: Kind) -> None:
        stores = kind.initiator()
        ticket, record = initiator_ticket(), identity_record()
        stores.tickets.put(ticket)
        stores.identities.put(record)
        stores.authorities.put("example.org", CachedDocument(b"{}", NOW + 1))
        stores.close()
        assert list(stores.tickets.all(NOW)) == [ticket]
        assert stores.identities.get(record.identity) == record
        assert stores.authorities.get("example.org", NOW) is not None
        stores.close()

    def test_no_secret_is_shown(self, kind: Kind) -> None:
        acceptor, initiator = kind.acceptor(), kind.initiator()
        ticket, mine, record = acceptor_ticket(), initiator_ticket(), identity_record()
        acceptor.tickets.put(ticket)
        initiator.tickets.put(mine)
        initiator.identities.put(record)
        kept = [
            acceptor.tickets.get(ticket.tid, NOW),
            *initiator.tickets.all(NOW),
            initiator.identities.get(record.identity),
        ]
        shown = repr([acceptor, initiator, kept])
        for secret in (ticket.ark, record.private_key_pem):
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown
        acceptor.close()
        initiator.close()
