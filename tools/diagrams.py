"""Mermaid diagrams made from the code: the two state machines and the key schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from browserid_sasl.gss import keys
from browserid_sasl.gss.states import Send, Table

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)


def state_diagram(table: Table[StateT, EventT]) -> Iterator[str]:
    """A side's transition table.

    An arrow is labelled with what happens and, after an arrow of its own, what is sent then. Rows
    that lead the same way share an arrow.
    """
    states = list(type(next(state for state, _ in table)))
    yield "```mermaid"
    yield "stateDiagram-v2"
    for state in states:
        yield f'    state "{state.name}<br/>{state.value}" as {state.name}'
    yield f"    [*] --> {states[0].name}"
    for (begin, end), labels in _arrows(table).items():
        yield f"    {begin} --> {end} : {'<br/>or '.join(labels)}"
    for state in states:
        if not any(begin is state for begin, _ in table):
            yield f"    {state.name} --> [*]"
    yield "```"


def _arrows(table: Table[StateT, EventT]) -> Mapping[tuple[str, str], list[str]]:
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), transition in table.items():
        sent = "" if transition.send is Send.NOTHING else f" → {transition.send.value}"
        arrows.setdefault((state.name, transition.to.name), []).append(event.value + sent)
    return arrows


@dataclass(frozen=True, slots=True)
class Derivation:
    """A key that is derived from another one.

    :param name: the key, as the protocol calls it.
    :param source: the key it is derived from.
    :param function: what derives it.
    """

    name: str
    source: str
    function: Callable[..., bytes]

    @property
    def salt(self) -> str:
        """What goes into the derivation besides: the key's name, or a value that was sent."""
        _, *values = inspect.signature(self.function).parameters
        return values[0] if values else f"'{self.name}'"


DERIVATIONS: Final = (
    Derivation("RRK", "CMK", keys.response_key),
    Derivation("ARK", "CMK", keys.authenticator_root_key),
    Derivation("ASK", "ARK", keys.authenticator_session_key),
    Derivation("XRTK", "CMK", keys.extra_round_trip_key),
    Derivation("CRK", "CMK", keys.context_root_key),
)

_KEYS: Final = {
    "DHK": "shared secret of<br/>the key agreement",
    "CMK": "master key of the context",
    "RRK": "signs the response",
    "ARK": "is kept with the ticket,<br/>signs re-authentications",
    "ASK": "session key of<br/>a re-authentication",
    "XRTK": "signs the proof of<br/>the extra round trip",
    "CRK": "base key of wrap, MIC and PRF,<br/>by random-to-key",
}
_BECOMES_CMK: Final = {
    "DHK": "initial authentication",
    "ASK": "re-authentication",
    "XRTK": "after the extra round trip",
}


def key_schedule() -> Iterator[str]:
    """The keys. A solid arrow is a derivation with its salt, a dotted one takes the part of CMK."""
    yield "```mermaid"
    yield "flowchart TD"
    for name, use in _KEYS.items():
        yield f'    {name}["<b>{name}</b><br/>{use}"]'
    for name, when in _BECOMES_CMK.items():
        yield f'    {name} -. "{when}" .-> CMK'
    for row in DERIVATIONS:
        yield f'    {row.source} -- "{row.salt}" --> {row.name}'
    yield "```"
