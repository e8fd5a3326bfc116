"""What the plugin keeps of an exchange: nothing, over a hundred thousand of them.

Both sides of libsasl2 run in one process (tests/plugin/driver.c), by ticket as nearly all logins
are. Counted are resident memory and the blocks Python has allocated, from the end of a warm-up on.
"""

from __future__ import annotations

import re
from typing import Final

from tests.support.services import build_driver, installed_site

WARM_UP: Final = 3000
EXCHANGES: Final = 100_000
PATIENCE: Final = 1800.0

_RESULT: Final = r"^ok (\d+) failed (\d+) grown (-?\d+) KiB (-?\d+) blocks$"


def run() -> list[str]:
    """Measure, and give the result as lines of text."""
    with installed_site() as site:
        site.realm.sign_in()
        site.configure("driver")
        driver = build_driver(site.folder)
        done = site.run(driver, "-w", str(WARM_UP), "-n", str(EXCHANGES // 2), timeout=PATIENCE)
    match = re.search(_RESULT, done.stdout, re.MULTILINE)
    if not match:
        raise RuntimeError(done.stdout[-1000:])
    succeeded, failed, resident, blocks = map(int, match.groups())
    return [
        f"{succeeded + failed - WARM_UP:,} exchanges by ticket: {failed} failed",
        _line("resident memory", resident, "KiB", resident * 1024 / EXCHANGES, "octets"),
        _line("blocks allocated by Python", blocks, "", blocks / EXCHANGES, ""),
    ]


def _line(what: str, grown: int, unit: str, each: float, small_unit: str) -> str:
    return f"{what:<30} grown by {grown:>8,} {unit:<4} {each:>8.3f} {small_unit} an exchange"
