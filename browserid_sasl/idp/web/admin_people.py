"""The people of a domain, for administrators: who there is, what they have, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.idp.audit import Event, Question
from browserid_sasl.idp.people import Person
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.admin import AT_ONCE, AdminPage, administration, check_there
from browserid_sasl.idp.web.admin_log import Line, line_of
from browserid_sasl.idp.web.errors import explain
from browserid_sasl.idp.web.languages import N_
from browserid_sasl.idp.web.machines import number_of
from browserid_sasl.idp.web.visit import Visit
from browserid_sasl.web.refusal import RefusedError

_MOST_CERTIFICATES: Final = 10
_DONE: Final = {
    "sessions": N_("They are signed out in all browsers."),
    "machine": N_("The machine's key was revoked."),
    "machines": N_("All that their machines and browsers had has ended."),
    "removed": N_("The account was removed."),
    "withdrawn": N_("The invitation was withdrawn."),
}
"""What was done, by what the address of the page afterwards says."""

_NO_ADDRESS: Final = N_("This is not an address of %(domain)s. Write it as name@%(domain)s.")
_NOT_CONFIRMED: Final = N_("Type the address of the account to remove it.")


def _show_people(visit: Visit) -> Response:
    text = visit.query.get("search", "")
    after = visit.query.get("after", "")
    found = visit.provider.people.search(text, visit.now, AT_ONCE + 1, after=after)
    people = found[:AT_ONCE]
    return visit.page(
        "admin-people.html",
        people=people,
        search=text,
        first=not after,
        next=people[-1].email if len(found) > AT_ONCE else "",
        done=_done_of(visit),
    )


def _show_person(visit: Visit) -> Response:
    return _person_page(visit, _person(visit))


def _person(visit: Visit) -> Person:
    """Whom the page's address names.

    :raises RefusedError: no-person.
    """
    try:
        email = visit.provider.accounts.address(visit.query.get("email", ""))
        person = visit.provider.people.find(email, visit.now)
    except LocalProtocolError:
        person = None
    if person is None:
        raise RefusedError(404, "no-person", "there is no such account (any more)")
    return person


def _person_page(
    visit: Visit, person: Person, *, error: str = "", alert: RefusedError | None = None
) -> Response:
    provider = visit.provider
    return visit.page(
        "admin-person.html",
        alert.status if alert else 422 if error else 200,
        person=person,
        itself=paths.with_query(paths.ADMIN_PERSON, email=person.email),
        sessions=provider.sessions.all(person.email, visit.now),
        machines=provider.renewals.all(person.email, visit.now),
        certificates=_certificates(visit, person.email),
        is_event=Event.CERTIFIED.value,
        error=error,
        alert=alert and explain(alert),
        done=_done_of(visit),
    )


def _certificates(visit: Visit, email: str) -> Sequence[Line]:
    question = Question(Event.CERTIFIED.value, email)
    entries = visit.provider.audit.search(question, _MOST_CERTIFICATES)
    return [line_of(entry) for entry in entries]


def _change_person(visit: Visit) -> Response:
    person = _person(visit)
    try:
        return _do(visit, person)
    except RefusedError as error:
        check_there(error)
        # Not what was known of them before: something has changed meanwhile.
        return _person_page(visit, _person(visit), alert=error)


def _do(visit: Visit, person: Person) -> Response:
    do, able, email, now = visit.form.get("do", ""), administration(visit), person.email, visit.now
    if do == "invite":
        return _show_link(visit, email, able.invite(email, now))
    if do == "reset":
        return _show_link(visit, email, able.reset(email, now))
    if do == "sessions":
        able.end_sessions(email, now, keep=visit.session_id)
        return _done(visit, email, do)
    if do == "machine":
        able.revoke(number_of(visit.form.get("id", "")), email, now)
        return _done(visit, email, do)
    if do == "machines":
        able.revoke_all(email, now, keep=visit.session_id)
        return _done(visit, email, do)
    if do == "remove":
        return _remove(visit, person)
    raise RefusedError(400, "invalid-form", "that cannot be done")


def _remove(visit: Visit, person: Person) -> Response:
    if visit.form.get("confirm", "").strip().lower() != person.email:
        return _person_page(visit, person, error=_NOT_CONFIRMED)
    administration(visit).remove(person.email, visit.now)
    return visit.redirect(paths.with_query(paths.ADMIN, done="removed"))


def _done(visit: Visit, email: str, what: str) -> Response:
    return visit.redirect(paths.with_query(paths.ADMIN_PERSON, email=email, done=what))


def _done_of(visit: Visit) -> str:
    return _DONE.get(visit.query.get("done", ""), "")


def _show_link(visit: Visit, email: str, link: str) -> Response:
    """Once, and in no address: who has the link has the account."""
    return visit.page("admin-link.html", email=email, link=link)


def _show_invitations(
    visit: Visit, typed: str = "", *, error: str = "", alert: RefusedError | None = None
) -> Response:
    after = visit.query.get("after", "")
    found = visit.provider.invitations.open(visit.now, AT_ONCE + 1, after)
    invitations = found[:AT_ONCE]
    return visit.page(
        "admin-invitations.html",
        alert.status if alert else 422 if error else 200,
        invitations=invitations,
        next=invitations[-1].email if len(found) > AT_ONCE else "",
        typed=typed,
        error=error,
        alert=alert and explain(alert),
        done=_done_of(visit),
    )


def _change_invitations(visit: Visit) -> Response:
    typed = visit.form.get("email", "")
    try:
        email = visit.provider.accounts.address(typed)
    except LocalProtocolError:
        return _show_invitations(visit, typed, error=_NO_ADDRESS)
    try:
        if visit.form.get("do") == "withdraw":
            administration(visit).withdraw(email, visit.now)
            return visit.redirect(paths.with_query(paths.ADMIN_INVITATIONS, done="withdrawn"))
        return _show_link(visit, email, administration(visit).invite(email, visit.now))
    except RefusedError as error:
        check_there(error)
        return _show_invitations(visit, typed, alert=error)


PAGES: Final = (
    AdminPage(paths.ADMIN, _show_people),
    AdminPage(paths.ADMIN_PERSON, _show_person, _change_person),
    AdminPage(paths.ADMIN_INVITATIONS, _show_invitations, _change_invitations),
)
