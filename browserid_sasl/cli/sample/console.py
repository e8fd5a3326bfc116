"""What the sample programs write: the texts of Cyrus's, in order.

The programs of Cyrus SASL print every string they send and receive, and a fixed set of sentences
that scripts look for; these are kept to the letter, but for the ends of tokens: whoever reads a
whole assertion in a log can present it elsewhere for some minutes, and it is personal data. A
message is written and flushed at once, so that two connections of the server never mix within one,
and what the other side wrote is made harmless to a terminal first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from browserid_sasl.cli.sample.library import LibraryError
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.printer import describe, lines
from browserid_sasl.sasl.results import sasl_result
from browserid_sasl.store.base import system_clock

_LONGEST_WORD: Final = 40


def sasl_text(error: BrowserIDError, *, is_client: bool = False) -> str:
    """What SASL calls the kind of this failure: a text of Cyrus's ``sasl_errstring``."""
    if isinstance(error, LibraryError):
        return error.kind
    return sasl_result(error, is_client=is_client).text


class Console:
    """Standard output and standard error of a sample program.

    :param quiet: leave out the strings sent and received.
    :param verbose: decode the tokens among them, and say more about the course of things.
    :param whole: show tokens to their end. Whoever reads an assertion in time can present it.
    :param as_json: a JSON object in one line for what has come of something, and nothing else on
        standard output.
    :param prefix: stands before every line.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        whole: bool = False,
        as_json: bool = False,
        prefix: str = "",
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._whole = whole
        self._as_json = as_json
        self._prefix = prefix

    @property
    def is_verbose(self) -> bool:
        """Whether `trace` writes anything."""
        return self._verbose

    def numbered(self, number: int) -> Console:
        """A console for one of several connections: verbose output shows which one speaks."""
        prefix = f"[{number}] " if self._verbose else ""
        return Console(
            quiet=self._quiet,
            verbose=self._verbose,
            whole=self._whole,
            as_json=self._as_json,
            prefix=prefix,
        )

    def say(self, *lines: str) -> None:
        """Write lines to standard output."""
        if not self._as_json:
            self._write(sys.stdout, lines)

    def refuse(self, line: str) -> None:
        """Write why nobody has authenticated, where it is in nobody's way."""
        self._write(sys.stderr if self._as_json else sys.stdout, (line,))

    def begin(self, text: str) -> None:
        """Write the beginning of a line to standard output."""
        if not self._as_json:
            self._write(sys.stdout, (text,), end="")

    def trace(self, *lines: str) -> None:
        """Write lines to standard output that only verbose output has."""
        if self._verbose:
            self.say(*lines)

    def give(self, members: Mapping[str, object]) -> None:
        """Write an object, if that is what is wanted."""
        if self._as_json:
            self._emit(sys.stdout, json.dumps(members) + "\n")

    def complain(self, *lines: str) -> None:
        """Write lines to standard error."""
        self._write(sys.stderr, lines)

    def fail(self, what: str, error: BrowserIDError, *, is_client: bool = False) -> None:
        """Write to standard error what failed, what SASL calls it, and the reason."""
        self.complain(f"{what}: {sasl_text(error, is_client=is_client)}", str(error))

    def sent(self, string: bytes) -> None:
        """Show a string that was sent."""
        self._show("send", string)

    def received(self, string: bytes) -> None:
        """Show a string that was received."""
        self._show("recv", string)

    def _show(self, what: str, string: bytes) -> None:
        if self._quiet:
            return
        node = describe(string, system_clock()) if self._verbose else None
        text = printable(string)
        shown = lines(node) if node else []
        if self._whole or not node:
            shown = [text if self._whole else _without_ends(text), *shown]
        self.say(f"{what}: {{{len(string)}}}", *shown)

    def _write(self, stream: TextIO | None, lines: tuple[str, ...], end: str = "\n") -> None:
        self._emit(stream, "".join(f"{self._prefix}{_harmless(line)}{end}" for line in lines))

    def _emit(self, stream: TextIO | None, text: str) -> None:
        if stream is None:  # The program was started with it closed.
            return
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            # Nobody reading any more (`sample_server.py | head`) is no reason to stop serving.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def printable(string: bytes) -> str:
    """A string as Cyrus's programs print it: other octets than printable ASCII as ``[7F]``."""
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"[{octet:X}]" for octet in string)


def _without_ends(text: str) -> str:
    """A string without the ends of its long words: names of mechanisms stay, no token does."""
    return " ".join(
        word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}..."
        for word in text.split(" ")
    )


def _harmless(line: str) -> str:
    return "".join(char if char.isprintable() else f"[{ord(char):X}]" for char in line)
