"""The plugin for Cyrus SASL, the module for GSS-API: whether they are found, and their release."""

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
GSS_NAME: Final = "mech_browserid.so"
GSS_FOLDER: Final = Path("/etc/gss/mech.d")

_MODULE_FIELD: Final = 3
"""Name, object identifier and module are the fields of a line."""

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
    yield _judged(check, found[0], release, "libsasl2")


def gss_module(environ: Mapping[str, str], release: str) -> Iterator[Finding]:
    """Whether programs with MIT's GSS-API have the mechanisms. Few need them.

    :param environ: where ``GSS_MECH_CONFIG`` is looked up.
    :param release: of this program.
    """
    check = "GSS-API"
    modules = sorted({path for each in _mechanism_files(environ) for path in _modules_in(each)})
    if not modules:
        yield good(check, f"no file of {GSS_FOLDER} names {GSS_NAME}: programs do without")
    for path in modules:
        yield _judged(check, path, release, "MIT's GSS-API")


def _mechanism_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """As MIT's library finds them: where the variable is set it looks at no other."""
    named = environ.get("GSS_MECH_CONFIG")
    yield from [Path(named)] if named else sorted(GSS_FOLDER.glob("*.conf"))


def _modules_in(file: Path) -> Iterator[Path]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) >= _MODULE_FIELD and Path(words[2]).name == GSS_NAME:
            yield Path(words[2])


def _judged(check: str, file: Path, release: str, by: str) -> Finding:
    remedy = "make install, in a checkout of this release, as root"
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return bad(check, f"{file} cannot be loaded: {error}", remedy)
    marked = _RELEASE.search(file.read_bytes())
    theirs = marked[1].decode() if marked else "before 0.2"
    if theirs != release:
        return doubtful(check, f"{file} is of release {theirs}, and this one is {release}", remedy)
    return good(check, f"{file} is found by {by}, release {theirs}")


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    named = environ.get("SASL_PATH")
    if named:
        yield from (Path(each) for each in named.split(os.pathsep) if each)
        return
    for pattern in FOLDERS:
        yield from Path("/").glob(pattern.removeprefix("/"))
