"""A shared library of ours: whether it can be loaded, and of which release it is."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Final

from browserid_sasl.doctor.findings import Finding, bad, doubtful, good

REMEDY: Final = "make install, in a checkout of this release, as root"

_RELEASE: Final = re.compile(rb"browserid-sasl-release ([0-9A-Za-z.+-]{1,32})\0")


def judged(check: str, file: Path, release: str, by: str) -> Finding:
    """How it is.

    :param release: of this program.
    :param by: who finds it.
    """
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return bad(check, f"{file} cannot be loaded: {error}", REMEDY)
    marked = _RELEASE.search(file.read_bytes())
    theirs = marked[1].decode() if marked else "before 0.2"
    if theirs != release:
        return doubtful(check, f"{file} is of release {theirs}, and this one is {release}", REMEDY)
    return good(check, f"{file} is found by {by}, release {theirs}")
