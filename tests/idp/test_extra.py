"""`browserid-idp` where the packages of its extra are not installed."""

from __future__ import annotations

import configparser

import pytest

from tests.support.extras import check_it_says_what_to_install
from tests.support.sample_programs import ROOT

CLI = "browserid_sasl.idp.cli"


def test_the_command_is_the_one_that_is_tried_here() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    commands = setup["options.entry_points"]["console_scripts"]
    assert f"browserid-idp = {CLI}:main" in commands.splitlines()


@pytest.mark.parametrize(
    "package",
    ["anyio", "argon2", "jinja2", "sqlalchemy", "starlette", "uvicorn", "webauthn"],
)
def test_it_says_what_to_install(package: str) -> None:
    check_it_says_what_to_install("browserid-idp", CLI, package, "list-users")
