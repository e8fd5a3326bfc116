"""Programs that are written in Python, whose interpreter is none of the plugin's business."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.sample_programs import ALICE
from tests.support.services import Imapd, Site, Syslog

HERE = Path(__file__).parent


def test_python_sasl_logs_in_to_imapd(
    python_with_sasl: Path, new_site: Callable[[str], Site], syslog: Syslog
) -> None:
    site = new_site("cyrus")
    site.realm.sign_in()
    with Imapd(site).running() as imapd:
        program = HERE / "python_sasl_login.py"
        done = site.run(python_with_sasl, "-I", program, str(imapd.port), ALICE)
    assert (done.stdout, done.returncode) == ("OK\n", 0)
