"""Signing somebody in from a command, in the way that suits them and where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from browserid_sasl.agent.application import KeyType
from browserid_sasl.agent.flows.choice import Way, choose
from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.cli.output import Output
from browserid_sasl.cli.passwords import PasswordSource
from browserid_sasl.cli.people import People
from browserid_sasl.cli.screen import Screen, say
from browserid_sasl.config import load
from browserid_sasl.errors import Code, CredentialError

_TRIES: Final = 3
"""How often somebody is asked for a password."""


def sign_in(
    people: People,
    address: str,
    output: Output,
    *,
    config_file: Path | None = None,
    forced: Way | None = None,
    source: PasswordSource = PasswordSource(),  # noqa: B008 - it is frozen
    key_type: KeyType = "ES256",
) -> SignedIn:
    """Sign somebody in.

    :param address: empty for the default identity.
    :param forced: the way to take, in any case.
    :param source: of a password, where it takes one.
    :raises BrowserIDError: they are not signed in.
    """
    if forced == "password" and address:
        return _sign_in_with(people, address, source.read(""), key_type, output)
    screen = Screen(load(config_file).client, os.environ)
    with output.working("asking the identity provider how you can sign in"):
        ways = people.ways(address)
    way = choose(ways.offered, forced, ways.preferred, screen.surroundings)
    if way == "password":
        return _with_password(people, ways.identity, source, key_type, output)
    return people.sign_in(ways.identity, way, key_type, screen)


def _with_password(
    people: People, address: str, source: PasswordSource, key_type: KeyType, output: Output
) -> SignedIn:
    """Sign in; who types the password may mistype it twice."""
    question = f"Password for {address}"
    for _ in range(_TRIES - 1 if source == PasswordSource() else 0):
        try:
            return _sign_in_with(people, address, source.read(question), key_type, output)
        except CredentialError as error:
            if error.code is not Code.INTERACT_FAILURE:
                raise
            say(f"browserid: {error}")
    return _sign_in_with(people, address, source.read(question), key_type, output)


def _sign_in_with(
    people: People, address: str, password: str, key_type: KeyType, output: Output
) -> SignedIn:
    with output.working("signing in"):
        return people.sign_in_with_password(address, password, key_type)
