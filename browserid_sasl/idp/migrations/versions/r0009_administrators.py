"""Who may administrate, and indexes by which the audit log is searched in the order of time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make their tables, and the indexes in place of those before."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    account = sa.ForeignKey("accounts.email", ondelete="CASCADE")
    op.create_table(
        "administrators",
        sa.Column("email", sa.String(254), account, primary_key=True),
        sa.Column("since", number, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
    )
    session = sa.ForeignKey("page_sessions.id", ondelete="CASCADE")
    op.create_table(
        "administering_sessions",
        sa.Column("session", number, session, primary_key=True, autoincrement=False),
        sa.Column("used", number, nullable=False),
    )
    op.drop_index("ix_audit_time", "audit")
    op.create_index("audit_time", "audit", ["time", "id"])
    for column in ("email", "event", "client"):
        op.drop_index(f"audit_{column}", "audit")
        op.create_index(f"audit_{column}", "audit", [column, "time", "id"])
