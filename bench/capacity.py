"""The model of capacity: what logins, entries and certificates cost, and what many people take.

`make capacity` measures, keeps what it has found in bench/sizing/figures.json, and writes
docs/capacity.md anew.
PARTS names those that are to be measured; the others stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from bench.measure import ahead_of_others
from bench.sizing import entries, logins, provider, trial
from bench.sizing.figures import FILE, Figures
from tools import doc_blocks

PARTS: Final[dict[str, Callable[[], Any]]] = {
    "logins": logins.measured,
    "entries": entries.measured,
    "provider": provider.measured,
    "trial": trial.measured,
}
"""What is measured, in its order."""

_NOT_TIMED: Final = frozenset({"entries"})
"""What takes minutes, and comes to the same however busy the machine is."""


def run() -> list[str]:
    """Measure, and give what the page has as lines of text."""
    named = os.environ.get("PARTS", "").replace(",", " ").split() or list(PARTS)
    measure(named)
    doc_blocks.main()
    page = (doc_blocks.DOCS / "capacity.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if line.startswith("|")]


def measure(parts: Sequence[str], file: Path = FILE) -> None:
    """Measure some parts, and keep them with those that are kept already."""
    found = {name: _measured(name) for name in parts} | {"machine": machine()}
    kept = Figures.load(file) if file.exists() else None
    (kept.with_parts(**found) if kept else Figures(**found)).save(file)


def _measured(name: str) -> Any:
    with nullcontext() if name in _NOT_TIMED else ahead_of_others():
        return PARTS[name]()


def machine() -> str:
    """This one, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} processors ({models[0] if models else 'of an unknown kind'})"
