"""Signing in to a fallback provider: the address, then a mail with a code and a link.

People of a domain for which the configuration names another provider are sent there in place of it.
What is answered does not tell whether there is an account, nor whether a mail was sent: that an
address has got enough of them, or wants none, is between it and the provider.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.backends import OWN_ACCOUNTS, DeniedError, RedirectBackend
from browserid_sasl.idp.fallback import Fallback
from browserid_sasl.idp.mailed_codes import LIFE_MS, Asked
from browserid_sasl.idp.outbox import Letter
from browserid_sasl.idp.password_sign_in import refusal_of
from browserid_sasl.idp.web import mail_text, paths
from browserid_sasl.idp.web.cancelling import cancel_of
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.signin import begin_session, goal, way_to
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_NO_ADDRESS: Final = N_(
    "This is not an address that can be used here. Write it as name@example.org, and a domain in"
    " other letters as xn--..."
)
_WRONG_LETTERS: Final = N_("The other browser shows other letters. Look again.")
_NO_LETTERS: Final = N_("Type the letters that the other browser shows.")
_ERRORS: Final = {
    "mail-code-wrong": N_("This is not the code in the mail. Compare it, digit by digit."),
    "mail-code-spent": N_("No mail is good any more. Ask for another one."),
    "mail-not-allowed": N_("The link was not opened and allowed yet."),
}


def _show(visit: Visit) -> Response:
    email = visit.query.get("email", "")
    if visit.session is not None and email in ("", visit.session.email):
        return visit.redirect(goal(visit))
    authority = visit.provider.outside.backends.authority_of(email)
    return _send_on(visit, email, authority) if authority else _ask_address(visit, email)


def _send_on(visit: Visit, email: str, authority: RedirectBackend) -> Response:
    """Send somebody to the provider of their domain's: at once, if they have no choice."""
    way = way_to(visit, authority, email)
    response = visit.page(
        "mail-elsewhere.html",
        here=paths.with_query(paths.SIGN_IN, email=email, next=goal(visit)),
        email=email,
        way=way,
        by_mail=authority.mail_too,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )
    if not authority.mail_too:
        # Not by a redirect: browsers do not follow one to another site after a form.
        response.headers["Refresh"] = f"0; url={way[1]}"
    return response


def _submit(visit: Visit) -> Response:
    """Send a mail, if one may be sent."""
    typed = visit.form.get("email", "")
    try:
        email = visit.provider.accounts.address(typed)
    except LocalProtocolError:
        return _ask_address(visit, typed, error=_NO_ADDRESS, status=422)
    authority = visit.provider.outside.backends.authority_of(email)
    if authority is not None and not (authority.mail_too and "by-mail" in visit.form):
        return _send_on(visit, email, authority)
    fallback = _fallback(visit)
    known = visit.house.known_browsers.name(visit.known, email)
    # Counted before a stranger's domain is asked: that takes longer than anything else here.
    bounce = fallback.limits.ask(email, visit.client, visit.now, known)
    fallback.check(email, visit.now)
    _send(visit, fallback, email, bounce)
    return visit.redirect(paths.with_query(paths.MAIL, email=email, next=goal(visit)))


def _send(visit: Visit, fallback: Fallback, email: str, bounce: str | None) -> None:
    """Send a mail; or none, in the same time, and so that what is typed is answered the same.

    :param bounce: what it is to come back with, None if none is sent.
    """
    now, sent = visit.now, bounce is not None
    mailed = fallback.codes.begin(email, visit.binding, goal(visit), visit.client, now, sent=sent)
    link = visit.house.origin + paths.with_query(paths.MAIL_LINK, token=mailed.token)
    message = mail_text.compose(
        visit.language, fallback.sender, email, visit.house.origin, mailed.code, link
    )
    sender = fallback.envelope_sender(bounce or "")
    letter = Letter.good_for(LIFE_MS / 1000, message, sender, email)
    (fallback.postman.send if sent else fallback.postman.pretend)(letter)
    event = Event.MAIL_SENT if sent else Event.MAIL_SPARED
    visit.provider.audit.write(event, now, email=email, client=visit.client)


def _show_code(visit: Visit) -> Response:
    email = _address(visit)
    if not email or not visit.binding:
        return visit.redirect(paths.with_query(paths.SIGN_IN, next=goal(visit)))
    if not visit.provider.outside.backends.may_vouch(OWN_ACCOUNTS, email):
        return visit.redirect(paths.with_query(paths.SIGN_IN, email=email, next=goal(visit)))
    if visit.session is not None and visit.session.email == email:
        return visit.redirect(goal(visit))
    return _ask_code(visit, email)


def _submit_code(visit: Visit) -> Response:
    email = _address(visit)
    code = visit.form.get("code", "")
    try:
        codes = _fallback(visit).codes
        asked = codes.type(email, visit.binding, code, visit.client, visit.now)
    except RefusedError as error:
        if error.word not in _ERRORS:
            raise
        visit.record(error, email)
        return _ask_code(visit, email, error=_ERRORS[error.word], status=error.status)
    return _sign_in(visit, asked, goal(visit))


def _show_link(visit: Visit) -> Response:
    """Ask. Nothing is changed: programs that look after mail open the links in it."""
    return _ask_about(visit, _asked(visit))


def _submit_link(visit: Visit) -> Response:
    token, codes = visit.query.get("token", ""), _fallback(visit).codes
    if visit.form.get("decision") == "not-me":
        if "sure" not in visit.form:
            return _ask_about(visit, _asked(visit), unsure=True, status=422)
        email = codes.deny(token, visit.now)
        _fallback(visit).limits.not_me(email, visit.client, visit.now)
        return visit.page("mail-done.html", allowed=False, email=email)
    asked = _asked(visit)
    if asked.here:
        used = codes.use(token, visit.binding, visit.now)
        return _sign_in(visit, used, used.goal)
    letters = visit.form.get("letters", "").strip()
    if not letters:
        # It is no try: there are programs that look after mail and press the buttons of pages.
        return _ask_about(visit, asked, error=_NO_LETTERS, status=422)
    if not codes.allow(token, letters, visit.client, visit.now):
        # If that was the last try, what follows says so.
        return _ask_about(visit, _asked(visit), error=_WRONG_LETTERS, status=422)
    visit.provider.audit.write(
        Event.MAIL_LINK_ALLOWED, visit.now, email=asked.email, client=visit.client
    )
    return visit.page("mail-done.html", allowed=True, email=asked.email)


def _sign_in(visit: Visit, asked: Asked, to: str) -> Response:
    """Sign somebody in who has shown that mail to the address reaches them."""
    email, provider = asked.email, visit.provider
    try:
        provider.outside.vouch_by_mail(email, visit.client, visit.now)
    except DeniedError as error:
        raise refusal_of(error.denial) from None
    record = partial(
        provider.audit.write, Event.ACCOUNT_ADDED, visit.now, email=email, client=visit.client
    )
    provider.accounts.add_without_password(email, visit.now, record)
    begin_session(visit, email, "mail")
    return visit.redirect(paths.own_path(to, paths.ACCOUNT))


def _asked(visit: Visit) -> Asked:
    token = visit.query.get("token", "")
    return _fallback(visit).codes.find(token, visit.binding, visit.now)


def _address(visit: Visit) -> str:
    """The address that the page is about, empty for none."""
    typed = visit.form.get("email") or visit.query.get("email", "")
    try:
        return visit.provider.accounts.address(typed)
    except LocalProtocolError:
        return ""


def _fallback(visit: Visit) -> Fallback:
    fallback = visit.provider.fallback
    assert fallback is not None  # noqa: S101 - no other provider has these pages
    return fallback


def _ask_address(visit: Visit, typed: str, *, error: str = "", status: int = 200) -> Response:
    return visit.page(
        "mail-address.html",
        status,
        here=paths.with_query(paths.SIGN_IN, email=typed, next=goal(visit)),
        email=typed,
        error=error,
        elsewhere=bool(visit.provider.outside.backends.redirecting),
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _ask_code(visit: Visit, email: str, *, error: str = "", status: int = 200) -> Response:
    return visit.page(
        "mail-code.html",
        status,
        here=paths.with_query(paths.MAIL, email=email, next=goal(visit)),
        email=email,
        letters=_fallback(visit).codes.letters(visit.binding, email),
        minutes=LIFE_MS // 60_000,
        error=error,
        goal=goal(visit),
        cancel=cancel_of(visit, goal(visit)),
    )


def _ask_about(
    visit: Visit, asked: Asked, *, error: str = "", unsure: bool = False, status: int = 200
) -> Response:
    return visit.page(
        "mail-link.html", status, here=visit.here, asked=asked, error=error, unsure=unsure
    )


PAGES: Final = (
    Page(paths.SIGN_IN, _show, _submit, slow=True),
    Page(paths.MAIL, _show_code, _submit_code),
    Page(paths.MAIL_LINK, _show_link, _submit_link),
)
