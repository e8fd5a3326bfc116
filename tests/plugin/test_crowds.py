"""Many programs at once, and one after another, at one acceptor and one agent."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.sample_programs import ROOT
from tests.support.services import Site, run

CONNECTIONS = 2000
PROCESSES = 1000


@pytest.fixture(scope="module")
def wire_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/plugin/wire_client.c, which says how it is used."""
    program = tmp_path_factory.mktemp("wire") / "wire_client"
    sources = (ROOT / "tests" / "plugin" / "wire_client.c", ROOT / "plugin" / "wire.c")
    done = run(("cc", "-O2", "-std=gnu11", *sources, "-o", program))
    assert done.returncode == 0, done.stdout
    return program


def test_2000_connections_that_are_held(wire_client: Path, driver: Path, site: Site) -> None:
    """All of them are answered, and so is whoever comes while they are held."""
    site.configure("driver")
    limit = ("prlimit", f"--nofile={2 * CONNECTIONS}")
    with subprocess.Popen(
        (*limit, wire_client, "hold", site.socket, str(CONNECTIONS)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as held:
        assert held.stdin is not None and held.stdout is not None
        assert held.stdout.readline() == f"{CONNECTIONS} taken\n"
        said = site.run(driver, "-n", "3").stdout
        held.stdin.close()
        assert held.stdout.readline() == f"{CONNECTIONS} answered\n"
    assert re.search(r"^ok 6 failed 0 ", said, re.MULTILINE), said


@pytest.mark.timeout(300)
def test_1000_processes_that_each_log_in_and_end(driver: Path, site: Site) -> None:
    site.configure("driver")
    workers = site.workers()
    # Those who answer go before those who ask, as on a machine that does nothing else.
    each = f"seq {PROCESSES} | nice xargs -P 4 -I N {driver} -n 1"
    said = site.run("sh", "-c", each, timeout=280).stdout
    admitted = re.findall(r"^ok 2 failed 0 ", said, re.MULTILINE)
    # On one that is busy with a lot else, an answer may come too late, and says so.
    late = re.findall(r"^.*(?:does not answer in time|nobody answers there).*$", said, re.MULTILINE)
    assert len(admitted) >= PROCESSES - min(len(late), PROCESSES // 50), late or said[-2000:]
    assert site.workers() == workers
    agent = Path(f"/proc/{site.agent_pid()}/fd")
    assert len(list(agent.iterdir())) < 64
