"""The audit log, for administrators: what happened, by event, account, client and time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.audit import TIMES, Entry, Event, Question
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.admin import AT_ONCE, AdminPage
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.rendering import harmless
from browserid_sasl.idp.web.visit import Visit

_NO_TIME: Final = N_("Write a time as 2026-11-28, or as 2026-11-28T17:00.")
_FIELDS: Final = ("event", "email", "client", "since", "until")

_MOMENTS: Final = ("expires", "until")
_LAST_MOMENT: Final = 253_402_300_799_000
_MAX_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is shown.

    :param time: ms.
    :param event: its word.
    :param email: whose account it is about, may be empty.
    :param details: what else, as names and values that nobody can act by.
    """

    time: int
    event: str
    email: str
    details: Sequence[tuple[str, str]]


def line_of(entry: Entry) -> Line:
    """How an entry is shown."""
    details = ({"client": entry.client} if entry.client else {}) | entry.details
    details |= {"host": entry.host}
    pairs = [(harmless(name), harmless(_text(name, value))) for name, value in details.items()]
    return Line(entry.time, harmless(entry.event), harmless(entry.email), pairs)


def _text(name: str, value: object) -> str:
    if name in _MOMENTS and isinstance(value, int) and 0 <= value <= _LAST_MOMENT:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show(visit: Visit) -> Response:
    given = {name: visit.query.get(name, "").strip() for name in _FIELDS}
    moments = {name: _moment(given[name]) for name in ("since", "until")}
    wrong = {name for name, moment in moments.items() if given[name] and moment is None}
    entries = [] if wrong else _search(visit, given, moments)
    lines = entries[:AT_ONCE]
    last = lines[-1] if len(entries) > AT_ONCE else None
    further = {"before": f"{last.time}-{last.id}"} if last else {}
    return visit.page(
        "admin-log.html",
        422 if wrong else 200,
        lines=[line_of(entry) for entry in lines],
        given=given,
        errors={name: _NO_TIME if name in wrong else "" for name in moments},
        events=[event.value for event in Event],
        next=paths.with_query(paths.ADMIN_LOG, **given, **further) if further else "",
    )


def _search(visit: Visit, given: dict[str, str], moments: dict[str, int | None]) -> list[Entry]:
    question = Question(
        event=given["event"],
        email=in_lower_case(given["email"]),
        client=given["client"],
        since=moments["since"],
        until=moments["until"],
    )
    before = _place(visit.query.get("before", ""))
    return visit.provider.audit.search(question, AT_ONCE + 1, before=before)


def _moment(text: str) -> int | None:
    """Ms of a time in UTC, None if it is none."""
    for form in TIMES:
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return int(moment.timestamp() * 1000)
    return None


def _place(text: str) -> tuple[int, int] | None:
    """Where a page begins, as the link to it says."""
    parts = text.split("-")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    time, number = (int(part[:_MAX_DIGITS]) for part in parts)
    return time, number


PAGES: Final = (AdminPage(paths.ADMIN_LOG, _show),)
