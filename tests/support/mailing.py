"""Somebody with an agent and mail servers that say what they offer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.asyncresolver
import dns.resolver
import pytest

from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.agent.service.place import socket_path
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service, make_password
from tests.support.mail_offers import offering
from tests.support.ports import free_port
from tests.support.verifier import write_certificate
from tests.support.world import ALICE

KNOWN = "known"
"""The name of an account that is there."""


def _no_name_servers() -> dns.asyncresolver.Resolver:
    raise dns.resolver.NoResolverConfiguration


@contextmanager
def mail_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a mail account, and an agent once it is needed, until the end of the block.

    Beside it are a server of each kind, whose ports are in a file, and an empty profile.

    :param home: with a `site.toml`, whose owner is signed in.
    """
    certificate, anchor = write_certificate(home)
    file = home / "mail.toml"
    file.write_text(
        (home / "site.toml").read_text() + f'[discovery]\nca_file = "{anchor}"\ntimeout = 1\n'
    )
    monkeypatch.setenv("BROWSERID_CONFIG", str(file))
    monkeypatch.delenv("BROWSERID_AGENT", raising=False)
    monkeypatch.setattr(dns.asyncresolver, "Resolver", _no_name_servers)
    (home / "profile").mkdir()
    with (
        offering(certificate) as servers,
        tempfile.TemporaryDirectory() as runtime,
    ):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        (home / "ports.json").write_text(
            json.dumps({kind: server.port for kind, server in servers.items()})
        )
        imap = Service(Kind.IMAP, "localhost", servers[Kind.IMAP].port, Security.TLS, free_port())
        Accounts(home / "client").add(Account(KNOWN, ALICE, "", (imap,)), make_password())
        try:
            yield home
        finally:
            end_agent()


def end_agent() -> None:
    """Have the agent end, if there is one."""
    if socket_path().exists():
        with suppress(BrowserIDError), Caller() as agent:
            agent.ask("STOP")
