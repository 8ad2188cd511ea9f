"""The migrations make the tables that the classes describe, and refuse those of a newer version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

from guardian.errors import GuardianError
from guardian.store import tables
from guardian.store.database import VERSION_TABLE, Database
from tests.daemon_support import URL, make

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "sqlite":
        return make(tmp_path)
    url = request.getfixturevalue("postgres_url")
    monkeypatch.setenv(URL, url)
    return make(tmp_path, url=url)


def _of_the_store(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or (name or "").startswith(("state_", "index_"))


def test_migrated_tables_are_those_of_the_classes(settings: Settings) -> None:
    assert tables.STATE
    with Database(settings) as database:
        database.migrate()
        database.migrate()  # again: nothing to do
        with database.engine.connect() as connection:
            options = {"version_table": VERSION_TABLE, "include_name": _of_the_store}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, SQLModel.metadata) == []


def test_tables_of_a_newer_guardian_are_refused_and_left_alone(settings: Settings) -> None:
    with Database(settings) as database:
        database.migrate()
        with database.writing() as session:
            session.connection().execute(text("UPDATE state_version SET version_num = '9999'"))
        with pytest.raises(GuardianError, match="newer Guardian"):
            database.migrate()
