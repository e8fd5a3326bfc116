"""What a target is, and what may come of an input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from browserid_sasl.errors import BrowserIDError

MAX_ERROR: int = 1500
"""Characters of an error's text at the most."""


@dataclass(frozen=True)
class Target:
    """Something that reads octets from outside.

    :param name: of lower-case words with hyphens, the first its area.
    :param read: gives it an input. What it returns does not matter.
    :param seeds: inputs that lead far into it, most of them ones that it takes.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]

    def check(self, octets: bytes) -> None:
        """See what comes of an input.

        :raises Exception: whatever leaves the target that is no error of this package.
        :raises AssertionError: it is one that nobody could print on a line.
        """
        try:
            self.read(octets)
        except BrowserIDError as error:
            text = str(error)
            assert text.isprintable(), text
            assert len(text) <= MAX_ERROR, text
