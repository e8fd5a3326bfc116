"""Passwords in a profile of Thunderbird's, read back by NSS itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.proxy.programs import logins
from browserid_sasl.proxy.programs.logins import Logins
from tests.support.logins import SECRET, primary_password

IMAP, SMTP = "imap://127.0.0.1", "smtp://127.0.0.1"
ODD = 'j\u00f6rg "the\\" o\'hara'
OF_OTHERS = {
    "id": 7,
    "hostname": "https://elsewhere.test",
    "httpRealm": "elsewhere",
    "encryptedUsername": "bm90aGluZw==",
    "encryptedPassword": "bm90aGluZw==",
    "of a later release": [1],
}


def known(profile: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((profile / "logins.json").read_text())["logins"]
    return found


def opened(profile: Path) -> list[tuple[str, str, str]]:
    """Server, user and password, decrypted by NSS's own program."""
    return [
        (
            str(each["hostname"]),
            decrypted(profile, str(each["encryptedUsername"])),
            decrypted(profile, str(each["encryptedPassword"])),
        )
        for each in known(profile)
    ]


def decrypted(profile: Path, text: str) -> str:
    command = ("pwdecrypt", "-d", f"sql:{profile}", "-i", "/dev/stdin")
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    assert b"Decrypted" in done.stdout, done
    return done.stdout.decode().split('"', 1)[1].rpartition('"')[0]


def test_a_new_profile_gets_them(tmp_path: Path) -> None:
    Logins(tmp_path).put((IMAP, SMTP), ODD, SECRET)
    assert opened(tmp_path) == [(IMAP, ODD, SECRET), (SMTP, ODD, SECRET)]
    assert [each["id"] for each in known(tmp_path)] == [1, 2]
    assert SECRET not in (tmp_path / "logins.json").read_text()
    for name in ("logins.json", "key4.db"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_new_password_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    Logins(tmp_path).put((IMAP, SMTP), "alice", "old")
    Logins(tmp_path).put((IMAP,), "bob", "bob's")
    Logins(tmp_path).put((IMAP, SMTP), "alice", SECRET)
    alice = [(place, "alice", SECRET) for place in (IMAP, SMTP)]
    assert opened(tmp_path) == [(IMAP, "bob", "bob's"), *alice]
    assert len({each["guid"] for each in known(tmp_path)}) == 3


def test_what_is_not_of_the_account_stays(tmp_path: Path) -> None:
    before = {"nextId": 8, "logins": [OF_OTHERS], "version": 3, "of a later release": {"a": 1}}
    (tmp_path / "logins.json").write_text(json.dumps(before))
    Logins(tmp_path).put((IMAP,), "alice", SECRET)
    after = json.loads((tmp_path / "logins.json").read_text())
    assert after["logins"][0] == OF_OTHERS
    assert after["logins"][1]["id"] == 8
    assert after["of a later release"] == {"a": 1}
    assert after["nextId"] == 9


def test_one_of_another_key_for_the_same_server_stays(tmp_path: Path) -> None:
    (tmp_path / "logins.json").write_text(json.dumps({"logins": [OF_OTHERS | {"hostname": IMAP}]}))
    Logins(tmp_path).put((IMAP,), "alice", SECRET)
    assert [each["id"] for each in known(tmp_path)] == [7, 8]


def test_a_primary_password_is_told(tmp_path: Path) -> None:
    primary_password(tmp_path)
    refuse(Logins(tmp_path), Code.UNAVAILABLE, "primary password")
    assert not (tmp_path / "logins.json").exists()


def test_a_missing_library_is_told(tmp_path: Path) -> None:
    refuse(Logins(tmp_path, "libnss3-of-nobody.so"), Code.UNAVAILABLE, "libnss3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"logins": {}}', '{"logins": [1]}', "{}", "\udcff", "[" * 100_000],
    ids=["empty", "list", "no list", "number", "nothing", "no text", "deep"],
)
def test_a_file_that_is_not_thunderbirds_is_kept(tmp_path: Path, text: str) -> None:
    octets = text.encode(errors="surrogateescape")
    (tmp_path / "logins.json").write_bytes(octets)
    refuse(Logins(tmp_path), Code.CACHE_ERROR, "logins.json")
    assert (tmp_path / "logins.json").read_bytes() == octets


def test_one_that_is_too_large_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Logins(tmp_path).put((IMAP,), "alice", "old")
    before = (tmp_path / "logins.json").read_bytes()
    monkeypatch.setattr(logins, "_MAX_SIZE", len(before) - 1)
    refuse(Logins(tmp_path), Code.CACHE_ERROR, "logins.json")
    assert (tmp_path / "logins.json").read_bytes() == before


def test_keys_that_are_no_database_are_told(tmp_path: Path) -> None:
    (tmp_path / "key4.db").write_bytes(b"no database" * 1000)
    refuse(Logins(tmp_path), Code.CACHE_ERROR, "key4.db")
    assert not (tmp_path / "logins.json").exists()


def refuse(profile: Logins, code: Code, word: str) -> None:
    with pytest.raises(BrowserIDError) as caught:
        profile.put((IMAP,), "alice", SECRET)
    assert caught.value.code is code
    assert word in str(caught.value)
    assert caught.value.remedy
    assert SECRET not in repr(caught.value) + str(caught.value)
