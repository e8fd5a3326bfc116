"""The file of who may log in: what it can have in it, and what a change of it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browserid_sasl.api.allow_file import MAX_SIZE, AllowFile
from browserid_sasl.errors import Code, ConfigurationError

ALICE = "alice@example.org"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people"


def refusal(file: AllowFile) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        file.read()
    assert caught.value.code is Code.INVALID_PARAMETER
    return caught.value


def test_an_entry_stands_on_a_line_and_a_comment_after_a_hash(path: Path) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf# who works here\n\nExample.org  # all of them\n\t@staff.example.net\r\n"
        b"bob@example.com\nodd#one@example.com\n#eve@evil.test"
    )
    assert AllowFile(path).read().entries == {
        *("example.org", "staff.example.net", "bob@example.com", "odd#one@example.com")
    }


def test_an_entry_may_be_there_twice(path: Path) -> None:
    path.write_text("example.org\n@EXAMPLE.org\n")
    assert AllowFile(path).read().entries == {"example.org"}


def test_an_empty_file_admits_nobody(path: Path) -> None:
    path.write_text("# nobody yet\n")
    assert not AllowFile(path).read().admits(ALICE)


def test_a_file_may_admit_everybody(path: Path) -> None:
    path.write_text("*  # this service has nothing to hide\n")
    assert AllowFile(path).read().admits(ALICE)


@pytest.mark.parametrize(
    "line",
    [
        *("*.example.org", "*@example.org", "?", "example.org eve@evil.test"),
        *("example.org, example.net", "example.org#all", "bücher.example", "@", "bob@", "^.*$"),
    ],
)
def test_a_line_that_is_no_entry_is_named(path: Path, line: str) -> None:
    path.write_text(f"# one\nalice@example.org\n{line}\n", encoding="utf-8")
    error = refusal(AllowFile(path))
    assert (error.file, error.line) == (str(path), 3)
    assert error.remedy.endswith("never a pattern")


def test_everybody_stands_alone(path: Path) -> None:
    path.write_text("example.org\n*\n")
    assert refusal(AllowFile(path)).line == 2


def test_a_line_that_is_not_utf_8_is_named(path: Path) -> None:
    path.write_bytes(b"example.org\nb\xfccher@example.net\n")
    error = refusal(AllowFile(path))
    assert (error.file, error.line) == (str(path), 2)


@pytest.mark.parametrize("settled", [False, True])
def test_a_change_counts_at_once(path: Path, settled: bool) -> None:
    def write(text: str, age: int) -> None:
        path.write_text(text)
        if settled:
            os.utime(path, (age, age))

    write("example.org\n", 1000)
    file = AllowFile(path)
    assert file.read().admits(ALICE)
    # The same length, and perhaps the same time: clocks of file systems are coarse.
    write("example.net\n", 2000)
    assert not file.read().admits(ALICE)
    write("example.org\n", 3000)
    assert file.read().admits(ALICE)


def test_a_file_that_has_not_changed_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("example.org\n")
    now = path.stat().st_ctime_ns + 3_000_000_000
    monkeypatch.setattr("browserid_sasl.api.allow_file.time.time_ns", lambda: now)
    file = AllowFile(path)
    assert file.read() is file.read()


def test_while_it_cannot_be_read_nothing_counts_that_it_had(path: Path) -> None:
    path.write_text("example.org\n")
    file = AllowFile(path)
    assert file.read().admits(ALICE)
    path.unlink()
    assert refusal(file).file == str(path)
    path.write_text("example.org\n?\n")
    assert refusal(file).line == 2
    path.write_text("example.org\n")
    assert file.read().admits(ALICE)


def test_a_folder_or_a_pipe_or_a_very_large_file_is_refused(path: Path) -> None:
    path.mkdir()
    assert "Is a directory" in refusal(AllowFile(path)).message
    path.rmdir()
    os.mkfifo(path)
    assert "not an ordinary file" in refusal(AllowFile(path)).message
    path.unlink()
    path.write_bytes(b"#" * (MAX_SIZE + 1))
    assert "too large" in refusal(AllowFile(path)).message


def test_nobody_else_may_be_able_to_write_to_it(path: Path) -> None:
    path.write_text("example.org\n")
    path.chmod(0o666)
    assert "others can write to" in refusal(AllowFile(path)).message
