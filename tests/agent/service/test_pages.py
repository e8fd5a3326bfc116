"""At most one page, and fewer and fewer that nobody answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl.agent.service.pages import FILE, Pages

NOW = 1_795_282_504_224
HOUR = 3_600_000


def test_one_has_it(tmp_path: Path) -> None:
    first, second = Pages(tmp_path), Pages(tmp_path)
    assert first.take()
    assert not first.take()
    assert not second.take()
    first.let_go()
    assert second.take()


def test_another_process_has_it_until_it_dies(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from browserid_sasl.agent.service.pages import Pages;"
        "pages = Pages(pathlib.Path(sys.argv[1]));"
        "print(pages.take(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", code, str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "True\n"
        assert not Pages(tmp_path).take()
        other.kill()
        other.wait()
    assert Pages(tmp_path).take()


def test_those_that_nobody_answers_become_rare_and_end(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    assert pages.due(NOW)
    assert pages.take()
    opened = []
    for minute in range(0, 60 * 24 * 7, 10):
        now = NOW + minute * 60_000
        if pages.due(now):
            pages.opened(now)
            opened.append(minute // 60)
    assert opened == [0, 1, 13]
    pages.answered()
    assert pages.due(NOW)


def test_a_night_of_polling_opens_one_that_stays(tmp_path: Path) -> None:
    # As long as the agent runs the first page is good, and has the lock.
    pages = Pages(tmp_path)
    assert pages.take()
    pages.opened(NOW)
    assert not any(Pages(tmp_path).take() for _ in range(100))


def test_a_clock_that_was_set_back_does_not_put_it_off(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    pages.take()
    pages.opened(NOW)
    assert not pages.due(NOW + 1)
    assert pages.due(NOW - 1)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"unanswered": "x"}', "\x00", "5"])
def test_a_file_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert Pages(tmp_path).due(NOW)


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    assert Pages(tmp_path / "new").take()
    assert os.stat(tmp_path / "new" / FILE).st_mode & 0o077 == 0


def test_no_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / FILE).symlink_to(target)
    pages = Pages(tmp_path)
    assert not pages.take()
    pages.opened(NOW)
    assert target.read_text() == "precious"
