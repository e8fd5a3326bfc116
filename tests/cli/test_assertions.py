"""`bidtool get` and `bidtool verify`, and the two examples that do the same."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from browserid_sasl.cli.bidtool import main
from tests.support.sample_programs import ALICE, DOMAIN, ROOT, Realm

ORIGIN = "https://site.test"


@pytest.fixture
def realm(fresh_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Realm:
    fresh_realm.sign_in()
    monkeypatch.setenv("BROWSERID_CONFIG", str(fresh_realm.config_file))
    return fresh_realm


@pytest.mark.usefixtures("realm")
class TestCommands:
    @pytest.mark.parametrize("audience", [ORIGIN, "imap/mail.site.test"])
    def test_what_one_prints_the_other_verifies(
        self, audience: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["get", audience]) == 0
        assertion = capsys.readouterr().out.strip()
        assert main(["verify", assertion, audience]) == 0
        said = capsys.readouterr().out
        assert f"Email:   {ALICE}\nIssuer:  {DOMAIN}\nExpires: 20" in said

    def test_from_standard_input(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["get", "--identity", ALICE, ORIGIN]) == 0
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(capsys.readouterr().out.encode()))
        )
        assert main(["verify", "-", ORIGIN]) == 0

    def test_it_is_for_somebody_else(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["get", ORIGIN]) == 0
        assertion = capsys.readouterr().out.strip()
        assert main(["verify", assertion, "https://other.test"]) == 1
        assert "and not for" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["get", "site.test"], 1),
            (["get", "--identity", "bob@example.test", ORIGIN], 77),
            (["get"], 64),
            (["verify", "nonsense", ORIGIN], 1),
            (["verify", "nonsense"], 64),
        ],
    )
    def test_what_does_not_work(
        self, arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(arguments) == status
        assert not capsys.readouterr().out


def example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("realm")
class TestExamples:
    def test_what_one_prints_the_other_verifies(self) -> None:
        made = example("bidget.py", ORIGIN)
        assert made.returncode == 0, made.stderr
        verified = example("bidverify.py", made.stdout.strip(), ORIGIN)
        assert verified.returncode == 0, verified.stderr
        assert verified.stdout.startswith(f"{ALICE}, says {DOMAIN}, until 20")

    @pytest.mark.parametrize(
        ("name", "arguments", "status", "said"),
        [
            ("bidget.py", [], 64, "usage: bidget AUDIENCE"),
            ("bidget.py", ["site.test"], 1, "is no audience"),
            ("bidverify.py", [ORIGIN], 64, "usage: bidverify ASSERTION AUDIENCE"),
            ("bidverify.py", ["nonsense", ORIGIN], 1, "bidverify: "),
        ],
    )
    def test_what_does_not_work(
        self, name: str, arguments: list[str], status: int, said: str
    ) -> None:
        done = example(name, *arguments)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr

    @pytest.mark.parametrize("name", ["bidget.py", "bidverify.py"])
    def test_they_are_short(self, name: str) -> None:
        lines = (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()
        assert len([line for line in lines if line.strip()]) <= 24
