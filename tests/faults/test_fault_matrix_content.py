"""Faults of what is inside a dump, made at the source: silent in pg_dump, and caught by a drill."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from tests.drill_support import Estate
from tests.faults.test_fault_matrix_dumps import dumped
from tests.formats_support import LAYOUTS, Dumps, Formatted
from tests.restore_support import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.model import Drill
    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

# Made on an empty table and filled afterwards: so every server has it, and none can make it again at a restore, which
# runs with an empty search_path.
SHIM = """
CREATE TABLE words (w text);
CREATE FUNCTION fold(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1); END';
CREATE FUNCTION shim(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN fold($1); END';
CREATE INDEX words_shim ON words (shim(w));
INSERT INTO words SELECT 'Word ' || n FROM generate_series(1, 100) n;
"""
UNQUALIFIED = """
CREATE TABLE known (code text PRIMARY KEY);
INSERT INTO known VALUES ('a');
CREATE TABLE codes (code text);
CREATE FUNCTION is_known(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN RETURN EXISTS (SELECT FROM known k WHERE k.code = $1); END';
CREATE INDEX codes_known ON codes (is_known(code));
INSERT INTO codes VALUES ('a'), ('b');
"""
ORPHAN = """
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE lines (id int PRIMARY KEY, order_id int CONSTRAINT lines_order REFERENCES orders);
INSERT INTO orders VALUES (1);
SET session_replication_role = replica;
INSERT INTO lines VALUES (1, 1), (2, -7);
"""
SECRET = """
CREATE TABLE secret (id int, who text);
INSERT INTO secret SELECT n, CASE WHEN n % 2 = 0 THEN 'reader' ELSE 'other' END FROM generate_series(1, 100) n;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY half ON secret USING (who = 'reader');
"""


@dataclass
class Source:
    """A database of its own, and backups of it. name: also that of a role that may read."""

    server: SandboxServer
    provider: str
    name: str
    url: str
    folder: Path

    def drill(self, statements: str, form: str, change: Callable[[Dumps, str], Callable[[Path], None]] | None) -> Drill:
        """Fill the database, dump it and drill the dump. change: what befalls it before its manifest is taken."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statements.encode())
        dumps = Dumps(self.server, self.folder / "made", self.name)
        dumps.folder.mkdir()
        backup = Formatted(dumps, form, self.folder, self.provider, database=self.name)
        return backup.take(change=change(dumps, form) if change else lambda _: None, exact=False).drill()


@pytest.fixture
def source(postgres_server: SandboxServer, sandbox_provider: Provider, tmp_path: Path) -> Iterator[Source]:
    name = f"fault_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        with database(postgres_server, name) as url:
            yield Source(postgres_server, sandbox_provider.name, name, url, tmp_path)
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("form", LAYOUTS)
def test_09_dump_under_row_level_security_holds_half_the_rows(source: Source, caught: Caught, form: str) -> None:
    grants = f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {source.name};"
    options = (f"--role={source.name}", "--enable-row-security")
    drill = source.drill(SECRET + grants, form, lambda dumps, form: dumped(dumps, form, options))
    caught(
        9, form, drill, by="content.rows", says="public.secret has 50 rows instead of 100", beyond={"content.hashes"}
    )


LOST = {"catalog.diff", "catalog.readable"}


@pytest.mark.parametrize("form", LAYOUTS)
def test_11_index_whose_function_calls_another_by_its_bare_name_is_lost(
    source: Source, caught: Caught, form: str
) -> None:
    drill = source.drill(SHIM, form, None)
    by = {"restore.messages": r"function fold\(…\) does not exist", "catalog.diff": "words_shim"}
    caught(11, form, drill, by=by, beyond=LOST)


@pytest.mark.parametrize("form", LAYOUTS)
def test_12_index_whose_function_reads_a_table_by_its_bare_name_is_lost(
    source: Source, caught: Caught, form: str
) -> None:
    drill = source.drill(UNQUALIFIED, form, None)
    by = {"restore.messages": 'relation "known" does not exist', "catalog.diff": "codes_known"}
    caught(12, form, drill, by=by, beyond=LOST)


@pytest.mark.parametrize("form", LAYOUTS)
def test_13_row_whose_key_points_nowhere(source: Source, caught: Caught, form: str) -> None:
    caught(13, form, source.drill(ORPHAN, form, None), by="restore.messages", says="lines_order", beyond=LOST)


def test_26_directory_without_one_of_its_files(source: Source, caught: Caught) -> None:
    def lose(_dumps: Dumps, _form: str) -> Callable[[Path], None]:
        return lambda path: next(path.glob("*.dat*")).unlink()

    caught(26, "directory", source.drill(ORPHAN, "directory", lose), by="archive.complete", says="missing")


def test_31_attachments_whose_columns_are_not_those_of_odoo_any_more(source: Source, caught: Caught) -> None:
    estate = Estate(source.server, source.name, source.folder, source.provider)
    estate.fill("ALTER TABLE ir_attachment RENAME COLUMN store_fname TO stored_as")
    (estate.dump.parent).mkdir(parents=True)
    dumps = Dumps(source.server, source.folder / "made", source.name)
    dumps.folder.mkdir()
    shutil.copy(dumps.path("custom"), estate.dump)
    shutil.copytree(estate.filestore, estate.dump.parent / "filestore")
    drill = estate.drill()
    caught(31, "odoo", drill, by="filestore.bijection", says="ir_attachment lacks store_fname", verdict="error")
