"""Run the measurements, those of `make bench` or those named on the command line, in turn."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from itertools import chain

import bench

_NOT_MEASUREMENTS = frozenset({"__main__", "measure", "sizing"})
_TAKES_LONG = frozenset({"capacity", "hosts", "soak"})
"""What runs only if it is named."""


def main(names: list[str]) -> int:
    """Run the measurements and print their tables.

    :param names: of modules of this package that have a function `run`, which gives lines of text;
        when empty, all of them that do not take long.
    """
    found = {module.name for module in pkgutil.iter_modules(bench.__path__)} - _NOT_MEASUREMENTS
    unknown = set(names) - found
    if unknown:
        print(f"no measurement {', '.join(sorted(unknown))} among {', '.join(sorted(found))}")
        return 2
    for name in sorted(names or found - _TAKES_LONG):
        module = importlib.import_module(f"bench.{name}")
        print(f"--- {name}", flush=True)
        for line in chain(module.run(), [""]):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
