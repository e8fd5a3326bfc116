"""What a domain stands on, for administrators: whether its backends answer, and its keys."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.health import State
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.admin import AdminPage, administration, check_there
from browserid_sasl.idp.web.errors import explain
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.rendering import harmless
from browserid_sasl.idp.web.visit import Visit
from browserid_sasl.web.refusal import RefusedError

_MINUTE_MS: Final = 60_000
_MOST_MINUTES: Final = 1_440
_NO_NUMBER: Final = N_("Write a number of minutes from 0 to 1440.")
_DONE: Final = {"rotated": N_("There is a new key.")}


def _show_backends(visit: Visit) -> Response:
    states = [
        State(each.name, tuple(map(harmless, each.faults)), each.asked)
        for each in visit.provider.health.of_all()
    ]
    return visit.page("admin-backends.html", states=states)


def _show_keys(
    visit: Visit, minutes: str = "", *, error: str = "", alert: RefusedError | None = None
) -> Response:
    # By then no copy of the document without it is in use any more.
    usual = min(_MOST_MINUTES, -(-visit.house.document_life // _MINUTE_MS))
    return visit.page(
        "admin-keys.html",
        alert.status if alert else 422 if error else 200,
        keys=visit.provider.keys.listed(visit.now),
        now=visit.now,
        minutes=minutes or str(usual),
        most=_MOST_MINUTES,
        error=error,
        alert=alert and explain(alert),
        done=_DONE.get(visit.query.get("done", ""), ""),
    )


def _rotate(visit: Visit) -> Response:
    minutes = visit.form.get("minutes", "").strip()
    known = minutes.isascii() and minutes.isdigit() and len(minutes) <= len(str(_MOST_MINUTES))
    if not known or int(minutes) > _MOST_MINUTES:
        return _show_keys(visit, minutes, error=_NO_NUMBER)
    try:
        administration(visit).rotate_key(visit.now, int(minutes) * _MINUTE_MS)
    except RefusedError as error:
        check_there(error)
        return _show_keys(visit, minutes, alert=error)
    return visit.redirect(paths.with_query(paths.ADMIN_KEYS, done="rotated"))


PAGES: Final = (
    AdminPage(paths.ADMIN_BACKENDS, _show_backends, asking=True),
    AdminPage(paths.ADMIN_KEYS, _show_keys, _rotate, slow=True),
)
