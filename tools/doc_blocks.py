"""The parts of docs/ that are made from the code: state diagrams, the key schedule, tables.

A page of docs/ marks where such a part goes, by name::

    <!-- begin mechanisms -->
    <!-- end mechanisms -->

`python -m tools.doc_blocks` writes between the marks what the code says today, in every page that
has any; a test compares.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from browserid_sasl.config import Config
from browserid_sasl.errors import Code
from browserid_sasl.gss import keys
from browserid_sasl.gss.enctypes import ENCTYPES
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.gss.states import ACCEPTOR, INITIATOR, Send, Table

DOCS: Final = Path(__file__).parents[1] / "docs"

_BLOCK: Final = re.compile(
    r"^(?P<begin><!-- begin (?P<name>[a-z-]+) -->\n)(?:.*?\n)??(?P<end><!-- end (?P=name) -->$)",
    re.DOTALL | re.MULTILINE,
)

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)



# Pages


_BLOCKS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "initiator-states": lambda: state_diagram(INITIATOR),
    "acceptor-states": lambda: state_diagram(ACCEPTOR),
    "key-schedule": key_schedule,
    "derivations": derivations,
    "mechanisms": mechanisms,
    "error-codes": error_codes,
    "times": lambda: _time_table(LIMITS["times"]),
    "message-limits": lambda: _limit_table(LIMITS["message-limits"]),
    "discovery-limits": lambda: _limit_table(LIMITS["discovery-limits"]),
    "store-limits": lambda: _limit_table(LIMITS["store-limits"]),
    "provider-limits": lambda: _limit_table(LIMITS["provider-limits"]),
}


def blocks(page: str) -> list[str]:
    """The names of the parts that a page has."""
    return [match["name"] for match in _BLOCK.finditer(page)]


def refreshed(page: str) -> str:
    """A page with its parts made anew.

    :raises KeyError: it has a part that nothing makes.
    """

    def fill(match: re.Match[str]) -> str:
        return match["begin"] + "\n".join(_BLOCKS[match["name"]]()) + "\n" + match["end"]

    return _BLOCK.sub(fill, page)


def main() -> None:
    """Refresh every page of docs/ that has changed."""
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (fresh := refreshed(page)) != page:
            path.write_text(fresh, encoding="utf-8")
            print(f"refreshed {path.name}")


if __name__ == "__main__":
    main()
