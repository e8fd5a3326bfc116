"""What `browserid doctor` says of a set-up, for tests that break it."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from browserid_sasl import __version__
from browserid_sasl.cli.browserid import main


@dataclass(frozen=True)
class Report:
    """What it says.

    :param status: exit status.
    :param findings: check, verdict, message and remedy of each.
    """

    status: int
    findings: Sequence[Mapping[str, str]]

    def complaints(self) -> list[tuple[str, str]]:
        """Check and verdict of what is not good."""
        return [
            (each["check"], each["verdict"]) for each in self.findings if each["verdict"] != "good"
        ]

    def says(self, check: str, verdict: str, message: str) -> None:
        """See that it complains of one thing, and says how it is mended."""
        found = [each for each in self.findings if each["check"] == check]
        matching = [each for each in found if message in each["message"]]
        assert matching, found
        assert matching[0]["verdict"] == verdict, matching
        assert matching[0]["remedy"], matching
        assert self.status >= {"doubtful": 1, "bad": 2}[verdict]
        assert not any("Traceback" in each["message"] for each in self.findings)


def examine(*arguments: str, environment: Mapping[str, str]) -> Report:
    """Run the command, in this process with nothing but this environment."""
    said, complained = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"PATH": os.environ["PATH"], **environment}, clear=True),
        redirect_stdout(said),
        redirect_stderr(complained),
    ):
        status = main(["doctor", "--json", *arguments])
    assert not complained.getvalue()
    content = json.loads(said.getvalue())
    assert status == ["good", "doubtful", "bad"].index(content["worst"])
    return Report(status, content["findings"])


def plugin(folder: Path, release: str | None = __version__) -> Path:
    """A folder with something that libsasl2 would take for the plugin.

    :param release: what it says it is of, None for nothing.
    """
    folder.mkdir()
    source = folder / "plugin.c"
    marker = "" if release is None else f'const char r[] = "browserid-sasl-release {release}";'
    source.write_text(f"{marker}\nint i;\n")
    command = ["gcc", "-shared", "-fPIC", "-o", str(folder / "libbrowserid.so"), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return folder
