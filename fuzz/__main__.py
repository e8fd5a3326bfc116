"""``python -m fuzz [--seconds N] [TARGET...]``: run targets one after another (`make fuzz`).

build/fuzz has each target's corpus, which later runs go on with, its log, and, as
TARGET-crash-DIGEST, inputs of which something came that should not. Put such an input into a test,
with what is right.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS

_FOLDER: Final = Path(__file__).parent.parent / "build" / "fuzz"
_LONGEST_INPUT: Final = 20_000
_SLOW_INPUT_S: Final = 10
_MEMORY_MB: Final = 2048
_LINES_SHOWN: Final = 60


def run(name: str, seconds: int) -> bool:
    """Run a target in a process of its own.

    :returns: whether nothing was found.
    """
    print(f"{name}: ", end="", flush=True)
    corpus, log = _FOLDER / name, _FOLDER / f"{name}.log"
    corpus.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "max_len": _LONGEST_INPUT,
        "timeout": _SLOW_INPUT_S,
        "rss_limit_mb": _MEMORY_MB,
        "artifact_prefix": f"{_FOLDER}/{name}-",
        "print_final_stats": 1,
    }
    command = [sys.executable, "-m", "fuzz.atheris_run", name, str(corpus)]
    command += [f"-{option}={value}" for option, value in options.items()]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    print(_summary(log.read_text(errors="replace"), done.returncode), flush=True)
    return done.returncode == 0


def _summary(log: str, status: int) -> str:
    if status:
        return "\n" + "\n".join(log.splitlines()[-_LINES_SHOWN:])
    [inputs] = re.findall(r"^stat::number_of_executed_units: (\d+)", log, re.MULTILINE)
    return f"{inputs} inputs"


def main() -> int:
    """Exit status: 0 if nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("target", nargs="*", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = set(options.target) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    found = [name for name in options.target or TARGETS if not run(name, options.seconds)]
    print(f"found something: {', '.join(found)}" if found else "found nothing")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
