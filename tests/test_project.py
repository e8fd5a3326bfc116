"""What setup.cfg promises to those who install the package, and the Makefile makes of it."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import EntryPoint

import pytest

from tests.support.sample_programs import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


@pytest.mark.parametrize(
    "line", SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
)
def test_the_commands_can_be_loaded(line: str) -> None:
    name, _, target = line.partition(" = ")
    assert callable(EntryPoint(name, target, "console_scripts").load())


def test_all_optional_parts_are_tested() -> None:
    [extras] = re.findall(r"^TEST_EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(extras.split(",")) == sorted(SETUP["options.extras_require"])
