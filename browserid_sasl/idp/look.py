"""How the pages of a domain look: what they call the organisation, its logo and its colour."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl.config.colours import on_dark
from browserid_sasl.errors import ConfigurationError

MAX_SIZE: Final = 65_536
"""Octets of a logo at the most."""

_MAX_SIDE: Final = 2_048
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">8s4x4sII")


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture: PNG, and nothing that a browser would run.

    :param content: its octets.
    """

    content: bytes

    @property
    def version(self) -> str:
        """Another one for another picture."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    @classmethod
    def read(cls, file: Path) -> Logo:
        """The picture in a file.

        :raises ConfigurationError: it cannot be read, or is something else.
        """
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_SIZE + 1)
        except OSError as error:
            raise ConfigurationError(
                f"the logo {file} cannot be read ({error.strerror})",
                "name a file in `logo_file` that the user this runs as may read",
            ) from None
        if fault := _fault_of(content):
            raise ConfigurationError(
                f"the logo {file} {fault}",
                f"make a PNG file of at most {MAX_SIZE // 1024} KiB and {_MAX_SIDE} pixels a side",
            )
        return cls(content)


def _fault_of(content: bytes) -> str:
    """What a picture cannot be used for, empty if nothing (PNG, third edition, section 5)."""
    if len(content) > MAX_SIZE:
        return "is too large"
    if len(content) < _HEADER.size:
        return "is no PNG file"
    signature, chunk, width, height = _HEADER.unpack_from(content)
    if signature != _SIGNATURE or chunk != b"IHDR" or not width or not height:
        return "is no PNG file"
    return f"has {width} by {height} pixels" if max(width, height) > _MAX_SIDE else ""


@dataclass(frozen=True, slots=True)
class Look:
    """How pages look.

    :param name: what they call the organisation, empty for nothing but its domain.
    :param accent: colour of buttons and links, `#rrggbb`; empty for the usual one.
    :param logo: what they show before the name.
    """

    name: str = ""
    accent: str = ""
    logo: Logo | None = None

    @property
    def accent_on_dark(self) -> str:
        """The colour on dark pages, empty for the usual one."""
        return on_dark(self.accent) if self.accent else ""


USUAL_LOOK: Final = Look()
"""Of a provider that is not told any."""
