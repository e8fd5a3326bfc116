"""The cookies of the pages. Their names make browsers insist on TLS and on this host alone."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

SESSION: Final = "__Host-browserid-session"
VISITOR: Final = "__Host-browserid-visitor"
KNOWN: Final = "__Host-browserid-known"
LANGUAGE: Final = "__Host-browserid-language"

YEAR_S: Final = 365 * 86_400


def put(response: Response, name: str, value: str, life_s: int | None = None) -> None:
    """Set a cookie.

    :param life_s: s it is kept; None for as long as the browser is open.
    """
    response.set_cookie(
        name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax"
    )


def drop(response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    put(response, name, "", 0)
