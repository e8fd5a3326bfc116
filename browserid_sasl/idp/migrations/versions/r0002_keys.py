"""Signing keys that the database has, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "signing_keys",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("signs_from", number, nullable=False),
        sa.Column("published_until", number, nullable=True),
    )
