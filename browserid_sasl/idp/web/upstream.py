"""Signing in at another provider: how somebody is sent there, and how they come back.

Nothing is kept here of who is on the way, so strangers fill no table. What they come back with is
authenticated by a secret of this provider's, and bound to a cookie that only their browser has: an
answer that was made for another browser, or for another provider, is refused before it is used.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.idp.backends import DeniedError, Journey, RedirectBackend
from browserid_sasl.idp.challenges import Challenges
from browserid_sasl.idp.password_sign_in import refusal_of
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.signin import go_on, goal
from browserid_sasl.idp.web.visit import FRESH_MS, Page, Visit
from browserid_sasl.jose import b64
from browserid_sasl.web.refusal import RefusedError

_LIFE_MS: Final = 900_000
"""How long a sign-in there may take, with all that has to be looked for."""

_SECRET: Final = 16
_MAX_GOAL: Final = 2_700
"""In octets: a browser keeps a cookie of 4,096, and this one is in base64."""

_FRESH, _ANY = b"f", b"a"


def _begin(visit: Visit) -> Response:
    backend, email = _backend(visit), visit.query.get("email", "")
    _check_domain(visit, email)
    fresh, to = "again" in visit.query, goal(visit).encode()
    if len(to) > _MAX_GOAL:
        raise RefusedError(422, "too-large", "what you came for does not fit into a cookie")
    began = b64.encode(secrets.token_bytes(_SECRET) + (_FRESH if fresh else _ANY) + to)
    purpose = _purpose(backend.name, began)
    state = b64.encode(_challenges(visit).make(purpose, visit.now, _LIFE_MS))
    journey = _journey(visit, backend, began, state, email)
    page = _ask_page(visit, backend, journey)
    visit.put_cookie(cookies.UPSTREAM, began, _LIFE_MS // 1000)
    return visit.redirect(page)


def _arrive(visit: Visit) -> Response:
    backend, outside = _backend(visit), visit.provider.outside
    began, state = visit.request.cookies.get(cookies.UPSTREAM, ""), visit.query.get("state", "")
    # Whose it is comes before anybody is asked: a code that a stranger has is not redeemed here.
    _challenges(visit).spend(_octets(state), _purpose(backend.name, began), visit.now)
    journey = _journey(visit, backend, began, state, "")
    visit.put_cookie(cookies.UPSTREAM, "", 0)
    answer = dict(visit.query)
    try:
        arrival = outside.backends.ask(backend.name, lambda _: backend.arrive(journey, answer))
        _check_domain(visit, arrival.vouched.email)
        email = outside.vouch(backend.name, arrival.vouched, visit.client, visit.now)
    except DeniedError as error:
        raise refusal_of(error.denial) from None
    backend.keep(email, arrival)
    return go_on(visit, email, "other-provider", _goal_of(began))


def _check_domain(visit: Visit, email: str) -> None:
    """See that an address has no provider of its own, where that has to be: also before this one.

    :param email: as it was given; what no account can have has none.
    :raises RefusedError: see `Fallback.check`.
    """
    provider = visit.provider
    try:
        # As accounts have it: else it could be another domain's than the one that is asked.
        email = provider.accounts.address(email)
    except LocalProtocolError:
        return
    if provider.fallback is not None and provider.outside.backends.authority_of(email) is not None:
        provider.fallback.check(email, visit.now)


def _ask_page(visit: Visit, backend: RedirectBackend, journey: Journey) -> str:
    return visit.provider.outside.backends.ask(backend.name, lambda _: backend.page_for(journey))


def _backend(visit: Visit) -> RedirectBackend:
    backends = visit.provider.outside.backends
    if backend := backends.redirecting_to(visit.request.path_params["name"]):
        return backend
    raise RefusedError(404, "not-found", "Not Found.")


def _journey(visit: Visit, backend: RedirectBackend, began: str, state: str, email: str) -> Journey:
    """What goes with somebody, made anew from what their browser has when they come back."""
    return Journey(
        back=visit.house.origin + paths.UPSTREAM_BACK.format(name=backend.name),
        state=state,
        nonce=_derived(visit, "nonce", began, state),
        verifier=_derived(visit, "verifier", began, state),
        email=email,
        max_age=FRESH_MS if _octets(began)[_SECRET : _SECRET + 1] == _FRESH else 0,
    )


def _derived(visit: Visit, what: str, began: str, state: str) -> str:
    key = visit.provider.secret.key("upstream")
    return b64.encode(hmac.digest(key, f"{what} {began} {state}".encode(), hashlib.sha256))


def _purpose(name: str, began: str) -> str:
    return f"upstream {name} {began}"


def _goal_of(began: str) -> str:
    text = _octets(began)[_SECRET + 1 :].decode(errors="replace")
    return paths.own_path(text, paths.ACCOUNT)


def _octets(text: str) -> bytes:
    try:
        return b64.decode(text, "what somebody comes back with")
    except BrowserIDError:
        raise RefusedError(
            400,
            "stale-challenge",
            "this sign-in did not begin in this browser, or has ended: try again",
            Code.INTERACT_FAILURE,
        ) from None


def _challenges(visit: Visit) -> Challenges:
    return Challenges(visit.provider.database, visit.provider.secret)


def _again(visit: Visit) -> str:
    """Where somebody begins again whose sign-in came to nothing."""
    began = visit.request.cookies.get(cookies.UPSTREAM, "")
    try:
        return paths.with_query(paths.SIGN_IN, next=_goal_of(began))
    except RefusedError:
        return paths.SIGN_IN


PAGES: Final = (
    Page(paths.UPSTREAM, _begin, asking=True, again=_again),
    Page(paths.UPSTREAM_BACK, _arrive, asking=True, again=_again),
)
