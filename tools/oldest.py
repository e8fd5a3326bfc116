"""The oldest dependencies that setup.cfg allows, as constraints for pip.

Run as ``python -m tools.oldest``: prints one line for each requirement with a lower bound.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SETUP: Final = Path(__file__).parent.parent / "setup.cfg"
_BOUND: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])? *>=([0-9][0-9.]*)")


def requirements(setup: str) -> Iterator[str]:
    """What the package and its extras require.

    :param setup: the text of setup.cfg.
    """
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    yield from parser["options"]["install_requires"].split("\n")[1:]
    for extra in parser["options.extras_require"].values():
        yield from extra.split("\n")[1:]


def constraints(setup: str) -> Iterator[str]:
    """The lower bounds, as the only versions to take; types' stubs are for mypy and have none.

    :param setup: the text of setup.cfg.
    """
    for requirement in requirements(setup):
        if bound := _BOUND.match(requirement):
            yield f"{bound[1]}=={bound[2]}"


if __name__ == "__main__":
    print(*constraints(_SETUP.read_text()), sep="\n")
