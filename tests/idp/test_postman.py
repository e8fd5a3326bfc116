"""Mail handed to a server: over TLS that is verified, by one's own threads, a few times."""

from __future__ import annotations

import os
import queue
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
import trustme

from browserid_sasl.errors import Code, ConfigurationError, StoreError
from browserid_sasl.idp.outbox import MOST_WAITING, Letter, Outbox, Taken
from browserid_sasl.idp.postman import MailServer, Postman, Tls
from browserid_sasl.web.refusal import RefusedError
from tests.support.fallback import FALLBACK, NOBODY, Mailbox, mail_server
from tests.support.https import context_of, write_ca
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port


def letter(seconds: float = 60) -> Letter:
    message = EmailMessage()
    message["To"] = NOBODY
    message.set_content("Hello.")
    return Letter.good_for(seconds, message, f"bounces@{FALLBACK}", NOBODY)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ca(authority, tmp_path_factory.mktemp("ca"))


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@contextmanager
def failures(
    server: MailServer, outbox: Outbox, pauses: tuple[float, ...] = ()
) -> Iterator[Callable[[], str]]:
    """What a postman says of a letter to a server; nothing may be said after that."""
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    postman = Postman(server, outbox, lambda _email, why: told.put(why), pauses)
    with postman.at_work():
        postman.send(letter())
        yield lambda: told.get(timeout=PATIENCE)
    assert told.empty()
    assert outbox.take() is None


@contextmanager
def at_work(server: MailServer, outbox: Outbox, *pauses: float) -> Iterator[Postman]:
    """A postman, until the end of the block."""
    postman = Postman(server, outbox, print, pauses)
    with postman.at_work():
        yield postman


class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    def test_is_there_and_somebody_is_logged_in(
        self,
        tls: Tls,
        authority: trustme.CA,
        ca_file: Path,
        password_file: Path,
        outbox: Outbox,
    ) -> None:
        mailbox, context = Mailbox(), context_of(authority.issue_cert("localhost"))
        with mail_server(mailbox, context, at_once=tls == "tls") as port:
            server = MailServer(
                "localhost", port, tls, FALLBACK, "provider", password_file, ca_file
            )
            server.check()
            with at_work(server, outbox) as postman:
                postman.send(letter())
                delivery = mailbox.wait()
        assert delivery.secure
        assert delivery.user == "provider"

    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    def test_nothing_goes_to_a_server_that_does_not_prove_its_name(
        self, tls: Tls, authority: trustme.CA, ca_file: Path, outbox: Outbox
    ) -> None:
        mailbox, context = Mailbox(), context_of(authority.issue_cert("other.test"))
        with mail_server(mailbox, context, at_once=tls == "tls") as port:
            server = MailServer("localhost", port, tls, FALLBACK, ca_file=ca_file)
            with failures(server, outbox) as why:
                assert why() == "SSLCertVerificationError"
        assert mailbox.tries == 0

    def test_nor_to_one_that_has_no_tls(self, ca_file: Path, outbox: Outbox) -> None:
        mailbox = Mailbox()
        with mail_server(mailbox) as port:
            server = MailServer("localhost", port, "starttls", FALLBACK, ca_file=ca_file)
            with failures(server, outbox) as why:
                assert why() == "SMTPNotSupportedError"
        assert mailbox.tries == 0

    @pytest.mark.parametrize("host", ["mail.example.org", "192.0.2.1", "127.0.0.1.example.org"])
    def test_without_it_mail_does_not_leave_the_machine(self, host: str) -> None:
        with refused_configuration(f"mail does not go to {host} without TLS"):
            MailServer(host, 25, "loopback", FALLBACK).check()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
    def test_within_it_it_may(self, host: str) -> None:
        MailServer(host, 25, "loopback", FALLBACK).check()


def refused_configuration(match: str) -> pytest.RaisesExc[ConfigurationError]:
    return pytest.raises(ConfigurationError, match=match)


class TestConfiguration:
    def test_there_has_to_be_a_server(self) -> None:
        with refused_configuration("without a mail server"):
            MailServer("", 25, "starttls", FALLBACK).check()

    def test_anchors_that_cannot_be_read(self, tmp_path: Path) -> None:
        with refused_configuration("trust anchors"):
            MailServer("localhost", 25, "tls", FALLBACK, ca_file=tmp_path / "no").check()

    def test_a_password_that_cannot_be_read(self, tmp_path: Path) -> None:
        with refused_configuration("cannot be read"):
            MailServer("localhost", 25, "tls", FALLBACK, "me", tmp_path / "no").check()

    def test_the_password_is_in_no_text_about_it(self, password_file: Path) -> None:
        server = MailServer("localhost", 25, "tls", FALLBACK, "me", password_file)
        assert "secret" not in repr(server)


class TestFailures:
    def test_a_recipient_that_is_refused_is_not_tried_again(self, outbox: Outbox) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "550 5.1.1 no such user, buy-now"
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            with failures(server, outbox, pauses=(0.01, 0.01)) as why:
                # What the server says may be anybody's words.
                assert why() == "SMTPRecipientsRefused 550"
        assert mailbox.tries == 1

    def test_one_that_is_put_off_is(self, outbox: Outbox) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "451 4.7.1 greylisted"
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            with at_work(server, outbox, *(0.05,) * 1_000) as postman:
                postman.send(letter())
                mailbox.wait_for_tries(2)
                mailbox.refusal = ""
                assert mailbox.wait().recipient == NOBODY

    def test_but_not_when_it_is_of_no_use_any_more(self, outbox: Outbox) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "451 4.7.1 greylisted"
        with mail_server(mailbox) as port:
            told: queue.SimpleQueue[str] = queue.SimpleQueue()
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            postman = Postman(server, outbox, lambda _email, why: told.put(why), pauses=(60.0,))
            with postman.at_work():
                postman.send(letter(seconds=30))
                assert told.get(timeout=PATIENCE) == "SMTPRecipientsRefused 451"
                postman.send(letter(seconds=0))
                assert told.get(timeout=PATIENCE) == "too late"

    def test_a_server_that_is_away(self, outbox: Outbox) -> None:
        server = MailServer("127.0.0.1", free_port(), "loopback", FALLBACK)
        with failures(server, outbox) as why:
            assert why() == "ConnectionRefusedError"

    def test_a_failure_that_cannot_be_written_down_stops_nobody(self, outbox: Outbox) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "550 no"

        def fail(_email: str, _why: str) -> None:
            raise StoreError(Code.CACHE_ERROR, "the log is full")

        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            postman = Postman(server, outbox, fail, pauses=())
            with postman.at_work():
                for count in range(1, 5):
                    postman.send(letter())
                    mailbox.wait_for_tries(count)
                mailbox.refusal = ""
                postman.send(letter())
                mailbox.wait()


def test_a_page_waits_for_no_server_and_the_queue_is_bounded(outbox: Outbox) -> None:
    waiting = Postman(MailServer("127.0.0.1", free_port(), "loopback", FALLBACK), outbox, print)
    for _ in range(MOST_WAITING):
        waiting.send(letter())
    with pytest.raises(RefusedError, match="too many mails wait"):
        waiting.send(letter())


def _no(_path: Path, **_options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


class TestWhatIsLeft:
    """By a process that has ended, or was killed."""

    def test_is_sent_by_the_next(self, outbox: Outbox) -> None:
        mailbox = Mailbox()
        away = MailServer("127.0.0.1", free_port(), "loopback", FALLBACK)
        with at_work(away, outbox, 30.0) as postman:
            postman.send(letter())
            postman.send(letter())
        with mail_server(mailbox) as port:
            there = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            with at_work(there, outbox):
                delivery = mailbox.wait(2)
        assert (delivery.sender, delivery.recipient) == (f"bounces@{FALLBACK}", NOBODY)
        assert delivery.text == "Hello.\n"
        assert outbox.take() is None

    def test_is_not_sent_when_it_is_of_no_use_any_more(self, outbox: Outbox) -> None:
        outbox.put(letter(seconds=-1))
        told: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        mailbox = Mailbox()
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            postman = Postman(server, outbox, lambda email, why: told.put((email, why)))
            with postman.at_work():
                assert told.get(timeout=PATIENCE) == (NOBODY, "too late")
        assert (mailbox.tries, outbox.take()) == (0, None)

    def test_is_one_process_s_at_a_time_until_it_is_killed(
        self, outbox: Outbox, tmp_path: Path
    ) -> None:
        outbox.put(letter())
        script = "\n".join(
            (
                "import sys, pathlib",
                "from browserid_sasl.idp.outbox import Outbox",
                "taken = Outbox(pathlib.Path(sys.argv[1])).take()",
                "print(taken.letter.recipient, flush=True)",
                "sys.stdin.read()",
            )
        )
        command = [sys.executable, "-c", script, str(tmp_path / "outbox")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{NOBODY}\n"
            assert outbox.take() is None
            process.kill()
            process.wait(PATIENCE)
            with present(outbox.take()) as taken:
                assert taken.letter is not None
                taken.remove()
                assert outbox.take() is None

    def test_is_the_oldest_first(self, outbox: Outbox) -> None:
        for name in ("a", "b"):
            outbox.put(replace(letter(), recipient=name))
        with present(outbox.take()) as first, present(outbox.take()) as second:
            letters = [each.letter for each in (first, second)]
        assert [each.recipient for each in letters if each] == ["a", "b"]

    @pytest.mark.parametrize(
        "text",
        [
            *(b"", b"5\n", b"[]\n", b"[1, 2, 3]\n", b'["a", "b"]\n', b'["a", "b", null]\n'),
            *(b'["a", "b", []]\n', b"\xff\n\xff", b"[" * 60_000),
        ],
    )
    def test_and_cannot_be_read_stops_nobody(
        self, outbox: Outbox, tmp_path: Path, text: bytes
    ) -> None:
        outbox.put(letter())
        (tmp_path / "outbox" / "0").write_bytes(text)
        mailbox = Mailbox()
        with mail_server(mailbox) as port:
            with at_work(MailServer("127.0.0.1", port, "loopback", FALLBACK), outbox):
                mailbox.wait()
        assert outbox.take() is None

    def test_and_cannot_be_removed_ends_nothing(
        self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mailbox = Mailbox()
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            postman = Postman(server, outbox, print, (), looks_every=0.01)
            with postman.at_work():
                with monkeypatch.context() as patch:
                    patch.setattr(Path, "unlink", _no)
                    postman.send(letter())
                    mailbox.wait(2)
                wait_until(lambda: not outbox._names(), "the end of the mail in the folder")

    def test_by_one_that_ends_after_the_next_has_begun(self, outbox: Outbox) -> None:
        outbox.put(letter())
        mailbox = Mailbox()
        with mail_server(mailbox) as port, ExitStack() as other:
            other.enter_context(present(outbox.take()))
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            with Postman(server, outbox, print, (), looks_every=0.01).at_work():
                assert outbox.take() is None
                other.close()
                mailbox.wait()

    def test_half_written_is_removed(self, outbox: Outbox, tmp_path: Path) -> None:
        outbox.put(letter())
        old, new = tmp_path / "outbox" / ".old", tmp_path / "outbox" / ".new"
        for file in (old, new):
            file.write_text("the code is")
        os.utime(old, (0, 0))
        outbox.tidy()
        assert (old.exists(), new.exists()) == (False, True)

    def test_nobody_else_can_read(self, outbox: Outbox, tmp_path: Path) -> None:
        outbox.put(letter())
        folder = tmp_path / "outbox"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]
        assert "Hello" not in repr(letter())

    def test_there_is_no_room_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot be kept"):
            Outbox(tmp_path / "file" / "outbox").put(letter())


def present(taken: Taken | None) -> Taken:
    assert taken is not None
    return taken
