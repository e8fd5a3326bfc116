"""Programs that have a Python interpreter of their own."""

from __future__ import annotations

from pathlib import Path

from tests.support.services import Site

HOST_PROGRAM = Path(__file__).with_name("python_host.py")


def test_a_program_in_python_shares_its_interpreter(site: Site) -> None:
    said = site.run("/usr/bin/python3", "-I", HOST_PROGRAM).stdout
    assert said == "logged in\n"
