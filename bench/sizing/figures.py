"""What `make capacity` has measured, as it is kept for the page and the plans: figures.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from bench.sizing.meters import Reading
from bench.sizing.model import Part, Services

FILE: Final = Path(__file__).with_name("figures.json")


@dataclass(frozen=True, slots=True)
class Request:
    """What a certificate costs.

    :param cpu: ms of the provider's process, TLS included.
    :param statements: to its database.
    :param round_trips: to PostgreSQL, 0 for a file.
    :param held: ms for which nobody else can change anything in the database.
    :param log: octets of the audit log.
    """

    cpu: float
    statements: float
    round_trips: float
    held: float
    log: float


@dataclass(frozen=True, slots=True)
class Provider:
    """What an identity provider costs.

    :param people: who had an account, and a certified key, when that was measured.
    :param requests: by the database's name, and the kind of request.
    :param password: CPU ms of the hash that a sign-in with a password takes.
    :param account: octets of an account in PostgreSQL.
    :param machine: octets of a certified key in PostgreSQL.
    """

    people: int
    requests: Mapping[str, Mapping[str, Request]]
    password: float
    account: float
    machine: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured under a load, and what the model says of it.

    :param share: of what all hosts admit at the most.
    :param rate: logins a second that were asked for.
    :param p50: ms in which half of them had their answer: measured, and by the model.
    :param p99: likewise, 99 of 100.
    """

    share: float
    rate: float
    p50: Sequence[float]
    p99: Sequence[float]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of three hosts under load.

    :param most: logins a second at the most, measured and by the model.
    :param services: what the model was told.
    :param loads: the loads.
    :param cores: processors of this machine.
    :param others: of them, what other programs used meanwhile.
    """

    most: Sequence[float]
    services: Services
    loads: Sequence[Comparison]
    cores: int
    others: float


@dataclass(frozen=True, slots=True)
class Entries:
    """How large entries are.

    :param counts: how many there were of one kind.
    :param octets: of each, by the store's name and the kind, one for each of the counts.
    """

    counts: Sequence[int]
    octets: Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """All of them.

    :param machine: what it was measured on, in words.
    :param logins: by the store's name, and the kind of login.
    :param entries: of the stores.
    :param provider: of the identity provider.
    :param trial: of three hosts.
    """

    machine: str
    logins: Mapping[str, Mapping[str, Reading]]
    entries: Entries
    provider: Provider
    trial: Trial

    @classmethod
    def load(cls, file: Path = FILE) -> Self:
        """Those that are kept."""
        text = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{name: _READERS[name](value) for name, value in text.items()})

    def save(self, file: Path = FILE) -> None:
        """Keep them."""
        text = json.dumps(_rounded(asdict(self)), indent=1)
        file.write_text(f"{text}\n", encoding="utf-8")

    def with_parts(self, **parts: Any) -> Self:
        """These, with some measured anew."""
        return replace(self, **parts)


def _rounded(value: Any) -> Any:
    """Four digits behind the point are more than any of them is worth."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _logins(text: Any) -> Mapping[str, Mapping[str, Reading]]:
    return {
        store: {kind: Reading(**each) for kind, each in kinds.items()}
        for store, kinds in text.items()
    }


def _provider(text: Any) -> Provider:
    requests = {
        database: {kind: Request(**each) for kind, each in kinds.items()}
        for database, kinds in text["requests"].items()
    }
    return Provider(**text | {"requests": requests})


def _services(text: Any) -> Services:
    parts = {name: Part(**text[name]) for name in ("trip", "question", "client")}
    loop = {kind: Part(**each) for kind, each in text["loop"].items()}
    return Services(**text | parts | {"loop": loop})


def _trial(text: Any) -> Trial:
    loads = [Comparison(**each) for each in text["loads"]]
    return Trial(**text | {"loads": loads, "services": _services(text["services"])})


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "machine": str,
    "logins": _logins,
    "entries": lambda text: Entries(**text),
    "provider": _provider,
    "trial": _trial,
}
