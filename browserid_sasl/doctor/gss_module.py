"""The module for MIT's GSS-API: which files name it, and whether programs can load that."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl.config import ProgramsConfig
from browserid_sasl.doctor.findings import Finding, bad, doubtful, good
from browserid_sasl.doctor.library import REMEDY, judged
from browserid_sasl.gss.mechanisms import MECHANISMS

NAME: Final = "mech_browserid.so"
FOLDER: Final = Path("/etc/gss/mech.d")

_CHECK: Final = "GSS-API"
_FIELDS: Final = 3
"""Name, object identifier and module are the fields of a line."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What a file says of a mechanism."""

    oid: str
    module: Path


def gss_module(
    environ: Mapping[str, str], release: str, installed: Path | None = None
) -> Iterator[Finding]:
    """Whether programs with MIT's GSS-API have the mechanisms. Few need them.

    :param environ: where ``GSS_MECH_CONFIG`` is looked up.
    :param release: of this program.
    :param installed: where this installation has it, if not beside its environment.
    """
    files = list(_files(environ))
    unreadable = [each for each in files if _text(each) is None]
    for each in unreadable:
        said = f"{each} cannot be read: programs have no mechanism that it names"
        yield doubtful(_CHECK, said, f"chmod a+r {each}, or make install")
    found = modules(environ)
    if not found and not unreadable:
        yield _unnamed(installed or Path(sys.prefix).parent / NAME)
    for each in files:
        yield from _lines_missing(each)
    for each in found:
        yield from _module(each, release)


def modules(environ: Mapping[str, str]) -> list[Path]:
    """The files that are named as the module."""
    return sorted({line.module for each in _files(environ) for line in _lines(each)})


def may_accept(programs: Mapping[str, ProgramsConfig], service: str) -> Iterator[Finding]:
    """Whether somebody's programs are given what Cyrus's plugin for GS2 wants.

    :param programs: by account, of the acceptor's configuration.
    """
    accounts = [name for name, each in programs.items() if service in each.services]
    without = [name for name in accounts if not programs[name].keys]
    if not accounts:
        yield bad(
            _CHECK,
            f"no account's programs may accept contexts for {service}",
            f'add [programs."ACCOUNT"] with services = ["{service}"] and keys = true',
        )
    for name in without:
        yield bad(
            _CHECK,
            f"programs of the account {name} are given no keys, which the GS2 plugin wants",
            f'keys = true, in [programs."{name}"]',
        )


def _unnamed(installed: Path) -> Finding:
    if not installed.exists():
        return good(_CHECK, f"no file of {FOLDER} names {NAME}: programs do without")
    said = f"{installed} is there, and no file names it: programs do without"
    return doubtful(_CHECK, said, REMEDY)


def _lines_missing(file: Path) -> Iterator[Finding]:
    named = {line.oid for line in _lines(file)}
    missing = [row.name for row in MECHANISMS if ".".join(map(str, row.oid)) not in named]
    if named and missing:
        said = f"{file} has no line for {', '.join(missing)}: programs do without"
        yield doubtful(_CHECK, said, REMEDY)


def _module(file: Path, release: str) -> Iterator[Finding]:
    if not file.is_absolute():
        yield bad(_CHECK, f"{file} is named without its folder, where nobody finds it", REMEDY)
        return
    finding = judged(_CHECK, file, release, "MIT's GSS-API")
    yield finding
    if file.exists():
        yield from _rights(file)


def _rights(file: Path) -> Iterator[Finding]:
    found = file.stat()
    if found.st_mode & stat.S_IWOTH:
        said = f"everybody can write to {file}, which is loaded into other people's programs"
        yield bad(_CHECK, said, f"make install, as root, and chmod o-w {file}")
    # What belongs to a person may be for that person.
    if found.st_uid == 0 and not found.st_mode & stat.S_IROTH:
        said = f"only root's programs can load {file}"
        yield doubtful(_CHECK, said, f"chmod 644 {file}")


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """As MIT's library finds them: where the variable is set it looks at no other."""
    named = environ.get("GSS_MECH_CONFIG")
    yield from [Path(named)] if named else sorted(FOLDER.glob("*.conf"))


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return None


def _lines(file: Path) -> Iterator[_Line]:
    for line in (_text(file) or "").splitlines():
        words = line.partition("#")[0].split()
        if len(words) >= _FIELDS and Path(words[2]).name == NAME:
            yield _Line(words[1], Path(words[2]))
