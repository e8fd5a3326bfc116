#!/usr/bin/env python3
"""Fetch the npm packages that a list names, each checked against its integrity, and unpack them.

    tools/npm_packages.py LIST FOLDER

Each is in FOLDER under its name and version then. One that is there already is left as it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

TIMEOUT_S = 120


def wanted(listing: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and integrity of each package in a list."""
    for line in listing.read_text(encoding="utf-8").splitlines():
        fields = line.partition("#")[0].split()
        if fields:
            name, version, integrity = fields
            yield name, version, integrity


def provide(name: str, version: str, integrity: str, folder: Path) -> None:
    """Have a package in a folder.

    :raises ValueError: it is not what the list says.
    """
    place = folder / f"{name}-{version}"
    if place.exists():
        return
    print(f"==> npm package: {name} {version}", flush=True)
    archive = fetch(name, version)
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if integrity != f"sha512-{digest}":
        raise ValueError(f"{name} {version} is not the package it was: its sha512 is {digest}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        unpack(archive, Path(workshop))
        Path(workshop, "package").rename(place)


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of an archive, and nothing else that is in it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.isfile() else None
            if content is not None and ".." not in Path(member.name).parts:
                path = folder / member.name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def fetch(name: str, version: str) -> bytes:
    """The archive of a package, by npm as it is set up here. Nothing of it is run.

    :raises OSError: it cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ("npm", "pack", "--silent", "--cache", f"{folder}/cache", f"{name}@{version}")
        try:
            subprocess.run(  # noqa: S603 - names and versions are those of our own list
                command, cwd=folder, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL
            )
        except subprocess.SubprocessError as error:
            raise OSError(f"npm could not fetch it ({error})") from None
        [archive] = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def main() -> int:
    """Fetch all of them; the exit status."""
    listing, folder = map(Path, sys.argv[1:])
    for each in wanted(listing):
        try:
            provide(*each, folder)
        except (OSError, ValueError) as error:
            print(f"npm_packages: {each[0]}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
