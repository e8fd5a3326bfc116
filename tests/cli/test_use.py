"""`browserid use`: whom programs log in as where they do not say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl import config
from browserid_sasl.cli.browserid import main
from tests.support.agent import Line, Person, initiate
from tests.support.caches import prepare_home
from tests.support.sample_programs import ROOT
from tests.support.site import Site
from tests.support.world import ALICE

BOB = "bob@idp.test"
CAROL = "carol@example.org"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of somebody who has signed in as two."""
    for name, value in prepare_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    site = Site(tmp_path)
    for identity in (ALICE, BOB):
        site.sign_in(identity)
    return tmp_path / "browserid.toml"


def identities(file: Path) -> list[tuple[str, str]]:
    return list(config.load(file).client.identities)


class TestUse:
    def test_of_an_address_makes_it_the_default(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = file.read_text()
        assert main(["use", BOB]) == 0
        assert capsys.readouterr() == (f"{BOB} logs in by default\n", "")
        assert file.read_text() == f'{before}\n[client]\nidentity = "{BOB}"\n'

    def test_of_a_local_part_means_who_is_signed_in(self, file: Path) -> None:
        assert main(["use", "BOB"]) == 0
        assert config.load(file).client.identity == BOB

    def test_for_a_service_comes_before_what_would_hide_it(self, file: Path) -> None:
        for pattern in ("imap/*", "*/mail.example.org"):
            assert main(["use", BOB, "--for", pattern]) == 0
        assert main(["use", ALICE, "--for", "imap/Mail.example.org"]) == 0
        assert [name for name, _ in identities(file)] == [
            *("imap/mail.example.org", "imap/*", "*/mail.example.org"),
        ]
        assert main(["use", BOB, "--for", "imap/mail.example.org"]) == 0
        assert identities(file)[0] == ("imap/mail.example.org", BOB)

    def test_forgets(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["use", ALICE]) == 0
        assert main(["use", BOB, "--for", "imap/*"]) == 0
        assert main(["use", "--forget"]) == 0
        assert main(["use", "--forget", "--for", "imap/*"]) == 0
        assert config.load(file).client == config.ClientConfig()
        assert main(["use", "--forget"]) == os.EX_CONFIG
        assert "nobody is chosen by default" in capsys.readouterr().err

    def test_without_an_address_shows_what_is_chosen_and_where(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = file.read_text()
        assert main(["use"]) == 0
        assert "whoever is signed in logs in" in capsys.readouterr().err
        assert file.read_text() == before
        assert main(["use", ALICE]) == 0
        assert main(["use", BOB, "--for", "imap/*"]) == 0
        capsys.readouterr()
        assert main(["use"]) == 0
        _, first, second = capsys.readouterr().out.splitlines()
        assert first.split()[:2] == ["imap/*", BOB]
        assert second.split()[:3] == ["everywhere", "else", ALICE]
        assert f"{file}:" in first

    def test_of_somebody_who_is_not_signed_in_says_so(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["use", "carol@Example.ORG", "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["not_signed_in"] == [CAROL]
        assert captured.err == f"{CAROL} is not signed in: browserid login {CAROL}\n"

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (["--for", "mail.example.org", ALICE], os.EX_USAGE, "of the form service/host"),
            (["--for", "imap/a b", ALICE], os.EX_USAGE, "whose host is no name"),
            (["--for", "", ALICE], os.EX_USAGE, "of the form service/host"),
            (["--for", "imap/*"], os.EX_USAGE, "--for needs an address"),
            (["--forget", ALICE], os.EX_USAGE, "give an address or --forget"),
            (["carol"], os.EX_NOPERM, "nobody who is signed in"),
            ([""], os.EX_USAGE, "the address is empty"),
            (["carol@nowhere"], os.EX_USAGE, "has no dot in it"),
            (["a b@example.org"], os.EX_USAGE, "which is not an e-mail address"),
            (["a\x1b[m@example.org"], os.EX_USAGE, "which is not an e-mail address"),
            (["--forget", "--for", "imap/*"], os.EX_CONFIG, "nobody is chosen for imap/*"),
        ],
    )
    def test_of_what_is_wrong_is_refused_with_words(
        self,
        file: Path,
        arguments: list[str],
        status: int,
        words: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        before = file.read_text()
        assert main(["use", *arguments]) == status
        err = capsys.readouterr().err
        assert words in err
        assert "\x1b" not in err
        assert file.read_text() == before


class TestFile:
    def test_is_made_in_a_home_without_one_for_its_owner_alone(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("BROWSERID_CONFIG")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "etc"))
        assert main(["use", BOB]) == 0
        made = tmp_path / "etc" / "browserid" / "browserid.toml"
        assert made.read_text() == f'[client]\nidentity = "{BOB}"\n'
        assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    def test_has_what_the_systems_had(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        system = tmp_path / "system.toml"
        system.write_text(f'[client.identities]\n"imap/*" = "{BOB}"\n')
        monkeypatch.setattr("browserid_sasl.config.files.SYSTEM_FILE", system)
        monkeypatch.delenv("BROWSERID_CONFIG", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "etc"))
        assert main(["use", ALICE, "--for", "smtp/*"]) == 0
        assert config.load().client.identities == (("imap/*", BOB), ("smtp/*", ALICE))

    def test_without_a_home_there_is_none(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("BROWSERID_CONFIG", "")
        monkeypatch.setattr("browserid_sasl.config.files.in_home", lambda _: None)
        assert main(["use", BOB]) == os.EX_CONFIG
        assert "no home folder" in capsys.readouterr().err

    def test_keeps_its_mode_and_stays_a_link(self, file: Path, tmp_path: Path) -> None:
        real = tmp_path / "dotfiles.toml"
        file.rename(real)
        real.chmod(0o640)
        file.symlink_to(real)
        assert main(["use", BOB]) == 0
        assert file.is_symlink()
        assert real.stat().st_mode & 0o777 == 0o640
        assert config.load(file).client.identity == BOB

    def test_loses_nothing_when_many_change_it(self, file: Path) -> None:
        def one(number: int) -> int:
            return subprocess.run(
                [
                    *(sys.executable, "-c"),
                    "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())",
                    *("use", BOB, "--for", f"imap/{number}.example.org"),
                ],
                cwd=ROOT,
                check=False,
            ).returncode

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(one, range(4))) == {0}
        assert len(identities(file)) == 4

    def test_that_cannot_be_written_is_named(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("browserid_sasl.cli.use.write_atomically", full)
        assert main(["use", BOB]) == os.EX_CONFIG
        assert f"{file}: it cannot be written: No space left" in capsys.readouterr().err


def test_the_agent_that_runs_takes_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    person = Person(tmp_path / "home", f'[store]\ndirectory = "{tmp_path}/client"\n')
    for identity in (ALICE, BOB):
        site.sign_in(identity)
    monkeypatch.delenv("BROWSERID_CONFIG", raising=False)
    for name, value in person.variables.items():
        monkeypatch.setenv(name, value)
    with person.agent(), Line(person.socket) as line:
        assert "more than one identity" in line.ask(initiate(1)).values["reason"]
        assert main(["use", BOB]) == 0
        assert line.ask(initiate(2)).word == "CONT"
        assert main(["use", "--forget"]) == 0
        assert line.ask(initiate(3)).word == "FAIL"
        assert main(["use", BOB, "--for", "imap/localhost"]) == 0
        assert line.ask(initiate(4)).word == "CONT"
        assert line.ask(initiate(5, service="smtp")).word == "FAIL"
