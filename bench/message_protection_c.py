"""Wrap and unwrap by the C code of the GSS-API module, beside MIT Kerberos's own mechanism.

For every encryption type and three sizes of message, measured in turns in the same run: the
throughput of ours, and the ratio of it to that of ``gss_wrap`` and ``gss_unwrap`` on a context of
the ``krb5`` mechanism with the same key. Both are called from Python in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import in_turns, verdict
from bench.message_protection import ROUNDS, SIZES, Size
from browserid_sasl.krb5.enctypes import ENCTYPES, EncType
from browserid_sasl.krb5.message import Role
from tests.support import mit
from tests.support.c_messages import CEnd, CMessages, build

TARGET = 0.9
"""Of the throughput of MIT's mechanism, ours is to have as much at least."""


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with TemporaryDirectory() as folder:
        library = CMessages(build(Path(folder)))
        lines = [line for row in ENCTYPES.values() for line in _measure(library, row)]
    return [f"sealed, ours / MIT's mechanism, MB/s of ours {'':>20}", *lines]


def _measure(library: CMessages, row: EncType) -> list[str]:
    with TemporaryDirectory() as folder:
        # Without replay detection, so that a token can be unwrapped more than once.
        ends = mit.establish(mit.Realm.create(row.number, Path(folder)), mit.PROTECTED)
    comparison = _Comparison(library, row, ends)
    lines = []
    for size in SIZES:
        message = os.urandom(size.octets)
        lines.append(_line(row, "wrap", size, comparison.wrap(message, size.calls)))
        lines.append(_line(row, "unwrap", size, comparison.unwrap(message, size.calls)))
    return lines


Actions = dict[str, Callable[[], object]]


def _line(row: EncType, operation: str, size: Size, actions: Actions) -> str:
    times = in_turns(actions, ROUNDS)
    throughput = size.octets * size.calls / 1e3 / times["ours"]
    ratio = times["mit"] / times["ours"]
    what = f"{row.name} {operation} {size.label}"
    return verdict(what, f"{throughput:.0f}, {ratio:.2f}", f"{TARGET}", met=ratio >= TARGET)


class _Comparison:
    """Both sides' actions on one key."""

    def __init__(
        self, library: CMessages, row: EncType, ends: tuple[mit.Context, mit.Context]
    ) -> None:
        self._library = library
        self._row = row
        self._initiator, self._acceptor = ends
        self._key = ends[0].session_key()

    def _end(self, role: Role, receive: int = 0) -> CEnd:
        return self._library.end(self._row.number, self._key, role, receive=receive)

    def wrap(self, message: bytes, calls: int) -> Actions:
        ours = self._end(Role.INITIATOR).wrapper(message)
        theirs = self._initiator.wrapper(message)
        return {"ours": _in_turn([ours] * calls), "mit": _in_turn([theirs] * calls)}

    def unwrap(self, message: bytes, calls: int) -> Actions:
        tokens = [self._initiator.wrap(message) for _ in range(calls)]
        first = int.from_bytes(tokens[0][8:16], "big")

        def ours() -> None:
            # Each token can be unwrapped once, so this is a new end of the same context each time.
            end = self._end(Role.ACCEPTOR, receive=first)
            for token in tokens:
                end.unwrapper(token)()

        def theirs() -> None:
            for token in tokens:
                self._acceptor.unwrapper(token)()

        return {"ours": ours, "mit": theirs}


def _in_turn(actions: Sequence[Callable[[], object]]) -> Callable[[], None]:
    def repeat() -> None:
        for action in actions:
            action()

    return repeat


if __name__ == "__main__":
    print("\n".join(run()))
