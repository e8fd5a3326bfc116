"""docs/administration.md: its commands run, in its order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from browserid_sasl.idp.administrators import IDLE_MS
from browserid_sasl.idp.health import GOOD_FOR_S, PATIENCE_S
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.visit import FRESH_MS
from tests.support.guide import blocks_of
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT

PAGE: Final = ROOT / "docs" / "administration.md"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The surroundings of an operator whose provider has an account for Alice."""
    home = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    run("browserid-idp init --domain example.org && browserid-idp invite alice@example.org", home)
    return home


def run(script: str, home: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=home["HOME"],
        env=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_do_what_the_page_says(home: dict[str, str]) -> None:
    who, to_see, *to_do = [block.text for block in blocks_of(PAGE) if block.kind == "sh"]
    assert "alice@example.org: since" in run(who, home)
    shown = run(to_see, home)
    assert "alice@example.org: invited, administrator" in shown
    assert "accounts: answers" in shown
    assert "ES256, signs" in shown
    for block in to_do:
        run(block, home)
    assert run("browserid-idp list-users", home) == ""


def test_the_numbers_are_those_of_the_program() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"for {PATIENCE_S:.0f} seconds at the most" in text
    assert f"once in {GOOD_FOR_S:.0f} seconds at the most" in text
    assert f"not longer than {FRESH_MS // 60_000} minutes ago" in text
    assert f"after {IDLE_MS // 60_000} minutes without a visit" in text
    assert paths.ADMIN in text
