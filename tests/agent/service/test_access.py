"""How the agent gets certificates: quietly, by a page that is opened once, or not at all."""

from __future__ import annotations

import base64
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from browserid_sasl import store
from browserid_sasl.agent.service import access
from browserid_sasl.api import CLIENT_DATABASE, Server
from browserid_sasl.config import load
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.sasl.server import ServerMechanism
from browserid_sasl.store.memory import memory_acceptor
from tests.support import keyrings
from tests.support.agent import Answer, Line, Person, initiate
from tests.support.granting import GrantingProvider, fake_browser, granting_provider
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.provider import ALICE, DOMAIN, PASSWORD
from tests.support.sample_programs import ROOT

BOB = "bob@example.test"
MAKEFILE = ROOT / "plugin" / "Makefile"
IMPATIENT = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.agent.service import access; access.PATIENCE_S = 1.0;"
    "from browserid_sasl.cli.agent import main; sys.exit(main())",
)
"""An agent with which a program waits for a second only."""

PATIENT_WITH_KEYRING = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.agent import keyring; keyring.LIMIT_S = 60.0;"
    "from browserid_sasl.cli.agent import main; sys.exit(main())",
)
"""An agent that gives the keyring longer than a test waits for anything."""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GrantingProvider]:
    with granting_provider(tmp_path / "provider") as provider:
        yield provider


class Desktop:
    """Somebody with a display, a browser and an agent."""

    def __init__(self, folder: Path, provider: GrantingProvider, *, follows: bool) -> None:
        self.provider = provider
        command, self.notes = fake_browser(
            folder / "bin", follows=follows, ca_file=provider.ca_file
        )
        # In a container, as tests often are, `auto` would not do.
        self.client = (
            f'[client]\nidentity = "{ALICE}"\nsign_in = "browser"\nbrowser = ["{command}"]\n'
        )
        store_section = f'[store]\ndirectory = "{folder}/client"\n'
        self.person = Person(folder / "home", self.client + store_section + provider.configuration)
        self.database = folder / "client" / CLIENT_DATABASE

    @property
    def opened(self) -> list[str]:
        return self.notes.read_text().splitlines()

    def record(self) -> IdentityRecord | None:
        return store.open_initiator(self.database).identities.get(ALICE)

    def expire(self) -> None:
        """Have Alice's certificate expired."""
        identities = store.open_initiator(self.database).identities
        record = identities.get(ALICE)
        assert record is not None
        identities.put(replace(record, expires=1))

    def configure(self, text: str) -> None:
        file = self.person.config_file
        before = file.read_text()
        if text.startswith("sign_in"):
            before = before.replace('sign_in = "browser"\n', "")
        file.write_text(before.replace("[client]\n", f"[client]\n{text}\n"))


@pytest.fixture
def desktop(tmp_path: Path, provider: GrantingProvider) -> Iterator[Desktop]:
    desktop = Desktop(tmp_path / "desktop", provider, follows=True)
    yield desktop
    desktop.person.stop_agent()


@pytest.fixture
def away(tmp_path: Path, provider: GrantingProvider) -> Iterator[Desktop]:
    """Somebody who does not answer the page."""
    desktop = Desktop(tmp_path / "away", provider, follows=False)
    yield desktop
    desktop.person.stop_agent()


def first_message(person: Person, **values: str) -> Answer:
    with Line(person.socket) as line:
        line.socket.settimeout(60)
        return line.ask(initiate(1, **values))


class TestAProgramStarts:
    @pytest.mark.option("client.browser")
    def test_and_five_at_once_open_one_page_and_log_in(self, desktop: Desktop) -> None:
        with desktop.person.agent(DISPLAY=":0"), ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: first_message(desktop.person), range(5)))
        assert [answer.word for answer in answers] == ["CONT"] * 5
        assert len(desktop.opened) == 1
        assert desktop.opened[0].startswith(f"{desktop.provider.url}/authentication?")

    def test_and_the_next_login_asks_nobody(self, desktop: Desktop) -> None:
        with desktop.person.agent(DISPLAY=":0"):
            for _ in range(3):
                assert first_message(desktop.person).word == "CONT"
        assert len(desktop.opened) == 1

    @pytest.mark.parametrize("display", [":0", ":0.1"])
    def test_and_tells_the_display_that_the_agent_does_not_know(
        self, desktop: Desktop, display: str
    ) -> None:
        with desktop.person.agent():
            assert first_message(desktop.person, display=display).word == "CONT"

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"display": "evil.example:0"},
            {"display": "localhost:10.0"},
            {"wayland_display": "/tmp/evil"},
        ],
    )
    def test_and_where_no_page_can_be_seen_it_is_told_at_once(
        self, desktop: Desktop, values: dict[str, str]
    ) -> None:
        with desktop.person.agent():
            refused = first_message(desktop.person, **values)
        assert refused.values["code"] == "interact-required"
        assert f"browserid login {ALICE}" in refused.values["detail"]
        assert desktop.opened == []
        assert desktop.provider.seen == []

    def test_and_under_ssh_no_page_is_opened(self, desktop: Desktop) -> None:
        desktop.configure('sign_in = "auto"')
        with desktop.person.agent(DISPLAY=":0", SSH_CONNECTION="192.0.2.1 1 192.0.2.2 22"):
            assert first_message(desktop.person).values["code"] == "interact-required"
        assert desktop.opened == []

    @pytest.mark.option("client.sign_in")
    def test_and_whoever_wants_no_browser_gets_none(self, desktop: Desktop) -> None:
        desktop.configure('sign_in = "device"')
        with desktop.person.agent(DISPLAY=":0"):
            assert first_message(desktop.person).values["code"] == "interact-required"
        assert desktop.opened == []

    def test_and_a_provider_without_pages_is_told_like_that(
        self, desktop: Desktop, provider: GrantingProvider
    ) -> None:
        provider.ways = None
        with desktop.person.agent(DISPLAY=":0"):
            refused = first_message(desktop.person)
        assert f"browserid login {ALICE}" in refused.values["detail"]
        assert desktop.opened == []

    def test_and_offline_nobody_is_asked(self, desktop: Desktop) -> None:
        text = desktop.person.config_file.read_text()
        desktop.person.config_file.write_text(text.replace(desktop.provider.url, "https://[::1]:1"))
        with desktop.person.agent(DISPLAY=":0"):
            refused = first_message(desktop.person)
        assert refused.values["kind"] == "DiscoveryError"
        assert desktop.opened == []

    @pytest.mark.option("client.machine")
    @pytest.mark.option("client.redirect_port")
    def test_with_a_machines_name_and_a_port_of_its_own(
        self, desktop: Desktop, provider: GrantingProvider
    ) -> None:
        port = free_port()
        desktop.configure(f'machine = "the attic"\nredirect_port = {port}')
        with desktop.person.agent(DISPLAY=":0"):
            assert first_message(desktop.person).word == "CONT"
        [page] = provider.pages
        assert page["machine"] == "the attic"
        assert page["redirect_uri"] == f"http://127.0.0.1:{port}/browserid"

    @pytest.mark.option("client.identities")
    def test_as_whom_the_configuration_says_for_the_service(self, desktop: Desktop) -> None:
        desktop.configure(f'identities = {{ "imap/*.example.org" = "{BOB}" }}')
        with desktop.person.agent(DISPLAY=":0"):
            assert first_message(desktop.person, host="mail.example.org").word == "CONT"
            assert first_message(desktop.person, host="mail.example.net").word == "CONT"
            assert first_message(desktop.person, service="smtp", host="a.example.org").word
        emails = [page["email"] for page in desktop.provider.pages]
        assert emails == [BOB, ALICE]


class TestNobodyAnswers:
    def test_the_program_is_told_in_time_and_the_page_stays_and_is_one(self, away: Desktop) -> None:
        [waits] = map(int, re.findall(r"^ANSWER_MS \?= (\d+)$", MAKEFILE.read_text(), re.MULTILINE))
        assert waits - 2_000 > access.PATIENCE_S * 1000
        with away.person.agent(program=IMPATIENT, DISPLAY=":0"):
            first = first_message(away.person)
            assert "in the page that is open" in first.values["detail"]
            # In the morning somebody sits down before it.
            assert away.provider.visit(away.opened[0]).status_code == 200
            wait_until(lambda: away.record() is not None, "the certificate")
            assert first_message(away.person).word == "CONT"
        assert len(away.opened) == 1

    def test_a_command_shows_the_same_link_and_opens_no_second_page(self, away: Desktop) -> None:
        with away.person.agent(DISPLAY=":0"), ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(first_message, away.person)
            wait_until(lambda: len(away.opened) == 1, "the page")
            with Line(away.person.socket) as line:
                shown = line.ask(f"LOGIN\t7\t{ALICE}\tway=browser")
                assert shown.word == "*"
                assert shown.values["link"] == away.opened[0]
                assert "open" not in shown.values
                # For somebody else there is a link, and no second page.
                line.send(f"LOGIN\t8\t{BOB}\tway=browser")
                other = Answer(line.read())
                assert (other.word, other.number) == ("*", "8")
                assert "open" not in other.values
            away.provider.visit(away.opened[0])
            assert waiting.result(60).word == "CONT"

    def test_a_page_that_was_cancelled_is_not_opened_again_for_a_while(
        self, desktop: Desktop, provider: GrantingProvider
    ) -> None:
        provider.consent = "cancel"
        with desktop.person.agent(DISPLAY=":0"):
            assert "cancelled" in first_message(desktop.person).values["detail"]
            for _ in range(3):
                refused = first_message(desktop.person)
                assert f"browserid login {ALICE}" in refused.values["detail"]
            assert len(desktop.opened) == 1
            # Whoever asks for one gets it, and from then on it is as before.
            provider.consent = "grant"
            with Line(desktop.person.socket) as line:
                shown = line.ask(f"LOGIN\t7\t{ALICE}\tway=browser")
                assert "open" in shown.values
                provider.visit(shown.values["link"])
                assert Answer(line.read()).word == "OK"
            assert first_message(desktop.person).word == "CONT"

    def test_a_line_in_the_log_says_what_to_do(
        self, desktop: Desktop, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with desktop.person.agent():
            for _ in range(3):
                first_message(desktop.person)
        lines = [line for line in capfd.readouterr().err.splitlines() if "browserid login" in line]
        assert len(lines) == 1
        assert lines[0].startswith("browserid-agent: ")


class TestRenewal:
    @pytest.fixture
    def signed_in(self, desktop: Desktop) -> Iterator[Desktop]:
        with desktop.person.agent(DISPLAY=":0"):
            assert first_message(desktop.person).word == "CONT"
            yield desktop

    def test_an_expired_certificate_is_renewed_and_nobody_asked(self, signed_in: Desktop) -> None:
        before = signed_in.record()
        signed_in.expire()
        assert first_message(signed_in.person).word == "CONT"
        after = signed_in.record()
        assert before is not None and after is not None
        assert after.private_key_pem == before.private_key_pem
        assert after.renewal == before.renewal
        assert len(signed_in.opened) == 1

    def test_a_login_whose_ticket_fails_is_told_what_is_missing(self, signed_in: Desktop) -> None:
        """In the middle of it there is no going back to where a renewal could be waited for."""
        config = load(signed_in.person.config_file)

        def server() -> ServerMechanism:
            served = Server(config, "imap", "localhost", allow=[DOMAIN], stores=memory_acceptor())
            return served.start("BROWSERID-AES128")

        with Line(signed_in.person.socket) as line:
            for word in ("OK", "FAIL"):
                theirs = server()
                challenge = theirs.step(line.ask(initiate(1)).octets)
                answer = line.ask(f"CONT\t1\t{base64.b64encode(challenge or b'').decode()}")
                assert answer.word == word
                # Another server knows nothing of the ticket, and the certificate is over.
                signed_in.expire()
        assert answer.values["code"] == "interact-required"
        assert "has expired" in answer.values["detail"]
        assert first_message(signed_in.person).word == "CONT"
        assert len(signed_in.opened) == 1

    def test_a_provider_that_is_down_costs_nothing_but_the_login(
        self, signed_in: Desktop, provider: GrantingProvider
    ) -> None:
        signed_in.expire()
        provider.down = True
        refused = first_message(signed_in.person)
        assert refused.word == "FAIL"
        assert "browserid login" not in refused.values["detail"]
        provider.down = False
        assert first_message(signed_in.person).word == "CONT"
        assert len(signed_in.opened) == 1

    def test_a_provider_that_hangs_holds_up_nobody_else(
        self, signed_in: Desktop, provider: GrantingProvider
    ) -> None:
        with Line(signed_in.person.socket) as line:
            assert line.ask(f"LOGIN\t1\t{BOB}\tpassword={PASSWORD}").word == "OK"
        signed_in.expire()
        provider.delay = 6.0
        with Line(signed_in.person.socket) as line:
            line.send(initiate(1))
            line.send(initiate(2, authname=BOB))
            first = Answer(line.read())
            assert (first.word, first.number) == ("CONT", "2")
            second = Answer(line.read())
            assert (second.word, second.number) == ("CONT", "1")

    def test_a_keyring_that_hangs_holds_up_nobody_else(
        self, desktop: Desktop, tmp_path: Path
    ) -> None:
        desktop.configure('keys = "keyring"')
        working, hanging = (keyrings.variables(tmp_path, name) for name in ("Working", "Hanging"))
        person = desktop.person
        with person.agent(program=PATIENT_WITH_KEYRING, **working), Line(person.socket) as line:
            assert line.ask(f"LOGIN\t1\t{ALICE}\tpassword={PASSWORD}").word == "OK"
            assert line.ask(initiate(2)).word == "CONT"
        # Its keys are there, and in no file.
        record = desktop.record()
        assert record is not None
        assert record.private_key_pem == b""
        with (
            person.agent(program=PATIENT_WITH_KEYRING, **hanging),
            Line(person.socket) as waiting,
            Line(person.socket) as other,
        ):
            waiting.send(initiate(1))
            assert other.ask("LIST\t1").values["identity"] == ALICE
            assert select.select([waiting.socket], [], [], 0)[0] == []
        with person.agent(program=PATIENT_WITH_KEYRING, **working):
            assert first_message(person).word == "CONT"
        assert desktop.opened == []

    def test_what_is_revoked_is_asked_for_again(
        self, signed_in: Desktop, provider: GrantingProvider
    ) -> None:
        provider.renewals.clear()
        signed_in.expire()
        assert first_message(signed_in.person).word == "CONT"
        assert len(signed_in.opened) == 2

    def test_signing_out_ends_it_at_the_provider(
        self, signed_in: Desktop, provider: GrantingProvider
    ) -> None:
        with Line(signed_in.person.socket) as line:
            assert line.ask("LIST\t1").values["renewal_expires"] != "0"
            line.read()
            assert line.ask(f"LOGOUT\t2\t{ALICE}").values == {"identity": ALICE, "told": ""}
        assert provider.renewals == {}
        assert signed_in.record() is None

    def test_signing_out_works_without_the_provider_and_says_so(
        self, signed_in: Desktop, provider: GrantingProvider
    ) -> None:
        provider.down = True
        with Line(signed_in.person.socket) as line:
            told = line.ask(f"LOGOUT\t2\t{ALICE}").values["told"]
        assert "could not be told to end the renewal" in told
        assert signed_in.record() is None


class TestCommands:
    def login(self, desktop: Desktop, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())"
        return subprocess.run(
            (sys.executable, "-c", code, "login", *arguments),
            env=desktop.person.variables | {"DISPLAY": ":0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_a_browser_and_a_device(self, desktop: Desktop) -> None:
        with desktop.person.agent():
            by_browser = self.login(desktop)
            assert by_browser.stdout.startswith(f"signed in as {ALICE} until 2"), by_browser.stderr
            assert desktop.opened[0] in by_browser.stderr
            by_device = self.login(desktop, "--device", BOB)
            assert by_device.stdout.startswith(f"signed in as {BOB} until 2")
            assert "BCDF-GHJK" in by_device.stderr
            assert first_message(desktop.person).word == "CONT"
        assert len(desktop.opened) == 1

    def test_refusals(self, desktop: Desktop, provider: GrantingProvider) -> None:
        provider.consent, provider.approved = "cancel", "denied"
        with desktop.person.agent():
            for option, said in (("--browser", "cancelled"), ("--device", "refused on the other")):
                done = self.login(desktop, option, ALICE)
                assert done.returncode == os.EX_NOPERM
                assert said in done.stderr

    def test_by_an_agent_that_is_away(self, desktop: Desktop, provider: GrantingProvider) -> None:
        provider.consent = "wait"
        with desktop.person.agent(), ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.login, desktop, ALICE)
            wait_until(lambda: len(desktop.opened) == 1, "the page")
            desktop.person.kill_agent()
            assert "the connection ended" in waiting.result().stderr


class TestLines:
    def test_ways(self, desktop: Desktop, provider: GrantingProvider) -> None:
        with desktop.person.agent(), Line(desktop.person.socket) as line:
            said = line.ask("WAYS\t1\t").values
            assert said == {
                "identity": ALICE,
                "ways": "browser,device,password",
                "prefer": "browser",
            }
            provider.ways = None
            assert line.ask(f"WAYS\t2\t{BOB}").values["ways"] == "password"

    def test_device(self, desktop: Desktop) -> None:
        with desktop.person.agent(), Line(desktop.person.socket) as line:
            shown = line.ask(f"LOGIN\t1\t{ALICE}\tway=device").values
            assert shown["code"] == "BCDF-GHJK"
            assert shown["entry"].endswith("/device")
            assert shown["link"].endswith("/device?user_code=BCDF-GHJK")
            done = Answer(line.read())
            assert (done.word, done.values["identity"]) == ("OK", ALICE)

    def test_paste(self, away: Desktop, provider: GrantingProvider) -> None:
        with away.person.agent(), Line(away.person.socket) as line:
            assert (
                line.ask(f"PASTE\t1\thttp://x/\tidentity={ALICE}")
                .values["detail"]
                .startswith("that is not the address")
            )
            shown = line.ask(f"LOGIN\t2\t{ALICE}\tway=browser").values
            response = requests.get(
                shown["link"], verify=str(provider.ca_file), allow_redirects=False, timeout=30
            )
            address = response.headers["Location"]
            wrong = line.ask(f"PASTE\t3\t{address.replace('state=', 'state=x')}\tidentity={ALICE}")
            assert wrong.word == "FAIL"
            line.send(f"PASTE\t4\t{address}\tidentity={ALICE}")
            answers = {Answer(line.read()).number for _ in range(2)}
            assert answers == {"2", "4"}

    def test_who_goes_away_cancels(self, away: Desktop) -> None:
        with away.person.agent():
            with Line(away.person.socket) as line:
                link = line.ask(f"LOGIN\t2\t{ALICE}\tway=browser").values["link"]
            with Line(away.person.socket) as line:
                wait_until(
                    lambda: (
                        line.ask(f"PASTE\t1\t{link}\tidentity={ALICE}")
                        .values["reason"]
                        .endswith("no sign-in in a browser is under way")
                    ),
                    "the end of the sign-in",
                )

    def test_a_number_that_waits_is_in_use(self, away: Desktop) -> None:
        with away.person.agent(), Line(away.person.socket) as line:
            assert line.ask(f"LOGIN\t2\t{ALICE}\tway=browser").word == "*"
            assert line.ask("LIST\t2").values["code"] == "invalid-usage"
            line.send("CANCEL\t2")
            assert line.ask("LIST\t3").word == "OK"

    def test_the_agent_stays_while_a_page_is_open(self, away: Desktop) -> None:
        with away.person.agent("--idle", "1", DISPLAY=":0") as process:
            with Line(away.person.socket) as line:
                line.send(initiate(1))
                wait_until(lambda: len(away.opened) == 1, "the page")
            time.sleep(2)
            assert process.poll() is None
            away.provider.visit(away.opened[0])
            assert process.wait(PATIENCE) == 0
