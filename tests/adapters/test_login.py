"""What the adapters make of servers that do not keep to the protocol."""

from __future__ import annotations

import poplib
import smtplib
from pathlib import Path

import pytest

from browserid_sasl.adapters import poplib_login, smtplib_login
from browserid_sasl.errors import Code, LocalProtocolError, PeerRefusedError, RemoteProtocolError
from browserid_sasl.jose.keys import PrivateKey
from tests.support.refusal import refused
from tests.support.sample_programs import Realm, scripted_server

GREETING = (b"220 here\r\n", b"250-here\r\n250 AUTH PLAIN BROWSERID-AES128\r\n")
CHALLENGE = b"334 \r\n"


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, PrivateKey.generate("ES256"))


def submit(realm: Realm, *answers: bytes) -> None:
    """Log in to an SMTP server that says this."""
    with scripted_server(*GREETING, *answers) as port:
        connection = smtplib.SMTP("127.0.0.1", port, timeout=20)
        try:
            smtplib_login(connection, realm.client())
        finally:
            connection.close()


def test_success_without_proof_is_none(realm: Realm) -> None:
    with refused(Code.CONTEXT_INCOMPLETE, kind=RemoteProtocolError):
        submit(realm, CHALLENGE, b"235 welcome\r\n")


def test_a_server_that_does_not_end_is_left_for_what_it_did_first(realm: Realm) -> None:
    with refused(Code.TOKEN_TRUNCATED, kind=RemoteProtocolError):
        submit(realm, *[CHALLENGE] * 20)


def test_a_challenge_that_is_not_base64(realm: Realm) -> None:
    with refused(Code.INVALID_BASE64, kind=RemoteProtocolError):
        submit(realm, CHALLENGE, b"334 !\r\n", b"501 no\r\n")


@pytest.mark.parametrize(
    "answer",
    [b"535 no\r\n", b"454 later\r\n", b"503 \x1b[2J\x07\xff\r\n", b"535 " + b"x" * 5000 + b"\r\n"],
)
def test_a_refusal_is_one_line_of_text(realm: Realm, answer: bytes) -> None:
    with refused(Code.REMOTE_VERIFY_FAILURE, "the server refused: ", PeerRefusedError) as caught:
        submit(realm, answer)
    assert len(str(caught.value)) < 500


def test_a_server_without_these_mechanisms(realm: Realm) -> None:
    with refused(Code.WRONG_MECH, kind=LocalProtocolError):
        with scripted_server(b"220 here\r\n", b"250-here\r\n250 AUTH PLAIN\r\n") as port:
            connection = smtplib.SMTP("127.0.0.1", port, timeout=20)
            try:
                smtplib_login(connection, realm.client())
            finally:
                connection.close()


def test_a_pop_server_that_lets_in_without_proof(realm: Realm) -> None:
    capabilities = b"+OK\r\nSASL BROWSERID-AES128\r\n.\r\n"
    with scripted_server(b"+OK here\r\n", capabilities, b"+ \r\n", b"+OK welcome\r\n") as port:
        connection = poplib.POP3("127.0.0.1", port, 20)
        with refused(Code.CONTEXT_INCOMPLETE, kind=RemoteProtocolError):
            poplib_login(connection, realm.client())
        connection.close()
