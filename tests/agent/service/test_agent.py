"""The agent as programs meet it: a process, a socket, logins."""

from __future__ import annotations

import base64
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from browserid_sasl import __version__
from browserid_sasl.api import Server
from browserid_sasl.config import load
from browserid_sasl.errors import Code
from browserid_sasl.gss.context import ContextFlag
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.gss.told import told_of
from browserid_sasl.sasl.server import ServerMechanism
from tests.support.agent import AGENT, Answer, Line, Person, initiate, relay
from tests.support.patience import PATIENCE, wait_until
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

AES128 = "BROWSERID-AES128"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("agent") / "provider") as provider:
        yield provider


@pytest.fixture
def person(tmp_path: Path, provider: RunningProvider) -> Iterator[Person]:
    configuration = f"""
[store]
directory = "{tmp_path}/client"
server_directory = "{tmp_path}/server"
[server]
allow = ["{DOMAIN}"]
[authorities."{DOMAIN}"]
url = "{provider.url}"
ca_file = "{provider.ca_file}"
"""
    person = Person(tmp_path / "home", configuration)
    yield person
    person.stop_agent()


@pytest.fixture
def line(person: Person) -> Iterator[Line]:
    """A connection to the agent of somebody who has signed in."""
    with person.agent(), Line(person.socket) as line:
        said = line.ask(f"LOGIN\t1\t{ALICE}\tpassword={PASSWORD}")
        assert said.values["identity"] == ALICE, said.fields
        yield line


def server_login(person: Person, mechanism: str = AES128) -> ServerMechanism:
    return Server(load(person.config_file), "imap", "localhost").start(mechanism)


class TestLogins:
    def test_the_first_and_the_next_by_ticket(self, person: Person, line: Line) -> None:
        for by_ticket in (False, True):
            theirs = server_login(person)
            first = line.ask(initiate(2))
            assert first.word == "CONT"
            challenge = theirs.step(first.octets)
            done = line.ask(f"CONT\t2\t{b64(challenge or b'')}")
            assert done.word == "OK"
            assert done.values["user"] == done.values["authzid"] == ALICE
            assert theirs.step(done.octets) is None
            assert theirs.complete
            assert theirs.result.identity == ALICE
            assert theirs.result.ticket_used is by_ticket

    def test_many_on_one_connection_do_not_mix(self, person: Person, line: Line) -> None:
        numbers = range(2, 12)
        theirs = {number: server_login(person) for number in numbers}
        challenges = {
            number: theirs[number].step(line.ask(initiate(number)).octets) for number in numbers
        }
        for number in reversed(numbers):
            done = line.ask(f"CONT\t{number}\t{b64(challenges[number] or b'')}")
            assert (done.word, done.number) == ("OK", str(number))

    def test_binding_to_the_channel(self, person: Person, line: Line) -> None:
        theirs = Server(load(person.config_file), "imap", "localhost").start(
            AES128, channel_bindings={"tls-exporter": b"data"}
        )
        binding = {"cb_flag": "used", "cb.tls-exporter": b64(b"data")}
        challenge = theirs.step(line.ask(initiate(2, **binding)).octets)
        done = line.ask(f"CONT\t2\t{b64(challenge or b'')}")
        assert done.values["binding"] == "tls-exporter"

    def test_a_refusal_by_the_server_is_told(self, person: Person, line: Line) -> None:
        theirs = server_login(person)
        first = line.ask(initiate(2, host="elsewhere"))
        error_token = theirs.step(first.octets)
        refused = line.ask(f"CONT\t2\t{b64(error_token or b'')}")
        assert refused.word == "FAIL"
        assert refused.values["code"] == "bad-audience"
        assert int(refused.values["sasl"]) < 0

    def test_a_name_that_nobody_has(self, line: Line) -> None:
        refused = line.ask(initiate(2, authname="bob"))
        assert refused.values["code"] == "interact-required"
        assert ALICE in refused.values["detail"]
        assert "browserid login" in refused.values["detail"]

    @pytest.mark.parametrize(
        ("request_line", "code"),
        [
            ("CONT\t9\tQQ==", "invalid-usage"),
            (initiate(2, "PLAIN"), "invalid-parameter"),
            ("DANCE\t2", "not-implemented"),
            (initiate(2, challenge="QQ=="), "bad-context-token"),
            (initiate(2, cb_flag="used"), "missing-channel-bindings"),
            ("INIT\t2\t", "invalid-parameter"),
        ],
    )
    def test_a_wrong_request_harms_no_other(self, line: Line, request_line: str, code: str) -> None:
        assert line.ask(request_line).values["code"] == code
        assert line.ask(initiate(3)).word == "CONT"

    def test_a_number_in_use_ends_that_login(self, line: Line) -> None:
        assert line.ask(initiate(2)).word == "CONT"
        assert line.ask(initiate(2)).values["code"] == "invalid-usage"

    def test_too_many_at_once(self, line: Line) -> None:
        words = [line.ask(initiate(number)).word for number in range(2, 70)]
        assert words.count("CONT") == 64
        line.send("CANCEL\t2")
        assert line.ask(initiate(2)).word == "CONT"

    def test_a_changed_configuration_holds_from_the_next_login_on(
        self, person: Person, line: Line
    ) -> None:
        text = person.config_file.read_text()
        person.config_file.write_text("nonsense")
        assert "browserid.toml" in line.ask(initiate(2)).values["detail"]
        person.config_file.write_text(text + '[client]\nidentity = "bob@example.org"\n')
        assert "bob@example.org is not signed in" in line.ask(initiate(2)).values["detail"]
        person.config_file.write_text(text)
        assert line.ask(initiate(2)).word == "CONT"


class TestContexts:
    """Security contexts without SASL around them, for programs of GSS-API."""

    def initiate(self, number: int, **more: str) -> str:
        return initiate(number, context="1", **more)

    def accept(self, person: Person, bound: bytes | None = None) -> PlainAcceptor:
        return Server(load(person.config_file), "imap", "localhost").accept(channel_binding=bound)

    def test_both_ends_have_the_same_key(self, person: Person, line: Line) -> None:
        for _ in ("afresh", "by ticket"):
            theirs = self.accept(person)
            answer = theirs.step(line.ask(self.initiate(2)).octets)
            done = line.ask(f"CONT\t2\t{b64(answer or b'')}")
            assert done.word == "OK"
            told = dict(told_of(theirs.context, with_key=True))
            assert done.values == told | {"": ""}  # the token, of which nothing is left
            assert told["initiator"] == ALICE

    def test_what_the_program_asks_for_and_binds_to(self, person: Person, line: Line) -> None:
        asked = ContextFlag.DCE_STYLE | ContextFlag.IDENTIFY
        theirs = self.accept(person, b"data")
        request = self.initiate(2, flags=str(int(asked)), bound=b64(b"data"))
        answer = theirs.step(line.ask(request).octets)
        done = line.ask(f"CONT\t2\t{b64(answer or b'')}")
        assert done.values["extra_round_trip"] == "1"
        theirs.step(done.octets)
        assert asked in theirs.context.flags

    @pytest.mark.parametrize("flags", ["-1", "two", "1" * 11])
    def test_flags_that_are_no_number(self, line: Line, flags: str) -> None:
        assert line.ask(self.initiate(2, flags=flags)).values["code"] == "invalid-parameter"
        assert line.ask(self.initiate(3)).word == "CONT"

    def test_a_request_without_mechanism(self, line: Line) -> None:
        refused = line.ask("INIT\t2")
        assert refused.word == "FAIL"
        assert "internal error" not in refused.values["detail"]

    def test_a_refusal_has_the_numbers_of_gss_api(self, person: Person, line: Line) -> None:
        theirs = self.accept(person)
        answer = theirs.step(line.ask(self.initiate(2, host="elsewhere")).octets)
        refused = line.ask(f"CONT\t2\t{b64(answer or b'')}")
        assert int(refused.values["major"]) == Code.BAD_AUDIENCE.major
        assert int(refused.values["minor"]) == Code.BAD_AUDIENCE.wire

    def test_who_would_log_in(self, line: Line) -> None:
        for name in ("", "\tauthname=alice", f"\tauthname={ALICE}"):
            assert line.ask(f"WHO\t2{name}").values["identity"] == ALICE
        assert line.ask("WHO\t2\tauthname=bob").values["code"] == "interact-required"


class TestSignIns:
    def test_nobody_is_signed_in_and_the_command_is_named_at_once(self, person: Person) -> None:
        with person.agent(), Line(person.socket) as line:
            refused = line.ask(initiate(1))
        assert refused.values["code"] == "interact-required"
        assert "browserid login" in refused.values["detail"]

    def test_a_wrong_password(self, person: Person) -> None:
        with person.agent(), Line(person.socket) as line:
            refused = line.ask(f"LOGIN\t1\t{ALICE}\tpassword=wrong")
            assert refused.values["kind"] == "CredentialError"
            assert line.ask("LIST\t2").word == "OK"

    @pytest.mark.parametrize(
        "words", ["way=carrier-pigeon\tpassword=x", "key_type=RS1\tpassword=x", "way=password", ""]
    )
    def test_what_is_not_known_is_taken_for_nothing_else(
        self, person: Person, line: Line, provider: RunningProvider, words: str
    ) -> None:
        before = provider.audit_log()
        answer = line.ask(f"LOGIN\t1\t{ALICE}\t{words}".rstrip("\t"))
        assert (answer.word, answer.values["code"]) == ("FAIL", "invalid-parameter")
        assert provider.audit_log() == before

    def test_another_password_has_a_result_of_its_own(self, person: Person, line: Line) -> None:
        line.send(f"LOGIN\t1\t{ALICE}\tpassword=wrong")
        line.send(f"LOGIN\t2\t{ALICE}\tpassword={PASSWORD}")
        answers = [Answer(line.read()) for _ in range(2)]
        words = {answer.number: answer.word for answer in answers}
        assert words == {"1": "FAIL", "2": "OK"}

    def test_several_at_once_are_one(self, person: Person, provider: RunningProvider) -> None:
        before = provider.audit_log().count("certified")

        def sign_in(_: int) -> str:
            with Line(person.socket) as line:
                return line.ask(f"LOGIN\t1\t{ALICE}\tpassword={PASSWORD}").values["expires"]

        with person.agent(), ThreadPoolExecutor(5) as pool:
            assert len(set(pool.map(sign_in, range(5)))) == 1
        assert provider.audit_log().count("certified") == before + 1

    def test_a_sign_in_holds_up_no_login(self, person: Person, line: Line) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with person.config_file.open("a") as file:
                file.write(f'[authorities."slow.test"]\nurl = "https://127.0.0.1:{port}"\n')
            with Line(person.socket) as slow:
                slow.send("LOGIN\t1\tbob@slow.test\tpassword=x")
                began = time.monotonic()
                assert line.ask(initiate(2)).word == "CONT"
                assert time.monotonic() - began < 8  # what discovery may take is more


class TestCommands:
    def browserid(
        self, person: Person, *arguments: str, input: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        code = "import sys; from browserid_sasl.cli.browserid import main; sys.exit(main())"
        return subprocess.run(
            (sys.executable, "-c", code, *arguments),
            env=person.variables | variables,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_they_start_the_agent_and_ask_it(self, person: Person) -> None:
        assert "nobody is signed in" in self.browserid(person, "list").stderr
        pid = person.agent_pid()
        done = self.browserid(person, "login", "--password-fd", "0", ALICE, input=PASSWORD)
        assert done.stdout.startswith(f"signed in as {ALICE} until 2"), done.stderr
        assert ALICE in self.browserid(person, "list").stdout
        assert self.browserid(person, "logout", "alice").stdout == f"signed out {ALICE}\n"
        refused = self.browserid(person, "logout", "alice")
        assert refused.returncode == os.EX_NOPERM
        assert refused.stderr == (
            "browserid: alice is not signed in: give one of the addresses that `browserid list`"
            " shows\n"
        )
        assert person.agent_pid() == pid

    def test_a_configuration_that_is_named_needs_no_agent(self, person: Person) -> None:
        done = self.browserid(person, "list", "--config", str(person.config_file))
        assert "nobody is signed in" in done.stderr
        assert not person.socket.exists()

    def test_a_forwarded_agent(self, person: Person, line: Line, tmp_path: Path) -> None:
        away = Person(tmp_path / "away")
        forwarded = away.folder / "forwarded"
        with relay(forwarded, person.socket):
            listed = self.browserid(away, "list", BROWSERID_AGENT=str(forwarded))
            assert ALICE in listed.stdout
        began = time.monotonic()
        lost = self.browserid(away, "list", BROWSERID_AGENT=str(forwarded))
        assert lost.returncode != 0
        assert "nobody answers" in lost.stderr
        assert not away.socket.exists()
        assert time.monotonic() - began < 15  # the interpreter's start included

    def test_a_forwarded_agent_that_is_silent(self, person: Person, tmp_path: Path) -> None:
        path = tmp_path / "silent"
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(path))
            silent.listen(1)
            began = time.monotonic()
            lost = self.browserid(person, "list", BROWSERID_AGENT=str(path))
        assert "does not answer" in lost.stderr
        assert time.monotonic() - began < 15


class TestProcess:
    def test_it_says_which_release_it_is_from(self, person: Person) -> None:
        with person.agent() as process, Line(person.socket) as line:
            assert f"AGENT\t{process.pid}\t{__version__}" in line.greeting

    def test_the_socket_is_its_owners_alone(self, person: Person) -> None:
        with person.agent():
            assert stat.S_IMODE(person.socket.stat().st_mode) == 0o600
            assert stat.S_IMODE(person.socket.parent.stat().st_mode) == 0o700

    def test_another_account_is_not_answered(self, person: Person, tmp_path: Path) -> None:
        with person.agent():
            for folder in (person.socket, *person.socket.parents):
                if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                    folder.chmod(0o777)
            code = (
                "import os, socket, sys; os.setgroups([]); os.setresgid(65534, 65534, 65534);"
                "os.setresuid(65534, 65534, 65534); s = socket.socket(socket.AF_UNIX);"
                "s.connect(sys.argv[1]); print(s.recv(100))"
            )
            done = subprocess.run(
                (sys.executable, "-c", code, str(person.socket)),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.stdout in ("b''\n", "") and b"VERSION".decode() not in done.stdout
        assert "Permission" not in done.stderr

    def test_one_is_enough(self, person: Person) -> None:
        with person.agent():
            pid = person.agent_pid()
            for arguments in ((), ("--background",)):
                done = subprocess.run(
                    (*AGENT, *arguments), env=person.variables, timeout=60, check=False
                )
                assert done.returncode == 0
            assert person.agent_pid() == pid

    def test_five_that_start_at_once_are_one(self, person: Person) -> None:
        started = [
            subprocess.Popen((*AGENT, "--background"), env=person.variables) for _ in range(5)
        ]
        assert [each.wait(PATIENCE) for each in started] == [0] * 5
        assert person.agent_pid()

    def test_what_a_killed_one_leaves_is_replaced(self, person: Person) -> None:
        with person.agent():
            person.kill_agent()
        assert person.socket.exists()
        with person.agent():
            assert person.agent_pid()

    def test_it_ends_when_nobody_needs_it(self, person: Person) -> None:
        with person.agent("--idle", "1") as process:
            with Line(person.socket):
                time.sleep(1.5)
                assert process.poll() is None
            assert process.wait(PATIENCE) == 0
        assert not person.socket.exists()

    def test_it_ends_when_told_to_and_answers_what_is_under_way(self, person: Person) -> None:
        with person.agent() as process, Line(person.socket) as line:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            with pytest.raises(OSError), suppress(UnicodeDecodeError):
                line.read()
        assert not person.socket.exists()

    def test_garbage_is_told_what_this_is_and_put_out(self, person: Person) -> None:
        with person.agent():
            for garbage in (b"GET / HTTP/1.1\n", b"\0" * 70_000, b"VERSION\t1\t2\n"):
                with Line(person.socket) as line:
                    line.socket.sendall(garbage)
                    assert line.read().startswith("FAIL\t0\t")
                    with pytest.raises(OSError):
                        line.read()

    def test_many_connections(self, person: Person) -> None:
        with person.agent():
            lines = [Line(person.socket) for _ in range(250)]
            for line in lines:
                line.socket.close()
            wait_until(lambda: bool(person.agent_pid()), "an answer")

    def test_a_socket_that_systemd_has_made(self, person: Person, tmp_path: Path) -> None:
        path = tmp_path / "activated"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(8)
            code = (
                "import os, sys; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
                "os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
            )
            process = subprocess.Popen(
                (sys.executable, "-c", code, str(listener.fileno()), *AGENT),
                env=person.variables,
                pass_fds=(listener.fileno(),),
            )
            try:
                with Line(path) as line:
                    assert line.ask("LIST\t1").word == "OK"
            finally:
                process.terminate()
                assert process.wait(PATIENCE) == 0

    def test_it_holds_no_terminal_and_no_folder(self, person: Person) -> None:
        done = subprocess.run(
            (*AGENT, "--background"),
            env=person.variables,
            capture_output=True,  # which would wait if the agent kept them open
            timeout=60,
            check=False,
        )
        assert done.returncode == 0
        assert os.readlink(f"/proc/{person.agent_pid()}/cwd") == "/"

    def test_without_a_place_for_its_socket(self, tmp_path: Path) -> None:
        done = subprocess.run(
            AGENT,
            env={"HOME": "relative", "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        assert "browserid-agent: " in done.stderr
        assert "set HOME" in done.stderr
        assert "Traceback" not in done.stderr


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
