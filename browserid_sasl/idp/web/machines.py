"""Where certificates went: the machines of an account, as a part of its page.

The account's page includes `machines.html` with what `machines_of` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from browserid_sasl.idp.renewals import Renewal
from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.visit import Page, Visit
from browserid_sasl.web.refusal import RefusedError

_MAX_DIGITS: Final = 18


def machines_of(visit: Visit) -> Sequence[Renewal]:
    """What `machines.html` wants as `machines`: the account's, the one used last first."""
    return visit.provider.renewals.all(visit.email, visit.now)


def number_of(text: str) -> int:
    """The number of a machine, as a form says it.

    :raises RefusedError: no-machine: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise _no_machine()
    return int(text)


def _no_machine() -> RefusedError:
    return RefusedError(404, "no-machine", "there is no such machine (any more)")


def _revoke(visit: Visit) -> Response:
    number = number_of(visit.form.get("id", ""))
    renewals, email = visit.provider.renewals, visit.email
    if not renewals.revoke(number, email, visit.now, client=visit.client):
        raise _no_machine()
    return visit.redirect(f"{paths.ACCOUNT}#machines")


def _sign_out_everywhere(visit: Visit) -> Response:
    """End everything but the session in which it is asked for."""
    provider = visit.provider
    # As a whole: else one of the sessions could consent to something in between.
    with provider.database.transaction():
        provider.renewals.revoke_all(visit.email, visit.now, client=visit.client)
        provider.sessions.end_all(visit.email, visit.session.id if visit.session else None)
    return visit.redirect(f"{paths.ACCOUNT}#machines")


PAGES: Final = (
    Page(paths.REVOKE_MACHINE, submit=_revoke, signed_in=True),
    Page(paths.SIGN_OUT_EVERYWHERE, submit=_sign_out_everywhere, signed_in=True),
)
