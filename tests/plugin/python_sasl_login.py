"""An IMAP login with python-sasl's client. Run by test_python_host.py where that is installed.

usage: python_sasl_login.py PORT USER
"""

from __future__ import annotations

import imaplib
import sys

import sasl  # type: ignore[import-not-found]

client = sasl.Client()
"""Disposed of when the interpreter ends."""


def main(port: int, user: str) -> None:
    """Log in."""
    for name, value in {"host": "localhost", "service": "imap", "username": user}.items():
        client.setAttr(name, value)
    client.init()
    ok, mechanism, response = client.start("BROWSERID-AES128")
    assert ok, client.getError()
    responses = [response]

    def step(challenge: bytes) -> bytes:
        if responses:
            return bytes(responses.pop())
        ok, answer = client.step(challenge)
        assert ok, client.getError()
        return bytes(answer)

    connection = imaplib.IMAP4("localhost", port, 20)
    connection.authenticate(mechanism.decode(), step)
    sys.stdout.write(f"{connection.noop()[0]}\n")
    connection.logout()


main(int(sys.argv[1]), sys.argv[2])
