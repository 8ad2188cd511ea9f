"""What Alembic runs: the migrations, on the connection that `database.migrate` holds the lock with."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from guardian.store import tables
from guardian.store.database import VERSION_TABLE

assert tables.STATE  # noqa: S101 -- imported, so that its tables are in the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
)
context.run_migrations()
