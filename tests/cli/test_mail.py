"""`browserid mail`: what is refused, with which words and exit status, and that nothing is left."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.cli import browserid
from browserid_sasl.cli.mail import adding
from browserid_sasl.cli.mail.group import Writing
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.proxy.accounts import FILE, Account, Accounts, Kind
from browserid_sasl.proxy.finding import records
from browserid_sasl.proxy.finding.candidates import Candidate, Source, read_option
from browserid_sasl.proxy.finding.records import Records
from browserid_sasl.proxy.programs import Settings
from tests.support.caches import prepare_home
from tests.support.https import Respond, answer, scripted_server, write_ca
from tests.support.mailing import KNOWN, mail_home
from tests.support.network import PUBLIC, Network, fetcher
from tests.support.site import DOMAIN, Site
from tests.support.world import ALICE


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with an account and an agent, which no test here changes for good."""
    folder = tmp_path_factory.mktemp("mail")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in prepare_home(folder).items():
            patch.setenv(name, value)
        site = Site(folder)
        site.config  # noqa: B018 - it writes the document that is pinned
        site.sign_in()
        (folder / "site.toml").write_text(
            (folder / "browserid.toml").read_text()
            + f'[authorities."{DOMAIN}"]\nkeys_file = "support.json"\n'
        )
        with mail_home(folder, patch) as home:
            yield home


@pytest.fixture
def home(shared: Path) -> Iterator[Path]:
    """The same; what is in the file of accounts is as before afterwards."""
    before = (shared / "client" / FILE).read_bytes()
    yield shared
    (shared / "client" / FILE).write_bytes(before)


@pytest.fixture
def imap(home: Path) -> str:
    """The option that names the IMAP server."""
    return f"--imap=localhost:{json.loads((home / 'ports.json').read_text())['imap']}/tls"


def names(home: Path) -> list[str]:
    return [each.name for each in Accounts(home / "client").read()]


def kept(home: Path) -> object:
    """The accounts as the file has them; the agent may put a port of its own beside them."""
    return json.loads((home / "client" / FILE).read_bytes())["accounts"]


class Refused:
    """A command that is to be refused.

    :param words: of its command line.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], status: int, *words: str) -> None:
        capsys.readouterr()
        assert browserid.main(["mail", *words]) == status
        captured = capsys.readouterr()
        assert captured.out == ""
        self.said = captured.err


class TestAdd:
    @pytest.mark.parametrize("address", ["alice", "@idp.test", "alice@", "a b@idp.test", ""])
    def test_of_what_is_no_address(
        self, home: Path, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Refused(capsys, os.EX_USAGE, "add", address)
        assert names(home) == [KNOWN]

    def test_of_a_name_that_there_is(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        refused = Refused(capsys, 1, "add", imap, "--name", KNOWN.upper(), ALICE)
        assert "browserid mail remove" in refused.said
        assert names(home) == [KNOWN]

    def test_at_a_port_of_another_program(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            refused = Refused(capsys, 1, "add", imap, "--port", f"imap={port}", ALICE)
        assert str(port) in refused.said
        assert names(home) == [KNOWN]

    def test_at_a_port_of_another_account(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        [account] = Accounts(home / "client").read()
        port = account.services[0].local_port
        refused = Refused(capsys, 1, "add", imap, "--port", f"imap={port}", ALICE)
        assert KNOWN in refused.said
        assert names(home) == [KNOWN]

    @pytest.mark.parametrize("port", ["imap", "imap=0", "imap=65536", "nntp=1143", "imap=x"])
    def test_at_what_is_no_port(
        self, home: Path, imap: str, port: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Refused(capsys, os.EX_USAGE, "add", imap, "--port", port, ALICE)

    def test_at_a_server_that_nobody_vouches_for(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        elsewhere = imap.replace("localhost", "localhost.localdomain")
        Refused(capsys, os.EX_UNAVAILABLE, "add", elsewhere, ALICE)
        assert names(home) == [KNOWN]

    def test_where_the_domain_has_no_server(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        refused = Refused(capsys, os.EX_UNAVAILABLE, "add", ALICE)
        assert "no mail server" in refused.said
        assert names(home) == [KNOWN]

    def test_at_another_domains_server_that_dns_names(
        self,
        home: Path,
        imap: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._have_dns_say(imap, monkeypatch)
        refused = Refused(capsys, 1, "add", ALICE)
        assert "--server localhost" in refused.said
        assert names(home) == [KNOWN]
        # Who names it has judged it.
        assert browserid.main(["mail", "add", "--server", "localhost", ALICE]) == 0
        assert names(home) == [KNOWN, ALICE]

    @staticmethod
    def _have_dns_say(imap: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from_option = read_option(imap.partition("=")[2], Kind.IMAP)[0]
        told = Candidate(*from_option.place, Source.DNS)

        async def look_up(domain: str) -> Records:
            return Records((told,), frozenset())

        monkeypatch.setattr(records, "look_up", look_up)

    def test_to_a_file_that_is_there(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = home / "there"
        file.write_text("mine")
        Refused(capsys, 1, "add", imap, "--write", "mutt", "--to", str(file), ALICE)
        assert file.read_text() == "mine"
        assert names(home) == [KNOWN]

    def test_to_a_folder_that_is_not_there(
        self, home: Path, imap: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = str(home / "none" / "rc")
        Refused(capsys, os.EX_IOERR, "add", imap, "--write", "mutt", "--to", file, ALICE)
        assert names(home) == [KNOWN]

    @pytest.mark.parametrize(
        "words",
        [["--to", "x"], ["--profile", "x"], ["--force"], ["--write", "thunderbird", "--to", "x"]],
        ids=" ".join,
    )
    def test_with_options_that_do_not_fit(
        self, home: Path, imap: str, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        Refused(capsys, os.EX_USAGE, "add", imap, *words, ALICE)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (KeyboardInterrupt(), 130),
            (LocalProtocolError(Code.UNAVAILABLE, "the agent: it is gone"), 1),
        ],
        ids=["ctrl-C", "no agent"],
    )
    def test_that_is_broken_off_leaves_nothing(
        self,
        home: Path,
        imap: str,
        error: BaseException,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        before = kept(home)

        def breaks(account: Account) -> None:
            assert names(home) == [KNOWN, ALICE]
            raise error

        monkeypatch.setattr(adding, "_see_that_it_listens", breaks)
        Refused(capsys, status, "add", imap, "--write", "mutt", "--to", str(home / "rc"), ALICE)
        assert kept(home) == before
        assert not (home / "rc").exists()

    def test_a_port_that_another_program_takes_meanwhile_is_left_to_it(
        self, home: Path, imap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quicker: list[socket.socket] = []
        add = Accounts.add

        def is_too_late(self: Accounts, account: Account, password: str) -> None:
            if not quicker:
                port = account.services[0].local_port
                quicker.append(socket.create_server(("127.0.0.1", port)))
            add(self, account, password)

        monkeypatch.setattr(Accounts, "add", is_too_late)
        assert browserid.main(["mail", "add", imap, ALICE]) == 0
        account = Accounts(home / "client").get(ALICE)
        with quicker[0] as other:
            assert account.services[0].local_port != other.getsockname()[1]
        assert browserid.main(["mail", "remove", ALICE]) == 0

    def test_the_agent_listens_from_then_on(self, home: Path, imap: str) -> None:
        assert browserid.main(["mail", "add", imap, ALICE]) == 0
        with Caller() as agent:
            *states, _ = agent.ask("MAIL")
        assert {each["account"]: each["state"] for each in states}[ALICE] == "listening"
        assert browserid.main(["mail", "remove", ALICE]) == 0
        with Caller() as agent:
            *states, _ = agent.ask("MAIL")
        assert ALICE not in {each["account"] for each in states}


class TestAutostart:
    @pytest.fixture
    def entry(self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the desktop's entry is."""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        return tmp_path / "autostart" / "browserid-agent.desktop"

    def test_the_desktop_starts_the_agent_until_the_last_account_is_removed(
        self, home: Path, imap: str, entry: Path
    ) -> None:
        assert browserid.main(["mail", "add", "--autostart", imap, ALICE]) == 0
        assert str(home / "mail.toml") in entry.read_text()
        assert browserid.main(["mail", "remove", ALICE]) == 0
        assert entry.exists()
        assert browserid.main(["mail", "remove", KNOWN]) == 0
        assert not entry.exists()

    def test_an_entry_of_somebody_else_s_is_not_touched(
        self, home: Path, imap: str, entry: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        entry.parent.mkdir()
        entry.write_text("[Desktop Entry]\n")
        assert str(entry) in Refused(capsys, 1, "add", "--autostart", imap, ALICE).said
        assert names(home) == [KNOWN]
        assert browserid.main(["mail", "remove", KNOWN]) == 0
        assert entry.read_text() == "[Desktop Entry]\n"

    def test_what_fails_later_leaves_none(
        self,
        home: Path,
        imap: str,
        entry: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def breaks(writing: Writing, settings: Settings) -> None:
            assert entry.exists()
            raise LocalProtocolError(Code.INVALID_PARAMETER, "no")

        monkeypatch.setattr(Writing, "write", breaks)
        Refused(capsys, 1, "add", "--autostart", imap, ALICE)
        assert not entry.exists()
        assert names(home) == [KNOWN]


def test_quotes_that_an_address_does_not_need_are_left_out(home: Path, imap: str) -> None:
    assert browserid.main(["mail", "add", imap, f'"{ALICE.partition("@")[0]}"@{DOMAIN}']) == 0
    assert names(home) == [KNOWN, ALICE]
    assert browserid.main(["mail", "remove", ALICE]) == 0


def drip(connection: ssl.SSLSocket) -> None:
    """A document that never ends, octet by octet."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)


def flood(connection: ssl.SSLSocket) -> None:
    """A document without an end, as fast as it is taken."""
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")


class TestDocuments:
    """What a domain tells mail programs, from a web server that may do anything."""

    MAIL_DOMAIN = ALICE.rpartition("@")[2]
    HOSTS = (f"autoconfig.{MAIL_DOMAIN}", MAIL_DOMAIN)

    def document(self, home: Path, prologue: str = "", host: str = "localhost") -> bytes:
        port = json.loads((home / "ports.json").read_text())["imap"]
        return (
            f'{prologue}<clientConfig version="1.1"><emailProvider id="x">'
            f'<incomingServer type="imap"><hostname>{host}</hostname><port>{port}</port>'
            "<socketType>SSL</socketType></incomingServer></emailProvider></clientConfig>"
        ).encode()

    @contextmanager
    def web(
        self,
        patch: pytest.MonkeyPatch,
        folder: Path,
        respond: Respond,
        addresses: Sequence[str] = (PUBLIC,),
        *,
        tls: bool = True,
    ) -> Iterator[Network]:
        """The domain's web server; the real way to it, but for the addresses."""
        authority = trustme.CA()
        certificate = authority.issue_cert(*self.HOSTS) if tls else None
        with scripted_server(certificate, respond) as server:
            network = Network(server.port, dict.fromkeys(self.HOSTS, addresses))
            own = fetcher(write_ca(authority, folder), network, timeout_ms=700, max_size=8192)
            patch.setattr(adding, "HttpsFetcher", lambda *_: own)
            yield network

    def test_a_good_one_is_followed(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever type it is said to have."""
        good = answer(self.document(home), content_type="text/html")
        with self.web(monkeypatch, tmp_path, good):
            assert browserid.main(["mail", "add", "--server", "localhost", ALICE]) == 0
        assert names(home) == [KNOWN, ALICE]
        assert browserid.main(["mail", "remove", ALICE]) == 0

    @pytest.mark.parametrize(
        "kind", ["redirect", "bomb", "file", "huge", "page", "drip", "flood", "plain", "error"]
    )
    def test_a_bad_one_is_none(
        self,
        home: Path,
        tmp_path: Path,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        good = self.document(home)
        laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
        bomb = f'<!DOCTYPE d [<!ENTITY a0 "x">{laughs}]>'
        file = '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
        responses = {
            "redirect": answer(
                good, status="302 Found", headers={"Location": "https://elsewhere/"}
            ),
            "bomb": answer(self.document(home, bomb, "&a9;")),
            "file": answer(self.document(home, file, "&f;")),
            "huge": answer(good + b" " * 10_000),
            "page": answer(b"<html><p>Sign in</html>", content_type="text/html"),
            "drip": drip,
            "flood": flood,
            "plain": answer(good),
            "error": answer(good, status="500 Oh"),
        }
        with self.web(monkeypatch, tmp_path, responses[kind], tls=kind != "plain") as network:
            refused = Refused(capsys, os.EX_UNAVAILABLE, "add", ALICE)
            assert set(network.asked) == set(self.HOSTS)
        assert "no mail server" in refused.said
        assert "Traceback" not in refused.said
        assert names(home) == [KNOWN]

    @pytest.mark.parametrize(
        "addresses", [["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "192.168.1.1"], ["::1"], ["fe80::1"]]
    )
    def test_a_name_that_leads_inside_is_not_followed(
        self,
        home: Path,
        tmp_path: Path,
        addresses: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        good = answer(self.document(home))
        with self.web(monkeypatch, tmp_path, good, addresses) as network:
            Refused(capsys, os.EX_UNAVAILABLE, "add", ALICE)
            assert network.dialled == []
        assert names(home) == [KNOWN]


class TestOthers:
    @pytest.mark.parametrize("verb", ["remove", "password", "settings", "test"])
    def test_of_an_account_that_there_is_not(
        self, home: Path, verb: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert KNOWN in Refused(capsys, 1, verb, "nobody").said

    @pytest.mark.parametrize("words", [["list"], ["test"], ["password", KNOWN], ["add", ALICE]])
    def test_with_a_damaged_file(
        self, home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = home / "client" / FILE
        file.write_text("{")
        refused = Refused(capsys, os.EX_CONFIG, *words)
        assert str(file) in refused.said
        assert file.read_text() == "{"

    def test_the_password_and_nothing_else(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert browserid.main(["mail", "password", KNOWN]) == 0
        assert capsys.readouterr() == (Accounts(home / "client").password(KNOWN) + "\n", "")

    def test_a_login_that_fails_says_why(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert browserid.main(["mail", "test", KNOWN]) == 1
        said = capsys.readouterr().out
        assert said.startswith(f"{KNOWN}, imap at localhost:")
        assert "logged in" not in said

    @pytest.mark.parametrize("words", [["nntp", "localhost"], ["imap", "192.0.2.1"], ["imap"]])
    def test_a_pipe_to_nowhere(
        self, home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert browserid.main(["mail", "pipe", *words]) in (1, os.EX_USAGE)
