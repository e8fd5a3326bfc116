"""What docs/fallback.md shows is what works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from browserid_sasl.config import load
from browserid_sasl.idp.mail_limits import BOUNCED_MS, DAY_MS, NOT_ME_MS, OF_ADDRESS, OF_NETWORK
from browserid_sasl.idp.mailed_codes import LIFE_MS, TRIES
from browserid_sasl.idp.postman import MOST_WAITING
from tests.support.guide import blocks_of
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT

PAGE: Final = ROOT / "docs" / "fallback.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration of a provider, as the page has it."""
    file = tmp_path / "browserid.toml"
    file.write_text(shown("toml")[0])
    return file


def shown(kind: str) -> list[str]:
    """The page's blocks of a kind."""
    return [block.text for block in blocks_of(PAGE) if block.kind == kind]


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a block of the page."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-ec", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "BROWSERID_CONFIG": "browserid.toml", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_configurations_are_good(file: Path) -> None:
    provider, person, service = shown("toml")
    file.write_text("\n".join((provider, person, service)))
    config = load(file)
    assert config.idp.fallback
    assert config.client.fallback == config.idp.domain
    assert config.server.secondary_authorities == (config.idp.domain,)
    assert tomllib.loads(service)["server"]["revocations"] == "required"


def test_the_commands_do_what_the_page_says(file: Path) -> None:
    """All but `serve`, which the demonstration runs, and the browser tests."""
    start, bounce, allow = shown("sh")
    init, serve = start.splitlines()
    done = shell(init, file.parent)
    assert "made an identity provider for fallback.example" in done.stdout
    # Nobody has put the password there yet.
    assert "mail-password" in shell(serve, file.parent).stderr
    mail = file.parent / "mail"
    mail.write_text("Subject: something else\n\n")
    recipient = "bounces+0@fallback.example"
    done = shell(bounce, file.parent, recipient=recipient, mail=str(mail))
    assert done.stdout == "nothing is changed\n"
    done = shell(allow, file.parent)
    assert "mail to alice@nobody.example is not held back" in done.stderr


def test_the_numbers_are_those_of_the_program() -> None:
    assert [most for _, most in OF_ADDRESS] == [1, 5, 10]
    assert (OF_NETWORK, TRIES, MOST_WAITING) == (20, 5, 100)
    assert (LIFE_MS, BOUNCED_MS, NOT_ME_MS) == (900_000, 7 * DAY_MS, 180 * DAY_MS)
