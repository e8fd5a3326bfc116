"""A site whose server and clients are configured by a file, as people write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl import Client, Server
from browserid_sasl.api import SYSTEM
from browserid_sasl.api import client as client_module
from browserid_sasl.api import server as server_module
from browserid_sasl.config import Config, load
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.result import Result
from browserid_sasl.sasl.server import ServerMechanism
from browserid_sasl.store.base import system_clock
from tests.support.site import DOMAIN, Site
from tests.support.world import key, support_document

HOST = "mail.example.com"
AES128 = "BROWSERID-AES128"

#: What a file says unless a test says otherwise: enough for alice@idp.test to log in.
USUAL: dict[str, Any] = {
    "store.directory": "client",
    "store.server_directory": "server",
    "server.allow": [DOMAIN],
    f'authorities."{DOMAIN}".keys_file': "support.json",
}


@dataclass
class Clocks:
    """How far (ms) the clocks of the two sides are ahead of the right time."""

    client: int = 0
    server: int = 0


@dataclass
class Login:
    """A login that has ended, well or not."""

    client: ClientMechanism
    server: ServerMechanism

    @property
    def result(self) -> Result:
        """The server's result; the reason it refused is raised."""
        return self.server.result

    @property
    def failure(self) -> BrowserIDError | None:
        """Why the server refused, None if it did not."""
        return self.server.failure


@dataclass
class ConfiguredSite:
    """A folder with a configuration file, and who logs in by it."""

    folder: Path
    clocks: Clocks = field(default_factory=Clocks)

    def __post_init__(self) -> None:
        self.site = Site(self.folder)
        self.publish("support.json", support_document(key("idp")))

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """Put a provider's document where a configuration can pin it."""
        (self.folder / name).write_text(json.dumps(document))

    def load(self, options: Mapping[str, Any] | None = None) -> Config:
        """Write a file with these options, by section and name, besides the usual; read it."""
        file = self.folder / "browserid.toml"
        file.write_text(toml(USUAL | dict(options or {})))
        file.chmod(0o600)
        return load(file)

    def client(self, config: Config, **options: Any) -> ClientMechanism:
        """The client's side of a login to the imap service."""
        of_start = ("offered", "authzid", "channel_binding", "binding_critical")
        start = {name: options.pop(name) for name in of_start if name in options}
        target = {"service": "imap", "hostname": HOST}
        client = Client(config, **(target | options))
        if "offered" in start:
            return client.start(**start)
        return client.start_with(AES128, **start)

    def server(self, config: Config, **options: Any) -> ServerMechanism:
        """The imap service's side of a login."""
        return Server(config, "imap", HOST).start(AES128, **options)

    def log_in(self, config: Config, *, server: Config | None = None, **of_client: Any) -> Login:
        """A whole login, unless the client refuses, which is raised."""
        login = Login(self.client(config, **of_client), self.server(server or config))
        message = login.client.step()
        while not login.server.complete and login.failure is None:
            challenge = login.server.step(message)
            if challenge is not None and login.failure is None:
                message = login.client.step(challenge)
        return login


def toml(options: Mapping[str, Any]) -> str:
    """A file with these options. JSON has the same spelling for what they are."""
    sections: dict[str, list[str]] = {}
    for name, value in options.items():
        section, _, option = name.rpartition(".")
        sections.setdefault(section, []).append(f"{option} = {json.dumps(value)}")
    return "\n".join("\n".join([f"[{name}]", *lines]) for name, lines in sections.items()) + "\n"


def configured_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ConfiguredSite:
    """A site below a folder, whose clocks can be moved, and where alice has signed in."""
    machine = ConfiguredSite(folder)
    for module, side in ((client_module, "client"), (server_module, "server")):

        def clock(side: str = side) -> int:
            ahead: int = getattr(machine.clocks, side)
            return system_clock() + ahead

        monkeypatch.setattr(module, "SYSTEM", replace(SYSTEM, clock=clock))
    machine.site.sign_in()
    return machine
