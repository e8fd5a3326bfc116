"""Programs that are written in Python, whose interpreter is none of the plugin's business."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sample_programs import ALICE
from tests.support.services import Imapd, Site, Slapd, Syslog

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


@pytest.mark.parametrize(("way", "logins"), [("threads", 18), ("forks", 8), ("interpreters", 8)])
def test_python_ldap_logs_in_to_slapd(site: Site, way: str, logins: int) -> None:
    program = HERE / "python_ldap_login.py"
    with Slapd(site).running() as slapd:
        done = site.run("/usr/bin/python3", "-I", program, slapd.url, way, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout == f"dn:uid=alice,ou=people,{Slapd.BASE}\n" * logins
