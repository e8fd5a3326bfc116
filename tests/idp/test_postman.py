"""Mail handed to a server: over TLS that is verified, by one's own threads, a few times."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
import trustme

from browserid_sasl.errors import Code, ConfigurationError, StoreError
from browserid_sasl.idp import postman
from browserid_sasl.idp.postman import MOST_WAITING, Letter, MailServer, Postman, Tls
from browserid_sasl.web.refusal import RefusedError
from tests.support.fallback import FALLBACK, NOBODY, Mailbox, mail_server
from tests.support.https import context_of, write_ca
from tests.support.patience import PATIENCE
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


@contextmanager
def failures(server: MailServer, pauses: tuple[float, ...] = ()) -> Iterator[Callable[[], str]]:
    """What a postman says of a letter to a server; nothing may be said after that."""
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    Postman(server, lambda _email, why: told.put(why), pauses).send(letter())
    yield lambda: told.get(timeout=PATIENCE)
    assert told.empty()


class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    def test_is_there_and_somebody_is_logged_in(
        self, tls: Tls, authority: trustme.CA, ca_file: Path, password_file: Path
    ) -> None:
        mailbox, context = Mailbox(), context_of(authority.issue_cert("localhost"))
        with mail_server(mailbox, context, at_once=tls == "tls") as port:
            server = MailServer(
                "localhost", port, tls, FALLBACK, "provider", password_file, ca_file
            )
            server.check()
            Postman(server, print).send(letter())
            delivery = mailbox.wait()
        assert delivery.secure
        assert delivery.user == "provider"

    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    def test_nothing_goes_to_a_server_that_does_not_prove_its_name(
        self, tls: Tls, authority: trustme.CA, ca_file: Path
    ) -> None:
        mailbox, context = Mailbox(), context_of(authority.issue_cert("other.test"))
        with mail_server(mailbox, context, at_once=tls == "tls") as port:
            server = MailServer("localhost", port, tls, FALLBACK, ca_file=ca_file)
            with failures(server) as why:
                assert why() == "SSLCertVerificationError"
        assert mailbox.tries == 0

    def test_nor_to_one_that_has_no_tls(self, ca_file: Path) -> None:
        mailbox = Mailbox()
        with mail_server(mailbox) as port:
            server = MailServer("localhost", port, "starttls", FALLBACK, ca_file=ca_file)
            with failures(server) as why:
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
    def test_a_recipient_that_is_refused_is_not_tried_again(self) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "550 5.1.1 no such user, buy-now"
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            with failures(server, pauses=(0.01, 0.01)) as why:
                # What the server says may be anybody's words.
                assert why() == "SMTPRecipientsRefused 550"
        assert mailbox.tries == 1

    def test_one_that_is_put_off_is(self) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "451 4.7.1 greylisted"
        with mail_server(mailbox) as port:
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            Postman(server, print, pauses=(0.05,) * 1_000).send(letter())
            mailbox.wait_for_tries(2)
            mailbox.refusal = ""
            assert mailbox.wait().recipient == NOBODY

    def test_but_not_when_it_is_of_no_use_any_more(self) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "451 4.7.1 greylisted"
        with mail_server(mailbox) as port:
            told: queue.SimpleQueue[str] = queue.SimpleQueue()
            server = MailServer("127.0.0.1", port, "loopback", FALLBACK)
            postman = Postman(server, lambda _email, why: told.put(why), pauses=(60.0,))
            postman.send(letter(seconds=1))
            assert told.get(timeout=PATIENCE) == "SMTPRecipientsRefused 451"

    def test_a_server_that_is_away(self) -> None:
        server = MailServer("127.0.0.1", free_port(), "loopback", FALLBACK)
        with failures(server) as why:
            assert why() == "ConnectionRefusedError"

    def test_a_failure_that_cannot_be_written_down_stops_nobody(self) -> None:
        mailbox = Mailbox()
        mailbox.refusal = "550 no"

        def fail(_email: str, _why: str) -> None:
            raise StoreError(Code.CACHE_ERROR, "the log is full")

        with mail_server(mailbox) as port:
            postman = Postman(MailServer("127.0.0.1", port, "loopback", FALLBACK), fail, pauses=())
            for count in range(1, 5):
                postman.send(letter())
                mailbox.wait_for_tries(count)
            mailbox.refusal = ""
            postman.send(letter())
            mailbox.wait()


def test_a_page_waits_for_no_server_and_the_queue_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postman, "_THREADS", 0)
    waiting = Postman(MailServer("127.0.0.1", free_port(), "loopback", FALLBACK), print)
    begun = time.monotonic()
    for _ in range(MOST_WAITING):
        waiting.send(letter())
    with pytest.raises(RefusedError, match="too many mails wait"):
        waiting.send(letter())
    assert time.monotonic() - begun < PATIENCE
