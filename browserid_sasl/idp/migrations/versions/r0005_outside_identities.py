"""Who is known by something outside of the provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make their table."""
    account = sa.ForeignKey("accounts.email", ondelete="CASCADE")
    op.create_table(
        "outside_identities",
        sa.Column("email", sa.String(254), account, primary_key=True),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("claims", sa.String(), nullable=False),
    )
