"""docs/signing-in.md: its command is there, and its pictures are those that are made for it."""

from __future__ import annotations

import re

import pytest

from tests.support.pages import check_command, commands
from tests.support.sample_programs import ROOT
from tools.pictures import size_of, text_of, with_text
from tools.screenshots import DOCUMENTATION, DOCUMENTED, WIDTH

PAGES = [(ROOT / "docs" / name).read_text() for name in ("signing-in.md", "identity-provider.md")]
SHOWN = [shown for page in PAGES for shown in re.findall(r"!\[([^]]*)\]\(([^)]*)\)", page)]


def test_its_command_exists() -> None:
    [command] = commands(PAGES[0])
    check_command(command)


def test_the_pictures_are_those_that_make_screenshots_makes() -> None:
    names = {f"pictures/{name}.png" for name in DOCUMENTED}
    assert {target for _, target in SHOWN} == names
    assert {f"pictures/{file.name}" for file in DOCUMENTATION.iterdir()} == names


def test_pictures_are_described_for_those_who_do_not_see_them() -> None:
    assert all(text for text, _ in SHOWN)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_picture_is_small_and_knows_what_is_written_in_it(name: str) -> None:
    picture = (DOCUMENTATION / f"{name}.png").read_bytes()
    assert size_of(picture)[0] == WIDTH
    assert len(picture) < 200_000
    assert text_of(picture)


def test_what_is_written_in_a_picture_is_found_again() -> None:
    picture = (DOCUMENTATION / f"{DOCUMENTED[0]}.png").read_bytes()
    assert text_of(with_text(picture.replace(b"tEXt", b"xxXx"), "other words")) == "other words"
