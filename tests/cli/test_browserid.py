"""`browserid` as a person uses it, with a provider that really runs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.cli.browserid import main
from browserid_sasl.gss.tickets import InitiatorTicket
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.store.base import system_clock
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

BOB = f"bob@{DOMAIN}"
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("browserid") / "provider") as provider:
        provider.provider.accounts.add(BOB, PASSWORD, 0)
        yield provider


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def configuration(
    running: RunningProvider, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A configuration file that leads to the provider."""
    path = tmp_path / "browserid.toml"
    path.write_text(
        f'[store]\ndirectory = "{data}"\n'
        f'[authorities."{DOMAIN}"]\nurl = "{running.url}"\nca_file = "{running.ca_file}"\n'
    )
    monkeypatch.setenv("BROWSERID_CONFIG", str(path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return path


@pytest.fixture
def by_password(configuration: Path) -> None:
    """Somebody who signs in with a password wherever they are."""
    with configuration.open("a") as file:
        file.write('[client]\nsign_in = "password"\n')


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return path


def login(password_file: Path, address: str = ALICE) -> int:
    return main(["login", "--password-file", str(password_file), "--key-type", "ES256", address])


class TestLogin:
    def test_signs_in(
        self, password_file: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert login(password_file) == 0
        assert capsys.readouterr().out.startswith(f"signed in as {ALICE} until 2")
        identities = store.open_initiator(data / CLIENT_DATABASE).identities
        source = AgentCredentialSource(identities, "", system_clock)
        assert source.identity == ALICE
        backed = BackedAssertion.parse(source.assertion(b"{}").encode())
        assert len(backed.certificates) == 1

    def test_the_key_is_for_nobody_else_to_read(self, password_file: Path, data: Path) -> None:
        login(password_file)
        assert data.stat().st_mode & 0o077 == 0
        for path in data.iterdir():
            assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("damage", ["the file", "a row"])
    def test_begins_a_new_store_in_place_of_a_damaged_one(
        self, password_file: Path, data: Path, capsys: pytest.CaptureFixture[str], damage: str
    ) -> None:
        login(password_file, BOB)
        login(password_file)
        file = data / CLIENT_DATABASE
        octets = file.read_bytes()
        if damage == "the file":
            file.write_bytes(octets[:3000])
        else:
            file.write_bytes(octets.replace(b"alice@", b"clice@"))
        damaged = file.read_bytes()
        assert main(["list"]) == os.EX_IOERR
        assert "is damaged" in (told := capsys.readouterr().err)
        assert "browserid login" in told
        assert login(password_file) == 0
        told = capsys.readouterr().err
        assert f"is kept as {file}-2" in told
        assert "whoever else was signed in has to sign in again" in told
        (kept,) = data.glob(f"{file.name}-2*Z")
        assert kept.read_bytes() == damaged
        assert [record.identity for record in store.open_initiator(file).identities.all()] == [
            ALICE
        ]

    def test_takes_the_password_from_a_descriptor(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, f"{PASSWORD}\n".encode())
        os.close(writing)
        assert main(["login", "--password-fd", str(reading), ALICE]) == 0

    def test_takes_the_configuration_that_is_named(
        self,
        configuration: Path,
        password_file: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("BROWSERID_CONFIG", str(tmp_path / "none.toml"))
        arguments = ["login", "--config", str(configuration), "--password-file"]
        assert main([*arguments, str(password_file), ALICE]) == 0

    def test_says_what_the_provider_said(
        self, password_file: Path, capsys: pytest.CaptureFixture[str], data: Path
    ) -> None:
        password_file.write_text("wrong")
        assert login(password_file) == os.EX_NOPERM
        error = capsys.readouterr().err
        assert error.startswith(f"browserid: {DOMAIN} refused the sign-in")
        assert "there is no account with this address and password" in error
        assert main(["list"]) == 0
        assert capsys.readouterr().err == "nobody is signed in\n"

    def test_says_when_there_is_no_provider(
        self, configuration: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = configuration.read_text().replace("https://127.0.0.1:", "https://127.0.0.1:1#")
        configuration.write_text(text.partition("#")[0] + '"\n')
        assert login(password_file) == os.EX_UNAVAILABLE
        assert "no connection to 127.0.0.1 port 1" in capsys.readouterr().err

    @pytest.mark.parametrize("address", ["alice", "alice@", "@example.test"])
    def test_needs_an_address(
        self, password_file: Path, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert login(password_file, address) == os.EX_USAGE
        assert "you@example.org" in capsys.readouterr().err

    def test_needs_a_store_that_lasts(
        self, configuration: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = configuration.read_text()
        configuration.write_text(text.replace("[store]", '[store]\nbackend = "memory"'))
        assert login(password_file) == os.EX_CONFIG
        assert f"{configuration}:2: " in capsys.readouterr().err

    def test_a_wrong_configuration_is_told_with_its_line(
        self, configuration: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configuration.write_text("[store]\ncolour = 1\n")
        assert login(password_file) == os.EX_CONFIG
        assert f"{configuration}:2: " in capsys.readouterr().err

    def test_a_wrong_command_line_is_a_usage_error(self, password_file: Path) -> None:
        options = ["--password-file", str(password_file), "--password-fd", "0"]
        assert main(["login", *options, ALICE]) == os.EX_USAGE
        assert main(["login", "--browser", "--device", ALICE]) == os.EX_USAGE
        assert main(["login", "--device", *options[:2], ALICE]) == os.EX_USAGE
        assert main(["logout"]) == os.EX_USAGE

    def test_asks_at_the_terminal_without_echo(self, by_password: None) -> None:
        master, slave = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, "login", "--key-type", "ES256", ALICE],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        ) as process:
            os.close(slave)
            shown = b""
            while b"Password for" not in shown or not shown.endswith(b": "):
                shown += os.read(master, 1024)
            os.write(master, f"{PASSWORD}\n".encode())
            while b"signed in as" not in shown:
                shown += os.read(master, 1024)
            assert process.wait(10) == 0
        os.close(master)
        assert PASSWORD.encode() not in shown

    def test_does_not_ask_where_there_is_no_terminal(self, by_password: None) -> None:
        done = subprocess.run(
            [*COMMAND, "login", ALICE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == os.EX_NOPERM
        assert "--password-file or --password-fd" in done.stderr
        assert "Traceback" not in done.stderr


class TestList:
    def test_shows_who_is_signed_in(
        self, password_file: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        login(password_file)
        login(password_file, BOB)
        identities = store.open_initiator(data / CLIENT_DATABASE).identities
        identities.put(IdentityRecord("old@example.org", b"pem", "certificate", 1_000))
        capsys.readouterr()
        assert main(["list"]) == 0
        _, alice, bob, old = capsys.readouterr().out.splitlines()
        assert alice.startswith(ALICE) and alice.rstrip().endswith("good")
        assert bob.startswith(BOB)
        assert old.startswith("old@example.org") and old.rstrip().endswith("expired")

    def test_a_narrow_terminal_cuts_nothing_off(
        self,
        password_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        login(password_file)
        capsys.readouterr()
        monkeypatch.setenv("COLUMNS", "20")
        assert main(["list"]) == 0
        assert ALICE in capsys.readouterr().out


class TestLogout:
    def test_forgets_key_and_tickets(
        self, password_file: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        login(password_file)
        stores = store.open_initiator(data / CLIENT_DATABASE)
        now = system_clock()
        for identity, tid in ((ALICE, "A" * 43), (BOB, "B" * 42 + "A")):
            stores.tickets.put(
                InitiatorTicket(
                    identity=identity,
                    audience="imap/mail.example.org",
                    curve="P-256",
                    issuer=DOMAIN,
                    tid=tid,
                    ark=b"k" * 32,
                    issued_at=now,
                    expires=now + 60_000,
                )
            )
        assert main(["logout", ALICE.upper()]) == 0
        assert capsys.readouterr().out.endswith(f"signed out {ALICE}\n")
        assert stores.identities.get(ALICE) is None
        assert [ticket.identity for ticket in stores.tickets.all(now)] == [BOB]

    def test_of_two_that_differ_in_case_only_the_one_is_forgotten(
        self, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        identities = store.open_initiator(data / CLIENT_DATABASE).identities
        for identity in (ALICE, ALICE.capitalize()):
            identities.put(IdentityRecord(identity, b"pem", "certificate", 1_000))
        assert main(["logout", ALICE.upper()]) == os.EX_NOPERM
        assert f"may be {ALICE.capitalize()} or {ALICE}" in capsys.readouterr().err
        assert main(["logout", ALICE]) == 0
        assert [record.identity for record in identities.all()] == [ALICE.capitalize()]

    def test_who_is_not_signed_in_cannot_sign_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["logout", ALICE]) == os.EX_NOPERM
        assert "browserid list" in capsys.readouterr().err
