"""Programs that have a Python interpreter of their own, which the plugin then shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sample_programs import ALICE
from tests.support.services import Imapd, Site, Syslog, run

HERE = Path(__file__).parent


def test_a_program_in_python_shares_its_interpreter(site: Site) -> None:
    done = site.run("/usr/bin/python3", "-I", HERE / "python_host.py")
    assert (done.stdout, done.returncode) == ("logged in\n", 0)


@pytest.fixture(scope="session")
def python_with_sasl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has python-sasl, built anew: what is published fits no Python after 3.10."""
    folder = tmp_path_factory.mktemp("python-sasl")
    python = folder / "env" / "bin" / "python"
    pip = (python, "-m", "pip", "-q", "--disable-pip-version-check")
    source = folder / "sasl-0.3.1"
    for command in (
        ("/usr/bin/python3", "-m", "venv", folder / "env"),
        (*pip, "install", "cython<3", "setuptools", "six", "wheel"),
        (*pip, "download", "--no-deps", "--no-build-isolation", "sasl==0.3.1", "-d", folder),
        ("tar", "-xzf", folder / "sasl-0.3.1.tar.gz", "-C", folder),
        (python, "-m", "cython", "--cplus", source / "sasl" / "saslwrapper.pyx"),
        (*pip, "install", "--no-build-isolation", "--no-deps", source),
    ):
        done = run(command, timeout=100)
        assert done.returncode == 0, done.stdout
    return python


def test_python_sasl_logs_in_to_imapd(
    python_with_sasl: Path, new_site: Callable[[str], Site], syslog: Syslog
) -> None:
    site = new_site("cyrus")
    site.realm.sign_in()
    with Imapd(site).running() as imapd:
        program = HERE / "python_sasl_login.py"
        done = site.run(python_with_sasl, "-I", program, str(imapd.port), ALICE)
    assert (done.stdout, done.returncode) == ("OK\n", 0)
