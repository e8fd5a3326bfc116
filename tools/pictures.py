"""Pictures of pages that know what was written on the page (PNG, section 11.3.4: tEXt)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KIND: Final = b"tEXt"
_KEYWORD: Final = b"Description\0"


def with_text(picture: bytes, text: str) -> bytes:
    """A picture with what is written in it; what Latin-1 does not have is left out."""
    end = picture.rindex(b"IEND") - 4
    content = _KIND + _KEYWORD + text.encode("latin-1", "ignore")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return picture[:end] + chunk + picture[end:]


def text_of(picture: bytes) -> str:
    """What is written in a picture, empty if it does not say."""
    for kind, content in _chunks(picture):
        if kind == _KIND and content.startswith(_KEYWORD):
            return content.removeprefix(_KEYWORD).decode("latin-1")
    return ""


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = struct.unpack(">II", next(_chunks(picture))[1][:8])
    return width, height


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not picture.startswith(_SIGNATURE):
        raise ValueError("this is no PNG")
    place = len(_SIGNATURE)
    while place < len(picture):
        [length] = struct.unpack_from(">I", picture, place)
        yield picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        place += length + 12
