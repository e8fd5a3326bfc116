"""Bounded memories in which a stranger has no more room than anybody else."""

from __future__ import annotations

import pytest

from browserid_sasl.identity.fairness import FairTable, party_of, surplus

LIFE = 30_000


@pytest.mark.parametrize(
    ("domain", "party"),
    [
        ("example.org", "example.org"),
        ("a.b.c.example.org", "example.org"),
        ("example.co.uk", "example.co.uk"),
        ("x1.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("x1.abc.de", "abc.de"),
        ("x1.co.example", "co.example"),
        ("localhost", "localhost"),
    ],
)
def test_a_party_is_what_was_registered(domain: str, party: str) -> None:
    assert party_of(domain) == party


class TestSurplus:
    def test_there_is_none_while_there_is_room(self) -> None:
        assert surplus([("a", "a.test"), ("b", "b.test")], 2) == []

    def test_those_at_the_front_go_when_all_have_the_same(self) -> None:
        assert surplus([(name, f"{name}.test") for name in "abc"], 1) == ["a", "b"]

    def test_those_of_the_largest_party_go_first(self) -> None:
        domains = ["idp.test", "1.evil.test", "2.evil.test", "other.test", "3.evil.test"]
        assert surplus(zip(domains, domains, strict=True), 3) == ["1.evil.test", "2.evil.test"]


class TestFairTable:
    def test_remembers_for_its_time(self) -> None:
        table: FairTable[int] = FairTable(2, LIFE)
        table.put("a", "a.test", 1, 0)
        assert table.get("a", 0) == table.get("a", LIFE - 1) == 1
        assert table.get("a", LIFE) is None
        assert table.get("b", 0) is None

    def test_forgets_when_the_clock_is_set_back(self) -> None:
        table: FairTable[int] = FairTable(2, LIFE)
        table.put("a", "a.test", 1, LIFE)
        assert table.get("a", LIFE - 1) is None

    def test_forgets_what_it_is_told_to(self) -> None:
        table: FairTable[int] = FairTable(1, LIFE)
        table.put("a", "a.test", 1, 0)
        table.delete("a")
        table.delete("b")
        assert table.get("a", 0) is None
        table.put("b", "b.test", 2, 0)
        assert table.get("b", 0) == 2

    def test_replaces_what_is_there(self) -> None:
        table: FairTable[int] = FairTable(1, LIFE)
        table.put("a", "a.test", 1, 0)
        table.put("a", "a.test", 2, 1)
        assert table.get("a", LIFE) == 2

    def test_one_party_makes_room_for_another(self) -> None:
        table: FairTable[int] = FairTable(3, LIFE)
        for number in range(10):
            table.put(f"{number}", f"{number}.evil.test", number, 0)
        table.put("a", "a.test", 1, 0)
        table.put("b", "b.test", 2, 0)
        assert [table.get(key, 0) for key in ("7", "8", "9", "a", "b")] == [None, None, 9, 1, 2]

    def test_and_pushes_out_its_own_only(self) -> None:
        table: FairTable[int] = FairTable(3, LIFE)
        table.put("a", "a.test", 1, 0)
        for number in range(10):
            table.put(f"{number}", f"{number}.evil.test", number, 0)
        assert [table.get(key, 0) for key in ("a", "7", "8", "9")] == [1, None, 8, 9]

    def test_a_newcomer_is_not_remembered_where_all_have_one_entry(self) -> None:
        table: FairTable[int] = FairTable(100, LIFE)
        for number in range(1000):
            table.put(f"{number}", f"{number}.test", number, 0)
        assert [table.get(str(number), 0) for number in range(100)] == list(range(100))
        assert table.get("999", 0) is None

    def test_what_is_over_makes_room(self) -> None:
        table: FairTable[int] = FairTable(2, LIFE)
        table.put("a", "a.test", 1, 0)
        table.put("b", "b.test", 2, 1)
        table.put("c", "c.test", 3, LIFE)
        assert [table.get(key, LIFE) for key in "abc"] == [None, 2, 3]
