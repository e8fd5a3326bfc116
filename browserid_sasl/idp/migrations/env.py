"""Runs the steps on the connection that `idp.schema` hands over. Alembic executes this file."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite changes a table by making another in its place.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
