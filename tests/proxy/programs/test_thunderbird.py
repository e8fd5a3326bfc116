"""An account put into a profile of Thunderbird's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, Code, StoreError
from browserid_sasl.proxy.accounts import Account, Kind, Security, Service
from browserid_sasl.proxy.programs import Profile, Settings, thunderbird
from tests.support.logins import SECRET, primary_password

ODD = 'j\u00f6rg "the\\" o\'hara'
BEFORE = """// Mozilla User Preferences

user_pref("mail.account.account1.server", "server1");
user_pref("mail.account.account4.server", "server7");
user_pref("mail.account.lastKey", 4);
user_pref("mail.accountmanager.accounts", "account1,account4");
user_pref("mail.accountmanager.defaultaccount", "account4");
user_pref("mail.server.server7.hostname", "imap.elsewhere.test");
user_pref("mail.server.server7.userName", "x\\"y");
user_pref("mail.smtpserver.smtp2.hostname", "smtp.elsewhere.test");
user_pref("mail.smtpservers", "smtp2");
user_pref("strange.float", 1.5e);
"""


def settings(name: str = "alice@example.org", *kinds: Kind) -> Settings:
    services = tuple(
        Service(kind, "mail.example.org", 1, Security.TLS, port)
        for port, kind in enumerate(kinds or (Kind.IMAP, Kind.SUBMISSION), 14301)
    )
    return Settings(Account(name, "alice@example.org", "", services), lambda: SECRET)


def prefs(folder: Path) -> dict[str, object]:
    text = (folder / "prefs.js").read_text()
    return {
        name: json.loads(value)
        for name, value in re.findall(r'^user_pref\("(.*?)", (.*)\);$', text, re.MULTILINE)
        if name != "strange.float"
    }


def test_a_new_profile_gets_an_account(tmp_path: Path) -> None:
    Profile(tmp_path).add(settings(ODD))
    known = prefs(tmp_path)
    assert known["mail.accountmanager.accounts"] == "account1"
    assert known["mail.accountmanager.defaultaccount"] == "account1"
    assert known["mail.server.server1.userName"] == ODD
    assert known["mail.server.server1.hostname"] == "127.0.0.1"
    assert known["mail.server.server1.port"] == 14301
    assert known["mail.server.server1.socketType"] == 0
    assert known["mail.smtpserver.smtp1.username"] == ODD
    assert known["mail.smtpserver.smtp1.port"] == 14302
    assert known["mail.identity.id1.smtpServer"] == "smtp1"
    assert known["mail.identity.id1.useremail"] == "alice@example.org"
    assert (tmp_path / "prefs.js").stat().st_mode & 0o777 == 0o600
    assert SECRET not in (tmp_path / "prefs.js").read_text()


@pytest.mark.parametrize(
    ("kinds", "places"),
    [
        ((Kind.IMAP, Kind.SUBMISSION), ["imap://127.0.0.1", "smtp://127.0.0.1"]),
        ((Kind.POP,), ["mailbox://127.0.0.1"]),
    ],
    ids=["imap", "pop"],
)
def test_its_password_is_kept_for_each_server(
    tmp_path: Path, kinds: tuple[Kind, ...], places: list[str]
) -> None:
    assert Profile(tmp_path).add(settings(ODD, *kinds)) == ""
    kept = json.loads((tmp_path / "logins.json").read_text())["logins"]
    assert [each["hostname"] for each in kept] == places


def test_with_a_primary_password_it_is_told_that_thunderbird_asks(tmp_path: Path) -> None:
    primary_password(tmp_path)
    asks = Profile(tmp_path).add(settings())
    assert "ask for the password once" in asks
    assert "primary password" in asks
    assert SECRET not in asks
    assert prefs(tmp_path)["mail.accountmanager.accounts"] == "account1"
    assert not (tmp_path / "logins.json").exists()


def test_what_a_profile_has_stays(tmp_path: Path) -> None:
    (tmp_path / "prefs.js").write_text(BEFORE)
    Profile(tmp_path).add(settings())
    known = prefs(tmp_path)
    assert known["mail.accountmanager.accounts"] == "account1,account4,account8"
    assert known["mail.accountmanager.defaultaccount"] == "account4"
    assert known["mail.smtpservers"] == "smtp2,smtp8"
    assert known["mail.account.account8.server"] == "server8"
    assert known["mail.server.server7.userName"] == 'x"y'
    kept = [
        line for line in BEFORE.splitlines() if "accounts" not in line and "smtpservers" not in line
    ]
    text = (tmp_path / "prefs.js").read_text()
    assert [line for line in kept if line not in text and "lastKey" not in line] == []


def test_an_account_is_put_there_once(tmp_path: Path) -> None:
    Profile(tmp_path).add(settings(ODD))
    before = (tmp_path / "prefs.js").read_text()
    refuse(Profile(tmp_path), settings(ODD), Code.INVALID_PARAMETER)
    assert (tmp_path / "prefs.js").read_text() == before


def test_an_account_without_a_server_to_fetch_from_is_refused(tmp_path: Path) -> None:
    refuse(Profile(tmp_path), settings("alice", Kind.SUBMISSION), Code.INVALID_PARAMETER)
    assert not (tmp_path / "prefs.js").exists()


def test_pop_will_do(tmp_path: Path) -> None:
    Profile(tmp_path).add(settings("alice", Kind.POP))
    assert prefs(tmp_path)["mail.server.server1.type"] == "pop3"


def test_a_profile_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "prefs.js").write_text(BEFORE)
    program = (
        "import fcntl, sys\n"
        "lock = open(sys.argv[1], 'w')\n"
        "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = (sys.executable, "-c", program, str(tmp_path / ".parentlock"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"locked\n"
        refuse(Profile(tmp_path), settings(), Code.UNAVAILABLE)
    assert (tmp_path / "prefs.js").read_text() == BEFORE


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    refuse(Profile(tmp_path / "none"), settings(), Code.INVALID_PARAMETER)
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_no_text_is_kept(tmp_path: Path) -> None:
    (tmp_path / "prefs.js").write_bytes(b"\xff\xfe")
    refuse(Profile(tmp_path), settings(), Code.CACHE_ERROR)
    assert (tmp_path / "prefs.js").read_bytes() == b"\xff\xfe"


class TestWhichProfile:
    def test_the_only_one(self, tmp_path: Path) -> None:
        made(tmp_path, "a.someone")
        assert Profile.find(tmp_path).path == tmp_path / ".thunderbird/a.someone/prefs.js"

    def test_the_one_that_it_starts_with(self, tmp_path: Path) -> None:
        made(tmp_path, "a.default")
        made(tmp_path, "b.default-release")
        assert Profile.find(tmp_path).path.parent.name == "b.default-release"

    @pytest.mark.parametrize("names", [[], ["a.one", "b.two"]])
    def test_none_or_several_are_told(self, tmp_path: Path, names: list[str]) -> None:
        for name in names:
            made(tmp_path, name)
        with pytest.raises(BrowserIDError) as caught:
            Profile.find(tmp_path)
        assert caught.value.code is Code.INVALID_PARAMETER
        assert "--profile" in caught.value.remedy


def made(home: Path, name: str) -> None:
    folder = home / ".thunderbird" / name
    folder.mkdir(parents=True)
    (folder / "prefs.js").touch()


def refuse(profile: Profile, wanted: Settings, code: Code) -> None:
    with pytest.raises(BrowserIDError) as caught:
        profile.add(wanted)
    assert caught.value.code is code
    assert caught.value.remedy


def test_one_that_is_too_large_to_be_read_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thunderbird, "_MAX_SIZE", len(BEFORE))
    (tmp_path / "prefs.js").write_text(BEFORE + "\n")
    with pytest.raises(StoreError) as refused:
        Profile(tmp_path).add(settings())
    assert refused.value.code is Code.BUFFER_TOO_LONG
    assert (tmp_path / "prefs.js").read_text() == BEFORE + "\n"
