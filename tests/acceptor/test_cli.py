"""The command's options."""

from __future__ import annotations

import os
import sys

from browserid_sasl import __version__
from tests.support.acceptor import Host
from tests.support.services import run

COMMAND = (sys.executable, "-m", "browserid_sasl.acceptor")


def test_it_says_its_version() -> None:
    assert run((*COMMAND, "--version")).stdout.split() == ["browserid-acceptor", __version__]


def test_it_checks_a_configuration_and_begins_nothing(host: Host) -> None:
    done = run((*COMMAND, "--config", host.config_file, "--check"))
    assert (done.returncode, done.stdout) == (0, "the configuration is good\n")
    assert not host.socket.exists()
    host.configure('[listeners."relative"]\n')
    done = run((*COMMAND, "--config", host.config_file, "--check"))
    assert done.returncode == os.EX_CONFIG
    assert "which is not an absolute path" in done.stdout
