"""The plugin for Cyrus SASL: whether libsasl2 finds it, and of which release it is."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from browserid_sasl.doctor.findings import Finding, Verdict, bad, doubtful, good

NAME: Final = "libbrowserid.so"
FOLDERS: Final = ("/usr/lib/*/sasl2", "/usr/lib/sasl2", "/usr/local/lib/sasl2")

_RELEASE: Final = re.compile(rb"browserid-sasl-release ([0-9A-Za-z.+-]{1,32})\0")


def plugin(environ: Mapping[str, str], release: str, missing: Verdict) -> Iterator[Finding]:
    """Whether programs with libsasl2 have the mechanisms.

    :param environ: where ``SASL_PATH`` is looked up.
    :param release: of this program.
    :param missing: how it is if there is no plugin.
    """
    check = "plugin"
    folders = list(_folders(environ))
    found = [each / NAME for each in folders if (each / NAME).exists()]
    if not found:
        where = " or ".join(map(str, folders)) or "any folder of libsasl2"
        remedy = "make install, in a checkout, as root" if missing else ""
        yield Finding(check, missing, f"there is no {NAME} in {where}", remedy)
        return
    yield _judged(check, found[0], release)


def _judged(check: str, file: Path, release: str) -> Finding:
    remedy = "make install, in a checkout of this release, as root"
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return bad(check, f"{file} cannot be loaded: {error}", remedy)
    marked = _RELEASE.search(file.read_bytes())
    theirs = marked[1].decode() if marked else "before 0.2"
    if theirs != release:
        return doubtful(check, f"{file} is of release {theirs}, and this one is {release}", remedy)
    return good(check, f"{file} is found by libsasl2, release {theirs}")


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    named = environ.get("SASL_PATH")
    if named:
        yield from (Path(each) for each in named.split(os.pathsep) if each)
        return
    for pattern in FOLDERS:
        yield from Path("/").glob(pattern.removeprefix("/"))
