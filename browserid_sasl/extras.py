"""The optional parts of this package, which need Python packages that not everybody installs.

setup.cfg names them, as extras, with the packages they need.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_PACKAGED: Final = Path(sys.prefix) / "extras.txt"
"""Where the Debian packages' environment says which of them has an extra: a line for each."""


def not_installed(extra: str, missing: ModuleNotFoundError) -> tuple[str, str]:
    """What to say when a part cannot be used for want of a package.

    :param extra: the part's name.
    :param missing: what importing it raised.
    :returns: message and remedy of a `ConfigurationError`.
    """
    package = (missing.name or "that is needed").partition(".")[0]
    return (
        f"the Python package {package} is not installed, which the extra `{extra}` brings",
        _remedy(extra, _PACKAGED),
    )


def _remedy(extra: str, packaged: Path) -> str:
    try:
        lines = packaged.read_text(encoding="utf-8").splitlines()
    except OSError:
        return f'in a checkout of this package, run pip install ".[{extra}]"'
    package = dict(line.split() for line in lines)[extra]
    return f"install the Debian package {package}, of the same version as the others"
