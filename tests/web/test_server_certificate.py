"""Which certificate a client is shown, by the name it asks for."""

from __future__ import annotations

import io
import logging
import ssl
import sys
import time
from pathlib import Path

import pytest

from browserid_sasl.web import quiet
from browserid_sasl.web.quiet import QuietHandler, log_quietly
from browserid_sasl.web.server_certificate import HostCertificates, ServerCertificate
from tests.support.household import Authority

HOST = "strange.test"
MANY = 50


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    certificate = ServerCertificate(*Authority(tmp_path).certificate(HOST))
    return HostCertificates(certificate, {HOST: certificate}).context()


def hello(name: bytes) -> bytes:
    """What a client begins with that asks for a name, as long as `HOST`."""
    outgoing = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname=HOST
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    sent = outgoing.read()
    assert sent.count(HOST.encode()) == 1
    return sent.replace(HOST.encode(), name)


def shake_hands(context: ssl.SSLContext, sent: bytes) -> None:
    incoming = ssl.MemoryBIO()
    incoming.write(sent)
    context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()


def test_a_name_that_is_no_text_floods_no_log(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    log_quietly("text")
    logger, stream = logging.getLogger(quiet.__name__), io.StringIO()
    handler = QuietHandler(stream)
    logger.addHandler(handler)
    sent = hello(b"\xff" * len(HOST))
    began = time.monotonic()
    try:
        for _ in range(MANY):
            with pytest.raises(ssl.SSLError):
                shake_hands(context, sent)
    finally:
        logger.removeHandler(handler)
        handler.close()
    lines = stream.getvalue().splitlines()
    assert all("UnicodeDecodeError" in each for each in lines)
    # One at once, one at the end, and one a second.
    assert 1 <= len(lines) <= 3 + time.monotonic() - began
    assert "Traceback" not in capfd.readouterr().err


def test_other_names_are_shown_what_there_is(context: ssl.SSLContext) -> None:
    for name in (HOST, HOST.upper(), "x" * len(HOST)):
        # It goes on: the client has to answer.
        with pytest.raises(ssl.SSLWantReadError):
            shake_hands(context, hello(name.encode()))
