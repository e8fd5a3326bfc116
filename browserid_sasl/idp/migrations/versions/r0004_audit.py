"""The audit log in the database. What the files of a release before have is not brought there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make its table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    texts = ("event", "email", "client", "host", "details")
    op.create_table(
        "audit",
        sa.Column("id", number, primary_key=True),
        sa.Column("time", number, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_time", "audit", ["time"])
    for name in ("email", "event", "client"):
        op.create_index(f"audit_{name}", "audit", [name, "id"])
