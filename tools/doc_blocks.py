"""The parts of docs/ that are made from the code.

A page marks where such a part goes, by name::

    <!-- begin mechanisms -->
    <!-- end mechanisms -->

`python -m tools.doc_blocks` writes between the marks of every page what the code says today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from bench.sizing import page as capacity
from browserid_sasl.gss.states import ACCEPTOR, INITIATOR
from tools import diagrams, tables

DOCS: Final = Path(__file__).parents[1] / "docs"

BLOCKS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "initiator-states": partial(diagrams.state_diagram, INITIATOR),
    "acceptor-states": partial(diagrams.state_diagram, ACCEPTOR),
    "key-schedule": diagrams.key_schedule,
    "keys": tables.keys,
    "mechanisms": tables.mechanisms,
    "error-codes": tables.error_codes,
    "exit-statuses": tables.exit_statuses,
    "times": partial(tables.times, tables.TIMES),
    "message-limits": partial(tables.limits, tables.MESSAGES),
    "discovery-limits": partial(tables.limits, tables.DISCOVERY),
    "store-limits": partial(tables.limits, tables.STORES),
    "provider-limits": partial(tables.limits, tables.PROVIDER),
    "mail-limits": partial(tables.limits, tables.MAIL),
    **capacity.BLOCKS,
}
"""What makes the lines of each part."""

_MARKED: Final = re.compile(
    r"^(?P<begin><!-- begin (?P<name>[a-z-]+) -->\n).*?(?P<end>^<!-- end (?P=name) -->$)",
    re.DOTALL | re.MULTILINE,
)


def names(page: str) -> list[str]:
    """The parts that a page has, in their order."""
    return [match["name"] for match in _MARKED.finditer(page)]


def refreshed(page: str) -> str:
    """A page with its parts made anew.

    :raises KeyError: it marks a part that nothing makes.
    """

    def fill(match: re.Match[str]) -> str:
        lines = BLOCKS[match["name"]]()
        return match["begin"] + "".join(f"{line}\n" for line in lines) + match["end"]

    return _MARKED.sub(fill, page)


def main() -> None:
    """Refresh every page."""
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        path.write_text(refreshed(page), encoding="utf-8")


if __name__ == "__main__":
    main()
