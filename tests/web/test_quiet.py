"""What strangers cause in the log: a line a second for one cause at the most, and nothing lost."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator

import pytest

from browserid_sasl.web.quiet import QuietHandler
from tests.support.patience import wait_until


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.Logger("idp")
    handler = QuietHandler(stream)
    logger.addHandler(handler)
    yield logger
    handler.close()


def one_cause(logger: logging.Logger, number: int) -> None:
    logger.warning("connection %d was closed", number)


def test_the_first_is_written_at_once(logger: logging.Logger, stream: io.StringIO) -> None:
    one_cause(logger, 1)
    assert stream.getvalue() == "idp: connection 1 was closed\n"


def test_the_others_are_counted_and_told_after_a_second(
    logger: logging.Logger, stream: io.StringIO
) -> None:
    for number in range(1000):
        one_cause(logger, number)
    assert len(stream.getvalue().splitlines()) == 1
    wait_until(lambda: len(stream.getvalue().splitlines()) > 1, "telling the others")
    assert stream.getvalue().splitlines()[1:] == [
        "idp: connection 999 was closed (999 times within a second)"
    ]


def test_it_goes_on_with_a_line_a_second(logger: logging.Logger, stream: io.StringIO) -> None:
    started = time.monotonic()
    said = 0
    while len(stream.getvalue().splitlines()) < 3:
        one_cause(logger, said)
        said += 1
        time.sleep(0.001)
    for handler in logger.handlers:
        handler.close()
    lines = stream.getvalue().splitlines()
    assert time.monotonic() - started > len(lines) - 2.5
    counts = [int(line.rpartition("(")[2].split()[0]) for line in lines[1:] if "(" in line]
    assert sum(counts) + sum("(" not in line for line in lines) == said


def test_what_comes_slowly_is_written_as_it_comes(
    logger: logging.Logger, stream: io.StringIO
) -> None:
    one_cause(logger, 1)
    time.sleep(1.1)
    one_cause(logger, 2)
    assert stream.getvalue().splitlines()[1] == "idp: connection 2 was closed"


def test_another_cause_does_not_wait(logger: logging.Logger, stream: io.StringIO) -> None:
    one_cause(logger, 1)
    one_cause(logger, 2)
    logger.error("the disk is full")
    assert stream.getvalue().splitlines()[1] == "idp: the disk is full"


def test_what_a_client_sends_makes_no_cause(logger: logging.Logger, stream: io.StringIO) -> None:
    for number in range(100):
        logger.warning(f"junk {number}")
    assert len(stream.getvalue().splitlines()) == 1
