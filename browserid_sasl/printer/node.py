"""A description: a tree of labels and values, made of text that is harmless to a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAX_VALUE: Final = 240
"""Characters of a value that are shown; the rest is counted."""

_INDENT: Final = "  "


class Mood(Enum):
    """How a line is meant."""

    PLAIN = "a fact"
    GOOD = "as it should be"
    BAD = "something is wrong"


@dataclass(frozen=True, slots=True)
class Node:
    """A line, and the lines that belong under it.

    What is given is made harmless: control characters are escaped and long values cut.

    :param label: what it is.
    :param value: what it says; empty when the lines under it say it.
    :param children: the lines under it.
    :param mood: how it is meant.
    """

    label: str
    value: str = ""
    children: tuple[Node, ...] = field(default=(), repr=False)
    mood: Mood = Mood.PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", harmless(self.label))
        object.__setattr__(self, "value", harmless(self.value))

    @property
    def text(self) -> str:
        """The line itself."""
        return f"{self.label}: {self.value}" if self.value else self.label


def branch(label: str, children: Iterable[Node], value: str = "") -> Node:
    """A node with these under it."""
    return Node(label, value, tuple(children))


def wrong(label: str, value: str) -> Node:
    """A line that says what is wrong."""
    return Node(label, value, mood=Mood.BAD)


def lines(node: Node, prefix: str = "") -> Iterator[str]:
    """The description as text, what belongs under a line indented."""
    yield prefix + node.text
    for child in node.children:
        yield from lines(child, prefix + _INDENT)


def inert(text: str) -> str:
    """The text without what a terminal would act on."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def harmless(text: str) -> str:
    """The text without what a terminal would act on, and not too long."""
    shown = inert(text[:MAX_VALUE])
    more = len(text) - MAX_VALUE
    return f"{shown}... ({more} characters more)" if more > 0 else shown
