"""What the plugin, the GSS-API module and the services keep of an exchange: nothing.

Both sides of libsasl2 run in one process (tests/plugin/driver.c), and so do both of GSS-API
(gss_driver.c), by ticket as nearly all logins are, a hundred thousand of each. Counted is resident
memory, of the program and of the services that it asks, from the end of a warm-up on. They take a
while: `EXCHANGES` in the environment is how many else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from bench.measure import verdict
from tests.support.gss import build_gss_driver, installed_gss_site
from tests.support.services import HOST, Site, build_driver, installed_site

WARM_UP: Final = 3000
PROGRAMS: Final = 6
"""That go first, one after another."""
EXCHANGES: Final = int(os.environ.get("EXCHANGES", "100000"))
PATIENCE: Final = 7200.0
GROWTH_TARGET: Final = 1024
"""KiB, of a process, however many exchanges: what allocators keep differs by that between runs."""

_CONTEXTS: Final = r"^grown: (-?\d+) KiB\nmade: (\d+) of (\d+)$"
_RESULT: Final = r"^ok (\d+) failed (\d+) grown (-?\d+) KiB$"


def run() -> list[str]:
    """Measure, and give the result as lines of text."""
    return [*_sasl(), "", *_gss()]


def _sasl() -> list[str]:
    with installed_site() as site:
        site.realm.sign_in()
        site.configure("driver")
        driver = build_driver(site.folder)
        # Whichever worker a program is with, that one has had one program to itself before, for so
        # long that SQLite's cache is full.
        for _ in range(PROGRAMS):
            site.run(driver, "-n", str(WARM_UP // 2), timeout=PATIENCE)
        before = _services(site)
        done = site.run(driver, "-w", str(WARM_UP), "-n", str(EXCHANGES // 2), timeout=PATIENCE)
        after = _services(site)
    match = re.search(_RESULT, done.stdout, re.MULTILINE)
    if not match:
        raise RuntimeError(done.stdout[-1000:])
    succeeded, failed, resident = map(int, match.groups())
    return [
        f"{succeeded + failed - WARM_UP:,} exchanges by ticket: {failed} failed",
        _line("the program", resident),
        *(_line(name, after[name] - before[name]) for name in before),
    ]


def _gss() -> list[str]:
    """Contexts, which are exported and imported on both sides before they are deleted."""
    with installed_gss_site() as site:
        driver = build_gss_driver(site.folder)
        command, service = (str(driver), "-x"), f"rcmd@{HOST}"
        for _ in range(PROGRAMS):
            site.run(*command, "-n", str(WARM_UP // 2), service, timeout=PATIENCE)
        before = _services(site)
        options = ("-w", str(WARM_UP), "-n", str(EXCHANGES))
        done = site.run(*command, *options, service, timeout=PATIENCE)
        after = _services(site)
    match = re.search(_CONTEXTS, done.stdout, re.MULTILINE)
    if not match:
        raise RuntimeError(done.stdout[-1000:])
    grown, made, wanted = map(int, match.groups())
    return [
        f"{wanted:,} contexts of GSS-API, both sides: {wanted - made} failed",
        _line("the program", grown),
        *(_line(name, after[name] - before[name]) for name in before),
    ]


def _services(site: Site) -> dict[str, int]:
    """Resident memory of the acceptor's processes and the agent, in KiB."""
    processes = {"the acceptor's parent": site.acceptor.pid}
    processes |= {f"its worker {number}": pid for number, pid in enumerate(site.workers(), 1)}
    return {
        name: _resident(pid) for name, pid in (processes | {"the agent": site.agent_pid()}).items()
    }


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


def _line(what: str, grown: int) -> str:
    target = f"{GROWTH_TARGET:,} KiB at most"
    return verdict(f"{what}, grown by", f"{grown:,} KiB", target, met=grown <= GROWTH_TARGET)
