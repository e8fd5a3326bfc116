#!/usr/bin/python3
"""Print what of the private environment belongs to a package, for dh_install.

debian/split.py core|databases|saml|web|nothing COMMAND...

`core` is what the package itself needs, with the keyring; the others are what further extras
add. Each command comes with its page and completions.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

TREE = Path("debian/tmp")
ENVIRONMENT = TREE / "usr" / "lib" / "browserid" / "env"
SITE = ENVIRONMENT / "lib" / "python3.11" / "site-packages"
COMPLETIONS = (
    "bash-completion/completions/{}",
    "zsh/vendor-completions/_{}",
    "fish/vendor_completions.d/{}.fish",
)
EXTRAS = {
    "core": {"keyring"},
    "databases": {"postgresql", "redis"},
    "saml": {"saml"},
    "web": {"idp", "oidc"},
}


def normal(name: str) -> str:
    """A distribution's name, however it is spelled."""
    return re.sub(r"[-_.]+", "-", name).lower()


FOUND = {normal(found.metadata["Name"]): found for found in distributions(path=[str(SITE)])}


def needed(distribution: Distribution, extras: set[str]) -> set[str]:
    """The names of what a distribution needs."""
    names = set()
    for requirement in distribution.requires or ():
        wanted = re.findall(r"extra *== *['\"]([^'\"]+)", requirement)
        if not wanted or set(wanted) & extras:
            names.add(normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0]))
    return names


def closure(extras: set[str]) -> set[str]:
    """The names of what our package needs with some extras, as far as it is there."""
    names = {"browserid-sasl"}
    new = needed(FOUND["browserid-sasl"], extras) & FOUND.keys()
    while new:
        names |= new
        new = {each for name in new for each in needed(FOUND[name], set())} & FOUND.keys() - names
    return names


def places(distribution: Distribution) -> set[Path]:
    """The folders and files of a distribution, as far down as nobody shares them."""
    files = [SITE / str(file) for file in distribution.files or () if ".." not in file.parts]
    return {top(file) for file in files if file.exists()}


def top(file: Path) -> Path:
    """The first folder on the way to a file that is a package, or else the file."""
    inner = file.relative_to(SITE)
    if inner.parts[0] in SHARED:
        return SITE / Path(*inner.parts[:2])
    return SITE / inner.parts[0]


SHARED = {"jaraco", "backports"}
"""Namespaces: folders to which several distributions add theirs."""


def names_of(group: str) -> set[str]:
    """The names of what belongs to a group: what several others need is the core's as well."""
    core = closure(EXTRAS["core"])
    others = {other: closure(extras) - core for other, extras in EXTRAS.items() if other != "core"}
    count = Counter(name for names in others.values() for name in names)
    shared = {name for name, groups in count.items() if groups > 1}
    return core | shared if group == "core" else others[group] - shared


def of_group(group: str) -> Iterator[Path]:
    """Where the packages of a group are."""
    yield from {path for name in names_of(group) for path in places(FOUND[name])}


def of_command(command: str) -> Iterator[Path]:
    """Where a command is, and what comes with it."""
    share = TREE / "usr" / "share"
    yield ENVIRONMENT / "bin" / command
    yield from share.glob(f"man/man?/{command}.?")
    yield from (share / path.format(command) for path in COMPLETIONS)


def main(group: str, *commands: str) -> None:
    """Print the paths, each with the folder it goes to."""
    found = set() if group == "nothing" else set(of_group(group))
    found.update(path for command in commands for path in of_command(command))
    for path in sorted(found):
        print(path.relative_to(TREE), path.parent.relative_to(TREE))


if __name__ == "__main__":
    main(*sys.argv[1:])
