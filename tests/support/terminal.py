"""Commands at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence

from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT


def at_terminal(
    words: Sequence[str], environment: Mapping[str, str], answers: Sequence[tuple[str, str]] = ()
) -> str:
    """What a terminal shows of a command, to its end.

    :param answers: questions, in their order, and what somebody types when they are shown.
    """
    waiting = list(answers)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        words,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + PATIENCE
    while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            octets = os.read(master, 4096)
        except OSError:  # how Linux tells that nobody has the other end open any more
            break
        shown += octets
        if waiting and waiting[0][0].encode() in shown:
            os.write(master, waiting.pop(0)[1].encode() + b"\n")
    process.wait(PATIENCE)
    os.close(master)
    assert not waiting, f"it was not asked: {waiting}"
    return shown.decode()
