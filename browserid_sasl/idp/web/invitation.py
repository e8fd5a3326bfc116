"""Setting up an account with an administrator's link."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.sessions import PASSKEY
from browserid_sasl.idp.web import chosen_passwords, paths
from browserid_sasl.idp.web.errors import Explanation, explain
from browserid_sasl.idp.web.signin import begin_session
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError


def _show(visit: Visit) -> Response:
    return _page(visit, visit.query.get("token", ""))


def _submit(visit: Visit) -> Response:
    token = visit.query.get("token", "")
    if visit.form.get("response"):
        return _accept_with_passkey(visit, token)
    error = chosen_passwords.what_is_wrong(visit.form)
    if error:
        return _page(visit, token, 422, error=error)
    password = visit.form["password"]
    email = visit.provider.means.accept_with_password(token, password, visit.client, visit.now)
    return _welcome(visit, email, "password")


def _accept_with_passkey(visit: Visit, token: str) -> Response:
    response = visit.form["response"]
    try:
        email = visit.provider.means.accept_with_passkey(token, response, visit.client, visit.now)
    except RefusedError as error:
        # It is not spent then: the link and the password's form are as good as before.
        return _page(visit, token, error.status, alert=explain(error))
    return _welcome(visit, email, PASSKEY)


def _welcome(visit: Visit, email: str, method: str) -> Response:
    begin_session(visit, email, method)
    return visit.redirect(paths.ACCOUNT)


def _options(visit: Visit) -> Response:
    email = visit.provider.invitations.check(visit.form.get("token", ""), visit.now)
    options = visit.provider.passkeys.registration_options(email, visit.now, afresh=True)
    return visit.json(options)


def _page(
    visit: Visit,
    token: str,
    status: int = 200,
    *,
    error: str = "",
    alert: Explanation | None = None,
) -> Response:
    email = visit.provider.invitations.check(token, visit.now)
    return visit.page(
        "invitation.html",
        status,
        email=email,
        token=token,
        resets=visit.provider.means.has_any(email),
        error=error,
        alert=alert,
    )


PAGES: Final = (
    Page(paths.INVITATION, _show, _submit, slow=True),
    Page(paths.INVITATION_OPTIONS, submit=_options),
)
