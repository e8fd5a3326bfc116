"""Indexes by which what has ended is found without reading all that has not."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make them."""
    op.create_index("certified_ends", "certified", ["expires", "certificate"])
    op.create_index("page_sessions_created", "page_sessions", ["created"])
    op.create_index("page_sessions_used", "page_sessions", ["used"])
