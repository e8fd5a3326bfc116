"""The sample programs of Cyrus SASL itself, compiled from Debian's libsasl2-dev, against ours.

Cyrus's programs do not have our mechanisms without the plugin, so only what comes before the
mechanism's own messages is compared here, octet for octet.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sample_programs import HOST, PATIENCE, Lines, Realm, RunningServer, Wire

EXAMPLES = Path("/usr/share/doc/libsasl2-dev/examples")
FAILED = 255


@pytest.fixture(scope="module")
def cyrus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Cyrus's `client` and `server`."""
    assert (EXAMPLES / "client.c").exists(), "install the Debian packages libsasl2-dev and gcc"
    folder = tmp_path_factory.mktemp("cyrus")
    for name in ("client.c", "server.c", "common.c", "common.h", "config.h"):
        shutil.copy(EXAMPLES / name, folder)
    config = (folder / "config.h").read_text()
    # Without this feature the server does not need the GSS-API library.
    feature = "#define HAVE_GSS_GET_NAME_ATTRIBUTE"
    (folder / "config.h").write_text(config.replace(feature, "// " + feature))
    for program in ("client", "server"):
        subprocess.run(
            ["gcc", "-w", "-I.", "-I/usr/include/sasl", "-o", program, f"{program}.c", "common.c"]
            + ["-lsasl2"],
            cwd=folder,
            check=True,
        )
    return folder
