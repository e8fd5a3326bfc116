"""How long a fetched document may be used, by its HTTP caching headers (RFC 9111)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_MS: Final = 60 * 60 * 1000


def lifetime(headers: Mapping[str, str]) -> int:
    """What the headers say in ms, 1 hour if they say nothing, never less than 0.

    :param headers: of the response, by names in lower case.
    """
    stated = _from_cache_control(headers.get("cache-control", ""))
    if stated is None:
        stated = _from_expires(headers)
    if stated is None:
        return DEFAULT_MS
    return max(0, stated - _seconds(headers.get("age", "0"))) * 1000


def _from_cache_control(value: str) -> int | None:
    """Seconds; a life that makes no sense counts as none (RFC 9111 section 4.2.1)."""
    directives = [directive.strip().lower() for directive in value.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    for directive in directives:
        name, _, argument = directive.partition("=")
        if name == "max-age":
            return _seconds(argument.strip('"'))
    return None


def _from_expires(headers: Mapping[str, str]) -> int | None:
    if "expires" not in headers or "date" not in headers:
        return None
    try:
        life = _moment(headers["expires"]) - _moment(headers["date"])
    except (ValueError, OverflowError):
        return 0
    return int(life.total_seconds())


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    # A date in the zone "-0000" comes without one; it is UTC like every date of HTTP.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
