"""The pages of docs/ and the code say the same, and their links lead somewhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.gss import keys
from browserid_sasl.gss.acceptor import ExchangeStores
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.gss.states import ACCEPTOR, INITIATOR, Send
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.server import ServerMechanism
from browserid_sasl.store import memory_acceptor
from tests.support.world import World, key
from tools import diagrams, doc_blocks

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(doc_blocks.DOCS.glob("*.md"))]
LOGIN = (doc_blocks.DOCS / "login.md").read_text(encoding="utf-8")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


# What is made from the code


@each_page
def test_the_parts_of_a_page_are_those_the_code_makes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == doc_blocks.refreshed(text), "run: python -m tools.doc_blocks"


def test_every_part_is_on_a_page() -> None:
    found = [name for page in PAGES for name in doc_blocks.names(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(doc_blocks.BLOCKS)


def test_a_part_that_nothing_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="no-such-part"):
        doc_blocks.refreshed("<!-- begin no-such-part -->\n<!-- end no-such-part -->\n")


@pytest.mark.parametrize(("side", "table"), [("initiator", INITIATOR), ("acceptor", ACCEPTOR)])
def test_a_state_diagram_has_every_row_of_its_table(side: str, table: Any) -> None:
    part = LOGIN.partition(f"<!-- begin {side}-states -->")[2].partition("<!-- end ")[0]
    arrows = dict(re.findall(r"^ {4}(\w+ --> \w+) : (.*)$", part, re.MULTILINE))
    for (state, event), transition in table.items():
        label = arrows[f"{state.name} --> {transition.to.name}"]
        assert event.value in label
        assert transition.send is Send.NOTHING or f"→ {transition.send.value}" in label
    assert len(arrows) == len({(state, row.to) for (state, _), row in table.items()})


def test_the_key_schedule_has_every_derivation() -> None:
    functions = {
        function
        for name, function in inspect.getmembers(keys, inspect.isfunction)
        if function.__module__ == keys.__name__ and not name.startswith("_")
    }
    assert functions - {keys.derive} == {row.function for row in diagrams.DERIVATIONS}


@pytest.mark.parametrize("row", diagrams.DERIVATIONS, ids=lambda row: row.name)
def test_a_derivation_is_the_one_shown(row: diagrams.Derivation) -> None:
    source, value = b"k" * 32, b"v" * 16
    if row.salt.startswith("'"):
        assert row.function(source) == keys.derive(source, row.salt.strip("'").encode())
    else:
        assert row.function(source, value) == keys.derive(source, value)


@each_page
def test_the_diagrams_have_no_semicolons_which_mermaid_takes_for_the_end_of_a_line(
    page: Path,
) -> None:
    for diagram in re.findall(r"^```mermaid\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        assert ";" not in diagram


# Message sequences


class Trust:
    """A `ServerTrust` that takes the one key there is."""

    def verify(self, chain: tuple[bytes, ...], target: ServiceName, now: int) -> PublicKey:
        return key("server").public_key


@dataclass
class Scene:
    """How both ends are set up for a login.

    :param earlier: whether there was a login before it.
    :param forgetful: whether the server has lost its tickets since.
    """

    initiator: dict[str, Any] = field(default_factory=dict)
    acceptor: dict[str, Any] = field(default_factory=dict)
    earlier: bool = False
    forgetful: bool = False


MUTUAL = Scene(
    {"options": InitiatorOptions(mutual=Mutual.REQUIRED), "trust": Trust()},
    {"credential": ServerCredential(key("server"), (b"certificate",))},
)
SCENES = {
    "First login": Scene(),
    "Later logins, by ticket": Scene(earlier=True),
    "The server does not know the ticket": Scene(earlier=True, forgetful=True),
    "Extra round trip": Scene({"options": InitiatorOptions(extra_round_trip=True)}),
    "Mutual authentication": MUTUAL,
    "Refusal": Scene({"target": ServiceName("imap", "mx1.example.com")}),
}


def test_there_is_a_sequence_for_every_scene() -> None:
    part = LOGIN.partition("## Message sequences")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.*)$", part, re.MULTILINE) == list(SCENES)


@pytest.mark.parametrize("title", SCENES)
def test_a_sequence_shows_the_messages_that_are_sent(title: str) -> None:
    assert list(shown(title)) == list(sent(SCENES[title]))


def shown(title: str) -> Iterator[tuple[str, str]]:
    """Sender and label of each message in the diagram under a heading."""
    section = LOGIN.partition(f"\n### {title}\n")[2].partition("\n##")[0]
    [diagram] = re.findall(r"```mermaid\n(sequenceDiagram\n.*?)```", section, re.DOTALL)
    yield from re.findall(r"^ {4}([CS])->>[CS]: (.*)$", diagram, re.MULTILINE)


def sent(scene: Scene) -> list[tuple[str, str]]:
    """Sender and label of each message of a login as it goes."""
    world = World()
    if scene.earlier:
        log_in(world, Scene())
    if scene.forgetful:
        world.stores = ExchangeStores(world.stores.replay, memory_acceptor().tickets)
    return log_in(world, scene)


def log_in(world: World, scene: Scene) -> list[tuple[str, str]]:
    def initiator(**further: Any) -> Initiator:
        return world.initiator(**(further | scene.initiator))

    client = ClientMechanism("BROWSERID-AES128", initiator)
    server = ServerMechanism(lambda **further: world.acceptor(**(further | scene.acceptor)))
    messages = []
    response = client.step()
    while True:
        messages.append(("C", label(response)))
        if server.failure is not None:
            return messages
        challenge = server.step(response)
        if challenge is None:
            assert server.complete
            return messages
        messages.append(("S", label(challenge)))
        response = answer(client, challenge)


def answer(client: ClientMechanism, challenge: bytes) -> bytes:
    """The client's answer; one that was refused sends an empty message."""
    try:
        return client.step(challenge)
    except BrowserIDError:
        return b""


def label(message: bytes) -> str:
    """What the page writes for a message: its framing, its parts and its claims."""
    if not message:
        return "(empty)"
    header, token = b"", message
    if message[:2] not in (b"c,", b"C,"):
        _, header, token = gs2.split(message)
    backed = BackedAssertion.parse(token[2:])
    claims = backed.assertion.claims
    parts = "certificate~" if backed.certificates else "~"
    framing = (header + token[:2]).decode()
    return f"{framing}{parts}{kind(token, claims)}<br/>{', '.join(claims) or 'no claims'}"


def kind(token: bytes, claims: Any) -> str:
    if token.startswith(b"C,"):
        return "error" if "gss-min" in claims else "response"
    return "assertion" if "aud" in claims else "proof"


# Links


@cache
def anchors(page: Path) -> frozenset[str]:
    """The fragments that lead to a heading, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return frozenset(
        slug if number == 0 else f"{slug}-{number}"
        for slug, times in found.items()
        for number in range(times)
    )


@each_page
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not fragment or fragment in anchors(file), target


@each_page
def test_every_file_of_the_source_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not source(name).exists()] == []


def source(name: str) -> Path:
    """A file that a page names, from the project's folder or from the package's."""
    return ROOT / name if (ROOT / name).exists() else ROOT / "browserid_sasl" / name
