"""Channel binding and Dovecot 2.4, whose login processes have the channel."""

from __future__ import annotations

import base64
import imaplib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import TLSVersion
from typing import IO, Final

import pytest
import trustme

from browserid_sasl.errors import Code, PeerRefusedError, RemoteProtocolError
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from tests.support import dovecot
from tests.support.dovecot import Dovecot
from tests.support.guide import blocks_of
from tests.support.patience import wait_until
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, HOST, Site, run

PLUS: Final = f"{AES128}-PLUS"
TLS_EXPORTER: Final = "tls-exporter"
BOTH: Final = f"{AES128} {PLUS}".lower()
EXPORTER: Final = ("-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(new_site: Callable[[str], Site]) -> Site:
    site = new_site(dovecot.ACCOUNT)
    dovecot.allow(site)
    return site


@contextmanager
def offering(
    mechanisms: str, site: Site, authority: trustme.CA, auth: str = ""
) -> Iterator[Dovecot]:
    tls = dovecot.certificate(site, authority)
    with Dovecot(site, mechanisms=mechanisms, tls=tls, auth=auth).running() as server:
        yield server


@pytest.fixture
def server(site: Site, authority: trustme.CA) -> Iterator[Dovecot]:
    with offering(BOTH, site, authority) as server:
        yield server


class Exporting:
    """A connection with TLS 1.3 and its `tls-exporter`, which Python's own TLS does not give."""

    def __init__(self, server: Dovecot, authority: trustme.CA, folder: Path) -> None:
        trusted = folder / "ca.pem"
        authority.cert_pem.write_to_path(trusted)
        trust = ("-CAfile", trusted, "-verify_return_error", "-servername", HOST)
        connect = ("-connect", f"{HOST}:{server.tls_port}", "-tls1_3", "-nocommands")
        self._process = subprocess.Popen(
            ("openssl", "s_client", *connect, *trust, *EXPORTER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.binding = ChannelBinding(TLS_EXPORTER, bytes.fromhex(self._find("Keying material: ")))
        self._find("* OK ")

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _find(self, beginning: str) -> str:
        """What stands behind the beginning of the next line that begins like that."""
        for line in self._output:
            text = line.decode().strip()
            if text.startswith(beginning):
                return text.removeprefix(beginning)
        raise AssertionError(f"there was no {beginning!r}")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\r\n")
        self._process.stdin.flush()

    def log_in(self, mechanism: ClientMechanism) -> str:
        """What the command ends with."""
        first = base64.b64encode(mechanism.step(None)).decode()
        self._send(f"a AUTHENTICATE {mechanism.name} {first}")
        challenge = base64.b64decode(self._find("+ "))
        self._send(base64.b64encode(mechanism.step(challenge)).decode())
        return self._find("a ")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def exporting(server: Dovecot, authority: trustme.CA, tmp_path: Path) -> Iterator[Exporting]:
    connection = Exporting(server, authority, tmp_path)
    yield connection
    connection.close()


def log_in(connection: imaplib.IMAP4, mechanism: ClientMechanism) -> None:
    connection.authenticate(mechanism.name, lambda data: mechanism.step(data or None))
    assert connection.noop()[0] == "OK"


def refusal(connection: imaplib.IMAP4, name: str, mechanism: ClientMechanism) -> Code:
    """Why a login is refused."""
    with pytest.raises((PeerRefusedError, RemoteProtocolError)) as caught:
        connection.authenticate(name, lambda data: mechanism.step(data or None))
    assert isinstance(caught.value, RemoteProtocolError | PeerRefusedError)
    return caught.value.code


def test_the_name_is_offered_where_there_is_a_channel(
    server: Dovecot, authority: trustme.CA
) -> None:
    with server.imaps(authority) as (connection, _):
        assert {f"AUTH={AES128}", f"AUTH={PLUS}"} <= set(connection.capabilities)
    with server.imap() as connection:
        assert f"AUTH={AES128}" in connection.capabilities
        assert f"AUTH={PLUS}" not in connection.capabilities


def test_a_sign_in_and_a_ticket_bind_to_tls_1_2(server: Dovecot, authority: trustme.CA) -> None:
    client = server.site.client("imap")
    for by_ticket in (False, True, True):
        with server.imaps(authority) as (connection, binding):
            mechanism = client.start([PLUS, AES128], channel_binding=binding)
            log_in(connection, mechanism)
            assert mechanism.name == PLUS
            assert mechanism.result.ticket_used is by_ticket
    wait_until(
        lambda: server.site.output.read_text().count("bound=tls-unique") == 3, "three in the log"
    )


def test_a_sign_in_binds_to_tls_1_3(server: Dovecot, exporting: Exporting) -> None:
    client = server.site.client("imap")
    mechanism = client.start([PLUS, AES128], channel_binding=exporting.binding)
    assert exporting.log_in(mechanism).startswith("OK")
    assert mechanism.result.channel_binding == TLS_EXPORTER


def test_a_client_binds_that_has_picked_the_other_name(
    server: Dovecot, authority: trustme.CA
) -> None:
    with server.imaps(authority) as (connection, binding):
        log_in(connection, server.site.mechanism("imap", binding=binding))


class TestRefusals:
    def test_another_channel(self, server: Dovecot, authority: trustme.CA) -> None:
        mark = server.mark()
        with (
            server.imaps(authority) as (connection, _),
            server.imaps(authority) as (_, binding),
        ):
            mechanism = server.site.mechanism("imap", mechanism=PLUS, binding=binding)
            assert refusal(connection, PLUS, mechanism) == Code.CHANNEL_BINDINGS_MISMATCH
        server.wait_for("browserid: .*channel", mark)

    def test_a_client_that_was_led_to_believe_that_the_name_is_not_offered(
        self, server: Dovecot, authority: trustme.CA
    ) -> None:
        with server.imaps(authority) as (connection, binding):
            mechanism = server.site.client("imap").start([AES128], channel_binding=binding)
            assert refusal(connection, AES128, mechanism) == Code.CHANNEL_BINDINGS_MISMATCH

    def test_one_that_picks_the_name_and_binds_to_nothing(
        self, server: Dovecot, authority: trustme.CA
    ) -> None:
        with server.imaps(authority) as (connection, _):
            mechanism = server.site.mechanism("imap")
            assert refusal(connection, PLUS, mechanism) == Code.MISSING_CHANNEL_BINDINGS

    def test_a_connection_without_tls(self, server: Dovecot) -> None:
        binding = ChannelBinding(TLS_EXPORTER, bytes(32))
        with server.imap() as connection:
            mechanism = server.site.mechanism("imap", binding=binding)
            assert refusal(connection, AES128, mechanism) == Code.CHANNEL_BINDINGS_MISMATCH

    def test_a_binding_that_dovecot_does_not_have(
        self, server: Dovecot, authority: trustme.CA
    ) -> None:
        binding = ChannelBinding("tls-server-end-point", bytes(32))
        with server.imaps(authority) as (connection, _):
            mechanism = server.site.mechanism("imap", mechanism=PLUS, binding=binding)
            assert refusal(connection, PLUS, mechanism) == Code.CHANNEL_BINDINGS_MISMATCH

    def test_one_that_its_version_of_tls_does_not_have(
        self, server: Dovecot, authority: trustme.CA
    ) -> None:
        """A login process of 2.4.1 panics of it; the others, and what was begun here, go on."""
        with server.imaps(authority) as (bystander, binding):
            log_in(bystander, server.site.mechanism("imap", mechanism=PLUS, binding=binding))
            before = server.descriptors()
            for _ in range(3):
                with server.imaps(authority, TLSVersion.TLSv1_3) as (connection, unique):
                    mechanism = server.site.mechanism("imap", mechanism=PLUS, binding=unique)
                    with pytest.raises(imaplib.IMAP4.error):
                        log_in(connection, mechanism)
            assert bystander.noop()[0] == "OK"
            wait_until(lambda: server.descriptors() <= before, "the end of what was begun")
        with server.imaps(authority) as (connection, binding):
            log_in(connection, server.site.mechanism("imap", mechanism=PLUS, binding=binding))


def test_debians_files_take_the_settings_of_the_page(
    site: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    [block] = [
        block for block in blocks_of(ROOT / "docs" / "dovecot.md") if block.kind == "dovecot-2.4"
    ]
    shipped = tmp_path / "dovecot"
    shutil.copytree("/etc/dovecot", shipped, ignore=shutil.ignore_patterns("private"))
    text = block.text
    for place, file in zip(
        ("/etc/ssl/certs/mail.example.org.pem", "/etc/ssl/private/mail.example.org.key"),
        dovecot.certificate(site, authority),
        strict=True,
    ):
        assert place in text
        text = text.replace(place, str(file))
    (shipped / "conf.d" / Path(block.file).name).write_text(text)
    done = run(("doveconf", "-c", shipped / "dovecot.conf", "-h", "auth_mechanisms"))
    offered = [line.strip() for line in done.stdout.splitlines()]
    assert (done.returncode, offered) == (0, ["plain = yes", f"{AES128.lower()} = yes"])


def test_valgrind_has_nothing_to_say(site: Site, authority: trustme.CA) -> None:
    said = site.folder / "valgrind"
    said.mkdir()
    said.chmod(0o777)
    launcher = f"/usr/bin/valgrind -q --log-file={said}/%p"
    with offering(BOTH, site, authority, auth=launcher) as server:
        for name in (PLUS, AES128, PLUS):
            with server.imaps(authority) as (connection, binding):
                log_in(connection, site.mechanism("imap", mechanism=name, binding=binding))
    text = "".join(file.read_text() for file in said.iterdir())
    assert "browserid" not in text, text
    assert re.findall(r"Invalid (?:read|write|free)", text) == [], text
