"""What the plugin keeps of an exchange: nothing, over a hundred thousand of them.

Both sides of libsasl2 run in one process (tests/plugin/driver.c), by ticket as nearly all logins
are. Counted is resident memory, of the program and of the services that it asks, from the end of a
warm-up on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.support.services import Site, build_driver, installed_site

WARM_UP: Final = 3000
EXCHANGES: Final = 100_000
PATIENCE: Final = 1800.0

_RESULT: Final = r"^ok (\d+) failed (\d+) grown (-?\d+) KiB$"


def run() -> list[str]:
    """Measure, and give the result as lines of text."""
    with installed_site() as site:
        site.realm.sign_in()
        site.configure("driver")
        driver = build_driver(site.folder)
        site.run(driver, "-n", str(WARM_UP), timeout=PATIENCE)
        before = _services(site)
        done = site.run(driver, "-w", str(WARM_UP), "-n", str(EXCHANGES // 2), timeout=PATIENCE)
        grown = _services(site) - before
    match = re.search(_RESULT, done.stdout, re.MULTILINE)
    if not match:
        raise RuntimeError(done.stdout[-1000:])
    succeeded, failed, resident = map(int, match.groups())
    return [
        f"{succeeded + failed - WARM_UP:,} exchanges by ticket: {failed} failed",
        _line("the program", resident),
        _line("acceptor and agent", grown),
    ]


def _services(site: Site) -> int:
    """Resident memory of the acceptor's processes and the agent, in KiB."""
    return sum(map(_resident, (site.acceptor.pid, *site.workers(), site.agent_pid())))


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


def _line(what: str, grown: int) -> str:
    each = grown * 1024 / EXCHANGES
    return f"{what:<30} grown by {grown:>8,} KiB {each:>8.3f} octets an exchange"
