"""What a fallback provider keeps of its mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "mailed_codes",
        sa.Column("id", number, primary_key=True),
        sa.Column("email", sa.String(), nullable=False, index=True),
        sa.Column("browser", sa.String(), nullable=False, index=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False, unique=True),
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("begun", number, nullable=False),
        sa.Column("expires", number, nullable=False, index=True),
        sa.Column("tries", number, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
    )
    op.create_table(
        "sent_mails",
        sa.Column("id", number, primary_key=True),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("counted", sa.String(), nullable=False, index=True),
        sa.Column("network", sa.String(), nullable=False, index=True),
        sa.Column("bounce", sa.String(), nullable=False, unique=True),
        sa.Column("sent", number, nullable=False),
        sa.Column("time", number, nullable=False, index=True),
    )
    op.create_table(
        "mail_blocks",
        sa.Column("email", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("until", number, nullable=False),
    )
