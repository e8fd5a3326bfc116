#!/usr/bin/env python3
"""Fetch the npm packages that a list names, each checked against its integrity, and unpack them.

    tools/npm_packages.py LIST FOLDER

Each is in FOLDER under its name and version then. One that is there already is left as it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REGISTRY = "https://registry.npmjs.org"
TIMEOUT_S = 60


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
    archive = fetch(f"{REGISTRY}/{name}/-/{name}-{version}.tgz")
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


def fetch(url: str) -> bytes:
    """What is at a URL.

    :raises OSError: it cannot be had.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - it is https
        body: bytes = answer.read()
    return body


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
