"""The framing of the sample programs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from browserid_sasl.cli.sample.framing import ConnectionClosedError, FrameReader
from fuzz.target import Target


def _read(octets: bytes, read: Callable[[FrameReader], object]) -> None:
    """Everything that is there, then the end of the connection."""
    frames = FrameReader()
    frames.feed(octets)
    while read(frames) is not None:
        pass
    frames.feed(b"")
    with suppress(ConnectionClosedError):
        read(frames)


TARGETS: Final = (
    Target(
        "sample-strings",
        lambda octets: _read(octets, FrameReader.read_string),
        lambda: (b"{5}\r\nhello{0}\r\n",),
    ),
    Target(
        "sample-replies",
        lambda octets: _read(octets, FrameReader.read_reply),
        lambda: (b"C{5}\r\nhelloC{0}\r\nO", b"N"),
    ),
)
