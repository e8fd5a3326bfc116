"""The source distribution, which pip installs from and whoever packs this elsewhere begins with."""

from __future__ import annotations

import subprocess
import sys
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

import browserid_sasl
from tests.support.sample_programs import ROOT

NAME = f"browserid_sasl-{browserid_sasl.__version__}"
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def files_of_the_checkout() -> list[str]:
    """What is committed, or would be."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution of the checkout, unpacked."""
    folder = tmp_path_factory.mktemp("sources")
    for name in files_of_the_checkout():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "copy" / name).write_bytes((ROOT / name).read_bytes())
    command = (sys.executable, "-c", BUILD, folder)
    subprocess.run(command, cwd=folder / "copy", capture_output=True, check=True, timeout=120)
    [archive] = folder.glob("*.tar.gz")
    subprocess.run(("tar", "--extract", "-f", archive, "-C", folder), check=True)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    return message_from_string((unpacked / "PKG-INFO").read_text(encoding="utf-8"))


def test_it_has_every_file_of_the_checkout(unpacked: Path) -> None:
    assert [name for name in files_of_the_checkout() if not (unpacked / name).is_file()] == []


def test_it_builds_the_plugin(unpacked: Path, tmp_path: Path) -> None:
    make = ("make", "-C", unpacked / "plugin", f"BUILD={tmp_path}", f"PYTHON={sys.executable}")
    done = subprocess.run(make, capture_output=True, text=True, check=False, timeout=120)
    assert (tmp_path / "libbrowserid.so").exists(), done.stderr


def test_it_says_what_it_is(metadata: Message) -> None:
    assert metadata["Name"] == "browserid-sasl"
    assert metadata["Version"] == browserid_sasl.__version__
    assert metadata["License"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) >= {"adapters", "idp", "keyring", "saml"}
