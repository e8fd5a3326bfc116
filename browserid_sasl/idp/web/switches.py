"""Small pages around the others: signing out, the language, and the way to the account."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.languages import LANGUAGES
from browserid_sasl.idp.web.visit import Page, Visit


def _show_sign_out(visit: Visit) -> Response:
    return visit.page("sign-out.html")


def _sign_out(visit: Visit) -> Response:
    visit.provider.sessions.end(visit.token)
    for name in (cookies.SESSION, cookies.EMBEDDED):
        visit.put_cookie(name, "", 0)
    return visit.redirect(paths.own_path(visit.form.get("next", ""), paths.SIGN_OUT))


def _set_language(visit: Visit) -> Response:
    chosen = visit.form.get("language", "")
    if chosen in LANGUAGES:
        visit.put_cookie(cookies.LANGUAGE, chosen, cookies.YEAR_S)
    return visit.redirect(paths.own_path(visit.form.get("next", ""), paths.ACCOUNT))


def _show_home(visit: Visit) -> Response:
    return visit.redirect(paths.ACCOUNT)


PAGES: Final = (
    Page(paths.HOME, _show_home),
    Page(paths.LANGUAGE, submit=_set_language),
    Page(paths.SIGN_OUT, _show_sign_out, _sign_out),
)
