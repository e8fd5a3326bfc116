"""The way out of a sign-in that a program has begun, and that its person does not want."""

from __future__ import annotations

from urllib.parse import urlsplit

from browserid_sasl.idp.web import paths


def cancel_of(goal: str) -> str:
    """Where to go on to from a sign-in that somebody cancels; empty if nothing waits for it.

    :param goal: where the sign-in would lead to.
    """
    parts = urlsplit(goal)
    waits = parts.path in (paths.AUTHENTICATION, paths.CONSENT)
    return f"{paths.CANCEL}?{parts.query}" if waits else ""
