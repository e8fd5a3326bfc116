"""Signing in by what somebody's computer adds to a request: a ticket of Kerberos, for one.

Browsers add it by themselves, to whatever page makes them send the request. So it counts in a form
of ours only, with its token, which another site cannot send: nobody is signed in, or signed in as
somebody else than they were, by a link or by a page elsewhere. With `at_once` a link to the sign-in
page does sign somebody in, as themselves, where nobody was: what is allowed to programs is asked
for in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.backends import (
    Carried,
    Challenge,
    DeniedError,
    KeepingBackend,
    Known,
    RequestBackend,
)
from browserid_sasl.idp.password_sign_in import refusal_of
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.cancelling import cancel_of
from browserid_sasl.idp.web.signin import buttons_of, go_on, goal
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

CHALLENGE: Final = "WWW-Authenticate"
"""The header by which a browser is asked for something."""

_PATIENCE_S: Final = 60


def _show(visit: Visit) -> Response:
    """Whoever comes here by a link presses a button first."""
    return _ask(visit, _backend(visit), 200)


def _submit(visit: Visit) -> Response:
    backend = _backend(visit)
    try:
        said = visit.provider.outside.backends.ask(
            backend.name, lambda _: backend.look(_carried(visit))
        )
        if isinstance(said, Challenge):
            return _challenge(visit, backend, said)
        return _let_in(visit, backend, said)
    except DeniedError as error:
        raise refusal_of(error.denial) from None


def _carried(visit: Visit) -> Carried:
    request = visit.request
    return Carried(
        tuple(request.headers.items()),
        request.client.host if request.client else "",
        request.cookies.get(cookies.NEGOTIATION, ""),
    )


def _let_in(visit: Visit, backend: RequestBackend, known: Known) -> Response:
    # All of it or nothing: of two who come at once, what is kept of one would not be what the
    # account has of the other, and a session could outlive what it came of.
    with visit.provider.database.transaction():
        email = visit.provider.outside.vouch(backend.name, known.vouched, visit.client, visit.now)
        if isinstance(backend, KeepingBackend):
            backend.keep(email, known)
        if cookies.NEGOTIATION in visit.request.cookies:
            visit.put_cookie(cookies.NEGOTIATION, "", 0)
        response = go_on(visit, email, backend.method, goal(visit))
    return _with(response, known.headers)


def _challenge(visit: Visit, backend: RequestBackend, challenge: Challenge) -> Response:
    if challenge.exchange:
        visit.put_cookie(cookies.NEGOTIATION, challenge.exchange, _PATIENCE_S)
    # A browser that has what is asked for sends it without showing the page.
    return _with(_ask(visit, backend, 401), challenge.headers)


def _ask(visit: Visit, backend: RequestBackend, status: int) -> Response:
    path = paths.BY_REQUEST.format(name=backend.name)
    return visit.page(
        "not-known.html" if status == 401 else "upstream.html",
        status,
        here=paths.with_query(paths.SIGN_IN, next=goal(visit)),
        ways=(),
        buttons=[each for each in buttons_of(visit) if each.path == path],
        others=len(visit.provider.outside.backends.order) > 1,
        at_once=False,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _with(response: Response, headers: Mapping[str, str]) -> Response:
    response.headers.update(headers)
    return response


def _backend(visit: Visit) -> RequestBackend:
    name = visit.request.path_params["name"]
    for each in visit.provider.outside.backends.by_request:
        if each.name == name:
            return each
    raise RefusedError(404, "not-found", "Not Found.")


def _again(visit: Visit) -> str:
    """Where somebody begins again whose sign-in came to nothing."""
    return paths.with_query(paths.SIGN_IN, next=goal(visit))


PAGES: Final = (Page(paths.BY_REQUEST, _show, _submit, slow=True, again=_again),)
