"""Prosody with its module mod_auth_dovecot, as the page says."""

from __future__ import annotations

import base64
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.sasl.client import ClientMechanism
from tests.support import pages
from tests.support.acceptor import Daemon, Host
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import DOMAIN, ROOT
from tests.support.services import service

Start = Callable[..., Daemon]
NAMESPACE = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"


class Prosody:
    """Prosody for one domain.

    :param folder: for its files.
    :param host: its part of the configuration.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self.port = free_port()
        self.folder = folder / "prosody"
        self.folder.mkdir()
        (self.folder / "prosody.cfg.lua").write_text(
            f"""
run_as_root = true
pidfile = "{self.folder}/pid"
data_path = "{self.folder}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{ }}
modules_enabled = {{ "saslauth" }}
modules_disabled = {{ "s2s"; "tls" }}
c2s_require_encryption = false
log = {{ info = "*console" }}
{host}
"""
        )

    @contextmanager
    def running(self) -> Iterator[Prosody]:
        """The service, from when it listens until the end of the block."""
        command = ("/usr/bin/prosody", "--config", self.folder / "prosody.cfg.lua", "-F")
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with service(command, self.port, variables, self.folder / "output"):
            yield self

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "output").read_text()

    def log_in(self, mechanism: ClientMechanism, *, initial: bool = True) -> str:
        """XMPP's SASL (RFC 6120 section 6); the last element."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as wire:
            wire.sendall(
                f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' xmlns='jabber:client'"
                " xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>".encode()
            )
            assert f"<mechanism>{mechanism.name}</mechanism>" in _until(wire, "</stream:features>")
            first = _encoded(mechanism.step(None))
            begin = f"<auth {NAMESPACE} mechanism='{mechanism.name}'>"
            wire.sendall(f"{begin}{first if initial else ''}</auth>".encode())
            element = _element(wire)
            if not initial:
                assert _data(element) == b""
                element = _answer(wire, first)
            while "<challenge" in element:
                try:
                    response = mechanism.step(_data(element))
                except PeerRefusedError:
                    response = b""
                element = _answer(wire, _encoded(response))
            return element


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode() or "="


def _until(wire: socket.socket, pattern: str) -> str:
    text = ""
    while not re.search(pattern, text):
        data = wire.recv(65536)
        assert data, f"closed after {text}"
        text += data.decode()
    return text


def _element(wire: socket.socket) -> str:
    return _until(wire, "<success.*/>|</(challenge|failure|success)>")


def _answer(wire: socket.socket, response: str) -> str:
    wire.sendall(f"<response {NAMESPACE}>{response}</response>".encode())
    return _element(wire)


def _data(element: str) -> bytes:
    found = re.search(r"<challenge[^>]*>(.*)</challenge>", element)
    assert found, element
    return b"" if found[1] == "=" else base64.b64decode(found[1])


@pytest.fixture
def prosody(host: Host) -> Prosody:
    """Both are configured in the page's words. Neither is running."""
    text = (ROOT / "docs" / "acceptor.md").read_text()
    text = text.partition("\n## Prosody\n")[2].partition("\n## ")[0]
    for old, new in (
        ("/run/browserid/prosody", str(host.folder / "prosody-socket")),
        ("example.org", DOMAIN),
    ):
        assert old in text
        text = text.replace(old, new)
    [listener], [program] = pages.blocks(text, "toml"), pages.blocks(text, "conf")
    host.configure(listener)
    return Prosody(host.folder, program)


def xmpp(host: Host, email: str = f"alice@{DOMAIN}") -> ClientMechanism:
    person = host.realm.person(email)
    return host.client("xmpp", person, host=DOMAIN).start_with("BROWSERID-AES128")


@pytest.mark.option("listeners.strip_domain")
@pytest.mark.parametrize("initial", [True, False])
def test_a_person_logs_in(host: Host, prosody: Prosody, start: Start, initial: bool) -> None:
    daemon = start(host)
    with prosody.running():
        assert "<success" in prosody.log_in(xmpp(host), initial=initial)
        wait_until(lambda: f"Authenticated as alice@{DOMAIN}" in prosody.log, "the line")
    assert f"user=<alice@{DOMAIN}>" in daemon.log


def test_a_stranger_is_refused(host: Host, prosody: Prosody, start: Start) -> None:
    start(host)
    with prosody.running():
        stranger = xmpp(host, "eve@elsewhere.test")
        assert "<not-authorized" in prosody.log_in(stranger)


def test_what_is_nobodys_fault_is_temporary(host: Host, prosody: Prosody, start: Start) -> None:
    start(host)
    (host.folder / "server").chmod(0o755)
    with prosody.running():
        assert "<temporary-auth-failure" in prosody.log_in(xmpp(host))
        (host.folder / "server").chmod(0o700)
        assert "<success" in prosody.log_in(xmpp(host))


def test_one_login_fails_after_a_restart_of_the_acceptor(
    host: Host, prosody: Prosody, start: Start
) -> None:
    """What the page says that the module cannot do."""
    daemon = start(host)
    with prosody.running():
        assert "<success" in prosody.log_in(xmpp(host))
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        start(host)
        assert "<internal-server-error" in prosody.log_in(xmpp(host))
        assert "<success" in prosody.log_in(xmpp(host))
