"""Files for mail programs, as the programs themselves read them: odd names come out as they are.

Each program is run, against a server of the test's that speaks no more than it takes to see who
logs in, and with a command `browserid` that prints a password for the right name only.
"""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.proxy.accounts import Account, Kind, Security, Service
from browserid_sasl.proxy.programs import FORMATS, Settings
from tests.support.logins import SECRET, Desk, LoginServer, serving

NAMES = [
    pytest.param("alice@example.org", id="plain"),
    pytest.param("o'brien@example.org", id="apostrophe"),
    pytest.param('a"b@example.org', id="quote"),
    pytest.param("a\\b@example.org", id="backslash"),
    pytest.param("Alice at work", id="spaces"),
    pytest.param("a%(b)s%c@example.org", id="percent"),
    pytest.param("a$HOME`id`;#@example.org", id="shell"),
    pytest.param("jos\u00e9@example.org", id="accent"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def imap() -> Iterator[LoginServer]:
    yield from serving(Kind.IMAP)


@pytest.fixture
def pop() -> Iterator[LoginServer]:
    yield from serving(Kind.POP)


@pytest.fixture
def smtp() -> Iterator[LoginServer]:
    yield from serving(Kind.SUBMISSION)


def settings_of(name: str, **ports: int) -> Settings:
    services = tuple(
        Service(Kind(kind), "mail.example.org", 1, Security.TLS, port)
        for kind, port in ports.items()
    )
    return Settings(Account(name, "alice@example.org", "", services), lambda: SECRET)


def fetchmail(desk: Desk, file: Path) -> str:
    """Have it look for mail; one that runs at the same time is no business of its."""
    own = ("--pidfile", str(desk.home / "fetchmail.pid"))
    return desk.run("fetchmail", "-f", str(file), *own, "--check")


@pytest.mark.parametrize("name", NAMES)
class TestPrograms:
    def test_mbsync(self, name: str, desk: Desk, imap: LoginServer) -> None:
        desk.knows(name)
        settings = settings_of(name, imap=imap.port)
        (desk.home / "Mail" / settings.label).mkdir()
        file = desk.write("rc", FORMATS["isync"](settings))
        said = desk.run("mbsync", "-c", str(file), "-a")
        assert imap.logins[:1] == [(name, SECRET)], said

    def test_mutt(self, name: str, desk: Desk, imap: LoginServer) -> None:
        desk.knows(name)
        settings = settings_of(name, imap=imap.port, submission=1)
        if "`" in name:
            refuses("mutt", settings)
            return
        file = desk.write("rc", FORMATS["mutt"](settings))
        queried = desk.run("mutt", "-n", "-F", str(file), "-Q", "imap_user", "-Q", "imap_pass")
        assert queried.splitlines() == [
            f'imap_user="{_shown_by_mutt(name)}"',
            f'imap_pass="{SECRET}"',
        ]

    def test_getmail(self, name: str, desk: Desk, imap: LoginServer) -> None:
        desk.knows(name)
        settings = settings_of(name, imap=imap.port)
        if not name.isascii() or set(name) & set(' "\\%('):
            refuses("getmail", settings)
            return
        for part in ("cur", "new", "tmp"):
            (desk.home / "Mail" / settings.label / part).mkdir(parents=True)
        file = desk.write("rc", FORMATS["getmail"](settings))
        said = desk.run("getmail", f"--rcfile={file}", f"--getmaildir={desk.home}")
        assert imap.logins[:1] == [(name, SECRET)], said

    def test_offlineimap(self, name: str, desk: Desk, imap: LoginServer) -> None:
        desk.knows(name)
        file = desk.write("rc", FORMATS["offlineimap"](settings_of(name, imap=imap.port)))
        said = desk.run("offlineimap", "-c", str(file), "-o", "-u", "basic")
        assert imap.logins[:1] == [(name, SECRET)], said

    def test_fetchmail(self, name: str, desk: Desk, imap: LoginServer) -> None:
        file = desk.write("rc", FORMATS["fetchmail"](settings_of(name, imap=imap.port)))
        said = fetchmail(desk, file)
        assert imap.logins[:1] == [(name, SECRET)], said

    def test_fetchmail_by_pop(self, name: str, desk: Desk, pop: LoginServer) -> None:
        file = desk.write("rc", FORMATS["fetchmail"](settings_of(name, pop=pop.port)))
        said = fetchmail(desk, file)
        assert pop.logins[:1] == [(name, SECRET)], said

    def test_mpop(self, name: str, desk: Desk, pop: LoginServer) -> None:
        desk.knows(name)
        file = desk.write("rc", FORMATS["mpop"](settings_of(name, pop=pop.port)))
        said = desk.run("mpop", f"--file={file}")
        assert pop.logins[:1] == [(name, SECRET)], said

    def test_msmtp(self, name: str, desk: Desk, smtp: LoginServer) -> None:
        desk.knows(name)
        file = desk.write("rc", FORMATS["msmtp"](settings_of(name, submission=smtp.port)))
        said = desk.run("msmtp", f"--file={file}", "bob@example.org")
        assert smtp.logins[:1] == [(name, SECRET)], said

    def test_curl(self, name: str, desk: Desk, imap: LoginServer) -> None:
        file = desk.write("rc", FORMATS["curl"](settings_of(name, imap=imap.port)))
        said = desk.run("curl", "--silent", "--show-error", "--config", str(file))
        assert imap.logins[:1] == [(name, SECRET)], said

    def test_apple_mail(self, name: str) -> None:
        """By the parser of the format: the program itself is not to be had here."""
        octets = FORMATS["apple"](settings_of(name, imap=14301, submission=14302))
        [payload] = plistlib.loads(octets)["PayloadContent"]
        assert payload["IncomingMailServerUsername"] == name
        assert payload["OutgoingMailServerUsername"] == name
        assert payload["IncomingMailServerPortNumber"] == 14301
        assert payload["OutgoingMailServerPortNumber"] == 14302
        assert payload["EmailAddress"] == "alice@example.org"
        assert "IncomingPassword" not in payload


def _shown_by_mutt(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@pytest.mark.parametrize("program", sorted(FORMATS))
def test_a_password_is_only_where_the_program_cannot_ask(program: str) -> None:
    settings = settings_of("alice@example.org", imap=1, pop=2, submission=3)
    has_it = SECRET.encode() in FORMATS[program](settings)
    assert has_it is (program in ("curl", "fetchmail"))


@pytest.mark.parametrize("program", sorted(set(FORMATS) - {"fetchmail"}))
def test_what_a_program_needs_and_the_account_has_not_is_told(program: str) -> None:
    with pytest.raises(BrowserIDError) as caught:
        FORMATS[program](settings_of("alice@example.org", sieve=1))
    assert caught.value.code is Code.INVALID_PARAMETER
    assert "browserid mail" in caught.value.remedy or "--" in caught.value.remedy


def test_a_name_that_curl_cannot_have_is_refused() -> None:
    settings = settings_of("alice@example.org", imap=1)
    account = replace(settings.account, name="a:b")
    refuses("curl", replace(settings, account=account))


def refuses(program: str, settings: Settings) -> None:
    with pytest.raises(BrowserIDError) as caught:
        FORMATS[program](settings)
    assert caught.value.code is Code.INVALID_PARAMETER
    assert "--name" in caught.value.remedy
