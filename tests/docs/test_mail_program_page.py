"""docs/mail-program.md: its commands are run, and its files are those that are written."""

from __future__ import annotations

import plistlib
import shlex
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.asyncresolver
import pytest
import trustme

from browserid_sasl.cli.browserid import main
from browserid_sasl.discovery.dialing import Dialer
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service
from browserid_sasl.proxy.programs import FORMATS, Settings
from tests.support.caches import prepare_home
from tests.support.guide import blocks_of
from tests.support.logins import SECRET, Desk, LoginServer, serving
from tests.support.mail_offers import offering
from tests.support.mailing import end_agent
from tests.support.name_server import name_server
from tests.support.sample_programs import ROOT
from tests.support.site import Site

ADDRESS = "alice@example.org"
HOSTS = ("mail.example.org", "mail.hoster.example")
PORTS = {Kind.IMAP: 1143, Kind.SUBMISSION: 1587, Kind.POP: 1110}
BLOCKS = blocks_of(ROOT / "docs" / "mail-program.md")
COMMANDS = [line for block in BLOCKS if block.kind == "sh" for line in block.text.splitlines()]


def block_of(kind: str) -> str:
    [text] = [block.text for block in BLOCKS if block.kind == kind]
    return text


@pytest.mark.parametrize("program", [block.file for block in BLOCKS if block.kind == "conf"])
def test_a_file_on_the_page_is_the_one_that_is_written(program: str) -> None:
    kinds = [Kind.POP] if program == "mpop" else [Kind.IMAP, Kind.SUBMISSION]
    services = tuple(Service(each, HOSTS[0], 1, Security.TLS, PORTS[each]) for each in kinds)
    settings = Settings(Account(ADDRESS, ADDRESS, "", services), lambda: SECRET)
    [text] = [block.text for block in BLOCKS if (block.kind, block.file) == ("conf", program)]
    assert FORMATS[program](settings).decode() == text


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for the agent's socket, whose name is short enough."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.delenv("BROWSERID_AGENT", raising=False)
        try:
            yield
        finally:
            end_agent()


@pytest.fixture
def person(tmp_path: Path, runtime: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Alice, who has signed in, where a name server of ours says where her servers are."""
    for name, value in prepare_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    Site(tmp_path).sign_in(ADDRESS)
    with (tmp_path / "browserid.toml").open("a") as file:
        file.write(f'[discovery]\nca_file = "{tmp_path}/ca.pem"\n')
    profile = tmp_path / ".thunderbird" / "x.default-release"
    profile.mkdir(parents=True)
    (profile / "prefs.js").touch()
    monkeypatch.chdir(tmp_path)
    with offering(made_certificate(tmp_path)) as servers:
        monkeypatch.setattr(socket, "getaddrinfo", resolving(socket.getaddrinfo))
        usual = {993: servers[Kind.IMAP].port, 465: servers[Kind.SUBMISSION].port}
        dialer = Dialer(connector=connecting(usual))
        monkeypatch.setattr("browserid_sasl.proxy.upstream._dialer", lambda: dialer)
        zone = {
            "_imaps._tcp.example.org": [f"0 1 {usual[993]} {HOSTS[0]}."],
            "_submissions._tcp.example.org": [f"0 1 {usual[465]} {HOSTS[0]}."],
        }
        with name_server(zone) as names:
            resolver = names.resolver
            monkeypatch.setattr(dns.asyncresolver, "Resolver", lambda: resolver)
            yield tmp_path


def made_certificate(folder: Path) -> Path:
    """One of the servers, with its key; its authority is beside it."""
    authority, certificate = trustme.CA(), folder / "tls.pem"
    authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return certificate


def resolving(real: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(host: str, port: object, *further: Any, **named: Any) -> Any:
        if host in HOSTS:
            return real("127.0.0.1", port, *further, **named)
        if host == "127.0.0.1":
            return real(host, port, *further, **named)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    return resolve


def connecting(usual: Mapping[int, int]) -> Callable[[tuple[str, int], float], socket.socket]:
    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        host, port = address
        return socket.create_connection((host, usual.get(port, port)), timeout)

    return connect


def test_its_commands_do_what_they_are_there_for(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = Accounts(person / "client")
    shown = {}
    for command in COMMANDS:
        if not command.startswith("browserid "):
            continue
        words = shlex.split(command)[1:]
        if words[1] == "add":
            for each in accounts.read():
                accounts.remove(each.name)
        status = main(words)
        captured = capsys.readouterr()
        # These servers let nobody in.
        assert status == (1 if words[1] == "test" else 0), (command, captured.err)
        shown[command] = captured.out
    assert HOSTS[0] in shown["browserid mail list"]
    assert "listening" in shown["browserid mail list"]
    assert "normal password" in shown["browserid mail add alice@example.org"]
    assert len(shown["browserid mail password alice@example.org"].strip()) == 24
    [account] = accounts.read()
    assert [(each.kind, each.host, each.port) for each in account.services][1:] == [
        (Kind.SUBMISSION, HOSTS[0], 465)
    ]
    assert (
        "mail.server.server1.userName"
        in (person / ".thunderbird" / "x.default-release" / "prefs.js").read_text()
    )
    assert plistlib.loads((person / "alice.mobileconfig").read_bytes())
    assert (person / "alice.mobileconfig").stat().st_mode & 0o777 == 0o600


class TestOtherPrograms:
    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        desk = Desk(tmp_path)
        desk.knows(ADDRESS)
        return desk

    @pytest.fixture
    def imap(self) -> Iterator[LoginServer]:
        yield from serving(Kind.IMAP)

    @pytest.fixture
    def smtp(self) -> Iterator[LoginServer]:
        yield from serving(Kind.SUBMISSION)

    def test_swaks(self, desk: Desk, smtp: LoginServer) -> None:
        [command] = [line for line in COMMANDS if "swaks" in line]
        said = desk.run("sh", "-c", command.replace("1587", str(smtp.port)))
        assert smtp.logins[:1] == [(ADDRESS, SECRET)], said

    def test_a_script(self, desk: Desk, imap: LoginServer) -> None:
        script = block_of("python").replace("1143", str(imap.port))
        said = desk.run(sys.executable, "-c", script)
        assert imap.logins == [(ADDRESS, SECRET)], said

    def test_a_tunnel_of_mutts(self, desk: Desk) -> None:
        file = desk.write("rc", block_of("muttrc").encode())
        assert desk.run("mutt", "-n", "-F", str(file), "-Q", "tunnel") == block_of(
            "muttrc"
        ).removeprefix("set ").replace(" = ", "=")
