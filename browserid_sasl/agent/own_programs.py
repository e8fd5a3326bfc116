"""Programs of this package that run in a process of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

AGENT: Final = "browserid_sasl.cli.agent"

_ROOT: Final = Path(__file__).parent.parent.parent
_RUN: Final = (
    "import runpy, sys; root, module = sys.argv[1:3]; del sys.argv[1:3]; sys.path.insert(0, root);"
    " runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def own_program(module: str) -> list[str]:
    """The command that runs a module of this installation, or of the checkout that this is.

    ``python -m`` would look for it, and for all that it imports, in the current folder first. That
    may be one in which somebody else has put such a name.

    :param module: with its package's name.
    """
    return [sys.executable, "-P", "-c", _RUN, str(_ROOT), module]
