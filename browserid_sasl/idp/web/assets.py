"""The files that pages refer to: small, all our own, under names that change with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file.

    :param name: of the file in `static/`.
    :param content: its octets.
    """

    name: str
    content: bytes

    @property
    def media_type(self) -> str:
        """Its media type."""
        return _TYPES[self.name.rpartition(".")[2]]

    @property
    def version(self) -> str:
        """Another one for another content."""
        return hashlib.sha256(self.content).hexdigest()[:12]


def _read() -> dict[str, Asset]:
    folder = resources.files("browserid_sasl.idp.web") / "static"
    files = (file for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES)
    return {file.name: Asset(file.name, file.read_bytes()) for file in files}


ASSETS: Final = _read()
"""The files by their names."""
