"""What administrators write: configuration files, options as text, lists of who may log in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from browserid_sasl.api.allow_file import AllowFile
from browserid_sasl.config import Config, load, options_of
from browserid_sasl.errors import ConfigurationError
from fuzz.jose import as_text
from fuzz.target import Target

_PAGES: Final = Path(__file__).parent.parent / "docs"


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="fuzz-")


def written(octets: bytes, name: str) -> Path:
    """A file with this content."""
    path = Path(_folder().name) / name
    path.write_bytes(octets)
    return path


def _examples() -> Iterator[bytes]:
    """The files that the pages show."""
    for page in sorted(_PAGES.glob("*.md")):
        for block in re.findall(
            r"^```toml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            yield block.encode()


def _read_options(octets: bytes) -> None:
    """The text as every option that a program can be given as text."""
    text = as_text(octets)
    for section in ("server", "client", "discovery", "store"):
        for name in options_of(type(getattr(Config(), section))):
            with suppress(ConfigurationError):
                Config().with_options({name: text}, section=section)


TARGETS: Final = (
    Target(
        "config-file",
        lambda octets: load(written(octets, "browserid.toml"), environ={}),
        _examples,
    ),
    Target(
        "config-option",
        _read_options,
        lambda: (
            b"yes",
            b"300",
            b"imap/mail.example.org, smtp/mail.example.org",
            b"example.org @staff.example.net bob@example.com",
            b"*",
            b"/var/lib/browserid",
            b"https://login.example.org:8443",
            b"10.0.0.0/8",
        ),
    ),
    Target(
        "config-option-name",
        lambda octets: Config().with_options({as_text(octets): "yes"}),
        lambda: (b"require_channel_binding", b"clock_skew"),
    ),
    Target(
        "config-allow-file",
        lambda octets: AllowFile(written(octets, "allow")).read(),
        lambda: (b"example.org\n# all of it\nbob@example.com # bob\n", b"*\n"),
    ),
)
