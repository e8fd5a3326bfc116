"""Write which Python packages the Debian packages bring along, and their digests.

python -m tools.pins     # writes debian/wheels.txt

pip looks up the newest that setup.cfg allows, for Debian 12's Python and each architecture.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
WHEELS: Final = ROOT / "debian" / "wheels.txt"
EXTRAS: Final = ("idp", "keyring", "oidc", "postgresql", "redis", "saml")
ARCHITECTURES: Final = ("x86_64", "aarch64")
_PYTHON: Final = "3.11"
_HEAD: Final = """\
# The Python packages that the Debian packages bring along, for its Python on amd64 and arm64.
# `python -m tools.pins` writes this anew; pip takes nothing whose SHA-256 is not here.
"""


def requirements() -> list[str]:
    """What setup.cfg asks for, with the extras that are packed."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    text = "\n".join((settings["options"]["install_requires"], *(extras[name] for name in EXTRAS)))
    return [line.replace(" ", "") for line in text.splitlines() if line]


def resolve(architecture: str) -> dict[str, str]:
    """SHA-256 in hexadecimal of each wheel, by `name==version`."""
    tags = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
    platforms = [f"--platform={tag}_{architecture}" for tag in tags]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(  # noqa: S603 - this environment's own pip
            (
                *(sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed"),
                *(f"--target={folder}/none", f"--report={report}", "--only-binary=:all:"),
                *(f"--python-version={_PYTHON}", *platforms, *requirements()),
            ),
            check=True,
        )
        return dict(map(_pin, json.loads(report.read_text())["install"]))


def _pin(item: dict[str, Any]) -> tuple[str, str]:
    metadata, archive = item["metadata"], item["download_info"]["archive_info"]
    name = metadata["name"].lower().replace("_", "-")
    return f"{name}=={metadata['version']}", archive["hash"].removeprefix("sha256=")


def text() -> str:
    """The file's lines."""
    digests: dict[str, set[str]] = {}
    for architecture in ARCHITECTURES:
        for pin, digest in resolve(architecture).items():
            digests.setdefault(pin, set()).add(digest)
    lines = (
        " \\\n".join((pin, *(f"    --hash=sha256:{each}" for each in sorted(digests[pin]))))
        for pin in sorted(digests)
    )
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    WHEELS.write_text(text(), encoding="utf-8")
