"""The command of docs/agent.md, and the units that are in place then."""

from __future__ import annotations

import pytest

from tests.support.guide import blocks_of
from tests.support.machine import Machine
from tests.support.sample_programs import ROOT

UNITS = ("browserid-agent.socket", "browserid-agent.service")


def test_the_units_of_the_agent_are_put_in_place_and_are_right(computer: Machine) -> None:
    [command] = [block.text for block in blocks_of(ROOT / "docs" / "agent.md")]
    computer.do(command, folder=str(ROOT))
    computer.do("install -d -m 700 /run/user/0")
    for unit in UNITS:
        said = computer.do(
            f"XDG_RUNTIME_DIR=/run/user/0 systemd-analyze --user verify /etc/systemd/user/{unit}"
        )
        assert said == ""


@pytest.mark.usefixtures("acceptor")
def test_the_unit_of_the_acceptor_is_right(computer: Machine) -> None:
    unit = "/etc/systemd/system/browserid-acceptor.service"
    assert unit.rpartition("/")[2] not in computer.do(f"systemd-analyze verify {unit}")


def test_systemd_starts_the_agent_that_a_program_needs(computer: Machine) -> None:
    """Its own tool for that does what the socket's unit says."""
    place = "/run/user/0/browserid/agent"
    computer.do("install -d -m 700 /run/user/0/browserid")
    listen = f"systemd-socket-activate --listen {place} /usr/local/bin/browserid-agent"
    computer.do(f"setsid {listen} >agent.log 2>&1 </dev/null & echo $! >agent.pid")
    computer.wait_for(f"test -S {place}")
    computer.do("XDG_RUNTIME_DIR=/run/user/0 browserid list")
    assert "browserid-agent" in computer.do("ps -o args= -p $(cat agent.pid)")
    computer.do("kill $(cat agent.pid)")
