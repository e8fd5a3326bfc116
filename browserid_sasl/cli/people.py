"""Who is signed in, asked of the person's agent, or looked up where a configuration says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from browserid_sasl import config
from browserid_sasl.agent.service import people
from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.agent.service.place import named_socket
from browserid_sasl.agent.signin import KeyType
from browserid_sasl.config import Config
from browserid_sasl.config.files import VARIABLE


class People(Protocol):
    """Those who have signed in as this person."""

    def all(self) -> Sequence[SignedIn]:
        """All of them."""

    def sign_in(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """Sign somebody in; see `agent.signin.sign_in`."""

    def sign_out(self, name: str) -> str:
        """Sign somebody out; their address."""


def people_of(config_file: Path | None) -> People:
    """The agent's people; those of a configuration file if one is named, which may not be its."""
    named = config_file is not None or (os.environ.get(VARIABLE) and named_socket() is None)
    return OfConfiguration(config.load(config_file)) if named else OfAgent()


class OfConfiguration:
    """Those in the stores that a configuration names."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def all(self) -> Sequence[SignedIn]:
        """See `People.all`."""
        return people.signed_in(self._config)

    def sign_in(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """See `People.sign_in`."""
        return people.sign_in_with_password(self._config, address, password, key_type)

    def sign_out(self, name: str) -> str:
        """See `People.sign_out`."""
        return people.sign_out(self._config, name)


class OfAgent:
    """Those whom the agent logs in."""

    def all(self) -> Sequence[SignedIn]:
        """See `People.all`."""
        with Caller() as agent:
            *lines, _ = agent.ask("LIST")
        return [SignedIn(line["identity"], int(line["expires"])) for line in lines]

    def sign_in(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """See `People.sign_in`."""
        with Caller() as agent:
            [line] = agent.ask("LOGIN", address, password=password, key_type=key_type)
        return SignedIn(line["identity"], int(line["expires"]), line["told"])

    def sign_out(self, name: str) -> str:
        """See `People.sign_out`."""
        with Caller() as agent:
            [line] = agent.ask("LOGOUT", name)
        return line["identity"]
