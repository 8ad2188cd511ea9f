"""The database of state and index, opened and brought up to date. It is the log's own, so that both change together.

I/O: the database. SQLAlchemy connects; on SQLite a writing transaction takes the lock when it begins, as the log does.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Final, Self

import sqlalchemy
from sqlalchemy import event, text
from sqlmodel import Session

from guardian.errors import GuardianError, UsageError
from guardian.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from alembic.config import Config

    from guardian.settings import Settings

BUSY_TIMEOUT_S: Final = 60
_MIGRATION_LOCK: Final = 0x677561726469616F  # beside the log's own, "guardian" + 1


class Database:
    """State and index of one environment. Safe to share between threads; each session has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        """Connect to the database of `settings`. Raises UsageError where the log was never made."""
        place = settings.storage.database
        if isinstance(place, Secret):
            url = place.read()
            if not url.startswith(("postgresql://", "postgres://")):
                raise UsageError(f"{place.where}the URL in {place.reference} must begin with postgresql://")
            self.engine = sqlalchemy.create_engine(
                "postgresql+psycopg://" + url.partition("://")[2], pool_pre_ping=True, isolation_level="READ COMMITTED"
            )
        else:
            if not place.exists():
                raise UsageError(f"there is no database at {place} yet; `guardian init` makes one")
            self.engine = sqlalchemy.create_engine(
                f"sqlite:///{place}", connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None}
            )
            event.listen(self.engine, "connect", _prepare_sqlite)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session in a transaction, committed at the end; on SQLite it holds the write lock throughout."""
        with self._errors(), Session(self.engine, expire_on_commit=False) as session:
            if self.is_sqlite:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one moment and changes nothing."""
        with self._errors(), Session(self.engine, expire_on_commit=False) as session:
            session.connection().exec_driver_sql(
                "BEGIN" if self.is_sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
            )
            try:
                yield session
            finally:
                session.expunge_all()  # what was read stays readable: a rollback would empty it
                session.rollback()

    def now(self) -> datetime:
        """Return the time by the clock that all daemons share: PostgreSQL's, or this machine's where SQLite is used."""
        if self.is_sqlite:
            return datetime.now(UTC)
        with self._errors(), self.engine.connect() as connection:
            moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)

    def migrate(self) -> None:
        """Bring the tables to this version's form. Raises GuardianError if they are of a newer Guardian."""
        # Here, for it takes a quarter of a second to import, and most commands never come here.
        from alembic import command  # noqa: PLC0415
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        with self._errors(), self.engine.begin() as connection:
            # Two starting at once must not both create the tables.
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = _alembic()
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
            if not set(current) <= known:
                raise GuardianError(
                    f"the database is of a newer Guardian (revision {', '.join(current)}); run that one, or a newer"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlalchemy.exc.DBAPIError as error:
            raise GuardianError(f"the database failed: {error.orig}") from error


VERSION_TABLE: Final = "state_version"


def _alembic() -> Config:
    from alembic.config import Config  # noqa: PLC0415 -- as above

    config = Config()
    config.set_main_option("script_location", str(resources.files("guardian.store") / "migrations"))
    return config


def _prepare_sqlite(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
