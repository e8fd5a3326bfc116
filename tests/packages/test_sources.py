"""The source distribution, which pip installs from and whoever packs this elsewhere begins with.

And the wheel that is made of it. `make dist` tries both as somebody who has nothing else.
"""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from trove_classifiers import classifiers

import browserid_sasl
from tests.support.sample_programs import ROOT

NAME = f"browserid_sasl-{browserid_sasl.__version__}"
BUILD = (sys.executable, "-m", "build", "--no-isolation")
"""With the setuptools that are here, and nothing from the network."""


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
    command = (*BUILD, "--sdist", "--outdir", folder, folder / "copy")
    subprocess.run(command, capture_output=True, check=True, timeout=120)
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
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    assert set(metadata.get_all("Provides-Extra", [])) == extras >= {"idp", "postgresql", "redis"}


def test_its_classifiers_are_some_that_there_are(metadata: Message) -> None:
    given = metadata.get_all("Classifier", [])
    assert given
    assert set(given) <= classifiers


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what was unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = (*BUILD, "--wheel", "--outdir", folder, unpacked)
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    [file] = folder.glob("*.whl")
    return file


def test_an_index_takes_both(unpacked: Path, wheel: Path) -> None:
    archive = unpacked.parent / f"{unpacked.name}.tar.gz"
    command = (sys.executable, "-m", "twine", "check", "--strict", archive, wheel)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """Templates, translations, migrations and `py.typed` among it; no tests, and nothing of C."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    about = f"{NAME}.dist-info/"
    of_package = {name for name in files_of_the_checkout() if name.startswith("browserid_sasl/")}
    assert {name for name in names if not name.startswith(about)} == of_package
    assert f"{about}licenses/LICENSE" in names or f"{about}LICENSE" in names
    assert wheel.name == f"{NAME}-py3-none-any.whl"


def test_the_wheel_has_the_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        commands = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    head, *lines = commands.splitlines()
    assert (head, sorted(lines)) == ("[console_scripts]", sorted(wanted))
