"""plugin/message.c and memory: none is lost, none has to be there, no key stays behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browserid_sasl.krb5.enctypes import ENCTYPES, EncType
from tests.support.c_messages import LIBRARIES, SOURCES, WARNINGS
from tests.support.sample_programs import ROOT
from tests.support.services import run

BASE_KEY = b"a key that is of no use to any.\0"
"""The one in message_memory.c."""

SEAL_AND_SIGN_USAGES = (22, 23, 24, 25)
LABELS = (0x99, 0xAA, 0x55)

each_enctype = pytest.mark.parametrize("row", ENCTYPES.values(), ids=lambda row: row.name)


def compiled(folder: Path, *flags: str) -> Path:
    program = folder / "message_memory"
    source = ROOT / "tests" / "plugin" / "message_memory.c"
    command = ("cc", "-O1", "-g", *flags, *WARNINGS)
    done = run((*command, source, *SOURCES, *LIBRARIES, "-o", program))
    assert done.returncode == 0, done.stdout
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/plugin/message_memory.c, which says how it is used."""
    return compiled(tmp_path_factory.mktemp("memory"))


@each_enctype
def test_every_allocation_may_fail(program: Path, row: EncType) -> None:
    """Each call says that memory is lacking, loses none, and the context goes on."""
    done = run((program, "failures", str(row.number)), timeout=100)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[0]) > 1000


def freed_with(program: Path, row: EncType, *octets: bytes) -> int:
    done = run((program, "freed", str(row.number), *(each.hex() for each in octets)))
    match = re.fullmatch(r"\d+ allocations, (\d+) freed with a key in them\n", done.stdout)
    assert match, done.stdout
    return int(match[1])


@each_enctype
def test_no_key_is_left_in_freed_memory(program: Path, row: EncType) -> None:
    base = BASE_KEY[: row.key_size]
    derived = [
        row.profile.derive(base, usage.to_bytes(4, "big") + bytes([label]), size)
        for usage in SEAL_AND_SIGN_USAGES
        for label in LABELS
        for size in [row.key_size if label == 0xAA else row.mac_key_size]
    ]
    assert freed_with(program, row, base, row.profile.derive(base, b"prf", row.key_size)) == 0
    assert freed_with(program, row, *derived) == 0
    assert freed_with(program, row, b"hello") > 0, "what is no secret is found"


def test_messages_without_number_take_no_more_memory(program: Path) -> None:
    done = run((program, "grown", "18", "20000"))
    assert done.stdout == "0 octets\n"


# The program has a malloc of its own, which valgrind has to be told to stand in for.
VALGRIND = ("valgrind", "--quiet", "--soname-synonyms=somalloc=NONE", "--error-exitcode=9")


@each_enctype
def test_valgrind_finds_nothing(program: Path, row: EncType) -> None:
    done = run((*VALGRIND, "--leak-check=full", program, "all", str(row.number)), timeout=100)
    assert done.returncode == 0, done.stdout


def test_threads_send_and_receive_at_once(program: Path) -> None:
    """Two send and two receive, on two ends, without a race for what the ends keep."""
    done = run((*VALGRIND, "--tool=helgrind", program, "threads", "19", "50"), timeout=100)
    assert (done.returncode, done.stdout) == (0, "100 messages\n")
