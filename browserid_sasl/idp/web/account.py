"""The account of whom is signed in: what it has, and how what it signs in with is changed.

Each change asks for a sign-in of a few minutes ago: a browser that somebody has left open is not
enough for it.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import Code
from browserid_sasl.idp.passkeys import Passkey
from browserid_sasl.idp.web import chosen_passwords, paths
from browserid_sasl.idp.web.errors import Explanation, explain
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.machines import machines_of
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_DONE: Final = {
    "passkey": N_("The passkey was added."),
    "name": N_("The name was saved."),
    "passkey-removed": N_("The passkey was removed. Delete it from the device or key as well."),
    "password": N_("The password was saved."),
    "password-removed": N_("The password was removed."),
    "second-factor-removed": N_("The second factor was removed."),
    "browsers": N_("You are signed out in all other browsers."),
}
"""What was done, by what the address of the page afterwards says."""

_WRONG_CODE: Final = N_("This is not the code. Type the one that the app shows now.")


def _show(visit: Visit) -> Response:
    provider = visit.provider
    return visit.page(
        "account.html",
        email=visit.email,
        done=_DONE.get(visit.query.get("done", ""), ""),
        passkeys=provider.passkeys.all(visit.email),
        rp_id=provider.passkeys.rp_id,
        has_password=provider.accounts.has_password(visit.email),
        is_outside=provider.means.is_outside(visit.email),
        has_second_factor=provider.second_factors.has(visit.email),
        codes_left=provider.recovery_codes.left(visit.email),
        machines=machines_of(visit),
        sessions=len(provider.sessions.all(visit.email, visit.now)),
        administrator=provider.administrators.has(visit.email),
    )


def _done(visit: Visit, what: str) -> Response:
    return visit.redirect(paths.with_query(paths.ACCOUNT, done=what))


def _sign_out_others(visit: Visit) -> Response:
    visit.provider.sessions.end_all(visit.email, visit.session_id)
    return _done(visit, "browsers")


def _check_may_change_passkeys(visit: Visit) -> None:
    """See that who adds a passkey may have one, and who removes one may take it away.

    Who has got hold of an administrator's password alone does not get to what it takes to be one,
    nor keeps who is one from being it.
    """
    by_passkey = visit.session is not None and visit.session.by_passkey
    if not by_passkey and visit.provider.administrators.has(visit.email):
        raise RefusedError(
            403,
            "passkey-needed",
            "an administrator changes passkeys after a sign-in with one, or by an invitation",
            Code.INTERACT_FAILURE,
        )


def _show_new_passkey(visit: Visit, error: RefusedError | None = None) -> Response:
    _check_may_change_passkeys(visit)
    # Here, and not only when the script asks: it could not say so in these words.
    visit.provider.passkeys.check_room(visit.email)
    return visit.page(
        "new-passkey.html",
        error.status if error else 200,
        name=visit.form.get("name", ""),
        error=error and explain(error),
        goal=_goal(visit),
        needed=visit.provider.second_steps.is_missing(visit.email),
    )


def _goal(visit: Visit) -> str:
    """Where somebody goes on who was sent here on their way, empty if nobody has sent them."""
    return paths.own_path(visit.form.get("next") or visit.query.get("next", ""), "")


def _new_passkey_options(visit: Visit) -> Response:
    _check_may_change_passkeys(visit)
    return visit.json(visit.provider.passkeys.registration_options(visit.email, visit.now))


def _add_passkey(visit: Visit) -> Response:
    _check_may_change_passkeys(visit)
    response, name = visit.form.get("response", ""), visit.form.get("name", "")
    try:
        visit.provider.means.add_passkey(
            visit.email, response, name, visit.client, visit.now, keep=visit.session_id
        )
    except RefusedError as error:
        return _show_new_passkey(visit, error)
    goal = _goal(visit)
    return visit.redirect(goal) if goal else _done(visit, "passkey")


def _show_passkey(visit: Visit) -> Response:
    return _passkey_page(visit, _passkey(visit))


def _change_passkey(visit: Visit) -> Response:
    passkey = _passkey(visit)
    try:
        if visit.form.get("do") == "remove":
            _check_may_change_passkeys(visit)
            visit.provider.means.remove_passkey(
                visit.email, passkey.id, visit.client, visit.now, keep=visit.session_id
            )
            return _done(visit, "passkey-removed")
        name = visit.form.get("name", "")
        visit.provider.passkeys.rename(visit.email, passkey.id, name, visit.client, visit.now)
    except RefusedError as error:
        return _passkey_page(visit, passkey, error)
    return _done(visit, "name")


def _passkey(visit: Visit) -> Passkey:
    """The one that the page's address names."""
    number = visit.query.get("id", "")
    for passkey in visit.provider.passkeys.all(visit.email):
        if str(passkey.id) == number:
            return passkey
    raise RefusedError(404, "no-passkey", "there is no such passkey (any more)")


def _passkey_page(visit: Visit, passkey: Passkey, error: RefusedError | None = None) -> Response:
    return visit.page(
        "account-passkey.html",
        error.status if error else 200,
        passkey=passkey,
        error=error and explain(error),
    )


def _show_password(
    visit: Visit, status: int = 200, *, error: str = "", alert: Explanation | None = None
) -> Response:
    # Before somebody has chosen one, and not only when it is sent.
    visit.provider.means.check_own_password(visit.email)
    return visit.page(
        "password.html",
        status,
        email=visit.email,
        has_password=visit.provider.accounts.has_password(visit.email),
        error=error,
        alert=alert,
    )


def _change_password(visit: Visit) -> Response:
    if visit.form.get("do") == "remove":
        return _remove_password(visit)
    error = chosen_passwords.what_is_wrong(visit.form)
    if error:
        return _show_password(visit, 422, error=error)
    visit.provider.means.set_password(
        visit.email, visit.form["password"], visit.client, visit.now, keep=visit.session_id
    )
    return _done(visit, "password")


def _remove_password(visit: Visit) -> Response:
    try:
        visit.provider.means.remove_password(
            visit.email, visit.client, visit.now, keep=visit.session_id
        )
    except RefusedError as error:
        return _show_password(visit, error.status, alert=explain(error))
    return _done(visit, "password-removed")


def _show_second_factor(visit: Visit, error: str = "", status: int = 200) -> Response:
    factors = visit.provider.second_factors
    # The same as before if there is one: the app may have it by now.
    secret = factors.pending(visit.email, visit.now) or factors.begin(visit.email, visit.now)
    return visit.page(
        "second-factor.html",
        status,
        has_password=visit.provider.means.gives_password(visit.email),
        has_second_factor=factors.has(visit.email),
        secret=secret,
        picture=factors.qr_code(visit.email, secret),
        error=error,
    )


def _change_second_factor(visit: Visit) -> Response:
    means = visit.provider.means
    if visit.form.get("do") == "remove":
        means.remove_second_factor(visit.email, visit.client, visit.now, keep=visit.session_id)
        return _done(visit, "second-factor-removed")
    code = visit.form.get("code", "")
    codes = means.confirm_second_factor(
        visit.email, code, visit.client, visit.now, keep=visit.session_id
    )
    if codes is None:
        return _show_second_factor(visit, _WRONG_CODE, 422)
    return visit.page("recovery-codes.html", codes=codes)


def _show_recovery_codes(visit: Visit) -> Response:
    return visit.page("recovery-codes.html", codes=())


def _renew_recovery_codes(visit: Visit) -> Response:
    codes = visit.provider.means.renew_recovery_codes(
        visit.email, visit.client, visit.now, keep=visit.session_id
    )
    return visit.page("recovery-codes.html", codes=codes)


PAGES_WITHOUT_MEANS: Final = (
    Page(paths.ACCOUNT, _show, signed_in=True),
    Page(paths.OTHER_BROWSERS, submit=_sign_out_others, signed_in=True),
)
"""Those that have nothing to do with what somebody signs in with."""

PAGES: Final = (
    *PAGES_WITHOUT_MEANS,
    Page(paths.NEW_PASSKEY, _show_new_passkey, _add_passkey, fresh=True),
    Page(paths.NEW_PASSKEY_OPTIONS, submit=_new_passkey_options, fresh=True),
    Page(paths.ACCOUNT_PASSKEY, _show_passkey, _change_passkey, fresh=True),
    Page(paths.PASSWORD, _show_password, _change_password, fresh=True, slow=True),
    Page(paths.SECOND_FACTOR, _show_second_factor, _change_second_factor, fresh=True),
    Page(paths.RECOVERY_CODES, _show_recovery_codes, _renew_recovery_codes, fresh=True),
)
