"""The cookies of the pages. Their names make browsers insist on TLS and on this host alone."""

from __future__ import annotations

from typing import Final, Literal

from starlette.responses import Response

SESSION: Final = "__Host-browserid-session"
EMBEDDED: Final = "__Host-browserid-embedded"
"""The session's token once more, for the page that other sites may frame; only where some may."""

EXCHANGE: Final = "__Host-browserid-exchange"
"""What the browser takes up the questions of a backend by."""

NEGOTIATION: Final = "__Host-browserid-negotiation"
"""What the browser goes on with where a backend needs several requests to know whose they are."""

VISITOR: Final = "__Host-browserid-visitor"
KNOWN: Final = "__Host-browserid-known"
UPSTREAM: Final = "__Host-browserid-upstream"
"""What a sign-in at another provider began with."""

LANGUAGE: Final = "__Host-browserid-language"

YEAR_S: Final = 365 * 86_400


def put(response: Response, name: str, value: str, life_s: int | None = None) -> None:
    """Set a cookie.

    :param life_s: s it is kept; None for as long as the browser is open.
    """
    # In another site's frame browsers send no others.
    same_site: Literal["none", "lax"] = "none" if name == EMBEDDED else "lax"
    response.set_cookie(
        name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite=same_site
    )
