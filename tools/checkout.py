"""Programs that are run from a checkout, with the virtual environment that `make` has put there.

Nothing here needs a package that is not Python's own, this project's neither.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Final

_VENV: Final = ".venv"


def run(script: str, module: str) -> int:
    """Run a program with the packages it needs; the exit status.

    :param script: the program's file, in the top folder of the checkout or linked to one there.
    :param module: has the program's `main`.
    """
    top = Path(script).resolve().parent
    _change_to(top / _VENV, script)
    try:
        status = importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        name = Path(script).name
        print(f"{name}: {error}: run `make demo` in {top}, which installs it", file=sys.stderr)
        return os.EX_UNAVAILABLE
    return int(status)


def _change_to(venv: Path, script: str) -> None:
    """Go on in an environment, if it is there and not the one this runs in."""
    python = venv / "bin" / "python"
    made = (venv / "pyvenv.cfg").is_file() and os.access(python, os.X_OK)
    if made and Path(sys.prefix).resolve() != venv.resolve():
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
        os.execv(python, [str(python), script, *sys.argv[1:]])  # noqa: S606 - it is to be no other
