"""The kinds of logins."""

from __future__ import annotations

from typing import Final

ASSERTION: Final = "assertion"
"""A first login, by a new assertion."""
TICKET: Final = "ticket"
"""A further one, by the ticket of the first."""
DOUBT: Final = "doubt"
"""A first one after a store may have lost something, by an extra round trip."""

TOGETHER: Final = 16
"""Logins that arrive at once, for what a batch costs: of a kind named ``KINDx16``."""
