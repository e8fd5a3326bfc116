"""The file of an audit log: whole lines, whatever comes between."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl.errors import StoreError
from browserid_sasl.idp.audit_file import AuditFile

LINE = b'{"event":"signed-in"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_only_its_owner_can_read_it(path: Path) -> None:
    AuditFile(path).append(LINE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_are_added_at_the_end(path: Path) -> None:
    path.write_text("a line\n")
    AuditFile(path).append(LINE)
    AuditFile(path).append(LINE)
    assert path.read_text().startswith("a line\n{")
    assert len(path.read_text().splitlines()) == 3


def test_it_survives_a_rotation(path: Path) -> None:
    log = AuditFile(path)
    log.append(b'{"email":"before"}')
    path.rename(path.with_suffix(".1"))
    log.append(b'{"email":"after"}')
    assert "after" in path.read_text()
    assert "after" not in path.with_suffix(".1").read_text()


FILLED = """
import resource, sys
from pathlib import Path
from browserid_sasl.errors import StoreError
from browserid_sasl.idp.audit_file import AuditFile
path, room = Path(sys.argv[1]), int(sys.argv[2])
log = AuditFile(path)
log.append(b'{"email":"before"}')
limit = path.stat().st_size + room
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    log.append(b'{"email":"' + b"x" * 250 + b'"}')
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(b'{"email":"after"}')
"""


@pytest.mark.parametrize("room", [0, 1, 100, 250])
def test_what_there_is_no_room_for_is_not_there_in_part(path: Path, room: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLED, str(path), str(room)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cannot be written" in done.stdout
    assert [json.loads(line)["email"] for line in path.read_text().splitlines()] == [
        "before",
        "after",
    ]


def test_a_line_that_was_broken_off_is_not_gone_on_with(path: Path) -> None:
    path.write_text('{"event":"signed-in"}\n{"event":"cert')
    AuditFile(path).append(b'{"email":"after"}')
    first, broken, last = path.read_text().splitlines()
    assert (first, broken) == ('{"event":"signed-in"}', '{"event":"cert')
    assert json.loads(last)["email"] == "after"


def test_several_processes_write_whole_lines(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from browserid_sasl.idp.audit_file import *\n"
        "for number in range(200):\n"
        "    AuditFile(Path(sys.argv[1])).append(b'\"' + b'x' * 350 + b'\"')"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen(command) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 800


def test_it_is_not_written_through_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "somebody's"
    target.write_text("theirs\n")
    path.symlink_to(target)
    with pytest.raises(StoreError, match="cannot be written"):
        AuditFile(path).append(LINE)
    assert target.read_text() == "theirs\n"


def test_what_cannot_be_written_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="audit log .* cannot be written"):
        AuditFile(path).append(LINE)
