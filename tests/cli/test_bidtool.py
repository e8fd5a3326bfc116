"""`bidtool` as a person uses it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE, SERVER_DATABASE
from browserid_sasl.cli.bidtool import main
from browserid_sasl.gss.acceptor import ExchangeStores
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.jose import json as strict_json
from browserid_sasl.store.base import system_clock
from tests.support import vectors
from tests.support.terminal import at_terminal
from tests.support.world import ALICE, HOUR, World, exchange, key, support_document

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from browserid_sasl.cli.bidtool import main; sys.exit(main())",
)
ASSERTION = vectors.load("gss-aes128-mutual-initial").data["messages"][0]["octets"]
AT = "2026-11-21T16:08:00+00:00"


RUN = "from browserid_sasl.cli.bidtool import main; sys.exit(main())"


class TestToken:
    def test_from_the_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["token", "--at", AT, ASSERTION]) == 0
        shown = capsys.readouterr().out
        assert "mechanism: BROWSERID-AES128" in shown
        assert "exp: 2026-11-21 16:09:51.456 UTC, in 111 s" in shown

    def test_from_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "token"
        file.write_bytes(base64.b64decode(ASSERTION))
        assert main(["token", "--file", str(file)]) == 0
        assert "principal: alice@idp.test" in capsys.readouterr().out

    @pytest.mark.parametrize("arguments", [[], ["--file", "-"], ["--encoding", "base64"]])
    def test_from_standard_input_as_a_process(self, arguments: list[str]) -> None:
        done = subprocess.run(
            [*COMMAND, "token", *arguments],
            input=ASSERTION.encode() + b"\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "└── aud: imap/mail.example.com (dialect draft-07)" in done.stdout.decode()
        assert b"\x1b" not in done.stdout

    def test_markup_of_the_terminal_library_is_text(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["token", '{"[red]name[/red]": ":smile: [link=x]"}']) == 0
        assert "[red]name[/red]: :smile: [link=x]" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("at", "said"),
        [
            (AT, "in 111 s"),
            ("1795280400000", "50 min ago: expired"),
            ("2026-11-21 17:09+01:00", "in 51 s"),
        ],
    )
    def test_validity_at_a_time(
        self, at: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["token", "--at", at, ASSERTION]) == 0
        assert f"exp: 2026-11-21 16:09:51.456 UTC, {said}" in capsys.readouterr().out

    def test_a_date_without_a_zone_is_local(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TZ", "Etc/GMT-3")
        time.tzset()
        try:
            assert main(["token", "--at", "2026-11-21 19:08", ASSERTION]) == 0
        finally:
            monkeypatch.undo()
            time.tzset()
        assert "in 111 s" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["hello"], 1, "no token of the protocol"),
            (["--encoding", "raw", "hello"], 1, "no token of the protocol"),
            (["--encoding", "hex", "xyz"], 1, "not hexadecimal"),
            (["--encoding", "morse", "xyz"], 64, "'morse' is not one of"),
            (["--at", "tomorrow", ASSERTION], 64, "'tomorrow' is neither a date"),
            (["--at", "0001-01-01", ASSERTION], 64, "'0001-01-01' is neither a date"),
            (["--at", "9" * 5000, ASSERTION], 64, "is neither a date"),
            (["--file", "-", ASSERTION], 64, "not both"),
            (["--file", "/nowhere"], 64, "No such file"),
        ],
    )
    def test_what_does_not_work(
        self,
        arguments: list[str],
        status: int,
        said: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert main(["token", *arguments]) == status
        captured = capsys.readouterr()
        assert said in captured.err
        assert not captured.out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a person's and a server's stores, after one login, and their configuration."""
    path = tmp_path / "browserid.toml"
    path.write_text(
        f'[store]\ndirectory = "{tmp_path}/client"\nserver_directory = "{tmp_path}/server"\n'
    )
    monkeypatch.setenv("BROWSERID_CONFIG", str(path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def world(folder: Path) -> World:
    world = World()
    world.clock.now = system_clock()
    client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
    server = store.open_acceptor(folder / "server" / SERVER_DATABASE)
    world.client_tickets = client.tickets
    world.stores = ExchangeStores(server.replay, server.tickets)
    exchange(world.initiator(), world.acceptor())
    document = CachedDocument(
        strict_json.dumps(support_document(key("idp"))), world.clock.now + HOUR
    )
    server.authorities.put("idp.test", document)
    client.close()
    server.close()
    return world


def tickets(folder: Path) -> tuple[int, int]:
    """How many tickets the person has, and the server."""
    client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
    server = store.open_acceptor(folder / "server" / SERVER_DATABASE)
    now = system_clock()
    counts = len(list(client.tickets.all(now))), len(list(server.tickets.all(now)))
    client.close()
    server.close()
    return counts


@pytest.mark.usefixtures("world")
class TestStores:
    @pytest.mark.parametrize("server", [[], ["--server"]])
    @pytest.mark.parametrize("command", [["tickets", "list"], ["list"]])
    def test_tickets_are_listed(
        self, command: list[str], server: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*command, *server]) == 0
        shown = capsys.readouterr().out
        for text in (ALICE, "imap/mail.example.com", "from idp.test, P-256"):
            assert text in shown

    def test_the_acceptors_are_where_its_configuration_says_and_not_a_persons(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        acceptors = folder / "acceptor.toml"
        acceptors.write_text(f'[store]\nserver_directory = "{folder}/server"\n')
        (folder / "browserid.toml").write_text("this is not read\n")
        assert main(["tickets", "list", "--acceptor", "--config", str(acceptors)]) == 0
        assert ALICE in capsys.readouterr().out

    def test_secrets_of_tickets_are_not_listed(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
        (ticket,) = client.tickets.all(system_clock())
        client.close()
        assert main(["tickets", "list"]) == 0
        shown = capsys.readouterr().out
        assert ticket.tid[:12] in shown
        assert ticket.ark.hex()[:8] not in shown
        assert base64.b64encode(ticket.ark).decode()[:8] not in shown

    def test_documents_are_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        for command in (["cache", "list", "--server"], ["list", "--server"]):
            assert main(command) == 0
            assert "public-key: RS256, 2048 bits" in capsys.readouterr().out

    def test_what_there_is_none_of_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["cache", "list"]) == 0
        captured = capsys.readouterr()
        assert captured.err == "there are no documents\n"
        assert not captured.out

    def test_a_ticket_is_deleted_by_the_beginning_of_its_identifier(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tickets", "list"]) == 0
        row = capsys.readouterr().out.splitlines()[1]
        assert main(["tickets", "delete", row.split()[2][:6]]) == 0
        assert "the ticket for imap/mail.example.com is forgotten" in capsys.readouterr().out
        assert tickets(folder) == (0, 1)

    def test_a_server_s_tickets_are_deleted(
        self, folder: Path, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tickets", "delete", "--all", "--server"]) == 0
        assert capsys.readouterr().out == "1 ticket forgotten\n"
        assert tickets(folder) == (1, 0)

    def test_a_document_is_deleted(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["cache", "delete", "--server", "IDP.test"]) == 0
        assert "the document of idp.test is forgotten" in capsys.readouterr().out
        assert main(["cache", "delete", "--server", "idp.test"]) == 1
        assert main(["cache", "delete", "--server", "--all"]) == 0
        assert "0 documents forgotten" in capsys.readouterr().out

    def test_everything_is_destroyed(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["destroy", "--server"]) == 0
        assert capsys.readouterr().out == "1 ticket forgotten\n1 document forgotten\n"
        assert main(["destroy"]) == 0
        assert capsys.readouterr().out == "1 ticket forgotten\n0 documents forgotten\n"
        assert tickets(folder) == (0, 0)

    def test_the_same_beginning_twice_is_not_enough(
        self, folder: Path, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server = store.open_acceptor(folder / "server" / SERVER_DATABASE)
        (ticket,) = server.tickets.all(system_clock())
        twin = ticket.tid[:20] + ("A" if ticket.tid[20] != "A" else "E") + ticket.tid[21:]
        server.tickets.put(replace(ticket, tid=twin))
        server.close()
        assert main(["tickets", "delete", "--server", ticket.tid[:20]]) == 1
        assert "2 tickets' identifiers begin with" in capsys.readouterr().err
        assert main(["tickets", "delete", "--server", twin]) == 0
        assert tickets(folder) == (1, 1)

    def test_the_same_identifier_from_two_servers_is_told_apart_by_the_service(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
        (ticket,) = client.tickets.all(system_clock())
        client.tickets.put(replace(ticket, audience="imap/evil.example.com"))
        assert main(["tickets", "delete", ticket.tid]) == 1
        assert "--service" in capsys.readouterr().err
        assert main(["tickets", "delete", "--service", "imap/evil.example.com", ticket.tid]) == 0
        assert client.tickets.all(system_clock()) == [ticket]
        client.close()

    @pytest.mark.parametrize("tid", ["-_dash", "--two", "-h"])
    def test_an_identifier_may_begin_with_a_dash(self, folder: Path, tid: str) -> None:
        client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
        (ticket,) = client.tickets.all(system_clock())
        client.tickets.put(replace(ticket, tid=tid, audience="imap/other.example.com"))
        assert main(["tickets", "delete", tid]) == 0
        assert client.tickets.all(system_clock()) == [ticket]
        client.close()

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["tickets", "delete", "nosuch"], 1, "no ticket's identifier begins with 'nosuch'"),
            (["tickets", "delete", ""], 1, "no ticket's identifier begins with ''"),
            (["tickets", "delete"], 64, "give an identifier or --all"),
            (["tickets", "delete", "--all", "x"], 64, "give an identifier or --all"),
            (["cache", "delete"], 64, "give a domain or --all"),
            (["cache", "delete", "nosuch.test"], 1, "there is no document of nosuch.test"),
            (["list", "--config", "/nowhere"], 64, "does not exist"),
        ],
    )
    def test_what_does_not_work(
        self,
        arguments: list[str],
        status: int,
        said: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert main(arguments) == status
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("world")
class TestReset:
    def test_a_server_s_store_is_kept_aside(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = folder / "server" / SERVER_DATABASE
        file.write_bytes(file.read_bytes()[:5000])
        assert main(["list", "--server"]) == os.EX_IOERR
        assert "is damaged" in capsys.readouterr().err
        assert main(["reset", "--server"]) == 0
        said = capsys.readouterr()
        assert f"kept as {file}-2" in said.out
        assert "`clock_skew`" in said.err
        (kept,) = file.parent.glob(f"{file.name}-2*Z")
        assert kept.stat().st_size == 5000
        assert tickets(folder)[1] == 0

    def test_a_person_s_too(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["reset"]) == 0
        said = capsys.readouterr()
        assert f"kept as {folder / 'client' / CLIENT_DATABASE}-2" in said.out
        assert "browserid login" in said.err
        assert tickets(folder)[0] == 0
        assert tickets(folder)[1] > 0


def test_a_store_in_memory_has_nothing_to_show(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "memory.toml"
    file.write_text('[store]\nbackend = "memory"\n')
    assert main(["list", "--config", str(file)]) == 78
    assert "no other can see it" in capsys.readouterr().err


def test_a_document_that_is_not_readable_is_listed_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
    later = system_clock() + HOUR
    client.authorities.put("odd.test", CachedDocument(b"\x1b[2J", later))
    client.authorities.put("other.test", CachedDocument(b'{"authority":"idp.test"}', later))
    client.close()
    assert main(["cache", "list"]) == 0
    shown = capsys.readouterr().out
    assert "not readable" in shown
    assert "delegates to idp.test" in shown


def test_a_file_without_an_end_is_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--file", "/dev/zero"]) == 1
    assert "the token is longer than" in capsys.readouterr().err


def test_what_others_have_written_reaches_no_terminal(tmp_path: Path) -> None:
    """An error with a name in it that somebody else may have given."""
    words = [sys.executable, "-c", f"import sys; {RUN}", "cache", "delete", "x\x1b]0;title\x07"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TERM": "xterm"}
    shown = at_terminal(words, environment)
    assert "\\x1b]0;title\\x07" in shown
    assert "\x1b" not in shown
