"""Files with the keys that a provider's secrets are sealed with."""

from __future__ import annotations

import base64
from pathlib import Path


def write_keys(file: Path, *keys: bytes) -> Path:
    """Write keys to a file, one on a line; returns it."""
    file.touch(0o600)
    file.write_text("".join(base64.b64encode(key).decode() + "\n" for key in keys))
    return file
