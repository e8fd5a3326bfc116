"""How the tables of one release become those of the next (alembic). `idp.schema` runs it."""
