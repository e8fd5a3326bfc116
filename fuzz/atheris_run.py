"""One target under atheris: ``python -m fuzz.atheris_run TARGET FOLDER LIBFUZZER_OPTION...``.

The folder has the corpus, which grows. The process ends with libFuzzer's status.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["browserid_sasl"]):
    from fuzz.targets import TARGETS


def main(name: str, corpus: Path, options: list[str]) -> None:
    """Run a target until its time is up, or something leaves it that should not."""
    target = TARGETS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(octets)
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
