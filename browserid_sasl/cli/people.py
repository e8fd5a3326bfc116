"""Who is signed in, asked of the person's agent, or looked up where a configuration says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, cast

from browserid_sasl import config
from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.application import KeyType
from browserid_sasl.agent.flows.choice import WAYS, Way
from browserid_sasl.agent.flows.prompt import Flow, Prompt
from browserid_sasl.agent.service import people
from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.agent.service.pages import Pages
from browserid_sasl.agent.service.people import SignedIn, SignedOut, Ways
from browserid_sasl.agent.service.place import named_socket
from browserid_sasl.cli.screen import Screen, say
from browserid_sasl.config import Config
from browserid_sasl.config.files import VARIABLE
from browserid_sasl.errors import LocalProtocolError

_LONGEST_S: Final = 4_000.0
"""Longer than any sign-in that a person is asked for."""


class People(Protocol):
    """Those who have signed in as this person."""

    def all(self) -> Sequence[SignedIn]:
        """All of them."""

    def ways(self, name: str) -> Ways:
        """How somebody can sign in; see `people.ways`."""

    def sign_in_with_password(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """Sign somebody in; see `agent.flows.password`."""

    def sign_in(self, address: str, way: Way, key_type: KeyType, screen: Screen) -> SignedIn:
        """Sign somebody in who is asked; see `agent.flows`."""

    def sign_out(self, name: str) -> SignedOut:
        """Sign somebody out."""


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

    def ways(self, name: str) -> Ways:
        """See `People.ways`."""
        return people.ways(self._config, name)

    def sign_in_with_password(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """See `People.sign_in_with_password`."""
        return people.sign_in_with_password(self._config, address, password, key_type)

    def sign_in(self, address: str, way: Way, key_type: KeyType, screen: Screen) -> SignedIn:
        """See `People.sign_in`."""
        return asyncio.run(self._sign_in(address, way, key_type, screen))

    def sign_out(self, name: str) -> SignedOut:
        """See `People.sign_out`."""
        return people.sign_out(self._config, name)

    async def _sign_in(self, address: str, way: Way, key_type: KeyType, screen: Screen) -> SignedIn:
        pages = Pages(self._config.store.directory)
        flow = await apart(people.flow, self._config, address, way, key_type, people.ASKED_LIFE_S)
        holds = pages.take()
        try:
            record = await flow.run(lambda prompt: _show(screen, address, prompt, flow, holds))
        finally:
            pages.let_go()
        pages.answered()
        return people.keep(self._config, record)


def _show(screen: Screen, address: str, prompt: Prompt, flow: Flow, open_now: bool) -> None:
    screen.show(address, prompt, open_now=open_now)
    if screen.input is not None:
        asyncio.get_running_loop().add_reader(screen.input, _take, screen, flow)


def _take(screen: Screen, flow: Flow) -> None:
    descriptor, typed = screen.input, screen.read()
    if screen.input is None and descriptor is not None:
        asyncio.get_running_loop().remove_reader(descriptor)
    if typed:
        try:
            flow.paste(typed)
        except LocalProtocolError as error:
            say(str(error))


class OfAgent:
    """Those whom the agent logs in."""

    def all(self) -> Sequence[SignedIn]:
        """See `People.all`."""
        with Caller() as agent:
            *lines, _ = agent.ask("LIST")
        return [_signed_in(line) for line in lines]

    def ways(self, name: str) -> Ways:
        """See `People.ways`."""
        with Caller() as agent:
            [line] = agent.ask("WAYS", name)
        offered = line["ways"].split(",")
        preferred = cast(Way | Literal["auto"], line["prefer"])
        return Ways(line["identity"], tuple(way for way in WAYS if way in offered), preferred)

    def sign_in_with_password(self, address: str, password: str, key_type: KeyType) -> SignedIn:
        """See `People.sign_in_with_password`."""
        with Caller() as agent:
            [line] = agent.ask("LOGIN", address, password=password, key_type=key_type)
        return _signed_in(line)

    def sign_in(self, address: str, way: Way, key_type: KeyType, screen: Screen) -> SignedIn:
        """See `People.sign_in`."""
        with Caller() as agent:
            number = agent.send("LOGIN", address, way=way, key_type=key_type)
            while True:
                answer = agent.receive(_LONGEST_S, screen.input)
                if answer is None:
                    if typed := screen.read():
                        agent.send("PASTE", typed, identity=address)
                elif answer.number != number:
                    if answer.refusal is not None:
                        say(str(answer.refusal))
                elif answer.refusal is not None:
                    raise answer.refusal
                elif answer.word == "OK":
                    return _signed_in(answer.values)
                else:
                    open_now = "open" in answer.values
                    screen.show(address, _prompt(answer.values), open_now=open_now)

    def sign_out(self, name: str) -> SignedOut:
        """See `People.sign_out`."""
        with Caller() as agent:
            [line] = agent.ask("LOGOUT", name)
        return SignedOut(line["identity"], line["told"])


def _signed_in(line: Mapping[str, str]) -> SignedIn:
    return SignedIn(
        line["identity"], int(line["expires"]), int(line["renewal_expires"]), line["told"]
    )


def _prompt(line: Mapping[str, str]) -> Prompt:
    return Prompt(
        line["link"],
        int(line["expires_in"]),
        line.get("code", ""),
        line.get("entry", ""),
        heard="heard" in line,
    )
