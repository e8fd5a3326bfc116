"""What docs/limits.md says of the length of messages is what they have."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from browserid_sasl import Server
from browserid_sasl.agent.application import KeyType
from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.api import Client
from browserid_sasl.cli.browserid import login
from browserid_sasl.config import AuthorityOverride, Config
from browserid_sasl.idp.signing_keys import Algorithm
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.store.memory import memory_initiator
from tests.support.provider import PASSWORD, RunningProvider, running_provider, sign_in
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "limits.md").read_text()
ALICE = "alice@example.org"
SERVICE = ("imap", "mail.example.org")
CLOSE = 12
"""Coordinates of points lose leading zero octets, one in 256; base64 comes in fours, thrice."""

SHORTEST_LIMIT = 2048


@pytest.fixture(params=["ES256", "RS256"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningProvider]:
    algorithm: Algorithm = request.param
    with running_provider(tmp_path / "idp", domain="example.org", algorithm=algorithm) as running:
        yield running


def client(provider: RunningProvider, key_type: KeyType) -> Client:
    """Who has just signed in."""
    identities = memory_initiator().identities
    sign_in(
        ALICE,
        PASSWORD,
        http=provider.fetcher(),
        store=identities,
        clock=provider.clock,
        key_type=key_type,
    )
    signer = AgentCredentialSource(identities, "", provider.clock)
    config = Config().with_options({"backend": "memory"}, section="store")
    return Client(config, *SERVICE, credentials=signer)


def length(person: Client, mechanism: str, binding: ChannelBinding | None = None) -> int:
    """Characters of a first message."""
    return len(base64.b64encode(person.start_with(mechanism, channel_binding=binding).step()))


def row(*cells: str) -> dict[str, int]:
    """The figures of a row of the page, by mechanism."""
    found = re.search(rf"^\| {re.escape(' | '.join(cells))} \|(.*)\|$", PAGE, re.MULTILINE)
    assert found, f"docs/limits.md has no row {cells}"
    figures = [int(cell) for cell in found[1].split("|") if cell.strip()]
    return dict(zip(("BROWSERID-AES128", "BROWSERID-AES256", "BROWSERID"), figures, strict=False))


@pytest.mark.parametrize("key_type", ["ES256", "RS256"])
def test_first_messages_have_the_length_that_the_page_gives(
    provider: RunningProvider, key_type: KeyType
) -> None:
    person = client(provider, key_type)
    certifies = provider.provider.keys.active(provider.clock.now).algorithm
    for mechanism, figure in row(key_type, certifies).items():
        assert abs(length(person, mechanism) - figure) <= CLOSE, mechanism
    for same, as_this in (("A128S2", "AES128"), ("A256S2", "AES256")):
        figure = length(person, f"BROWSERID-{same}")
        assert abs(figure - length(person, f"BROWSERID-{as_this}")) <= CLOSE


def test_channel_binding_adds_what_the_page_says(provider: RunningProvider) -> None:
    person = client(provider, "ES256")
    [figure] = re.findall(r"Binding to\s+the TLS channel adds about (\d+)", PAGE)
    binding = ChannelBinding("tls-exporter", bytes(32))
    plain = length(person, "BROWSERID-AES128")
    bound = length(person, "BROWSERID-AES128-PLUS", binding)
    assert abs(bound - plain - int(figure)) <= 2 * CLOSE


def test_a_ticket_s_message_has_the_length_that_the_page_gives(provider: RunningProvider) -> None:
    person = client(provider, "ES256")
    override = AuthorityOverride(url=provider.url, ca_file=provider.ca_file)
    config = Config().with_options({"backend": "memory"}, section="store")
    server = Server(replace(config, authorities={"example.org": override}), *SERVICE)
    figures = row("a ticket", "any")
    assert len(figures) == 2
    for mechanism, figure in figures.items():
        ours = person.start_with(mechanism)
        theirs = server.start(mechanism, authorize=lambda identity, authzid: True)
        ours.step(theirs.step(ours.step()))
        assert ours.complete
        assert abs(length(person, mechanism) - figure) <= CLOSE


def test_what_is_made_by_default_fits_everywhere(provider: RunningProvider) -> None:
    """RS256 as the provider's key included: people do not choose that."""
    person = client(provider, get_args(KeyType)[0])
    command = len("AUTH BROWSERID-AES128 \r\n")
    for mechanism in ("BROWSERID-AES128", "BROWSERID-AES256", "BROWSERID-A256S2", "BROWSERID"):
        assert length(person, mechanism) + command <= SHORTEST_LIMIT


def test_the_default_is_the_first() -> None:
    [option] = [each for each in login.params if each.name == "key_type"]
    assert option.default == get_args(KeyType)[0] == "ES256"
