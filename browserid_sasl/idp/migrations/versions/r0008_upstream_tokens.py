"""What other providers have given for asking them again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make their table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    account = sa.ForeignKey("accounts.email", ondelete="CASCADE")
    op.create_table(
        "upstream_tokens",
        sa.Column("email", sa.String(254), account, primary_key=True),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("since", number, nullable=False),
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("turn_ends", number, nullable=False),
    )
