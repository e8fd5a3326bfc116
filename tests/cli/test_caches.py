"""The commands of `bidtool` for caches by their first names."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE, SERVER_DATABASE
from browserid_sasl.cli.bidtool import main
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.store.base import system_clock
from tests.support.caches import log_in_once, prepare_home
from tests.support.world import ALICE, HOUR, World

AUDIENCE = "imap/mail.example.com"
LISTS = ("tlist", "rlist", "certlist")
REMOVERS = ("tpurge", "tdestroy", "rpurge", "rdestroy", "certpurge", "certdestroy")
LONG_LISTS = (["list"], ["tickets", "list"], ["cache", "list"])

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose configuration says where its stores are; there are none."""
    for name, value in prepare_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[store.InitiatorStores]:
    stores = store.open_initiator(home / "client" / CLIENT_DATABASE)
    yield stores
    stores.close()


@pytest.fixture
def server(home: Path) -> Iterator[store.AcceptorStores]:
    stores = store.open_acceptor(home / "server" / SERVER_DATABASE)
    yield stores
    stores.close()


@pytest.fixture
def after_login(home: Path) -> World:
    """What both sides have after one login."""
    return log_in_once(home)


def run(capsys: Captured, *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("after_login")
class TestTables:
    @pytest.mark.parametrize(
        ("whose", "file"), [((), "client/client.db"), (("--server",), "server/server.db")]
    )
    def test_tickets_are_under_a_line_that_names_the_cache(
        self, home: Path, whose: tuple[str, ...], file: str, capsys: Captured
    ) -> None:
        first, empty, headings, rule, row = run(capsys, "tlist", *whose).splitlines()
        assert first == f"Ticket cache:     {home / file}"
        assert not empty
        assert headings.split() == ["Identity", "Audience", "Issuer", "Expires"]
        assert set(rule) == {"-"}
        assert row.split()[:3] == [ALICE, AUDIENCE, "idp.test"]
        assert re.search(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d 20\d\d$", row)
        for heading in headings.split():
            assert row[headings.index(heading) - 1 : headings.index(heading)] in ("", " ")

    @pytest.mark.parametrize("option", ["-verbose", "--verbose"])
    def test_all_of_a_ticket(self, option: str, capsys: Captured) -> None:
        fields = dict(
            line.split(":", 1) for line in run(capsys, "tlist", option).splitlines() if line
        )
        assert fields["Subject"].strip() == ALICE
        assert fields["Audience"].strip() == AUDIENCE
        assert fields["ECDH curve"].strip() == "P-256"
        assert "Ticket expiry" in fields
        assert "Renewable until" in run(capsys, "tlist", option, "--server")

    def test_a_ticket_that_has_expired_says_so(
        self, client: store.InitiatorStores, capsys: Captured
    ) -> None:
        (ticket,) = client.tickets.all(0)
        client.tickets.put(replace(ticket, expires=system_clock() - 1))
        assert run(capsys, "tlist").rstrip().endswith(">>> Expired <<<")

    def test_assertions_are_the_servers(
        self, home: Path, server: store.AcceptorStores, capsys: Captured
    ) -> None:
        shown = run(capsys, "rlist")
        assert shown == run(capsys, "rlist", "--server")
        assert f"Replay cache:     {home}/server/server.db" in shown
        assert re.search(r" [0-9A-F]{64}$", shown)
        assert "Assertion expiry:" in run(capsys, "rlist", "-verbose")

    def test_documents_are_the_persons_and_the_servers(self, home: Path, capsys: Captured) -> None:
        shown = run(capsys, "certlist")
        assert re.findall(r"^Authority cache: +(.*)$", shown, re.MULTILINE) == [
            f"{home}/client/client.db",
            f"{home}/server/server.db",
        ]
        assert len(re.findall(r"^idp\.test +RS256 ", shown, re.MULTILINE)) == 2
        only = run(capsys, "certlist", "--server", "-verbose")
        assert only.count("Issuer:") == 1
        assert "public-key: RS256, 2048 bits" in only

    @pytest.mark.parametrize("name", ["-cache", "--cache"])
    def test_a_cache_that_is_named(
        self, home: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        monkeypatch.chdir(home / "server")
        shown = run(capsys, "tlist", name, "server.db")
        assert shown.startswith("Ticket cache:     server.db\n")
        assert ALICE in shown
        run(capsys, "tdestroy", name, "server.db")
        assert ALICE not in run(capsys, "tlist", "--server")
        assert ALICE in run(capsys, "tlist")

    def test_secrets_are_not_shown(self, client: store.InitiatorStores, capsys: Captured) -> None:
        (ticket,) = client.tickets.all(0)
        assert ticket.ark.hex()[:8] not in run(capsys, "tlist", "-verbose").lower()


class TestNames:
    def test_what_a_document_says_in_place_of_keys(
        self, server: store.AcceptorStores, capsys: Captured
    ) -> None:
        later = system_clock() + HOUR
        for domain, body in {
            "a.test": b'{"authority":"idp.test"}',
            "b.test": b'{"disabled":true}',
            "c.test": b"\x1b[2J",
        }.items():
            server.authorities.put(domain, CachedDocument(body, later))
        shown = run(capsys, "certlist", "--server")
        for row in (r"a\.test +as idp\.test ", r"b\.test +none ", r"c\.test +not readable "):
            assert re.search(row, shown)

    @pytest.mark.usefixtures("after_login")
    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["tlist", "-cache", "pipe"], os.EX_IOERR, "'pipe' is no cache of this program"),
            (["tdestroy", "-cache", "/dev/zero"], os.EX_IOERR, "is no cache of this program"),
            (["tlist", "-cache", "nowhere.db"], os.EX_IOERR, "there is no cache 'nowhere.db'"),
            (["tlist", "-cache", "browserid.toml"], os.EX_IOERR, "is no cache of this program"),
            (["rlist", "-cache", "client/client.db"], 1, "only servers remember assertions"),
            (["rdestroy", "-cache", "client/client.db"], 1, "only servers remember assertions"),
            (["tlist", "-nosuch"], os.EX_USAGE, "No such option"),
        ],
    )
    def test_what_does_not_work(
        self,
        home: Path,
        arguments: list[str],
        status: int,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: Captured,
    ) -> None:
        monkeypatch.chdir(home)
        os.mkfifo(home / "pipe")
        assert main(arguments) == status
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["tlist"], ["tlist", "-verbose"], *LONG_LISTS[:2]])
@pytest.mark.parametrize("expires", [10**18, 253_402_300_799_999])
def test_a_server_may_name_any_time(
    arguments: list[str], expires: int, client: store.InitiatorStores, home: Path, capsys: Captured
) -> None:
    log_in_once(home)
    [ticket] = client.tickets.all(0)
    client.tickets.put(replace(ticket, tid="far", expires=expires))
    assert AUDIENCE in run(capsys, *arguments)


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What is in a folder: modes, times of the last change, and octets."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.stat()
        found[str(path)] = (
            status.st_mode,
            status.st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
    return found


def look_at_everything(capsys: Captured) -> None:
    for whose in ([], ["--server"]):
        for command in (*([each] for each in LISTS), *LONG_LISTS):
            run(capsys, *command, *whose)
        for each in LISTS:
            run(capsys, each, "-verbose", *whose)


class TestLooking:
    def test_nothing_is_made_where_there_is_nothing(self, home: Path, capsys: Captured) -> None:
        before = tree(home)
        look_at_everything(capsys)
        for command in REMOVERS:
            for whose in ([], ["--server"]):
                assert run(capsys, command, *whose).startswith("0 ")
        assert tree(home) == before

    @pytest.mark.usefixtures("after_login")
    def test_nothing_is_written_where_nobody_uses_it(self, home: Path, capsys: Captured) -> None:
        before = tree(home)
        look_at_everything(capsys)
        assert tree(home) == before

    @pytest.mark.usefixtures("after_login")
    def test_nothing_is_written_where_processes_have_died(
        self, home: Path, server: store.AcceptorStores, capsys: Captured
    ) -> None:
        """What they wrote is in the log, and shown."""
        pid = os.fork()
        if not pid:
            own = store.open_acceptor(home / "server" / SERVER_DATABASE)
            own.replay.insert(b"\xab" * 32, system_clock() + HOUR)
            os._exit(0)
        os.waitpid(pid, 0)
        assert (home / "server" / f"{SERVER_DATABASE}-wal").stat().st_size
        before = tree(home)
        assert "AB" * 32 in run(capsys, "rlist")
        look_at_everything(capsys)
        assert tree(home) == before

    @pytest.mark.usefixtures("after_login")
    def test_a_home_that_cannot_be_written_to(self, home: Path) -> None:
        script = (
            f"mount --bind {home} {home} && mount -o remount,ro,bind {home} {home}"
            f" && ! touch {home}/x 2>/dev/null"
            f" && for command in {' '.join(LISTS)}; do"
            ' "$1" -c "$2" $command -verbose || exit; done'
        )
        program = "import sys; from browserid_sasl.cli.bidtool import main; sys.exit(main())"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, program],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert ALICE in done.stdout
        assert "Assertion ID" in done.stdout

    @pytest.mark.usefixtures("after_login")
    def test_while_somebody_writes(self, server: store.AcceptorStores, capsys: Captured) -> None:
        for number in range(3):
            server.replay.insert(bytes([number]) * 32, system_clock() + HOUR)
            assert bytes([number]).hex().upper() * 32 in run(capsys, "rlist")

    def test_a_log_without_its_index_is_not_passed_over(
        self, home: Path, server: store.AcceptorStores, capsys: Captured
    ) -> None:
        server.replay.insert(bytes(32), system_clock() + HOUR)
        copy = home / "copy"
        copy.mkdir(0o700)
        for name in (SERVER_DATABASE, f"{SERVER_DATABASE}-wal"):
            (copy / name).write_bytes((home / "server" / name).read_bytes())
            (copy / name).chmod(0o600)
        assert main(["rlist", "-cache", str(copy / SERVER_DATABASE)]) == os.EX_IOERR
        assert "has no index" in capsys.readouterr().err

    @pytest.mark.usefixtures("after_login")
    def test_damage_is_told_and_nothing_is_marked(self, home: Path, capsys: Captured) -> None:
        file = home / "server" / SERVER_DATABASE
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE ticket SET subject = 'mallory@idp.test'")
            connection.commit()
        before = tree(home)
        assert main(["tlist", "--server"]) == os.EX_IOERR
        assert "is damaged" in capsys.readouterr().err
        assert tree(home) == before

    @pytest.mark.usefixtures("after_login")
    def test_a_store_that_is_gone_is_missed(self, home: Path, capsys: Captured) -> None:
        (home / "server" / SERVER_DATABASE).unlink()
        assert main(["tlist", "--server"]) == os.EX_IOERR
        assert "it is gone" in capsys.readouterr().err


def count(stores: store.AcceptorStores) -> tuple[int, int, bool]:
    """Tickets, documents, and whether a new assertion is one that was presented before."""
    return (
        len(list(stores.tickets.all(0))),
        len(list(stores.authorities.all(0))),
        stores.replay.insert(b"seen" * 8, 2**50),
    )


@pytest.mark.usefixtures("after_login")
class TestRemoving:
    @pytest.mark.parametrize(
        ("command", "said", "left"),
        [
            ("tpurge", "1 expired ticket", (1, 2, False)),
            ("tdestroy", "2 tickets", (0, 2, False)),
            ("rpurge", "1 expired assertion", (2, 2, False)),
            ("rdestroy", "3 assertions", (2, 2, True)),
            ("certpurge", "1 expired document", (2, 1, False)),
            ("certdestroy", "2 documents", (2, 0, False)),
        ],
    )
    def test_what_goes_and_what_stays(
        self,
        command: str,
        said: str,
        left: tuple[int, int, bool],
        server: store.AcceptorStores,
        capsys: Captured,
    ) -> None:
        (ticket,) = server.tickets.all(0)
        server.replay.insert(b"seen" * 8, 2**50)
        server.replay.insert(b"past" * 8, system_clock() - 2 * HOUR)
        server.tickets.put(replace(ticket, tid="x", expires=system_clock() - 1000))
        server.authorities.put("old.test", CachedDocument(b"{}", system_clock() - 1))
        assert run(capsys, command, "--server").startswith(f"{said} forgotten in ")
        assert count(server) == left

    def test_a_person_s_tickets_and_nothing_else(
        self, home: Path, client: store.InitiatorStores, capsys: Captured
    ) -> None:
        client.identities.put(store.IdentityRecord(ALICE, b"key", "certificate", 1))
        assert run(capsys, "tdestroy") == f"1 ticket forgotten in {home}/client/client.db\n"
        assert list(client.tickets.all(0)) == []
        assert len(list(client.identities.all())) == 1
        assert len(list(client.authorities.all(0))) == 1
        assert ALICE in run(capsys, "tlist", "--server")

    def test_what_it_means_that_assertions_are_forgotten(self, capsys: Captured) -> None:
        assert main(["rdestroy"]) == 0
        assert "is new to this server" in capsys.readouterr().err
