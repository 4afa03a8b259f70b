"""Runs migrations on the connection that `migrate` hands over. Makes no engine and leaves logging as it is."""

from alembic import context

from packages.domain.tables import metadata

attributes = context.config.attributes

context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    # One transaction for each: a step that needs its own, as an index built concurrently, stays possible.
    transaction_per_migration=True,
    on_version_apply=attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
