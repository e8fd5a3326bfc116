"""`browserid login` as a person sees it: what is shown, what is opened, what is typed."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.cli.browserid import main
from tests.support.granting import GrantingProvider, fake_browser, granting_provider
from tests.support.patience import PATIENCE, wait_until
from tests.support.provider import ALICE, PASSWORD
from tests.support.sample_programs import ROOT

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())",
)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GrantingProvider]:
    with granting_provider(tmp_path / "provider") as provider:
        yield provider


class Person:
    """Somebody at a machine of theirs, whose configuration is named: no agent takes part."""

    def __init__(self, folder: Path, provider: GrantingProvider, *, follows: bool = True) -> None:
        self.folder = folder
        self.provider = provider
        command, self.notes = fake_browser(
            folder / "bin", follows=follows, ca_file=provider.ca_file
        )
        self.config_file = folder / "browserid.toml"
        self.config_file.write_text(
            f'[client]\nbrowser = ["{command}"]\n'
            f'[store]\ndirectory = "{folder}/client"\n{provider.configuration}'
        )

    def environment(self, **variables: str) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "BROWSERID_CONFIG": str(self.config_file),
        } | variables

    def login(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Without a terminal."""
        return subprocess.run(
            (*COMMAND, "login", *arguments),
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def opened(self) -> list[str]:
        return self.notes.read_text().splitlines()

    def signed_in(self) -> list[str]:
        identities = store.open_initiator(self.folder / "client" / CLIENT_DATABASE).identities
        return [record.identity for record in identities.all()]


class Terminal:
    """A terminal with a command at it."""

    def __init__(self, person: Person, *arguments: str, **variables: str) -> None:
        self.master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            (*COMMAND, *arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=person.environment(**variables),
        )
        os.close(slave)

    def read_until(self, text: str, times: int = 1) -> str:
        """Everything that was shown, once there is `text` in it, so many times."""
        while self.shown.count(text) < times:
            try:
                octets = os.read(self.master, 4096)
            except OSError:  # how Linux tells that nobody has the other end open any more
                octets = b""
            assert octets, self.shown
            self.shown += octets.decode(errors="replace")
        return self.shown

    def type(self, text: str) -> None:
        os.write(self.master, f"{text}\n".encode())

    def end(self) -> int:
        try:
            while octets := os.read(self.master, 4096):
                self.shown += octets.decode(errors="replace")
        except OSError:
            pass
        status = self.process.wait(PATIENCE)
        os.close(self.master)
        return status


@pytest.fixture
def person(tmp_path: Path, provider: GrantingProvider) -> Person:
    return Person(tmp_path / "person", provider)


class TestBrowser:
    def test_the_link_is_shown_opened_and_leads_back(self, person: Person) -> None:
        done = person.login("--browser", ALICE, DISPLAY=":0")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"signed in as {ALICE} until 2")
        [opened] = person.opened
        assert opened in done.stderr
        assert person.signed_in() == [ALICE]

    def test_without_a_display_the_link_is_shown_and_nothing_opened(
        self, person: Person, provider: GrantingProvider
    ) -> None:
        terminal = Terminal(person, "login", "--browser", ALICE)
        shown = terminal.read_until("Waiting for")
        link = re.search(r"https://\S+", shown)
        assert link is not None
        assert "paste the address" in shown
        # Elsewhere, where the way back does not lead here.
        answer = requests.get(
            link[0], verify=str(provider.ca_file), allow_redirects=False, timeout=PATIENCE
        )
        terminal.type("https://example.org/")
        terminal.read_until("is not the address")
        terminal.type(answer.headers["Location"])
        terminal.read_until("signed in as")
        assert terminal.end() == 0
        assert person.opened == []

    def test_one_that_opens_and_cannot_come_back_leaves_the_address_to_paste(
        self, tmp_path: Path, provider: GrantingProvider
    ) -> None:
        """Another machine's, or one that may not talk to this one."""
        person = Person(tmp_path / "away", provider, follows=False)
        terminal = Terminal(person, "login", "--browser", ALICE, DISPLAY=":0")
        terminal.read_until("paste the address")
        terminal.read_until("Waiting for")
        [link] = person.opened
        answer = requests.get(
            link, verify=str(provider.ca_file), allow_redirects=False, timeout=PATIENCE
        )
        terminal.type(answer.headers["Location"])
        terminal.read_until("signed in as")
        assert terminal.end() == 0

    def test_one_that_is_configured_and_not_there_is_named(self, person: Person) -> None:
        text = person.config_file.read_text()
        configured = re.sub("browser = .*", 'browser = ["no-such-browser", "-x"]', text)
        person.config_file.write_text(configured)
        terminal = Terminal(person, "login", "--browser", ALICE, DISPLAY=":0")
        shown = terminal.read_until("Waiting for")
        assert "There is no browser 'no-such-browser'" in shown
        terminal.process.terminate()
        terminal.end()

    def test_a_port_that_others_have_leaves_the_address_to_paste(
        self, person: Person, provider: GrantingProvider
    ) -> None:
        provider.consent = "wait"
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            socket.create_server(("::1", taken.getsockname()[1]), family=socket.AF_INET6),
        ):
            port = taken.getsockname()[1]
            text = person.config_file.read_text()
            configured = text.replace("[client]", f"[client]\nredirect_port = {port}")
            person.config_file.write_text(configured)
            terminal = Terminal(person, "login", "--browser", ALICE, DISPLAY=":0")
            terminal.read_until("paste the address")
            terminal.read_until("Waiting for")
        assert len(person.opened) == 1  # the page is of use all the same
        [page] = provider.pages
        provider.consent = "grant"
        address = provider.authenticate(page)
        assert address is not None and address.startswith(f"http://127.0.0.1:{port}/")
        terminal.type(address)
        terminal.read_until("signed in as")
        assert terminal.end() == 0

    def test_it_is_printed_before_a_browser_is_tried(
        self, tmp_path: Path, provider: GrantingProvider
    ) -> None:
        person = Person(tmp_path / "person", provider)
        order = tmp_path / "order"
        text = person.config_file.read_text()
        command = tmp_path / "slow"
        gate = tmp_path / "gate"
        command.write_text(
            f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.1; done\necho opened > {order}\n"
        )
        command.chmod(0o755)
        person.config_file.write_text(re.sub("browser = .*", f'browser = ["{command}"]', text))
        terminal = Terminal(person, "login", "--browser", ALICE, DISPLAY=":0")
        terminal.read_until("To sign in as")
        terminal.read_until(f"{provider.url}/authentication?")
        assert not order.exists()
        gate.touch()
        wait_until(order.exists, "the browser")
        terminal.process.send_signal(signal.SIGINT)
        terminal.end()

    @pytest.mark.parametrize("consent", ["cancel", "wait"])
    def test_cancelled(self, person: Person, provider: GrantingProvider, consent: str) -> None:
        provider.consent = consent
        terminal = Terminal(person, "login", "--browser", ALICE, DISPLAY=":0")
        terminal.read_until("Waiting for")
        if consent == "wait":
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 130
        else:
            assert terminal.end() == os.EX_NOPERM
            assert "cancelled in the browser" in terminal.shown
        assert "Traceback" not in terminal.shown

    def test_somebody_else(self, person: Person, provider: GrantingProvider) -> None:
        provider.identity = "bob@example.test"
        done = person.login("--browser", ALICE, DISPLAY=":0")
        assert done.returncode == os.EX_NOPERM
        assert f"bob@example.test, and {ALICE} was asked for" in done.stderr

    def test_the_provider_is_down(self, person: Person, provider: GrantingProvider) -> None:
        provider.consent = "wait"
        text = person.config_file.read_text()
        person.config_file.write_text(text.replace(provider.url, "https://127.0.0.1:1"))
        done = person.login("--browser", ALICE, DISPLAY=":0")
        assert done.returncode == os.EX_UNAVAILABLE
        assert person.opened == []


class TestDevice:
    @pytest.mark.parametrize(
        "variables", [{}, {"DISPLAY": ":0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}]
    )
    def test_without_a_display_and_under_ssh(
        self, person: Person, variables: dict[str, str]
    ) -> None:
        done = person.login(ALICE, **variables)
        assert done.returncode == 0, done.stderr
        assert "The code is  BCDF-GHJK" in done.stderr
        assert "/device?user_code=BCDF-GHJK" in done.stderr
        assert person.opened == []
        assert person.signed_in() == [ALICE]

    def test_a_terminal_shows_a_qr_code(self, person: Person) -> None:
        terminal = Terminal(person, "login", "--device", ALICE)
        assert terminal.end() == 0
        assert "\u2580" in terminal.shown or "\u2588" in terminal.shown

    def test_denied(self, person: Person, provider: GrantingProvider) -> None:
        provider.approved = "denied"
        done = person.login("--device", ALICE)
        assert done.returncode == os.EX_NOPERM
        assert "refused on the other device" in done.stderr

    def test_a_provider_without_it_says_what_there_is(
        self, person: Person, provider: GrantingProvider
    ) -> None:
        provider.ways = ("password", "code")
        done = person.login("--device", ALICE)
        assert done.returncode == os.EX_NOPERM
        assert "use --browser or --password-file" in done.stderr


class TestPassword:
    def test_a_provider_that_has_nothing_else(
        self, person: Person, provider: GrantingProvider
    ) -> None:
        provider.ways = None
        terminal = Terminal(person, "login", ALICE, DISPLAY=":0")
        terminal.read_until("Password for")
        terminal.type(PASSWORD)
        terminal.read_until("signed in as")
        assert terminal.end() == 0

    def test_two_wrong_ones_do_not_end_it(self, person: Person, provider: GrantingProvider) -> None:
        provider.ways = None
        terminal = Terminal(person, "login", ALICE)
        for count in (1, 2, 3):
            terminal.read_until(f"Password for {ALICE}: ", times=count)
            terminal.type("wrong" if count < 3 else PASSWORD)
        terminal.read_until("signed in as")
        assert terminal.end() == 0
        assert terminal.shown.count("refused the sign-in") == 2

    def test_a_third_wrong_one_does(self, person: Person, provider: GrantingProvider) -> None:
        provider.ways = None
        password = person.folder / "password"
        password.write_text("wrong")
        password.chmod(0o600)
        done = person.login("--password-file", str(password), ALICE)
        assert done.returncode == os.EX_NOPERM
        assert done.stderr.count("refused the sign-in") == 1  # nobody is there to try again

    def test_a_script_needs_no_display(self, person: Person) -> None:
        password = person.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        assert person.login("--password-file", str(password), ALICE).returncode == 0
        # Nor the address, once it is known.
        again = person.login("--password-file", str(password))
        assert again.stdout.startswith(f"signed in as {ALICE}")


class TestWithoutAnAddress:
    def test_who_is_configured(self, person: Person) -> None:
        text = person.config_file.read_text()
        person.config_file.write_text(text.replace("[client]", f'[client]\nidentity = "{ALICE}"'))
        assert person.login("--device").returncode == 0
        assert person.signed_in() == [ALICE]

    def test_who_is_the_only_one(self, person: Person) -> None:
        assert person.login("--device", ALICE).returncode == 0
        assert person.login("--device").stdout.startswith(f"signed in as {ALICE}")

    def test_nobody_and_one_of_two(self, person: Person) -> None:
        nobody = person.login("--device")
        assert nobody.returncode == os.EX_NOPERM
        assert "nobody is signed in" in nobody.stderr
        for identity in (ALICE, "bob@example.test"):
            assert person.login("--device", identity).returncode == 0
        two = person.login("--device")
        assert "more than one identity is signed in" in two.stderr


class TestAfterwards:
    def test_the_list_says_until_when_and_signing_out_ends_it(
        self,
        person: Person,
        provider: GrantingProvider,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert person.login("--device", ALICE).returncode == 0
        monkeypatch.setenv("BROWSERID_CONFIG", str(person.config_file))
        assert main(["list"]) == 0
        heading, row = capsys.readouterr().out.splitlines()
        assert "renewed until" in heading
        assert row.rstrip().endswith("good")
        assert main(["logout", ALICE]) == 0
        assert capsys.readouterr().err == ""
        assert provider.renewals == {}

    def test_a_provider_that_is_away_is_told_of(
        self,
        person: Person,
        provider: GrantingProvider,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert person.login("--device", ALICE).returncode == 0
        provider.down = True
        monkeypatch.setenv("BROWSERID_CONFIG", str(person.config_file))
        assert main(["logout", ALICE]) == 0
        said = capsys.readouterr()
        assert "could not be told to end the renewal" in said.err
        assert f"signed out {ALICE}" in said.out
        assert person.signed_in() == []
