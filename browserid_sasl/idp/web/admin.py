"""The door of the pages for administrators: who gets in, with what, and for how long.

Only who was made an administrator by a command, has signed in with a passkey, and is at it: a
session in which nobody administrates for a while does so no more, and a change takes a sign-in of a
few minutes ago. For everybody else there are no such pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from browserid_sasl.errors import Code
from browserid_sasl.idp.administration import NO_PAGE, Actor, Administration
from browserid_sasl.idp.web.errors import error_page, wants_page
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

AT_ONCE: Final = 50
"""How much of a list is on a page."""


@dataclass(frozen=True, slots=True)
class AdminPage(Page):
    """A page for administrators. Its parts are those of `Page`."""

    def answer(self, visit: Visit) -> Response:
        """See `Page`."""
        if visit.session is None:
            # As before other pages.
            return self.ask_to_sign_in(visit)
        submitted = visit.request.method == "POST"
        # First: what another site sends is refused alike, whoever is signed in.
        if submitted:
            visit.check_forgery()
        if not visit.provider.administrators.has(visit.email):
            return _nowhere(visit)
        if not _is_there(visit) or (submitted and not visit.is_fresh):
            return self._ask_for_passkey(visit)
        return self.handle(visit)

    def _ask_for_passkey(self, visit: Visit) -> Response:
        visit.record(
            RefusedError(
                403,
                "passkey-needed",
                "administration takes a sign-in with a passkey of a few minutes ago",
                Code.INTERACT_REQUIRED,
            ),
            visit.email,
        )
        return visit.page(
            "admin-passkey.html",
            403,
            email=visit.email,
            goal=self.back(visit),
            has_passkey=visit.provider.passkeys.usable(visit.email) > 0,
        )


def _nowhere(visit: Visit) -> Response:
    """What is answered where there is no page, to the letter."""
    error = RefusedError(404, NO_PAGE, "Not Found.")
    if not wants_page(visit.request):
        raise error
    return error_page(visit, error, visit.before, bare=True)


def _is_there(visit: Visit) -> bool:
    """Whether who has signed in with a passkey is there yet."""
    session = visit.session
    return (
        session is not None
        and session.by_passkey
        and visit.provider.administrators.may_go_on(session, visit.now)
    )


def check_there(refusal: RefusedError) -> None:
    """See that who was refused something may know that there are such pages.

    :raises RefusedError: not-found: the right was taken from them meanwhile.
    """
    if refusal.word == NO_PAGE:
        raise refusal


def administration(visit: Visit) -> Administration:
    """What the administrator can do who visits."""
    return Administration(visit.provider, Actor(visit.email, visit.client))
