"""The way out of a sign-in that somebody does not want (any more)."""

from __future__ import annotations

from urllib.parse import urlsplit

from browserid_sasl.idp.web import paths
from browserid_sasl.idp.web.visit import Visit


def cancel_of(visit: Visit, goal: str) -> str:
    """Where to go on to from a sign-in that somebody cancels; empty if there is nowhere.

    :param goal: where the sign-in would lead to.
    """
    parts = urlsplit(goal)
    if parts.path in (paths.AUTHENTICATION, paths.CONSENT):
        return f"{paths.CANCEL}?{parts.query}"
    if visit.session is None and parts.path == paths.DEVICE:
        return paths.DEVICE_CANCELLED
    # Who has to sign in once more for something has the account without it.
    return paths.ACCOUNT if visit.session is not None else ""
