"""Wrap and unwrap, beside the bare primitive and beside MIT Kerberos.

For every encryption type and three sizes of message: the throughput of ours, and the ratio of it
to that of two others, measured in turns in the same run.

* bare: AES in CBC mode and the HMAC over as many octets, called directly through `cryptography`
  with the keys set up beforehand, and nothing else: no header, confounder, stealing, or output.
* MIT: ``gss_wrap`` and ``gss_unwrap`` of the MIT Kerberos library on this machine, without the
  time to bring the result into Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC

from bench.measure import in_turns
from browserid_sasl.krb5.enctypes import BLOCK_SIZE, ENCTYPES, EncType, Key
from browserid_sasl.krb5.message import MessageProtection, Role, SequenceState
from tests.support import mit


@dataclass(frozen=True)
class Size:
    """A size of message.

    :param label: how it is shown.
    :param octets: its size.
    :param calls: calls that are timed together, so that the clock's own cost does not show.
    """

    label: str
    octets: int
    calls: int


SIZES = (Size("64 B", 64, 200), Size("4 KB", 4096, 50), Size("1 MB", 1 << 20, 1))
ROUNDS = 15
TARGET = 4096
"""From this size on, ours is meant to be no slower than MIT's."""


@dataclass(frozen=True)
class Result:
    """One line of the table; throughputs in MB/s."""

    enctype: str
    operation: str
    size: Size
    ours: float
    bare: float
    mit: float

    def __str__(self) -> str:
        return (
            f"{self.enctype:<27} {self.operation:<7} {self.size.label:>5} {self.ours:>9.1f}"
            f" {self.ours / self.bare:>10.2f} {self.ours / self.mit:>9.2f}"
        )


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    results = [result for enctype in ENCTYPES.values() for result in _measure(enctype)]
    heading = f"{'wrap and unwrap, sealed':<27} {'':<7} {'':>5} {'ours MB/s':>9}"
    return [
        f"{heading} {'ours/bare':>10} {'ours/MIT':>9}",
        *map(str, results),
        *_verdict(results),
    ]


def _verdict(results: list[Result]) -> list[str]:
    slower = [row for row in results if row.ours < row.mit]
    missed = [row for row in slower if row.size.octets >= TARGET]
    lines = [
        f"Slower than MIT's by {row.mit / row.ours - 1:.0%}: {row.enctype} {row.operation} "
        f"{row.size.label}; the bare primitive has {row.bare / row.mit:.2f} of MIT's throughput."
        for row in missed
    ] or ["From 4 KB on, none is slower than MIT's."]
    # Octets divided by MB/s are microseconds.
    costs = [row.size.octets / row.ours for row in slower if row not in missed]
    if costs:
        lines.append(
            f"Smaller messages are: one costs {min(costs):.0f} to {max(costs):.0f} us whatever its "
            "size, for some ten calls from Python into cipher, HMAC and random source."
        )
    return lines


def _measure(enctype: EncType) -> list[Result]:
    with TemporaryDirectory() as folder:
        # Without replay detection, so that a token can be unwrapped more than once.
        ends = mit.establish(mit.Realm.create(enctype.number, Path(folder)), mit.PROTECTED)
    results = []
    for size in SIZES:
        message = os.urandom(size.octets)
        results.append(_result(enctype, "wrap", size, _wrap_actions(enctype, message, size, ends)))
        actions = _unwrap_actions(enctype, message, size, ends)
        results.append(_result(enctype, "unwrap", size, actions))
    return results


Actions = dict[str, Callable[[], object]]


def _result(enctype: EncType, operation: str, size: Size, actions: Actions) -> Result:
    times = in_turns(actions, ROUNDS)
    throughput = {
        name: size.octets * size.calls / 1e6 / (time / 1000) for name, time in times.items()
    }
    return Result(enctype.name, operation, size, **throughput)


def _wrap_actions(
    enctype: EncType, message: bytes, size: Size, ends: tuple[mit.Context, mit.Context]
) -> Actions:
    ours = MessageProtection(Key(enctype, ends[0].session_key()), Role.INITIATOR)
    return {
        "ours": _repeated(lambda: ours.wrap(message), size.calls),
        "bare": _repeated(_bare(enctype, message, encrypt=True), size.calls),
        "mit": _repeated(ends[0].wrapper(message), size.calls),
    }


def _unwrap_actions(
    enctype: EncType, message: bytes, size: Size, ends: tuple[mit.Context, mit.Context]
) -> Actions:
    initiator, acceptor = ends
    key = Key(enctype, initiator.session_key())
    tokens = [initiator.wrap(message) for _ in range(size.calls)]
    first = SequenceState(receive=int.from_bytes(tokens[0][8:16], "big"))

    def ours() -> None:
        # Each token can be unwrapped once, so this is a new end of the same context each time.
        end = MessageProtection(key, Role.ACCEPTOR, sequence=first)
        for token in tokens:
            end.unwrap(token)

    return {
        "ours": ours,
        "bare": _repeated(_bare(enctype, message, encrypt=False), size.calls),
        "mit": _repeated(acceptor.unwrapper(tokens[0]), size.calls),
    }


def _repeated(action: Callable[[], object], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            action()

    return repeat


def _bare(enctype: EncType, message: bytes, *, encrypt: bool) -> Callable[[], None]:
    octets = bytes(BLOCK_SIZE) + message + bytes(BLOCK_SIZE)
    output = bytearray(len(octets) + BLOCK_SIZE)
    cipher = Cipher(algorithms.AES(os.urandom(enctype.key_size)), modes.CBC(bytes(BLOCK_SIZE)))
    start = cipher.encryptor if encrypt else cipher.decryptor
    template = HMAC(os.urandom(enctype.mac_key_size), enctype.profile.hash)

    def process() -> None:
        start().update_into(octets, output)
        mac = template.copy()
        mac.update(octets)
        mac.finalize()

    return process


if __name__ == "__main__":
    print("\n".join(run()))
