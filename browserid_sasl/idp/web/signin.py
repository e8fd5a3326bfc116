"""Signing in: the address, then a passkey or the password, then a second step if there is one.

What is answered does not tell whether there is an account: for every address of the domain the same
is offered, the same is said, and a password is compared with something.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.accounts import MAX_PASSWORD
from browserid_sasl.idp.attempts import Attempts
from browserid_sasl.idp.refusal import RefusedError
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.visit import Page, Visit

_WRONG: Final = N_("There is no account with this address and password.")
_NO_ADDRESS: Final = N_("This is not an address of %(domain)s. Write it as name@%(domain)s.")
_WAIT: Final = N_("Too many sign-ins failed. Try again in %(seconds)s seconds.")


def begin_session(visit: Visit, email: str, method: str) -> None:
    """Sign somebody in who has done all that it takes.

    The session gets a new token, and the one before it ends.

    :param method: what it was done with, such as `password`.
    :raises StoreError: it cannot be recorded.
    """
    sessions = visit.provider.sessions
    known_browsers = visit.house.known_browsers
    known = known_browsers.name(visit.known, email)
    _attempts(visit).succeeded(email, visit.client, visit.now, known)
    if visit.token:
        sessions.end(visit.token)
    token, _ = sessions.begin(email, method, visit.client, visit.agent, visit.now)
    visit.put_cookie(cookies.SESSION, token, sessions.policy.life // 1000)
    visit.put_cookie(cookies.KNOWN, known_browsers.remember(visit.known, email), cookies.YEAR_S)
    visit.put_cookie(cookies.VISITOR, "", 0)


def goal(visit: Visit) -> str:
    """Where somebody wants to go who has to sign in first."""
    return paths.own_path(visit.form.get("next") or visit.query.get("next", ""), paths.ACCOUNT)


def _show(visit: Visit) -> Response:
    email = visit.query.get("email", "")
    if visit.session is not None and email in ("", visit.session.email):
        return visit.redirect(goal(visit))
    if not email:
        return _ask_address(visit, "")
    try:
        return _ask_password(visit, visit.provider.accounts.address(email))
    except LocalProtocolError:
        return _ask_address(visit, email, _NO_ADDRESS, 422)


def _submit(visit: Visit) -> Response:
    typed = visit.form.get("email", "")
    try:
        email = visit.provider.accounts.address(typed)
    except LocalProtocolError:
        return _ask_address(visit, typed, _NO_ADDRESS, 422)
    password = visit.form.get("password", "")[: MAX_PASSWORD + 1]
    known = visit.house.known_browsers.name(visit.known, email)
    try:
        _attempts(visit).check(
            email,
            visit.client,
            visit.now,
            lambda: visit.provider.accounts.verify(email, password, visit.now),
            known,
        )
    except RefusedError as error:
        return _refused(visit, email, error)
    begin_session(visit, email, "password")
    return visit.redirect(goal(visit))


def _refused(visit: Visit, email: str, error: RefusedError) -> Response:
    if error.retry_after:
        answer = _ask_password(visit, email, _WAIT, error.status, error.retry_after)
        answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    return _ask_password(visit, email, _WRONG, error.status)


def _ask_address(visit: Visit, typed: str, error: str = "", status: int = 200) -> Response:
    return visit.page("sign-in-address.html", status, email=typed, goal=goal(visit), error=error)


def _ask_password(
    visit: Visit, email: str, error: str = "", status: int = 200, seconds: int = 0
) -> Response:
    return visit.page(
        "sign-in.html", status, email=email, goal=goal(visit), error=error, seconds=seconds
    )


def _attempts(visit: Visit) -> Attempts:
    return Attempts(visit.provider.limits, visit.provider.audit)


PAGES: Final = (Page(paths.SIGN_IN, _show, _submit, slow=True),)
