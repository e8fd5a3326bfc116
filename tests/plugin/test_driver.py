"""What hosts do to a plugin: threads, forks, repeated initialisation, odd environments."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import Site

OTHER_MECHANISMS = ("BROWSERID-AES256", "BROWSERID-A128S2", "BROWSERID-A256S2")


class Driver:
    """driver.c at a site."""

    def __init__(self, program: Path, site: Site) -> None:
        self.program = program
        self.site = site
        site.configure("driver")

    def run(
        self, *arguments: str, timeout: float = 60, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.site.run(self.program, *arguments, timeout=timeout, **variables or {})

    def succeeds(self, *arguments: str, **variables: str) -> int:
        """Run it; how many exchanges succeeded, none having failed."""
        done = self.run(*arguments, variables=variables)
        match = re.search(r"^ok (\d+) failed 0 ", done.stdout, re.MULTILINE)
        assert match, done.stdout[-2000:]
        assert done.returncode == 0
        return int(match[1])

    def fails(self, *arguments: str, **variables: str) -> str:
        """Run it; what it printed, no exchange having succeeded."""
        done = self.run(*arguments, variables=variables)
        assert "ok 0 failed" in done.stdout, done.stdout[-2000:]
        return done.stdout


@pytest.fixture
def both(driver: Path, site: Site) -> Driver:
    return Driver(driver, site)


@pytest.mark.parametrize("mechanism", OTHER_MECHANISMS)
def test_every_mechanism_logs_in(both: Driver, mechanism: str) -> None:
    both.succeeds("-m", mechanism)


def test_the_mechanism_without_key_exchange_logs_in_where_configured(both: Driver) -> None:
    both.site.configure("driver", browserid_mechanisms="BROWSERID")
    both.succeeds("-m", "BROWSERID", BROWSERID_MECHANISMS="BROWSERID")


@pytest.mark.parametrize("options", [("-d",), ("-b",), ("-d", "-b")])
def test_success_data_and_channel_binding(both: Driver, options: tuple[str, ...]) -> None:
    both.succeeds(*options)


def test_threads_with_interleaved_exchanges(both: Driver) -> None:
    assert both.succeeds("-t", "8", "-n", "10", "-i", "5") == 160


def test_forks_before_and_after_the_first_use(both: Driver) -> None:
    both.succeeds("-t", "2", "-n", "2", "-f", "3", "-F", "3")


def test_repeated_initialisation(both: Driver) -> None:
    assert both.succeeds("-r", "5") == 10


@pytest.mark.parametrize(
    ("name", "value"), [("browserid-email", ALICE), ("browserid-issuer", DOMAIN)]
)
def test_a_property_that_the_server_requests(both: Driver, name: str, value: str) -> None:
    assert f"{name}={value}\n" in both.run("-p", name).stdout


def test_an_odd_environment_has_no_influence(both: Driver) -> None:
    both.succeeds(
        PYTHONHOME="/nonexistent", PYTHONPATH="/nonexistent", PYTHONMALLOC="x", LC_ALL="C"
    )


def test_memory_does_not_grow(both: Driver) -> None:
    """`make bench` does this 100,000 times; here often enough to see a leak of one object."""
    done = both.run("-w", "600", "-n", "300")
    match = re.search(r"ok 1200 failed 0 grown (-?\d+) KiB (-?\d+) blocks", done.stdout)
    assert match, done.stdout
    assert int(match[1]) < 1024
    assert int(match[2]) < 300


def test_valgrind_has_nothing_to_say(both: Driver) -> None:
    suppressions = Path(__file__).with_name("valgrind.supp")
    done = both.site.run(
        *("valgrind", "-q", "--error-exitcode=9", f"--suppressions={suppressions}"),
        *("--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"),
        *(both.program, "-t", "2", "-n", "2", "-i", "2"),
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-4000:]


class TestFailures:
    """Each with its code on both sides, and a detail that a person understands."""

    def test_nobody_is_signed_in(self, both: Driver) -> None:
        said = both.fails("-u", f"bob@{DOMAIN}")
        assert "client -6 SASL(-6): can't request information until later in exchange: " in said
        assert f"bob@{DOMAIN} is not signed in: sign in first: browserid login bob@{DOMAIN}" in said

    def test_a_certificate_that_another_key_signed(self, both: Driver) -> None:
        both.site.publish(PrivateKey.generate("RS256"))
        said = both.fails("-n", "1")
        assert "client -13 SASL(-13): authentication failure: the server said: invalid-sig" in said

    def test_a_configuration_error_names_file_line_and_remedy(self, both: Driver) -> None:
        bad = both.site.folder / "bad.toml"
        bad.write_text("[server]\n\nclock_skew = 'soon'\n")
        both.site.configure("driver", browserid_config=str(bad))
        said = both.fails("-n", "1")
        assert f"server log 1: BROWSERID: BROWSERID-AES128 imap/localhost: {bad}:3: " in said
        assert "server -7 SASL(-7): invalid parameter supplied" in said

    def test_an_option_that_does_not_exist_is_not_the_plugins(self, both: Driver) -> None:
        both.site.configure("driver", browserid_clock_skew="5 minutes")
        assert "browserid_clock_skew" in both.fails()

    def test_the_environment_is_gone(self, both: Driver, tmp_path: Path) -> None:
        python = both.site.installation.environment / "bin" / "python3"
        hidden = python.with_name("hidden")
        python.rename(hidden)
        try:
            said = both.fails()
        finally:
            hidden.rename(python)
        assert "client -24 " in said
        assert "No such file or directory: run `make install` again" in said
        both.succeeds()

    def test_somebody_else(self, both: Driver) -> None:
        """The driver's proxy policy lets everybody; the name asked for reaches it."""
        both.succeeds("-u", ALICE, "-z", f"bob@{DOMAIN}")
