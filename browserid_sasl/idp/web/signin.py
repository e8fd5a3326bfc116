"""Signing in: the address, then a passkey or the password, then a second step if there is one.

What is answered does not tell whether there is an account: for every address of the domain the same
is offered, the same is said, and a password is compared with something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.accounts import MAX_PASSWORD
from browserid_sasl.idp.attempts import Attempts
from browserid_sasl.idp.backends import MoreAskedError, RedirectBackend
from browserid_sasl.idp.exchanges import PATIENCE_S, Waiting
from browserid_sasl.idp.password_sign_in import PasswordSignIn
from browserid_sasl.idp.sessions import PASSKEY
from browserid_sasl.idp.web import cookies, paths
from browserid_sasl.idp.web.cancelling import cancel_of
from browserid_sasl.idp.web.errors import Explanation, explain
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_WRONG: Final = N_("There is no account with this address and password.")
_WRONG_OR_LOCKED: Final = N_(
    "There is no account with this address and password, or it is locked for now after too many"
    " wrong ones."
)
_NO_ADDRESS: Final = N_("This is not an address of %(domain)s. Write it as name@%(domain)s.")
_WAIT: Final = N_("Too many sign-ins failed. Try again in %(wait)s.")
_WRONG_CODE: Final = N_("That code is not right, or was used before. Wait for the next one.")

_ABOUT_GUESSES: Final = frozenset({"wrong-credentials", "too-many-attempts"})
"""What is said where the password is typed. All else is said above."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button by which somebody is signed in whose request is known.

    :param label: see `RequestBackend.label`.
    :param method: see `RequestBackend.method`.
    :param path: of the page that its form is for.
    :param at_once: see `RequestBackend.at_once`.
    """

    label: str
    method: str
    path: str
    at_once: bool


def begin_session(visit: Visit, email: str, method: str) -> None:
    """Sign somebody in who has done all that it takes.

    The session gets a new token, and the one before it ends.

    :param method: what it was done with, such as `password`.
    :raises StoreError: it cannot be recorded.
    """
    known_browsers = visit.house.known_browsers
    _attempts(visit).succeeded(email, visit.client, visit.now, _known(visit, email))
    _put_session(visit, email, method)
    visit.put_cookie(cookies.KNOWN, known_browsers.remember(visit.known, email), cookies.YEAR_S)
    visit.put_cookie(cookies.VISITOR, "", 0)


def go_on(visit: Visit, email: str, method: str, to: str) -> Response:
    """Sign somebody in, as far as that goes without a second step, and send them on.

    :param method: what it was done with.
    :param to: where they want to go.
    :raises StoreError: it cannot be recorded.
    """
    if visit.provider.second_steps.follow(email):
        # Not signed in, and what was counted is not forgotten: codes can be guessed as well.
        _put_session(visit, email, method, half_way=True)
        return visit.redirect(paths.with_query(paths.SECOND_STEP, next=to))
    begin_session(visit, email, method)
    if visit.provider.second_steps.is_missing(email):
        return visit.redirect(paths.with_query(paths.NEW_PASSKEY, next=to))
    return visit.redirect(to)


def goal(visit: Visit) -> str:
    """Where somebody wants to go who has to sign in first."""
    return paths.own_path(visit.form.get("next") or visit.query.get("next", ""), paths.ACCOUNT)


def _show(visit: Visit) -> Response:
    email = visit.query.get("email", "")
    again = "again" in visit.query
    if visit.session is not None and email in ("", visit.session.email) and not again:
        return visit.redirect(goal(visit))
    if not visit.provider.outside.backends.take_passwords:
        return _send_on(visit)
    if not email:
        return _ask_address(visit)
    try:
        return _ask_password(visit, visit.provider.accounts.address(email))
    except LocalProtocolError:
        return _ask_address(visit, email, error=_NO_ADDRESS, status=422)


def _send_on(visit: Visit) -> Response:
    """Where nobody has a password here: to another provider's page, or to what knows the request.

    At once, if there is that one way only, and it is to be so.
    """
    ways, buttons = _ways(visit), buttons_of(visit)
    at_once = not ways and len(buttons) == 1 and buttons[0].at_once
    response = visit.page(
        "upstream.html",
        ways=ways,
        buttons=buttons,
        at_once=at_once,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )
    if len(ways) == 1 and not buttons:
        # Not by a redirect: browsers do not follow one to another site after a form.
        response.headers["Refresh"] = f"0; url={ways[0][1]}"
    return response


def _ways(visit: Visit) -> list[tuple[str, str]]:
    """The other providers: what they are called, and where a sign-in there begins."""
    email, backends = visit.query.get("email", ""), visit.provider.outside.backends
    return [way_to(visit, each, email) for each in backends.redirecting]


def way_to(visit: Visit, backend: RedirectBackend, email: str) -> tuple[str, str]:
    """Another provider: what it is called, and where a sign-in there begins.

    :param email: the address that somebody has given, empty for none.
    """
    fields = {"next": goal(visit), "email": email, "again": visit.query.get("again", "")}
    return backend.label, paths.with_query(paths.UPSTREAM.format(name=backend.name), **fields)


def buttons_of(visit: Visit) -> Sequence[Button]:
    """The buttons of the backends that know somebody by the request itself."""
    return [
        Button(each.label, each.method, paths.BY_REQUEST.format(name=each.name), each.at_once)
        for each in visit.provider.outside.backends.by_request
    ]


def _submit(visit: Visit) -> Response:
    typed = visit.form.get("email", "")
    try:
        email = visit.provider.accounts.address(typed)
    except LocalProtocolError:
        return _ask_address(visit, typed, error=_NO_ADDRESS, status=422)
    password = visit.form.get("password", "")[: MAX_PASSWORD + 1]
    sign_in, known = PasswordSignIn(visit.provider), _known(visit, email)
    try:
        sign_in.check(email, password, visit.client, visit.now, known)
    except RefusedError as error:
        visit.record(error, email)
        return begin_anew(visit, email, error, _wrong(visit))
    except MoreAskedError as error:
        return ask_more(visit, Waiting(error.backend, email, error.exchange))
    return go_on(visit, email, "password", goal(visit))


def ask_more(visit: Visit, waiting: Waiting) -> Response:
    """Go on to what a backend asks besides the password.

    :raises RefusedError: too-many-exchanges.
    """
    token = visit.provider.outside.exchanges.keep(waiting, visit.client)
    visit.put_cookie(cookies.EXCHANGE, token, PATIENCE_S)
    return visit.redirect(paths.with_query(paths.QUESTIONS, next=goal(visit)))


def begin_anew(visit: Visit, email: str, error: RefusedError, wrong: str) -> Response:
    """Ask for the password once more.

    :param error: why.
    :param wrong: what is said of it if it is not a matter of anything else.
    """
    if error.word not in _ABOUT_GUESSES:
        return _ask_password(visit, email, refusal=explain(error), status=error.status)
    return _again(error, wrong, partial(_ask_password, visit, email))


def _wrong(visit: Visit) -> str:
    return _WRONG_OR_LOCKED if visit.provider.outside.backends.any_outside else _WRONG


def _show_second_step(visit: Visit) -> Response:
    if visit.half_way is None:
        return visit.redirect(paths.with_query(paths.SIGN_IN, next=goal(visit)))
    return _ask_code(visit, visit.half_way.email)


def _submit_second_step(visit: Visit) -> Response:
    if visit.half_way is None:
        return visit.redirect(paths.with_query(paths.SIGN_IN, next=goal(visit)))
    email = visit.half_way.email
    code = visit.form.get("code", "")
    try:
        _try(visit, email, lambda: _is_right(visit, email, code))
    except RefusedError as error:
        visit.record(error, email)
        return _again(error, _WRONG_CODE, partial(_ask_code, visit, email))
    begin_session(visit, email, f"{visit.half_way.method}+code")
    return visit.redirect(goal(visit))


def _is_right(visit: Visit, email: str, code: str) -> bool:
    provider = visit.provider
    if provider.second_factors.check(email, code, visit.now):
        return True
    return provider.recovery_codes.use(email, code, visit.client, visit.now)


def _passkey_options(visit: Visit) -> Response:
    options = visit.provider.passkeys.authentication_options(_asked_for(visit), visit.now)
    return visit.json(options)


def _submit_passkey(visit: Visit) -> Response:
    asked = _asked_for(visit)
    passkeys = visit.provider.passkeys
    response = visit.form.get("response", "")
    try:
        email = passkeys.authenticate(response, visit.client, visit.now, email=asked)
        visit.provider.outside.admit(email, visit.client, visit.now)
    except RefusedError as error:
        visit.record(error, asked or "")
        if asked is None:
            return _ask_address(visit, refusal=explain(error), status=error.status)
        return _ask_password(visit, asked, refusal=explain(error), status=error.status)
    begin_session(visit, email, PASSKEY)
    return visit.redirect(goal(visit))


def _asked_for(visit: Visit) -> str | None:
    """The address that a passkey is to be for, None for any."""
    typed = visit.form.get("email", "")
    try:
        return visit.provider.accounts.address(typed) if typed else None
    except LocalProtocolError as error:
        raise RefusedError(422, "invalid-address", error.message) from None


def _try(visit: Visit, email: str, right: Callable[[], bool]) -> None:
    _attempts(visit).check(email, visit.client, visit.now, right, _known(visit, email))


def _again(error: RefusedError, wrong: str, ask: Callable[..., Response]) -> Response:
    if not error.retry_after:
        return ask(error=wrong, status=error.status)
    return ask(error=_WAIT, status=error.status, seconds=error.retry_after)


def _ask_address(
    visit: Visit,
    typed: str = "",
    *,
    error: str = "",
    refusal: Explanation | None = None,
    status: int = 200,
) -> Response:
    return visit.page(
        "sign-in-address.html",
        status,
        here=paths.with_query(paths.SIGN_IN, next=goal(visit)),
        email=typed,
        error=error,
        refusal=refusal,
        ways=_ways(visit),
        buttons=buttons_of(visit),
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _ask_password(
    visit: Visit,
    email: str,
    *,
    error: str = "",
    refusal: Explanation | None = None,
    status: int = 200,
    seconds: int = 0,
) -> Response:
    return visit.page(
        "sign-in.html",
        status,
        here=paths.with_query(paths.SIGN_IN, email=email, next=goal(visit)),
        email=email,
        error=error,
        refusal=refusal,
        seconds=seconds,
        ways=_ways(visit),
        buttons=buttons_of(visit),
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _ask_code(
    visit: Visit, email: str, *, error: str = "", status: int = 200, seconds: int = 0
) -> Response:
    return visit.page(
        "second-step.html",
        status,
        here=paths.with_query(paths.SECOND_STEP, next=goal(visit)),
        email=email,
        by_code=visit.provider.second_steps.by_code(email),
        by_passkey=visit.provider.second_steps.by_passkey(email),
        error=error,
        seconds=seconds,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _put_session(visit: Visit, email: str, method: str, *, half_way: bool = False) -> None:
    sessions = visit.provider.sessions
    if visit.token:
        sessions.end(visit.token)
    token, _ = sessions.begin(
        email, method, visit.client, visit.agent, visit.now, half_way=half_way
    )
    visit.put_cookie(cookies.SESSION, token, sessions.policy.life // 1000)
    if visit.house.embedders and not half_way:
        visit.put_cookie(cookies.EMBEDDED, token, sessions.policy.life // 1000)


def _known(visit: Visit, email: str) -> str:
    return visit.house.known_browsers.name(visit.known, email)


def _attempts(visit: Visit) -> Attempts:
    return Attempts(visit.provider.limits, visit.provider.audit)


PAGES: Final = (
    Page(paths.SIGN_IN, _show, _submit, slow=True),
    Page(paths.SECOND_STEP, _show_second_step, _submit_second_step),
    Page(paths.PASSKEY, submit=_submit_passkey),
    Page(paths.PASSKEY_OPTIONS, submit=_passkey_options),
)
