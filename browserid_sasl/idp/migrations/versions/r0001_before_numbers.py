"""The tables that there were before schemas had numbers: each is made that a database lacks.

Releases without them made what was not there, and changed nothing else. So any database of theirs
has some of these tables, as they are here, and perhaps one that nothing reads any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make what is missing."""
    _table("domain", _text("name", 253, key=True), _number("created"))
    _table(
        "accounts",
        _text("email", 254, key=True),
        _text("password"),
        _number("created"),
        _number("changed"),
    )
    _table("failures", _id(), _text("email"), _text("network"), _number("time"))
    for column in ("email", "network"):
        _index(f"failures_{column}", "failures", column, "time")
    _index("failures_time", "failures", "time")
    _passkeys()
    _second_steps()
    _pages()
    _granted()
    op.drop_table("challenge_key", if_exists=True)


def _passkeys() -> None:
    _table("answered_challenges", _text("nonce", key=True), _number("expires"))
    _index("ix_answered_challenges_expires", "answered_challenges", "expires")
    _table(
        "passkeys",
        _id(),
        _text("credential"),
        _of_account(),
        *map(_text, ("public_key", "rp_id", "name")),
        *map(_number, ("counter", "eligible", "backed_up", "created", "used")),
        sa.UniqueConstraint("credential"),
    )
    _index("ix_passkeys_email", "passkeys", "email")
    _table("user_handles", _of_account(key=True), _text("handle"))
    _table("rp_id", _id(), _text("name"))
    _table("server_secret", _id(), _text("value"))


def _second_steps() -> None:
    _table(
        "second_factors",
        _of_account(key=True),
        _text("secret"),
        *map(_number, ("step", "created")),
    )
    _table("new_second_factors", _of_account(key=True), _text("secret"), _number("expires"))
    _table("recovery_codes", _text("digest", key=True), _of_account())
    _index("ix_recovery_codes_email", "recovery_codes", "email")
    _table(
        "invitations",
        _of_account(key=True),
        _text("digest"),
        *map(_number, ("created", "expires")),
        sa.UniqueConstraint("digest"),
    )


def _pages() -> None:
    _table(
        "page_sessions",
        _id(),
        *map(_text, ("token", "kind", "email", "method", "client", "agent")),
        *map(_number, ("created", "used")),
        sa.UniqueConstraint("token"),
    )
    _index("page_sessions_email", "page_sessions", "email")


def _granted() -> None:
    _table(
        "codes",
        _text("code", key=True),
        _of_account(),
        *map(_text, ("public_key", "machine", "client", "challenge")),
        *map(_number, ("renewal", "expires", "spent")),
    )
    _table(
        "devices",
        _id(),
        *map(_text, ("code", "secret", "email", "public_key", "machine", "client", "network")),
        *map(_number, ("begun", "expires", "polled", "interval")),
        _text("state"),
        _number("renewal"),
        sa.UniqueConstraint("secret"),
        sqlite_autoincrement=True,
    )
    _table("wrong_codes", _id(), _text("email"), _number("time"))
    _table(
        "certified",
        _id(),
        *map(_text, ("email", "key", "public_key", "machine", "client", "token")),
        *map(_number, ("created", "last", "certificate", "expires", "revoked")),
        sa.UniqueConstraint("key"),
    )
    _table(
        "revocations",
        _id(),
        _text("key"),
        _number("until"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    for table, columns in (
        ("codes", ("email", "expires")),
        ("devices", ("code", "expires", "network")),
        ("wrong_codes", ("email", "time")),
        ("certified", ("email", "token")),
        ("revocations", ("until",)),
    ):
        for column in columns:
            _index(f"ix_{table}_{column}", table, column)


def _table(name: str, *parts: SchemaItem, sqlite_autoincrement: bool = False) -> None:
    op.create_table(name, *parts, if_not_exists=True, sqlite_autoincrement=sqlite_autoincrement)


def _index(name: str, table: str, *columns: str) -> None:
    op.create_index(name, table, list(columns), if_not_exists=True)


def _id() -> sa.Column[int]:
    return sa.Column("id", _NUMBER, primary_key=True)


def _text(name: str, length: int | None = None, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=key, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=False)


def _of_account(*, key: bool = False) -> sa.Column[str]:
    account = sa.ForeignKey("accounts.email", ondelete="CASCADE")
    return sa.Column("email", sa.String(254), account, primary_key=key, nullable=False)
