"""Lines of the log that strangers can cause."""

from __future__ import annotations

import logging

import pytest

from browserid_sasl.idp.rations import MOST_TOLD, Told

MINUTE_MS = 60_000


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == __name__]


class TestAMinute:
    @pytest.fixture
    def clock(self) -> list[int]:
        return [0]

    @pytest.fixture
    def told(self, clock: list[int]) -> Told:
        return Told(logging.getLogger(__name__), lambda: clock[0])

    def test_has_so_many_and_the_next_one_says_how_many_more_there_were(
        self, told: Told, clock: list[int], caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(MOST_TOLD + 7):
            told.tell(logging.WARNING, "number %s", number)
        assert messages(caplog) == [f"number {number}" for number in range(MOST_TOLD)]
        clock[0] = MINUTE_MS
        for number in range(2):
            told.tell(logging.WARNING, "number %s", number)
        assert messages(caplog)[MOST_TOLD:] == [
            "number 0 (7 more were left out before)",
            "number 1",
        ]

    def test_can_come_before_the_last_one(
        self, told: Told, clock: list[int], caplog: pytest.LogCaptureFixture
    ) -> None:
        clock[0] = 10 * MINUTE_MS
        for each in (clock[0], 0):
            clock[0] = each
            told.tell(logging.ERROR, "100 %% of %s", each)
        assert messages(caplog) == ["100 % of 600000", "100 % of 0"]
