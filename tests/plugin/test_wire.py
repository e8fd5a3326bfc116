"""plugin/wire.c by itself, built with the sanitizers: lines, and services that misbehave."""

from __future__ import annotations

import base64
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sample_programs import ROOT
from tests.support.services import run

GREETING = b"VERSION\t1\t2\nMECH\tX\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n"
ANSWER = b"OK\t%d\tuser=alice\n"
LONGEST_LINE = 65_536
MOST_FIELDS = 128

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
LIMITS = ("-DWIRE_HANDSHAKE_MS=1000",)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/plugin/wire_client.c, which says how it is used."""
    program = tmp_path_factory.mktemp("wire") / "wire_client"
    sources = (ROOT / "tests" / "plugin" / "wire_client.c", ROOT / "plugin" / "wire.c")
    done = run(("cc", *SANITIZERS, *WARNINGS, *LIMITS, *sources, "-o", program))
    assert done.returncode == 0, done.stdout
    return program


class TestLines:
    """What one implementation of the escapes makes of a line, the other does too."""

    CHARACTERS: ClassVar = {b"0": b"\0", b"1": b"\1", b"t": b"\t", b"r": b"\r", b"n": b"\n"}

    @settings(max_examples=40, deadline=None)
    @given(lines=st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b""))))
    def test_arbitrary_octets(self, program: Path, lines: list[bytes]) -> None:
        assert self.split(program, lines) == [self.expected(line) for line in lines]

    @settings(max_examples=40, deadline=None)
    @given(
        lines=st.lists(
            st.lists(
                st.sampled_from([b"\t", b"\1", b"0", b"1", b"t", b"n", b"QUJD", b"=", b"x"])
            ).map(b"".join)
        )
    )
    def test_what_lines_are_made_of(self, program: Path, lines: list[bytes]) -> None:
        assert self.split(program, lines) == [self.expected(line) for line in lines]

    def test_as_many_fields_as_there_may_be_and_one_more(self, program: Path) -> None:
        most = b"\t" * (MOST_FIELDS - 1)
        [fits, too_many] = self.split(program, [most, most + b"\t"])
        assert fits is not None
        assert len(fits) == MOST_FIELDS
        assert too_many is None

    def split(self, program: Path, lines: list[bytes]) -> list[list[bytes] | None]:
        done = subprocess.run(
            (program, "lines"),
            input=b"".join(line + b"\n" for line in lines),
            capture_output=True,
            check=True,
            timeout=60,
        )
        return [self.parse(line) for line in done.stdout.decode().splitlines()]

    def parse(self, line: str) -> list[bytes] | None:
        if line == "no":
            return None
        fields = []
        for shown in line.removeprefix("yes ").split(" "):
            field, _, octets = shown.partition("=")
            fields.append(bytes.fromhex(field))
            assert ("=" in shown) == (self.decoded(fields[-1]) is not None)
            assert bytes.fromhex(octets) == (self.decoded(fields[-1]) or b"")
        return fields

    def decoded(self, field: bytes) -> bytes | None:
        if field == b"=":
            return b""
        if len(field) % 4 == 0 and re.fullmatch(rb"[A-Za-z0-9+/]*={0,2}", field):
            return base64.b64decode(field)
        return None

    def expected(self, line: bytes) -> list[bytes] | None:
        fields = [self.unescaped(field) for field in line.split(b"\t")]
        if len(fields) > MOST_FIELDS or any(field is None or b"\0" in field for field in fields):
            return None
        return [field for field in fields if field is not None]

    def unescaped(self, field: bytes) -> bytes | None:
        if re.search(rb"(?<!\x01)(?:\x01\x01)*\x01\Z", field):
            return None
        return re.sub(
            rb"\x01(.)", lambda match: self.CHARACTERS.get(match[1], match[1]), field, flags=re.S
        )


Behaviour = Callable[[socket.socket], None]


@contextmanager
def service(folder: Path, *behaviours: Behaviour) -> Iterator[Path]:
    """A service that treats its first connection by the first behaviour, and so on; the last one
    serves all further ones."""
    path = folder / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)

    def serve(connection: socket.socket, behaviour: Behaviour) -> None:
        with connection, suppress(OSError):
            behaviour(connection)

    def accept() -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            behaviour = behaviours[min(number, len(behaviours) - 1)]
            number += 1
            threading.Thread(target=serve, args=(connection, behaviour), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def greeted(connection: socket.socket) -> Iterator[bytes]:
    """Greet, and give out the requests that come."""
    connection.sendall(GREETING)
    for line in connection.makefile("rb"):
        if line.startswith(b"AUTH"):
            yield line


def well(connection: socket.socket) -> None:
    for number, _ in enumerate(greeted(connection), 1):
        connection.sendall(ANSWER % number)


def once(connection: socket.socket) -> None:
    next(greeted(connection))
    connection.sendall(ANSWER % 1)


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def says(*octets: bytes) -> Behaviour:
    def say(connection: socket.socket) -> None:
        for each in octets:
            connection.sendall(each)
        silent(connection)

    return say


def says_and_goes(octets: bytes) -> Behaviour:
    return lambda connection: connection.sendall(octets)


def says_without_end(octets: bytes) -> Behaviour:
    def say(connection: socket.socket) -> None:
        while True:
            connection.sendall(octets)

    return say


def answers(*octets: bytes) -> Behaviour:
    def answer(connection: socket.socket) -> None:
        next(greeted(connection))
        for each in octets:
            connection.sendall(each)

    return answer


class Asked:
    """What wire_client printed of a request."""

    def __init__(self, line: str) -> None:
        match = re.fullmatch(r"(\d+) ms: ([^:]*): ?(.*)", line)
        assert match, line
        self.milliseconds = int(match[1])
        self.words = match[2]
        self.fields = [bytes.fromhex(field.partition("=")[0]) for field in match[3].split()]


def ask(program: Path, how: str, path: Path, count: int = 1) -> list[Asked]:
    done = run((program, how, path, str(count)), timeout=60)
    assert "Sanitizer" not in done.stdout, done.stdout
    assert done.returncode in (0, 1), done.stdout
    return [Asked(line) for line in done.stdout.splitlines() if " ms: " in line]


@pytest.fixture(params=["ask", "loop"])
def how(request: pytest.FixtureRequest) -> str:
    """Waiting, and as a program with an event loop does."""
    value: str = request.param
    return value


def test_a_request_is_escaped_and_answered(program: Path, tmp_path: Path, how: str) -> None:
    seen = []

    def note(connection: socket.socket) -> None:
        for line in greeted(connection):
            seen.append(line)
            connection.sendall(ANSWER % 1)

    with service(tmp_path, note) as path:
        [asked] = ask(program, how, path)
    assert asked.words == "it answered"
    assert asked.fields == [b"OK", b"1", b"user=alice"]
    octets = b"\ttext-name=one\1ntwo\0011three\1rfour\toctets=AAECAw==\n"
    assert seen == [b"AUTH\t1\ta\1tword" + octets]


def test_an_idle_connection_is_used_again(program: Path, tmp_path: Path, how: str) -> None:
    with service(tmp_path, well, silent) as path:
        assert [each.words for each in ask(program, how, path, 5)] == ["it answered"] * 5


def test_a_connection_that_has_ended_is_replaced(program: Path, tmp_path: Path, how: str) -> None:
    with service(tmp_path, once) as path:
        assert [each.words for each in ask(program, how, path, 5)] == ["it answered"] * 5


def test_answers_to_others_are_passed_over(program: Path, tmp_path: Path, how: str) -> None:
    with service(tmp_path, answers(b"OK\t7\tuser=eve\nFAIL\n\nOK\t1\tuser=alice\n")) as path:
        assert ask(program, how, path)[0].fields == [b"OK", b"1", b"user=alice"]


def test_an_answer_that_comes_octet_by_octet(program: Path, tmp_path: Path, how: str) -> None:
    def drip(connection: socket.socket) -> None:
        for octet in GREETING + ANSWER % 1:
            connection.sendall(bytes([octet]))
        silent(connection)

    with service(tmp_path, drip) as path:
        assert ask(program, how, path)[0].words == "it answered"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (says(b"* OK IMAP4rev1 ready\r\n"), "what answers there is another kind of service"),
        (says(b"VERSION\t2\t0\nDONE\n"), "what answers there is another kind of service"),
        (says(b"DONE\n"), "what answers there is another kind of service"),
        (says(b"x" * LONGEST_LINE), "a message is too long"),
        (lambda connection: None, "the connection ended"),
        (says(GREETING[:20]), "it does not answer in time"),
        (answers(), "the connection ended"),
        (answers(b"OK\t1"), "the connection ended"),
        (answers(b"x" * (LONGEST_LINE + 1)), "a message is too long"),
        (answers(b"OK\t1" + b"\tx" * MOST_FIELDS + b"\n"), "what answers there is another kind"),
        (answers(b"OK\t1\tuser=a\0lice\n"), "what answers there is another kind of service"),
        (answers(b"OK\t1\tuser=a\x010lice\n"), "what answers there is another kind of service"),
    ],
)
def test_a_service_that_misbehaves(
    program: Path, tmp_path: Path, how: str, behaviour: Behaviour, words: str
) -> None:
    with service(tmp_path, behaviour) as path:
        [asked] = ask(program, how, path)
    assert asked.words.startswith(words)
    assert asked.milliseconds < 4000


def test_the_greeting_comes_within_its_limit_or_not_at_all(program: Path, tmp_path: Path) -> None:
    for number, behaviour in enumerate((silent, says_without_end(b"VERSION\t1\t2\n"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with service(folder, behaviour) as path:
            [asked] = ask(program, "ask", path)
        assert asked.words == "it does not answer in time"
        assert 900 < asked.milliseconds < 3000


def test_nobody_listens(program: Path, tmp_path: Path, how: str) -> None:
    assert ask(program, how, tmp_path / "none")[0].words == "nobody answers there"
    with service(tmp_path, well) as path:
        pass
    assert ask(program, how, path)[0].words == "nobody answers there"
    assert ask(program, how, tmp_path / ("x" * 120))[0].words == "nobody answers there"


def test_a_full_queue_is_waited_for(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        [asked] = ask(program, "ask", path)
    assert asked.words == "it does not answer in time"
    assert 900 < asked.milliseconds < 3000


def goes_without_reading(connection: socket.socket) -> None:
    """Greet, and be gone when a request is there."""
    connection.sendall(GREETING)
    select.select([connection], [], [])
    while b"AUTH" not in connection.recv(4096, socket.MSG_PEEK):
        time.sleep(0.01)


def goes_after(*octets: bytes) -> Behaviour:
    """Read a request, answer so, and be gone before the next line is read."""

    def go(connection: socket.socket) -> None:
        next(greeted(connection))
        for each in octets:
            connection.sendall(each)
        select.select([connection], [], [])

    return go


class TestAServiceThatEnds:
    """With an upgrade one goes and another comes, and those who ask notice nothing."""

    def test_what_it_has_not_read_is_asked_of_the_next(self, program: Path, tmp_path: Path) -> None:
        with service(tmp_path, goes_without_reading, goes_without_reading, well) as path:
            [asked] = ask(program, "ask", path)
        assert asked.words == "it answered"

    def test_one_that_ends_before_its_greeting(self, program: Path, tmp_path: Path) -> None:
        with service(tmp_path, lambda connection: None, says_and_goes(GREETING[:20]), well) as path:
            [asked] = ask(program, "ask", path)
        assert asked.words == "it answered"

    def test_what_it_has_read_is_not_asked_again(
        self, program: Path, tmp_path: Path, how: str
    ) -> None:
        """It may have admitted somebody, and a second time is a replay."""
        asked_again: list[bytes] = []

        def note(connection: socket.socket) -> None:
            asked_again.extend(greeted(connection))

        with service(tmp_path, answers(), note) as path:
            assert ask(program, how, path)[0].words == "the connection ended"
        assert not asked_again

    def test_a_login_that_it_knew_ends_with_it(self, program: Path, tmp_path: Path) -> None:
        with service(tmp_path, goes_after(b"CONT\t1\tYQ==\n"), well) as path:
            words = [asked.words for asked in ask(program, "two", path)]
        assert words == ["it answered", "the connection ended"]

    def test_none_that_stays_is_given_up(self, program: Path, tmp_path: Path) -> None:
        with service(tmp_path, goes_without_reading) as path:
            assert ask(program, "ask", path)[0].words == "the connection ended"


def test_a_child_does_not_speak_on_its_parents_connection(program: Path, tmp_path: Path) -> None:
    seen = []

    def note(connection: socket.socket) -> None:
        for number, _ in enumerate(greeted(connection), 1):
            seen.append(connection.fileno())
            connection.sendall(ANSWER % number)

    with service(tmp_path, note) as path:
        assert [each.words for each in ask(program, "fork", path)] == ["it answered"] * 3
    first, child, parent = seen
    assert first == parent != child


def test_a_descriptor_that_the_program_has_closed_is_left_alone(
    program: Path, tmp_path: Path
) -> None:
    with service(tmp_path, well) as path:
        done = run((program, "stolen", path), cwd=tmp_path)
    assert done.stdout.count("it answered") == 2
    assert "the file holds 0 octets" in done.stdout
