"""Times and spans of time in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from browserid_sasl.printer.node import Mood, Node, wrong

_Judge = Callable[[int], bool]

_SECOND: Final = 1000
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_SHORTEST_EXACT: Final = 2
_LATEST: Final = 253_402_300_800_000
"""The year 10000, which has no date here."""

_SECONDS_BEFORE: Final = 100_000_000_000
"""A number below this is a time of the early seventies, or in seconds by mistake."""


def date(time: int) -> str:
    """A time in ms as a date in UTC."""
    if not 0 <= time < _LATEST:
        return f"{time}, which is no time"
    moment = datetime.fromtimestamp(time // _SECOND, UTC)
    fraction = f".{time % _SECOND:03}" if time % _SECOND else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def span(duration: int) -> str:
    """A duration in ms, in the largest unit of which it has at least two."""
    seconds = abs(duration) // _SECOND
    for unit, size in _UNITS:
        if seconds >= _SHORTEST_EXACT * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def relative(time: int, now: int) -> str:
    """How far a time is from another."""
    return f"in {span(time - now)}" if time >= now else f"{span(now - time)} ago"


def expiry(label: str, value: object, now: int) -> Node:
    """A claim that says until when something is valid."""
    return _claim(label, value, now, good=lambda time: time > now, problem="expired")


def beginning(label: str, value: object, now: int) -> Node:
    """A claim that says from when on something is valid."""
    return _claim(label, value, now, good=lambda time: time <= now, problem="in the future")


def _claim(label: str, value: object, now: int, *, good: _Judge, problem: str) -> Node:
    if isinstance(value, bool) or not isinstance(value, int):
        return wrong(label, f"{value!r}, which is no time in milliseconds")
    text = f"{date(value)}, {relative(value, now)}"
    if 0 < value < _SECONDS_BEFORE:
        return wrong(label, f"{text}: is {value} meant in seconds?")
    return Node(label, text, mood=Mood.GOOD) if good(value) else wrong(label, f"{text}: {problem}")
