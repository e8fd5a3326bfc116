"""Every target of `make fuzz`, on some hundreds of inputs that are the same every time."""

from __future__ import annotations

import subprocess
from itertools import islice
from pathlib import Path
from random import Random

import pytest

import fuzz
from browserid_sasl.errors import BrowserIDError
from fuzz.mutations import mutations
from fuzz.target import Target
from fuzz.targets import TARGETS

FOLDER = Path(fuzz.__file__).parent
INPUTS = 300

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@each_target
def test_only_errors_of_this_package_leave(target: Target) -> None:
    seeds = list(target.seeds())
    for octets in (*seeds, *islice(mutations(seeds, Random(target.name)), INPUTS)):
        try:
            target.check(octets)
        except Exception as error:
            error.add_note(f"of {octets!r}")
            raise


@each_target
def test_a_target_takes_some_of_its_seeds(target: Target) -> None:
    """Where none got through, mutations of them would not get far either."""
    assert any(takes(target, octets) for octets in target.seeds())


def takes(target: Target, octets: bytes) -> bool:
    try:
        target.read(octets)
    except BrowserIDError:
        return False
    return True


@pytest.mark.parametrize("name", ["wire", "message", "gss"])
def test_c_code_of_the_plugin(name: str, tmp_path: Path) -> None:
    """What of plugin/ reads what others send, with the compiler's sanitizers."""
    program = tmp_path / name
    make = ("make", "--no-print-directory", f"FUZZ_BUILD={tmp_path}", str(program))
    for command in (make, (str(program), "5000", "1")):
        done = subprocess.run(
            command, cwd=FOLDER.parent, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stderr


def test_no_area_is_left_out() -> None:
    areas = [path.stem for path in FOLDER.glob("*.py") if "\nTARGETS" in path.read_text()]
    found = {name.partition("-")[0] for name in TARGETS}
    assert found == set(areas) - {"targets"}
