"""Settings for every test."""

from __future__ import annotations

from hypothesis import settings

# The same examples every time, and no complaints about a busy machine. To look for new ones:
# pytest --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
