"""The page for programs on machines without a browser (RFC 8628): their code, and the question."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.devices import PendingDevice
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.keeping import keeping
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_MAX_CODE: Final = 64
_ALLOW: Final = "allow"

_ERRORS: Final = {
    "code-expired": N_("That code has expired. Begin again on the machine, which shows another."),
    "code-used": N_("That code was used already. Begin again on the machine, which shows another."),
    "too-many-attempts": N_("Too many wrong codes. Try again in %(wait)s."),
}
_UNKNOWN: Final = N_(
    "No machine waits with this code for you. Compare it with what is shown there."
)


def _address(visit: Visit) -> str:
    """The page's, with the code that was typed."""
    typed = visit.form.get("user_code") or visit.query.get("user_code", "")
    return paths.with_query(paths.DEVICE, user_code=typed[:_MAX_CODE])


def _show(visit: Visit) -> Response:
    done = visit.query.get("done", "")
    if done in ("allowed", "denied"):
        return visit.page("device-done.html", allowed=done == "allowed")
    return _send_for_second_step(visit) or _ask_code(visit, visit.query.get("user_code", ""))


def _send_for_second_step(visit: Visit) -> Response | None:
    """Send somebody to add a second step whose account needs one: the machine would be refused."""
    if not visit.provider.second_steps.is_missing(visit.email):
        return None
    return visit.redirect(paths.with_query(paths.NEW_PASSKEY, next=_address(visit)))


def _submit(visit: Visit) -> Response:
    """Take a code, and then the answer to what is asked about it."""
    if elsewhere := _send_for_second_step(visit):
        return elsewhere
    typed = visit.form.get("user_code", "")[:_MAX_CODE]
    devices = visit.provider.devices
    try:
        pending = devices.find(typed, visit.email, visit.client, visit.now)
        if pending is None:
            return _ask_code(visit, typed, _UNKNOWN, 422)
        decision = visit.form.get("decision")
        if decision is None:
            return _ask(visit, pending, typed)
        if decision == _ALLOW:
            devices.approve(pending, "renewal" in visit.form, visit.now)
            return visit.redirect(paths.with_query(paths.DEVICE, done="allowed"))
        devices.deny(pending, visit.now)
        return visit.redirect(paths.with_query(paths.DEVICE, done="denied"))
    except RefusedError as error:
        if error.word not in _ERRORS:
            raise
        visit.record(error, visit.email)
        return _ask_code(visit, typed, _ERRORS[error.word], error.status, error.retry_after)


def _ask_code(
    visit: Visit, typed: str, error: str = "", status: int = 200, seconds: int = 0
) -> Response:
    return visit.page(
        "device.html",
        status,
        here=_address(visit),
        email=visit.email,
        user_code=typed[:_MAX_CODE],
        error=error,
        seconds=seconds,
    )


def _ask(visit: Visit, pending: PendingDevice, typed: str) -> Response:
    return visit.page(
        "device-consent.html",
        here=_address(visit),
        pending=pending,
        user_code=typed,
        wish=pending.wish,
        certificate_ends=visit.now + visit.house.certifier.life,
        keeping=keeping(visit),
    )


def _show_cancelled(visit: Visit) -> Response:
    """For who was asked to sign in: the code is not looked at, since anybody can come here."""
    return visit.page("device-cancelled.html")


PAGES: Final = (
    Page(paths.DEVICE, _show, _submit, signed_in=True, again=_address),
    Page(paths.DEVICE_CANCELLED, _show_cancelled),
)
