"""Secrets of second factors, and the provider's own, sealed where the provider has a key for that.

No table changes. But a release before would take what is sealed for the secret itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from browserid_sasl.idp.resealing import reseal_rows

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Seal what is there."""
    for name, key, secret in (
        ("server_secret", "id", "value"),
        ("second_factors", "email", "secret"),
        ("new_second_factors", "email", "secret"),
    ):
        table = sa.table(name, sa.column(key), sa.column(secret))
        secrets = context.config.attributes["secrets"]
        reseal_rows(op.get_bind(), table, secret, key, secrets)
