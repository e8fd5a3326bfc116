"""The file of mail accounts, and where the passwords of their loopback side are."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.agent.keyring import Keyring
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, StoreError
from browserid_sasl.proxy.accounts import (
    FILE,
    MAX_ACCOUNTS,
    Account,
    Accounts,
    Kind,
    Security,
    Service,
    make_password,
)
from tests.support import keyrings
from tests.support.sample_programs import ROOT

IMAP = Service(Kind.IMAP, "mail.example.org", 993, Security.TLS, 14301)
SUBMISSION = Service(Kind.SUBMISSION, "mail.example.org", 587, Security.STARTTLS, 14302)
ALICE = Account("alice@example.org", "alice@example.org", "", (IMAP, SUBMISSION))
BOB = Account("Bob's post", "bob@example.org", "bob", (replace(IMAP, local_port=14303),))
SECRET = "swordfish-swordfish"
PATIENT = 60.0
"""Seconds: what works on a busy machine too."""


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "person")


class TestKeeping:
    def test_there_are_none_at_first(self, accounts: Accounts) -> None:
        assert accounts.read() == ()
        assert not accounts.path.exists()

    def test_what_was_added_is_there_for_others_too(self, accounts: Accounts) -> None:
        accounts.add(ALICE, SECRET)
        accounts.add(BOB, "other")
        others = Accounts(accounts.path.parent)
        assert others.read() == (ALICE, BOB)
        assert others.get("ALICE@example.org") == ALICE
        assert (others.password("alice@example.org"), others.password(BOB.name)) == (
            SECRET,
            "other",
        )

    def test_only_its_owner_can_read_it(self, accounts: Accounts) -> None:
        accounts.add(ALICE, SECRET)
        assert accounts.path.stat().st_mode & 0o777 == 0o600
        assert accounts.path.parent.stat().st_mode & 0o777 == 0o700
        accounts.path.chmod(0o640)
        with pytest.raises(StoreError) as caught:
            accounts.password(ALICE.name)
        assert f"chmod 600 {accounts.path}" in str(caught.value)

    def test_what_was_removed_is_gone(self, accounts: Accounts) -> None:
        accounts.add(ALICE, SECRET)
        accounts.add(BOB, "other")
        assert accounts.remove("bob's post") == BOB
        assert accounts.read() == (ALICE,)
        assert "other" not in accounts.path.read_text()
        for missing in (accounts.remove, accounts.password, accounts.get):
            with pytest.raises(BrowserIDError) as caught:
                missing(BOB.name)
            assert caught.value.code is Code.INVALID_PARAMETER
            assert "alice@example.org" in caught.value.remedy

    def test_no_password_is_in_what_is_shown_of_them(self, accounts: Accounts) -> None:
        accounts.add(ALICE, SECRET)
        assert SECRET not in repr(accounts.read())
        assert SECRET not in repr(accounts._read())

    def test_several_processes_lose_nothing_of_one_another(self, accounts: Accounts) -> None:
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from browserid_sasl.proxy.accounts import *\n"
            "accounts = Accounts(Path(sys.argv[1]))\n"
            "first = int(sys.argv[2])\n"
            "for port in range(first, first + 8):\n"
            "    service = Service(Kind.IMAP, 'mail.example.org', 993, Security.TLS, port)\n"
            "    account = Account(f'a{port}', 'alice@example.org', '', (service,))\n"
            "    accounts.add(account, make_password())\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(accounts.path.parent), str(first)], cwd=ROOT
            )
            for first in (2000, 3000, 4000)
        ]
        assert [each.wait(120) for each in processes] == [0, 0, 0]
        assert len(accounts.read()) == 24


class TestPasswords:
    def test_each_is_another_and_needs_no_quoting_anywhere(self) -> None:
        made = {make_password() for _ in range(200)}
        assert len(made) == 200
        assert all(len(each) == 24 and each.isascii() and each.isalnum() for each in made)


FREE = replace(IMAP, local_port=20_001)
NEW = Account("another", "carol@example.org", "", (FREE,))


@pytest.mark.parametrize(
    "account",
    [
        pytest.param(replace(NEW, name=""), id="no name"),
        pytest.param(replace(NEW, name="a\nb"), id="two lines"),
        pytest.param(replace(NEW, name=" alice"), id="space before"),
        pytest.param(replace(NEW, name="--quiet"), id="an option"),
        pytest.param(replace(NEW, name="a" * 255), id="long"),
        pytest.param(replace(NEW, identity="alice"), id="no domain"),
        pytest.param(replace(NEW, authzid="a\0b"), id="zero octet"),
        pytest.param(replace(NEW, services=()), id="no service"),
        pytest.param(replace(NEW, services=(FREE, replace(FREE, local_port=1))), id="two imaps"),
        pytest.param(
            replace(NEW, services=(FREE, replace(SUBMISSION, local_port=20_001))), id="one port"
        ),
        pytest.param(replace(NEW, services=(replace(FREE, host="192.0.2.1"),)), id="address"),
        pytest.param(replace(NEW, services=(replace(FREE, host="Mail.org"),)), id="upper case"),
        pytest.param(replace(NEW, services=(replace(FREE, port=0),)), id="port 0"),
        pytest.param(replace(NEW, services=(replace(FREE, local_port=65_536),)), id="port high"),
        pytest.param(replace(NEW, name="ALICE@EXAMPLE.ORG"), id="the name of another"),
        pytest.param(replace(NEW, services=(IMAP,)), id="the port of another"),
    ],
)
def test_what_is_no_account_is_refused(accounts: Accounts, account: Account) -> None:
    accounts.add(ALICE, SECRET)
    with pytest.raises(BrowserIDError) as caught:
        accounts.add(account, SECRET)
    assert caught.value.code is Code.INVALID_PARAMETER
    assert accounts.read() == (ALICE,)


def test_there_is_an_end_to_how_many_there_are(accounts: Accounts) -> None:
    def number(of: int) -> Account:
        return Account(f"a{of}", "a@example.org", "", (replace(IMAP, local_port=2000 + of),))

    for each in range(MAX_ACCOUNTS):
        accounts.add(number(each), SECRET)
    with pytest.raises(BrowserIDError) as caught:
        accounts.add(number(MAX_ACCOUNTS), SECRET)
    assert caught.value.code is Code.INVALID_PARAMETER


def changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def apply(octets: bytes) -> bytes:
        document = json.loads(octets)
        change(document)
        return json.dumps(document).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda octets: octets[:-20], id="cut"),
        pytest.param(lambda _: b"[]", id="a list"),
        pytest.param(lambda _: b"\xff\xfe", id="no text"),
        pytest.param(lambda octets: octets + b" " * 300_000, id="too long"),
        pytest.param(changed(lambda document: document.pop("version")), id="no version"),
        pytest.param(changed(lambda document: document.update(version=2)), id="later"),
        pytest.param(changed(lambda document: document.update(accounts={})), id="no list"),
        pytest.param(changed(lambda document: document["accounts"].append(3)), id="a number"),
        pytest.param(
            changed(lambda document: document["accounts"].append(document["accounts"][0])),
            id="twice",
        ),
        pytest.param(
            changed(lambda document: document["accounts"][0]["services"][0].update(kind="nntp")),
            id="unknown kind",
        ),
        pytest.param(
            changed(
                lambda document: document["accounts"][0]["services"][0].update(security="none")
            ),
            id="no TLS",
        ),
        pytest.param(
            changed(lambda document: document["accounts"][0]["services"][0].update(port="993")),
            id="a text for a port",
        ),
    ],
)
def test_a_damaged_file_is_told_and_left_alone(
    accounts: Accounts, damage: Callable[[bytes], bytes]
) -> None:
    accounts.add(ALICE, SECRET)
    damaged = damage(accounts.path.read_bytes())
    accounts.path.write_bytes(damaged)
    for use in (accounts.read, lambda: accounts.add(BOB, SECRET), lambda: accounts.remove("x")):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert caught.value.file == str(accounts.path)
        assert caught.value.remedy
        assert SECRET not in str(caught.value)
    assert accounts.path.read_bytes() == damaged


class TestDisk:
    def test_a_file_that_cannot_grow_leaves_what_was_there(self, accounts: Accounts) -> None:
        accounts.add(ALICE, SECRET)
        before = accounts.path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
        try:
            with pytest.raises(StoreError) as caught:
                accounts.add(BOB, SECRET)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert caught.value.code is Code.CACHE_ERROR
        assert accounts.path.read_bytes() == before
        assert sorted(os.listdir(accounts.path.parent)) == [FILE, "mail.lock"]

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreError) as caught:
            Accounts(tmp_path / "file" / "person").add(ALICE, SECRET)
        assert caught.value.code is Code.CACHE_ERROR


class TestKeyring:
    @pytest.fixture
    def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        return keyrings.use(monkeypatch.setenv, tmp_path)

    def test_the_password_is_there_and_nowhere_else(
        self, tmp_path: Path, backend: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accounts = kept_in_keyring(tmp_path)
        accounts.add(ALICE, SECRET)
        assert SECRET in backend.read_text()
        assert SECRET not in accounts.path.read_text()
        assert accounts.password(ALICE.name) == SECRET
        # What was asked once is not asked again; another process has to.
        keyrings.choose(monkeypatch.setenv, "Broken")
        assert accounts.password(ALICE.name) == SECRET
        with pytest.raises(StoreError) as caught:
            kept_in_keyring(tmp_path).password(ALICE.name)
        assert caught.value.code is Code.CACHE_ERROR

    def test_it_goes_with_its_account(self, tmp_path: Path, backend: Path) -> None:
        accounts = kept_in_keyring(tmp_path)
        accounts.add(ALICE, SECRET)
        accounts.remove(ALICE.name)
        assert backend.read_text() == "{}"
        accounts.add(ALICE, "another")
        assert accounts.password(ALICE.name) == "another"

    def test_without_a_keyring_it_is_in_the_file(
        self, tmp_path: Path, backend: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyrings.choose(monkeypatch.setenv, "Broken")
        accounts = kept_in_keyring(tmp_path)
        accounts.add(ALICE, SECRET)
        assert SECRET in accounts.path.read_text()
        assert accounts.password(ALICE.name) == SECRET

    def test_an_account_that_cannot_be_written_leaves_none_behind(
        self, tmp_path: Path, backend: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accounts = kept_in_keyring(tmp_path)
        monkeypatch.setattr("browserid_sasl.proxy.accounts.write_atomically", full_disk)
        with pytest.raises(StoreError):
            accounts.add(ALICE, SECRET)
        assert backend.read_text() == "{}"


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def kept_in_keyring(folder: Path) -> Accounts:
    return Accounts(folder / "person", use_keyring=True, keyring=Keyring(PATIENT))
