"""The Alembic environment. It runs through `packages.infra.db.migrate` only, without an alembic.ini."""
