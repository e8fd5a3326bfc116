"""`browserid-idp import-people`: from a file to accounts, and to people who set theirs up."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.idp import people_import
from browserid_sasl.idp.administration import Actor
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.people_file import Listed
from browserid_sasl.idp.people_import import PeopleImport, new_invitation_list
from browserid_sasl.store.base import system_clock
from tests.support.browser import Browser
from tests.support.grants import DOMAIN, NOW, events, provider_in
from tests.support.provider import ALICE, RunningProvider

BOB, CAROL = (f"{name}@{DOMAIN}" for name in ("bob", "carol"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A provider's folder, in which there is nobody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BROWSERID_CONFIG", raising=False)
    ProviderFolder(tmp_path / "idp").create(DOMAIN, "ES256", system_clock(), local_tls=False)
    return tmp_path / "idp"


def write(*lines: str) -> str:
    Path("people.csv").write_text("\n".join(("address,invite", *lines, "")))
    return "people.csv"


def run(
    folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any]]:
    """The status of an import, and what it says to programs."""
    capsys.readouterr()
    status = main(["import-people", "--json", "--directory", str(folder), *arguments])
    return status, json.loads(capsys.readouterr().out)


def counted(added: int, existing: int, invited: int) -> dict[str, Any]:
    of_directories = {"left_out": {}, "gone": [], "complete": True}
    numbers = {"added": added, "existing": existing, "invited": invited}
    return {**numbers, **of_directories, "faults": []}


def addresses(folder: Path) -> list[str]:
    return [each.email for each in ProviderFolder(folder).open().accounts.all()]


def test_accounts_are_made_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(f"{BOB},", f"{CAROL},")
    done = run(folder, capsys, file)
    assert done == (0, counted(2, 0, 0) | {"dry_run": False})
    assert addresses(folder) == [BOB, CAROL]
    assert run(folder, capsys, file) == (0, counted(0, 2, 0) | {"dry_run": False})
    lines = [json.loads(each) for each in (folder / "audit.log").read_text().splitlines()]
    added = [each for each in lines if each["event"] == "account-added"]
    assert [(each["email"], each["by"]) for each in added] == [
        (email, f"uid {os.getuid()}") for email in (BOB, CAROL)
    ]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(f"{BOB},yes", f"{CAROL},no")
    done = run(folder, capsys, "--dry-run", "--invitations", "links.csv", file)
    assert done == (0, counted(2, 0, 1) | {"dry_run": True})
    assert not addresses(folder)
    assert not Path("links.csv").exists()


def test_if_anything_is_wrong_nothing_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(f"{BOB},yes", "carol@elsewhere.test,yes", f"{BOB},no")
    status, said = run(folder, capsys, "--invitations", "links.csv", file)
    assert (status, [each["line"] for each in said["faults"]]) == (1, [3, 4])
    assert not addresses(folder)
    # It can be tried again with the same name.
    assert not Path("links.csv").exists()
    assert main(["import-people", "--directory", str(folder), file]) == 1
    assert "people.csv:3: 'carol@elsewhere.test' is not an address" in capsys.readouterr().err


def test_invitations_are_in_a_file_that_nobody_else_reads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = f"=1+1@{DOMAIN}"
    file = write(f"{BOB},yes", f"{CAROL},no", f"{odd},")
    done = run(folder, capsys, "--invitations", "links.csv", file)
    assert done == (0, counted(3, 0, 2) | {"dry_run": False})
    links = Path("links.csv")
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    rows = list(csv.DictReader(links.read_text().splitlines()))
    # What spreadsheets would calculate is what mail programs take for the same address.
    assert [row["address"] for row in rows] == [BOB, f"<{odd}>"]
    invitations = ProviderFolder(folder).open().invitations
    for row, email in zip(rows, (BOB, odd), strict=True):
        assert invitations.find(row["link"].partition("token=")[2], system_clock()) == email


@pytest.mark.parametrize("kind", ["file", "link"])
def test_no_file_of_that_name_is_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    there = Path("links.csv")
    if kind == "link":
        there.symlink_to("elsewhere.csv")
    else:
        there.write_text("what was there")
    arguments = ("--invitations", "links.csv", write(f"{BOB},yes"))
    assert main(["import-people", "--directory", str(folder), *arguments]) != 0
    assert "name a file that is not there yet" in capsys.readouterr().err
    assert not addresses(folder)
    assert not Path("elsewhere.csv").exists()
    assert kind == "link" or there.read_text() == "what was there"


class TestBrokenOff:
    """A disk is full in the middle."""

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider:
        return provider_in(tmp_path / "idp")

    def test_what_is_done_is_done_and_the_rest_is_done_next_time(
        self, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(people_import, "_AT_ONCE", 2)
        people = [Listed(line, f"p{line}@{DOMAIN}", invite=True) for line in range(2, 7)]
        importing = PeopleImport(provider, Actor("uid 0"), dry=False)
        before = len(events(tmp_path / "idp"))
        writing = provider.audit._file.append

        def full(line: bytes) -> None:
            if people[3].email.encode() in line:
                raise StoreError(Code.CACHE_ERROR, "the disk is full")
            writing(line)

        with monkeypatch.context() as while_full:
            while_full.setattr(provider.audit._file, "append", full)
            with (
                new_invitation_list(tmp_path / "first.csv", dry=False) as links,
                pytest.raises(StoreError),
            ):
                importing.from_file(people, links, NOW)
        there = provider.accounts.existing([each.email for each in people])
        assert there == {each.email for each in people[:2]}
        with new_invitation_list(tmp_path / "second.csv", dry=False) as links:
            outcome = importing.from_file(people, links, NOW)
        assert (outcome.added, outcome.existing, outcome.invited) == (3, 2, 3)
        good = {
            provider.invitations.find(line.partition("token=")[2], NOW)
            for name in ("first.csv", "second.csv")
            for line in (tmp_path / name).read_text().splitlines()
        }
        assert good - {None} == {each.email for each in people}
        assert len(events(tmp_path / "idp")) > before


def test_who_was_imported_sets_their_account_up(running: RunningProvider, tmp_path: Path) -> None:
    people = [Listed(2, f"zoe@{DOMAIN}", invite=True), Listed(3, ALICE, invite=True)]
    with new_invitation_list(tmp_path / "links.csv", dry=False) as links:
        importing = PeopleImport(running.provider, Actor("uid 0"), dry=False)
        importing.from_file(people, links, running.clock.now)
    # Alice has an account.
    [row] = csv.DictReader((tmp_path / "links.csv").read_text().splitlines())
    assert row["address"] == f"zoe@{DOMAIN}"
    browser = Browser.at(running)
    page = browser.open(row["link"].replace(running.provider.public_url, ""))
    assert page.status == 200
    assert f"zoe@{DOMAIN}" in page.text
