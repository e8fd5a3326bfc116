"""Steps that can be made again from their beginning, and ask the stores nothing twice.

A step that needs a document is made again when it is there, and has it at hand for no longer than
that. What it had asked of stores on another host, it must not have to wait for then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from browserid_sasl.gss.steps import Errand, Recording, Steps

_T = TypeVar("_T")


class Repeatable(Generic[_T]):
    """A step.

    :param make: makes it, each time from its beginning.
    """

    def __init__(self, make: Callable[[], Steps[_T]]) -> None:
        self._make = make
        self._answers: list[object] = []

    def steps(self) -> Steps[_T]:
        """Make it, with the answers that it has got already."""
        steps = self._make()
        known = list(self._answers)
        try:
            needed = next(steps)
            while True:
                if known and isinstance(needed, Errand):
                    answer = known.pop(0)
                else:
                    answer = yield from self._asked(needed)
                needed = steps.send(answer)
        except StopIteration as end:
            result: _T = end.value
            return result

    def _asked(self, needed: Recording | Errand) -> Steps[object]:
        answer: object = yield needed
        if isinstance(needed, Errand):
            self._answers.append(answer)
        return answer
