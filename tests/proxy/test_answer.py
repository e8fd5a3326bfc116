"""What mail programs that ask for an account's settings are told."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree.ElementTree import Element, fromstring

import pytest

from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service
from browserid_sasl.proxy.answer import FIRST_PORT, PATHS, Answer
from tests.support.agent import Answer as AgentsAnswer
from tests.support.agent import Line
from tests.support.forks import in_child
from tests.support.mail_person import MailPerson
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import listens
from tests.support.sample_programs import ALICE, DOMAIN

PORT = 1180
PATH = PATHS[0]


def service(kind: Kind, local_port: int) -> Service:
    return Service(kind, "mail.example.org", 993, Security.TLS, local_port)


IMAP, SMTP = service(Kind.IMAP, 1143), service(Kind.SUBMISSION, 1587)
MINE = Account(ALICE, ALICE, "", (IMAP, SMTP, service(Kind.SIEVE, 4190)))
WORK = Account("work", "alice@work.example", "", (service(Kind.POP, 1110),))


def answer(*accounts: Account) -> Answer:
    told = Answer()
    told.accounts, told.port = accounts, PORT
    return told


def ask(told: Answer, target: str, *fields: str, method: str = "GET") -> tuple[int, bytes, bytes]:
    """Status, fields and body of what comes back."""
    fields = fields or (f"Host: 127.0.0.1:{PORT}",)
    lines = (f"{method} {target} HTTP/1.1", *fields, "", "")
    head, _, body = told.reply_to("\r\n".join(lines).encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def servers(document: bytes) -> list[dict[str, str]]:
    """What is said of each server, and its kind as `type`."""
    provider = fromstring(document).find("emailProvider")
    assert provider is not None
    return [_said(each) for each in provider if each.tag.endswith("Server")]


def _said(server: Element) -> dict[str, str]:
    return {"type": server.get("type", "")} | {each.tag: each.text or "" for each in server}


class TestDocument:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("address", [ALICE, ALICE.upper(), ALICE.replace("@", "%40")])
    def test_of_an_address(self, path: str, address: str) -> None:
        status, head, body = ask(answer(WORK, MINE), f"{path}?emailaddress={address}")
        assert status == 200
        assert b"Content-Type: text/xml" in head
        alike = {
            "hostname": "127.0.0.1",
            "socketType": "plain",
            "authentication": "password-cleartext",
            "username": ALICE,
        }
        # ManageSieve has no name in the format.
        assert servers(body) == [
            {"type": "imap", "port": "1143"} | alike,
            {"type": "smtp", "port": "1587"} | alike,
        ]

    def test_of_an_account_with_a_name_of_its_own(self) -> None:
        _, _, body = ask(answer(WORK), f"{PATH}?emailaddress=alice@work.example")
        assert [(each["type"], each["username"]) for each in servers(body)] == [("pop3", "work")]

    def test_of_two_with_one_address_the_one_called_by_it(self) -> None:
        second = Account("second", ALICE, "", (service(Kind.IMAP, 1144),))
        _, _, body = ask(answer(second, MINE), f"{PATH}?emailaddress={ALICE}")
        assert servers(body)[0]["port"] == "1143"

    def test_of_a_domain_is_filled_in_by_the_program(self) -> None:
        _, _, body = ask(answer(WORK, MINE), f"/v1.1/{DOMAIN.upper()}")
        assert {each["username"] for each in servers(body)} == {"%EMAILADDRESS%"}

    def test_a_name_is_quoted(self) -> None:
        odd = Account('<a> & "b" %EMAILADDRESS%', ALICE, "", (IMAP,))
        _, _, body = ask(answer(odd), f"{PATH}?emailaddress={ALICE}")
        assert servers(body)[0]["username"] == '<a> & "b" %EMAILADDRESS%'


class TestRefused:
    @pytest.mark.parametrize(
        "target",
        [
            "/",
            PATH,
            f"{PATH}?emailaddress=",
            f"{PATH}?emailaddress=bob@{DOMAIN}",
            f"{PATH}?emailaddress={DOMAIN}",
            f"{PATH}?{'&'.join('a' * 100)}&emailaddress={ALICE}",
            "/v1.1/",
            "/v1.1/example.net",
            "/v1.1/work.example",  # its name is not the address, which a stranger's would become
            f"/v1.1/../v1.1/{DOMAIN}/x",
            "http://[::1/",
        ],
    )
    def test_what_there_is_no_account_for(self, target: str) -> None:
        assert ask(answer(MINE, WORK), target)[0] == 404

    def test_a_domain_with_two_accounts(self) -> None:
        bob = Account(f"bob@{DOMAIN}", f"bob@{DOMAIN}", "", (service(Kind.IMAP, 1144),))
        assert ask(answer(MINE, bob), f"/v1.1/{DOMAIN}")[0] == 404

    @pytest.mark.parametrize(
        "host",
        [
            f"evil.example:{PORT}",
            f"evil.localhost:{PORT}",
            "127.0.0.1",
            "127.0.0.1:1181",
            f"127.0.0.1:{PORT}, evil.example",
            "",
        ],
    )
    def test_another_host(self, host: str) -> None:
        status, _, body = ask(answer(MINE), f"{PATH}?emailaddress={ALICE}", f"Host: {host}")
        assert (status, b"1143" in body) == (421, False)

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
    def test_no_name_of_ours(self, name: str) -> None:
        assert ask(answer(MINE), f"{PATH}?emailaddress={ALICE}", f"Host: {name}:{PORT}")[0] == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "CONNECT", "X"])
    def test_another_method(self, method: str) -> None:
        assert ask(answer(MINE), f"{PATH}?emailaddress={ALICE}", method=method)[0] == 405

    def test_a_head_has_no_body(self) -> None:
        status, head, body = ask(answer(MINE), f"{PATH}?emailaddress={ALICE}", method="HEAD")
        assert (status, body) == (200, b"")
        assert b"Content-Length: 0" not in head

    @pytest.mark.parametrize(
        "head",
        [
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"a" * 8_192,
        ],
    )
    def test_no_request(self, head: bytes) -> None:
        assert answer(MINE).reply_to(head).split()[1] == b"400"

    def test_a_web_page_is_shown_nothing(self) -> None:
        _, head, _ = ask(answer(MINE), f"{PATH}?emailaddress={ALICE}")
        assert b"Access-Control" not in head
        assert b"Cross-Origin-Resource-Policy: same-origin" in head
        assert b"Cache-Control: no-store" in head


@pytest.fixture(scope="module")
def person() -> Iterator[MailPerson]:
    """Alice, whose agent answers."""
    with TemporaryDirectory(prefix="mail-") as folder:
        with MailPerson(Path(folder), PrivateKey.generate("ES256")).serving() as person:
            wait_until(lambda: person.accounts.answer_port is not None, "the answer")
            yield person


class TestInTheAgent:
    @pytest.fixture
    def port(self, person: MailPerson) -> int:
        port = person.accounts.answer_port
        assert port is not None
        return port

    def get(self, port: int, host: str = "127.0.0.1") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        connection.request("GET", f"{PATH}?emailaddress={ALICE}")
        answered = connection.getresponse()
        return answered.status, answered.read()

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_it_has_the_ports_and_no_password(
        self, person: MailPerson, port: int, host: str
    ) -> None:
        status, body = self.get(port, host)
        assert status == 200
        assert [each["port"] for each in servers(body)] == [str(person.port)]
        assert person.password.encode() not in body

    def test_the_port_stays(self, person: MailPerson, port: int) -> None:
        assert port >= FIRST_PORT
        assert json.loads(person.accounts.path.read_bytes())["answer_port"] == port
        account = person.accounts.get(ALICE)
        password = person.accounts.password(ALICE)
        person.accounts.remove(ALICE)
        self.refresh(person)
        assert not listens(port)
        person.accounts.add(account, password)
        assert self.refresh(person)["answer_port"] == str(port)
        assert self.get(port)[0] == 200

    def refresh(self, person: MailPerson) -> dict[str, str]:
        """What the end of the agent's answer says."""
        with Line(person.socket) as line:
            told = line.ask("MAIL\t1")
            while told.word == "*":
                told = AgentsAnswer(line.read())
            return dict(told.values)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
    def test_another_user_of_the_machine_is_cut_off(self, port: int) -> None:
        def connect() -> str:
            try:
                return str(self.get(port)[0])
            except OSError as error:
                return type(error).__name__

        assert in_child(connect, 23_456) in ("ConnectionResetError", "RemoteDisconnected")

    @pytest.mark.parametrize(
        "said",
        [b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000, b"a" * 1_000_000, b"\r\n" * 100],
    )
    def test_who_says_too_much_is_cut_off(self, port: int, said: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            try:
                connection.sendall(said)
                while connection.recv(65_536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
        assert self.get(port)[0] == 200

    def test_who_says_nothing_keeps_nobody_out_for_long(self, port: int) -> None:
        silent = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(40)]

        def answered() -> bool:
            try:
                return self.get(port)[0] == 200
            except OSError:
                return False

        try:
            wait_until(answered, "an answer")
        finally:
            for each in silent:
                each.close()

    def test_a_port_that_another_program_has(self) -> None:
        with TemporaryDirectory(prefix="mail-") as folder:
            person = MailPerson(Path(folder), PrivateKey.generate("ES256"))
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                person.accounts.keep_answer_port(port)
                with person.agent():
                    told = self.refresh(person)
                    assert "answer_port" not in told
                    assert str(port) in told["reason"]
                    taken.close()
                    assert self.refresh(person)["answer_port"] == str(port)


class TestPort:
    def test_is_no_account_s(self, tmp_path: Path) -> None:
        accounts = Accounts(tmp_path / "client")
        accounts.add(MINE, "password")
        with pytest.raises(Exception, match="1143"):
            accounts.keep_answer_port(1143)
        accounts.keep_answer_port(1180)
        taken = Account("work", "alice@work.example", "", (service(Kind.POP, 1180),))
        with pytest.raises(Exception, match="1180"):
            accounts.add(taken, "password")
        assert [each.name for each in accounts.read()] == [ALICE]
        assert accounts.answer_port == 1180
