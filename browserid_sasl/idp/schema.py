"""The tables of a provider's database, all of them, and how those of older releases become these.

A database knows the number of its schema. A new one gets all tables at once; what an older release
has left is taken forward by the steps in `migrations`, in one transaction, so that a database is of
one release or of the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    select,
)

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.idp import administrators as _administrators  # noqa: F401 - declares a table
from browserid_sasl.idp import audit as _audit  # noqa: F401
from browserid_sasl.idp import challenges as _challenges  # noqa: F401
from browserid_sasl.idp import codes as _codes  # noqa: F401
from browserid_sasl.idp import devices as _devices  # noqa: F401
from browserid_sasl.idp import invitations as _invitations  # noqa: F401
from browserid_sasl.idp import mail_limits as _mail_limits  # noqa: F401
from browserid_sasl.idp import mailed_codes as _mailed_codes  # noqa: F401
from browserid_sasl.idp import outside as _outside  # noqa: F401
from browserid_sasl.idp import passkeys as _passkeys  # noqa: F401
from browserid_sasl.idp import recovery as _recovery  # noqa: F401
from browserid_sasl.idp import renewals as _renewals  # noqa: F401
from browserid_sasl.idp import revocations as _revocations  # noqa: F401
from browserid_sasl.idp import sealed_keys as _sealed_keys  # noqa: F401
from browserid_sasl.idp import server_secret as _server_secret  # noqa: F401
from browserid_sasl.idp import sessions as _sessions  # noqa: F401
from browserid_sasl.idp import totp as _totp  # noqa: F401
from browserid_sasl.idp import upstream_tokens as _upstream_tokens  # noqa: F401
from browserid_sasl.idp.database import Base, Database, Domain

NUMBER: Final = "0009"
"""Of this release's schema: the last of `migrations`."""

STEPS: Final = Path(__file__).parent / "migrations"
"""Where alembic finds them."""

_VERSION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def bring_up_to_date(database: Database) -> None:
    """Make the tables that are not there, and change those of an older release.

    Secrets that are there are sealed with that, if there is a key to seal them with.

    :raises StoreError: cache-error: it cannot be done, or a later release has made them.
    """
    with database.reading() as session:
        if _number(session.connection()) == NUMBER:
            return
    with database.transaction() as session:
        # Again: of several that are started at the same time, one does it.
        connection = session.connection()
        number = _number(connection)
        if number is None and not inspect(connection).has_table(Domain.__tablename__):
            _make(connection)
        elif number != NUMBER:
            _migrate(connection, database)


def _number(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def _make(connection: Connection) -> None:
    Base.metadata.create_all(connection)
    _VERSION.create(connection, checkfirst=True)
    connection.execute(_VERSION.insert().values(version_num=NUMBER))


def _migrate(connection: Connection, database: Database) -> None:
    # It takes longer to load than all the rest, and is needed once in a release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(attributes={"connection": connection, "secrets": database.secrets})
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            Code.CACHE_ERROR,
            f"{database.name} has the tables of a later release",
            "run that release, or restore a backup that this one has made",
        ) from None
