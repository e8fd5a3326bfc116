"""`browserid-idp` as an operator uses it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.idp.wishes import Granted
from browserid_sasl.jose.jwt import Jwt
from tests.support.grants import CLIENT, Program, wish_of
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, DOMAIN, PASSWORD

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.idp.cli import main; sys.exit(main())",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory without configuration."""
    for name in list(os.environ):
        if name.startswith(("XDG_", "BROWSERID_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A provider's folder as `init` makes it."""
    path = tmp_path / "provider"
    assert main(["init", "--directory", str(path), "--domain", DOMAIN, "--local-tls"]) == 0
    return path


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def run(folder: Path, command: str, *arguments: object) -> int:
    words = (command, *map(str, arguments))
    return main([*words, "--directory", str(folder)])


def events(folder: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (folder / "audit.log").read_text().splitlines()]


def now() -> int:
    return time.time_ns() // 1_000_000


def add(folder: Path, password_file: Path) -> None:
    assert run(folder, "add-user", ALICE, "--password-file", str(password_file)) == 0


def certified(folder: Path, *, renewal: bool = True) -> str:
    """Have a key of Alice's certified; returns its fingerprint."""
    wish = wish_of(Program().key, ALICE)
    renewals = ProviderFolder(folder).open().renewals
    renewals.issue(Granted(wish, renewal), now() + 3_600_000, now(), lambda: None)
    return wish.fingerprint


def revoked(folder: Path) -> list[str]:
    """What the list of revoked keys has."""
    document = ProviderFolder(folder).open().revocations.document(now())
    return list(Jwt.parse(document).claims["revoked"])


class TestInit:
    def test_makes_a_provider(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "provider"
        assert run(folder, "init", "--domain", DOMAIN) == 0
        assert ProviderFolder(folder).open().domain == DOMAIN
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert f"made an identity provider for {DOMAIN}" in capsys.readouterr().out
        assert events(folder) == ["provider-created"]

    def test_can_be_repeated(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(folder, "init", "--domain", DOMAIN.upper()) == 0
        assert f"there is an identity provider for {DOMAIN}" in capsys.readouterr().out

    def test_does_not_change_the_domain(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(folder, "init", "--domain", "other.test") == os.EX_CONFIG
        assert f"provider for {DOMAIN}" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "domain", ["", "example", "127.0.0.1", "https://example.test", "a_b.c"]
    )
    def test_needs_a_domain(
        self, tmp_path: Path, domain: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(tmp_path / "new", "init", "--domain", domain) == os.EX_CONFIG
        assert "--domain example.org" in capsys.readouterr().err
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("key_type", ["RS256", "ES256"])
    def test_makes_the_kind_of_key_that_is_wanted(self, tmp_path: Path, key_type: str) -> None:
        path = tmp_path / "new"
        assert run(path, "init", "--domain", DOMAIN, "--key-type", key_type) == 0
        assert ProviderFolder(path).keys.active(1 << 60).private_key.algorithm.name == key_type
        assert not (path / "tls").exists()

    def test_makes_a_key_for_short_messages_by_default(self, folder: Path) -> None:
        assert ProviderFolder(folder).keys.active(1 << 60).algorithm == "ES256"

    def test_makes_none_that_cannot_be_written_as_configured(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "provider"
        file = tmp_path / "browserid.toml"
        file.write_text('[idp]\nkey_spelling = "classic"\n')
        assert run(folder, "init", "--domain", DOMAIN, "--config", file) == os.EX_CONFIG
        assert "--key-type RS256" in capsys.readouterr().err
        assert not folder.exists()
        options = ["--domain", DOMAIN, "--config", file, "--key-type", "RS256", "--local-tls"]
        assert run(folder, "init", *options) == 0
        assert run(folder, "rotate-key", "--config", file, "--key-type", "ES256") == os.EX_CONFIG
        assert run(folder, "rotate-key", "--config", file) == 0
        assert run(folder, "rotate-key", "--key-type", "ES256") == 0
        assert run(folder, "serve", "--config", file, "--port", 0) == os.EX_CONFIG
        assert "`classic`" in capsys.readouterr().err

    def test_takes_domain_and_folder_from_the_configuration(self, tmp_path: Path) -> None:
        path = tmp_path / "configured"
        file = tmp_path / "browserid.toml"
        file.write_text(f'[idp]\ndomain = "{DOMAIN}"\ndirectory = "{path}"\n')
        assert main(["init", "--config", str(file)]) == 0
        assert ProviderFolder(path).open().domain == DOMAIN

    def test_says_that_it_has_made_another_authority(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "tls" / "authority.pem").unlink()
        capsys.readouterr()
        options = ["--domain", DOMAIN, "--local-tls"]
        assert run(folder, "init", *options) == 0
        assert "made a private TLS authority" in capsys.readouterr().out
        assert run(folder, "init", *options) == 0
        assert "made a private TLS authority" not in capsys.readouterr().out

    def test_leaves_other_folders_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "something").touch()
        assert run(tmp_path, "init", "--domain", DOMAIN) == os.EX_CONFIG
        assert "something else in it" in capsys.readouterr().err


class TestAdministrators:
    def test_come_and_go(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(folder, "administrator", "add", ALICE) == 1
        assert f"browserid-idp invite {ALICE}" in capsys.readouterr().err
        run(folder, "invite", ALICE)
        capsys.readouterr()
        assert run(folder, "administrator", "add", ALICE) == 0
        assert run(folder, "administrator", "add", ALICE) == 0
        assert run(folder, "administrator", "list") == 0
        first, again, listed = capsys.readouterr().out.splitlines()
        assert (first, again) == (
            f"{ALICE} is an administrator",
            f"{ALICE} is an administrator already",
        )
        assert listed.startswith(f"{ALICE}: since 2")
        assert run(folder, "administrator", "remove", ALICE) == 0
        assert run(folder, "administrator", "remove", ALICE) == 1
        assert events(folder)[3:] == [
            *("invitation-withdrawn", "administrator-added", "administrator-removed"),
        ]

    def test_there_are_none_where_there_are_no_passkeys(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "fallback.toml"
        file.write_text("[idp]\nfallback = true\n")
        added = run(folder, "administrator", "add", ALICE, "--config", file)
        assert added == os.EX_CONFIG
        assert "a fallback provider" in capsys.readouterr().err


class TestLooking:
    """What administrators look at."""

    def test_at_people(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("alice", "bob"):
            run(folder, "invite", f"{name}@{DOMAIN}")
        run(folder, "administrator", "add", ALICE)
        capsys.readouterr()
        assert run(folder, "people") == 0
        assert capsys.readouterr().out == (f"{ALICE}: administrator\nbob@{DOMAIN}: invited\n")
        assert run(folder, "people", "--search", "B@", "--limit", "1") == 0
        assert capsys.readouterr().out == f"bob@{DOMAIN}: invited\n"

    def test_at_invitations(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run(folder, "invite", ALICE)
        capsys.readouterr()
        assert run(folder, "invitations") == 0
        assert capsys.readouterr().out.startswith(f"{ALICE}: made 2")
        assert run(folder, "withdraw", ALICE) == 0
        assert run(folder, "withdraw", ALICE) != 0
        assert "no open invitation" in capsys.readouterr().err
        assert run(folder, "invitations") == 0
        assert capsys.readouterr().out == ""

    def test_at_keys(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run(folder, "rotate-key")
        run(folder, "rotate-key", "--after", "3600")
        capsys.readouterr()
        assert run(folder, "keys") == 0
        present, before, next_one = capsys.readouterr().out.splitlines()
        assert "ES256, signs, published until 2" in present
        assert "ES256, signs no more, published until 2" in before
        assert "ES256, signs from 2" in next_one

    def test_at_backends(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert run(folder, "backends") == 0
        assert capsys.readouterr().out == "accounts: answers\n"
        file = tmp_path / "desks.toml"
        file.write_text(
            '[idp]\nbackends = ["desks", "accounts"]\n'
            '[pam."desks"]\nservice = "browserid-there-is-none"\n'
        )
        assert run(folder, "backends", "--config", file) == 1
        desks, accounts = capsys.readouterr().out.splitlines()
        assert desks.startswith("desks: PAM: there is no file /etc/pam.d/browserid-there-is-none")
        assert accounts == "accounts: answers"


class TestUsers:
    def test_come_and_go(
        self, folder: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(folder, "add-user", "Alice@Example.test", "--password-file", password_file) == 0
        assert run(folder, "set-password", ALICE, "--password-file", password_file) == 0
        capsys.readouterr()
        assert run(folder, "list-users") == 0
        assert capsys.readouterr().out == f"{ALICE}\n"
        assert run(folder, "remove-user", ALICE) == 0
        assert run(folder, "list-users") == 0
        assert capsys.readouterr().out == f"removed {ALICE}\n"
        assert events(folder)[1:] == ["account-added", "password-changed", "account-removed"]
        assert f'"by":"uid {os.getuid()}"' in (folder / "audit.log").read_text()

    def test_are_not_added_twice(
        self, folder: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(folder, "add-user", ALICE, "--password-file", password_file)
        assert run(folder, "add-user", ALICE, "--password-file", password_file) == 1
        assert "set-password" in capsys.readouterr().err
        assert events(folder)[1:] == ["account-added"]

    @pytest.mark.parametrize("command", ["add-user", "remove-user", "set-password"])
    def test_do_not_change_when_that_cannot_be_recorded(
        self, folder: Path, password_file: Path, tmp_path: Path, command: str
    ) -> None:
        other = tmp_path / "other"
        other.write_text("another password")
        other.chmod(0o600)
        if command != "add-user":
            run(folder, "add-user", ALICE, "--password-file", password_file)
        (folder / "audit.log").unlink()
        (folder / "audit.log").mkdir(mode=0o700)
        options = [] if command == "remove-user" else ["--password-file", other]
        assert run(folder, command, ALICE, *options) == os.EX_IOERR
        accounts = ProviderFolder(folder).open().accounts
        assert [account.email for account in accounts.all()] == [ALICE] * (command != "add-user")
        assert accounts.verify(ALICE, PASSWORD, 0) == (command != "add-user")

    @pytest.mark.parametrize("command", ["remove-user", "set-password"])
    def test_have_to_be_there(
        self, folder: Path, password_file: Path, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        options = ["--password-file", password_file] if command == "set-password" else []
        assert run(folder, command, ALICE, *options) == 1
        assert f"there is no account {ALICE}" in capsys.readouterr().err

    def test_are_of_the_domain(
        self, folder: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(folder, "add-user", "alice@other.test", "--password-file", password_file) == 1
        assert f"not an address of {DOMAIN}" in capsys.readouterr().err

    def test_are_asked_for_their_password_twice(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def answer(prompt: str) -> str:
            asked.append(prompt)
            return PASSWORD

        monkeypatch.setattr("getpass.getpass", answer)
        assert run(folder, "add-user", ALICE) == 0
        assert asked == [f"Password for {ALICE}: ", f"Password for {ALICE} again: "]
        assert ProviderFolder(folder).open().accounts.verify(ALICE, PASSWORD, 0)

    def test_do_not_get_a_password_they_mistyped(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        typed = iter(["one", "two"])
        monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
        assert run(folder, "add-user", ALICE) == os.EX_NOPERM
        assert "the two passwords differ" in capsys.readouterr().err
        assert run(folder, "list-users") == 0
        assert capsys.readouterr().out == ""

    def test_leave_nothing_in_force(self, folder: Path, password_file: Path) -> None:
        add(folder, password_file)
        given = certified(folder)
        assert run(folder, "remove-user", ALICE) == 0
        assert revoked(folder) == [given]
        assert events(folder)[-2:] == ["revoked", "account-removed"]

    def test_with_a_new_password_are_signed_out_on_the_pages(
        self, folder: Path, password_file: Path
    ) -> None:
        add(folder, password_file)
        given = certified(folder)
        provider = ProviderFolder(folder).open()
        provider.sessions.begin(ALICE, "password", CLIENT, "a browser", now())
        assert run(folder, "set-password", ALICE, "--password-file", str(password_file)) == 0
        assert provider.sessions.all(ALICE, now()) == []
        assert [entry.key for entry in provider.renewals.all(ALICE, now())] == [given]

    def test_with_a_new_password_wait_no_longer(self, folder: Path, password_file: Path) -> None:
        run(folder, "add-user", ALICE, "--password-file", password_file)
        limits = ProviderFolder(folder).open().limits
        now = time.time_ns() // 1_000_000
        while not limits.begin(ALICE, "198.51.100.7", now).blocked:
            pass
        run(folder, "set-password", ALICE, "--password-file", password_file)
        assert not limits.begin(ALICE, "198.51.100.8", now).blocked


class TestRotateKey:
    def test_makes_a_new_key_and_records_it(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert run(folder, "rotate-key", "--key-type", "ES256") == 0
        name = ProviderFolder(folder).keys.active(1 << 60).name
        assert capsys.readouterr().out == f"made the signing key {name} (ES256)\n"
        assert f'"event":"key-created","key":"{name}"' in (folder / "audit.log").read_text()

    def test_can_announce_it_first(self, folder: Path) -> None:
        keys = ProviderFolder(folder).keys
        now = time.time_ns() // 1_000_000
        before = keys.active(now).name
        assert run(folder, "rotate-key", "--after", 3600) == 0
        assert keys.active(now).name == before
        assert len(keys.published(now)) == 2
        assert keys.active(now + 3_700_000).name != before

    def test_with_the_old_ones_withdrawn_ends_what_machines_have(
        self, folder: Path, password_file: Path
    ) -> None:
        add(folder, password_file)
        given = certified(folder)
        assert run(folder, "rotate-key") == 0
        assert revoked(folder) == []
        assert run(folder, "rotate-key", "--withdraw-old") == 0
        assert revoked(folder) == [given]

    def test_can_withdraw_the_old_ones(self, folder: Path) -> None:
        assert run(folder, "rotate-key", "--withdraw-old") == 0
        assert len(ProviderFolder(folder).keys.published(1 << 60)) == 1
        assert run(folder, "rotate-key", "--withdraw-old", "--after", 1) == os.EX_USAGE


class TestMachines:
    @pytest.fixture(autouse=True)
    def _alice(self, folder: Path, password_file: Path) -> None:
        add(folder, password_file)

    def test_are_shown_with_their_keys_and_times(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = certified(folder), certified(folder, renewal=False)
        capsys.readouterr()
        assert run(folder, "sessions", ALICE.upper()) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [second in lines[0], first in lines[1]] == [True, True]
        assert lines[0].startswith(f"2: laptop, {CLIENT}, key ")
        assert "does not renew" in lines[0]
        assert "renews until" in lines[1]

    def test_are_revoked_one_by_one(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        first, second = certified(folder), certified(folder)
        assert run(folder, "revoke", ALICE, "--machine", "1") == 0
        assert revoked(folder) == [first]
        last = (folder / "audit.log").read_text().splitlines()[-1]
        assert json.loads(last)["by"] == f"uid {os.getuid()}"
        [left] = ProviderFolder(folder).open().renewals.all(ALICE, now())
        assert left.key == second
        assert run(folder, "revoke", ALICE, "--machine", "1") == 1
        assert "has no machine 1" in capsys.readouterr().err

    def test_are_revoked_all_at_once_with_the_browsers(self, folder: Path) -> None:
        provider = ProviderFolder(folder).open()
        provider.sessions.begin(ALICE, "password", CLIENT, "a browser", now())
        given = [certified(folder), certified(folder)]
        assert run(folder, "revoke", ALICE, "--all") == 0
        assert revoked(folder) == given
        assert provider.sessions.all(ALICE, now()) == []

    @pytest.mark.parametrize("options", [[], ["--all", "--machine", "1"]])
    def test_are_not_revoked_by_accident(self, folder: Path, options: list[str]) -> None:
        certified(folder)
        assert run(folder, "revoke", ALICE, *options) == os.EX_USAGE
        assert revoked(folder) == []


class TestInviting:
    def invite(
        self, folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> tuple[str, str]:
        """The two parts of the link, before and after the token's name."""
        assert main(["invite", "--directory", str(folder), *arguments]) == 0
        page, _, token = capsys.readouterr().out.strip().rpartition("?token=")
        return page, token

    def test_makes_an_account_and_prints_a_link(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        page, token = self.invite(folder, capsys, "Alice@example.test")
        assert page == f"https://{DOMAIN}/browserid/invitation"
        provider = ProviderFolder(folder).open()
        now = time.time_ns() // 1_000_000
        assert provider.invitations.find(token, now) == ALICE
        assert not provider.accounts.has_password(ALICE)
        log = (folder / "audit.log").read_text()
        assert [json.loads(line)["event"] for line in log.splitlines()[-2:]] == [
            "account-added",
            "invited",
        ]
        assert token not in log

    def test_leaves_an_account_that_is_there_as_it_is(
        self, folder: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ["--directory", str(folder), "--password-file", str(password_file)]
        assert main(["add-user", *options, ALICE]) == 0
        capsys.readouterr()
        self.invite(folder, capsys, ALICE)
        assert ProviderFolder(folder).open().accounts.has_password(ALICE)

    def test_the_link_is_good_for_as_long_as_is_said(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        _, token = self.invite(folder, capsys, "--expires", "60", ALICE)
        invitations = ProviderFolder(folder).open().invitations
        now = time.time_ns() // 1_000_000
        assert invitations.find(token, now)
        assert not invitations.find(token, now + 60_000)

    def test_the_link_leads_to_where_the_public_finds_the_provider(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "browserid.toml"
        file.write_text('[idp]\npublic_url = "https://id.example.test:8443"\n')
        capsys.readouterr()
        page, _ = self.invite(folder, capsys, "--config", str(file), ALICE)
        assert page == "https://id.example.test:8443/browserid/invitation"

    def test_nobody_of_another_domain(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["invite", "--directory", str(folder), "alice@other.test"]) == 1
        assert "is not an address of" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list-users", "rotate-key", "serve"])
def test_commands_need_a_provider(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "none", command) == os.EX_CONFIG
    assert "browserid-idp init" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == os.EX_USAGE
    assert "No such command" in capsys.readouterr().err


class TestServe:
    @contextmanager
    def served(self, folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        arguments = [*COMMAND, "serve", "--directory", str(folder), "--port", "0", *options]
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line.startswith(f"serving {DOMAIN} at https://"), line
                yield process, line.split()[-1]
            finally:
                process.kill()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_says_where_and_stops_on_a_signal(self, folder: Path, number: signal.Signals) -> None:
        with self.served(folder) as (process, url):
            ca_file = str(folder / "tls" / "ca.pem")
            document = requests.get(f"{url}/.well-known/browserid", verify=ca_file, timeout=60)
            assert document.status_code == 200
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
            assert process.stdout and process.stdout.read() == ""
            assert process.stderr and process.stderr.read() == ""

    def test_a_client_that_holds_on_does_not_keep_it_from_stopping(self, folder: Path) -> None:
        context = ssl.create_default_context(cafile=folder / "tls" / "ca.pem")
        with self.served(folder) as (process, url):
            port = int(url.rpartition(":")[2])
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname=DOMAIN) as client,
            ):
                client.sendall(b"GET /.well-known/browserid HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
                process.terminate()
                assert process.wait(PATIENCE) == 0

    def test_takes_another_certificate(self, folder: Path, tmp_path: Path) -> None:
        own = folder / "tls" / "server.pem"
        given = tmp_path / "given.pem"
        given.write_bytes(own.read_bytes())
        given.chmod(0o600)
        own.unlink()
        options = ["--tls-certificate", str(given), "--tls-key", str(given)]
        with self.served(folder, *options) as (_, url):
            assert requests.get(
                f"{url}/authentication", verify=str(folder / "tls" / "ca.pem"), timeout=60
            ).ok

    def test_offers_no_connection_without_tls(self, folder: Path) -> None:
        with self.served(folder) as (_, url), pytest.raises(requests.ConnectionError):
            requests.get(url.replace("https", "http"), timeout=60)

    @pytest.mark.parametrize("missing", ["keys.json", "*.pem"])
    def test_needs_its_signing_key_which_init_makes(
        self, folder: Path, missing: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(folder, "rotate-key", "--key-type", "RS256")
        for path in (folder / "keys").glob(missing):
            path.unlink()
        capsys.readouterr()
        assert run(folder, "serve", "--port", 0) == os.EX_IOERR
        said = capsys.readouterr().err
        assert f"{folder / 'keys'}/" in said
        assert "No such file" in said
        assert "browserid-idp init" in said
        assert run(folder, "init", "--domain", DOMAIN) == 0
        made = "made the signing key" in capsys.readouterr().out
        assert made == (missing == "*.pem")
        assert (events(folder)[-2:] == ["key-created", "key-created"]) == made
        with self.served(folder) as (_, url):
            assert requests.get(
                f"{url}/.well-known/browserid",
                verify=str(folder / "tls" / "ca.pem"),
                timeout=60,
            ).ok

    def test_needs_a_certificate(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "tls" / "server.pem").unlink()
        assert run(folder, "serve", "--port", 0) == os.EX_CONFIG
        said = capsys.readouterr().err
        assert "--local-tls" in said
        assert str(folder / "tls" / "server.pem") in said

    def test_needs_one_that_fits_the_key(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init", "--directory", str(tmp_path / "two"), "--domain", DOMAIN, "--local-tls"])
        certificate, key = folder / "tls" / "server.pem", tmp_path / "two" / "tls" / "server.pem"
        options = ["--port", 0, "--tls-certificate", certificate, "--tls-key", key]
        assert run(folder, "serve", *options) == os.EX_CONFIG
        assert "belong together" in capsys.readouterr().err

    def test_takes_no_key_alone(self, folder: Path) -> None:
        assert run(folder, "serve", "--tls-key", folder / "tls" / "server.pem") == os.EX_USAGE

    def test_needs_a_key_that_is_not_encrypted(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        certificate, key = folder / "tls" / "server.pem", tmp_path / "key.pem"
        plain = load_pem_private_key(certificate.read_bytes(), None)
        key.touch(0o600)
        key.write_bytes(
            plain.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password")
            )
        )
        options = ["--port", 0, "--tls-certificate", certificate, "--tls-key", key]
        assert run(folder, "serve", *options) == os.EX_CONFIG
        assert "the key is encrypted" in capsys.readouterr().err

    @pytest.mark.parametrize("proxy", ["*", "proxy.example.org", "10.0.0.1/8"])
    def test_knows_proxies_by_their_addresses(self, folder: Path, proxy: str) -> None:
        assert run(folder, "serve", "--port", 0, "--proxy", proxy) == os.EX_USAGE

    def test_tells_one_cause_once_a_second(self, folder: Path) -> None:
        """What a stranger sends fills no log."""
        context = ssl.create_default_context(cafile=folder / "tls" / "ca.pem")
        with self.served(folder) as (process, url):
            port, started = int(url.rpartition(":")[2]), time.monotonic()
            for _ in range(50):
                with (
                    socket.create_connection(("127.0.0.1", port)) as plain,
                    context.wrap_socket(plain, server_hostname=DOMAIN) as client,
                ):
                    client.sendall(b"\x00\r\n\r\n")
                    assert client.recv(100).startswith(b"HTTP/1.1 400")
            process.terminate()
            assert process.wait(PATIENCE) == 0
            assert process.stderr
            said = process.stderr.read().splitlines()
            elapsed = time.monotonic() - started
            assert said[0] == "uvicorn.error: Invalid HTTP request received."
            assert "times within a second)" in said[1]
            assert len(said) <= elapsed + 2

    def test_needs_a_free_port(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert run(folder, "serve", "--port", port) == os.EX_CONFIG
        assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
