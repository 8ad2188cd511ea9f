"""Checks on a running server: what is sound passes, and each kind of damage fails by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.restore_support import KEY, database, dump, fill_rich, restore
from verifiers.postgres import checks
from verifiers.postgres.archive import read_archive
from verifiers.postgres.manifest import PostgresManifest, capture
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def rich(postgres_server: SandboxServer) -> Iterator[str]:
    with database(postgres_server) as url:
        fill_rich(postgres_server, url)
        yield url


@pytest.fixture(scope="module")
def manifest(rich: str) -> PostgresManifest:
    return capture(rich, key=KEY)


@pytest.fixture
def session(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def test_rich_database_is_sound_in_every_way(rich: str, manifest: PostgresManifest) -> None:
    found = [
        checks.catalog_readable(rich),
        checks.amcheck(rich),
        checks.amcheck(rich, heapallindexed=True),
        checks.constraints(rich),
        checks.indexes(rich),
        checks.extensions(rich, needed=["citext"], manifest=manifest),
        checks.pages(rich, logical=False),
    ]
    for check in found:
        assert check.verdict is Verdict.PASS, check
    ids = ["catalog.readable", "amcheck", "amcheck", "constraints", "indexes", "extensions", "pages"]
    assert [check.id for check in found] == ids
    assert [check.level for check in found] == [Assurance.RESTORED] + [Assurance.SOUND] * 6


def test_checks_leave_nothing_behind(rich: str, manifest: PostgresManifest) -> None:
    checks.amcheck(rich)
    assert capture(rich, key=KEY).catalog == manifest.catalog
    assert "amcheck" not in capture(rich, key=KEY).extensions


def test_unreachable_server_is_an_error_everywhere(postgres_url: str) -> None:
    gone = psycopg.conninfo.make_conninfo(postgres_url, dbname="nowhere")
    for check in (
        checks.catalog_readable(gone),
        checks.identity(gone, archived_database="a", expected_database="a"),
        checks.amcheck(gone),
        checks.constraints(gone),
        checks.indexes(gone),
        checks.extensions(gone, needed=[]),
        checks.pages(gone, logical=False),
    ):
        assert check.verdict is Verdict.ERROR, check


def test_relation_of_the_archive_that_did_not_come_back_is_named(
    postgres_server: SandboxServer, rich: str, tmp_path: Path
) -> None:
    archive = read_archive(dump(postgres_server, rich, tmp_path / "x.dump"))
    with database(postgres_server) as url:
        restore(postgres_server, url, tmp_path / "x.dump")
        assert checks.catalog_readable(url, archive=archive).verdict is Verdict.PASS
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP INDEX app.partner_tags; DROP VIEW app.v_checked")
        check = checks.catalog_readable(url, archive=archive)
    assert check.verdict is Verdict.FAIL
    assert check.observed["missingNames"] == ["INDEX app.partner_tags", "VIEW app.v_checked"]


def test_definition_that_cannot_be_read_is_not_readable(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t (v int); CREATE VIEW w AS SELECT v FROM t")
    session.execute("SET allow_system_table_mods = on")
    session.execute("DELETE FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'")
    assert checks.catalog_readable(postgres_url).verdict is not Verdict.PASS


# -- foreign keys


def break_key(session: psycopg.Connection[Any], statement: str) -> None:
    """Write past the triggers that guard a foreign key, as a disabled trigger or damage would."""
    session.execute("SET session_replication_role = replica")
    session.execute(statement.encode())
    session.execute("RESET session_replication_role")


TWO_COLUMNS = "CREATE TABLE a (id int, n text, PRIMARY KEY (id, n))"
PART_OF_B = "CREATE TABLE c PARTITION OF b DEFAULT"
PARTITIONED = "CREATE TABLE a (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE a1 PARTITION OF a DEFAULT"


@pytest.mark.parametrize(
    ("tables", "sound", "orphan"),
    [
        ("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a)",
         "INSERT INTO b VALUES (NULL), (1)", "INSERT INTO b VALUES (9)"),
        (f"{TWO_COLUMNS}; CREATE TABLE b (i int, n text, FOREIGN KEY (i, n) REFERENCES a)",
         "INSERT INTO b VALUES (1, NULL), (9, NULL)", "INSERT INTO b VALUES (1, 'y')"),
        (f"{TWO_COLUMNS}; CREATE TABLE b (i int, n text, FOREIGN KEY (i, n) REFERENCES a MATCH FULL)",
         "INSERT INTO b VALUES (NULL, NULL)", "INSERT INTO b VALUES (1, NULL)"),
        ("CREATE TABLE a (id bigint PRIMARY KEY); CREATE TABLE b (a smallint REFERENCES a)",
         "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (9)"),
        (f"{PARTITIONED}; CREATE TABLE b (a int REFERENCES a) PARTITION BY LIST (a); {PART_OF_B}",
         "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (9)"),
        ("CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a); CREATE TABLE b (a int REFERENCES a)",
         "INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (7, 8)"),
        ('CREATE TABLE a (id text COLLATE "C" PRIMARY KEY); CREATE TABLE b (a text COLLATE "POSIX" REFERENCES a)',
         "INSERT INTO b VALUES ('1')", "INSERT INTO b VALUES ('9')"),
        ('CREATE TABLE a ("odd "" name" int PRIMARY KEY); CREATE TABLE b ("; DROP" int REFERENCES a)',
         "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (9)"),
    ],
)  # fmt: skip
def test_orphans_are_found_although_the_constraint_says_it_is_valid(
    session: psycopg.Connection[Any], postgres_url: str, tables: str, sound: str, orphan: str
) -> None:
    session.execute(tables.encode())
    rows = "SELECT 1, 'x'" if "n text" in tables else "SELECT 1"
    session.execute(f"INSERT INTO a {rows}".encode())
    session.execute(sound.encode())
    assert checks.constraints(postgres_url).verdict is Verdict.PASS
    break_key(session, orphan)
    check = checks.constraints(postgres_url)
    assert check.verdict is Verdict.FAIL
    assert list(check.observed["brokenKeys"].values()) == [1]


def test_key_that_was_never_validated_is_told_and_passes_while_rows_keep_it(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int); INSERT INTO b VALUES (NULL)")
    session.execute("ALTER TABLE b ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES a NOT VALID")
    check = checks.constraints(postgres_url)
    assert check.verdict is Verdict.PASS
    assert check.observed["notValid"] == ["late on public.b"]
    break_key(session, "INSERT INTO b VALUES (3)")
    assert checks.constraints(postgres_url).verdict is Verdict.FAIL


def test_key_that_the_restore_made_was_verified_by_it_and_one_it_left_unvalidated_is_verified_here(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a, late int)")
    session.execute("ALTER TABLE b ADD CONSTRAINT late FOREIGN KEY (late) REFERENCES a NOT VALID")
    check = checks.constraints(postgres_url, made_here=True)
    assert (check.verdict, check.observed["verifiedByRestore"]) == (Verdict.PASS, 1)
    assert checks.constraints(postgres_url).observed["verifiedByRestore"] == 0
    break_key(session, "INSERT INTO b VALUES (NULL, 3)")
    assert checks.constraints(postgres_url, made_here=True).verdict is Verdict.FAIL


# -- amcheck and indexes


def test_index_that_disagrees_with_its_table_fails_amcheck(session: psycopg.Connection[Any], postgres_url: str) -> None:
    """As after a change of collation: the order in the index is not the order of its operators any more."""
    session.execute("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'")
    session.execute("CREATE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)'")
    session.execute(
        "CREATE OPERATOR CLASS turning FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,"
        " OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 cmp(int, int)"
    )
    session.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) v; CREATE INDEX turned ON t (v turning)")
    assert checks.amcheck(postgres_url).verdict is Verdict.PASS
    session.execute(
        "CREATE OR REPLACE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)'"
    )
    check = checks.amcheck(postgres_url)
    assert check.verdict is Verdict.FAIL
    assert check.observed["damagedNames"] == ["public.turned"]


def test_row_that_is_not_in_its_index_needs_heapallindexed(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'")
    session.execute("CREATE TABLE t AS SELECT generate_series(1, 100) v; CREATE INDEX changed ON t (f(v))")
    session.execute("CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1000'")
    assert checks.amcheck(postgres_url).verdict is Verdict.PASS
    check = checks.amcheck(postgres_url, heapallindexed=True)
    assert check.verdict is Verdict.FAIL
    assert check.observed["damagedNames"] == ["public.changed"]


def test_amcheck_is_not_stopped_by_the_databases_own_event_triggers(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        " CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()"
    )
    assert checks.amcheck(postgres_url).verdict is Verdict.PASS


def test_amcheck_that_runs_out_of_time_is_an_error(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t AS SELECT generate_series(1, 100000) v; CREATE INDEX ON t (v)")
    assert checks.amcheck(postgres_url, deadline_s=0.01).verdict is Verdict.ERROR


def test_amcheck_tells_its_progress(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t (v int PRIMARY KEY)")
    seen: list[tuple[int, int]] = []
    checks.amcheck(postgres_url, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 100


def test_invalid_index_fails_by_name(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t (v int); INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        session.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (v)")
    check = checks.indexes(postgres_url)
    assert check.verdict is Verdict.FAIL
    assert check.observed["invalidNames"] == ["public.broken"]


# -- identity, extensions, freshness, pages


def test_right_database_is_recognised_by_all_that_is_known_of_it(rich: str, manifest: PostgresManifest) -> None:
    name = manifest.identity.database
    check = checks.identity(rich, archived_database=name, expected_database=name, manifest=manifest)
    assert check.verdict is Verdict.PASS
    assert set(check.expected) == {"database", "manifestDatabase", "encoding", "dbuuid"}


def test_another_database_fails_by_its_name(postgres_url: str) -> None:
    check = checks.identity(postgres_url, archived_database="erp_test", expected_database="erp")
    assert check.verdict is Verdict.FAIL
    assert "'erp_test' instead of 'erp'" in check.message


def test_another_odoo_database_of_the_same_name_fails_by_its_uuid(
    session: psycopg.Connection[Any], postgres_url: str, manifest: PostgresManifest
) -> None:
    session.execute("CREATE TABLE ir_config_parameter (key varchar, value text)")
    name = manifest.identity.database
    for value in (None, "5e1c3c0e-0000-4000-8000-00000000ffff"):
        if value:
            session.execute("INSERT INTO ir_config_parameter VALUES ('database.uuid', %s)", (value,))
        check = checks.identity(postgres_url, archived_database=name, expected_database=name, manifest=manifest)
        assert check.verdict is Verdict.FAIL
        assert check.observed["dbuuid"] == value


def test_uuid_of_another_shape_is_never_shown(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE ir_config_parameter (key varchar, value text)")
    session.execute("INSERT INTO ir_config_parameter VALUES ('database.uuid', 'Mrs Canary')")
    taken = capture(postgres_url, key=KEY)
    check = checks.identity(postgres_url, archived_database="x", expected_database="x", manifest=taken)
    assert "Canary" not in repr(taken)
    assert "Canary" not in repr(check)


def test_database_of_which_nothing_is_known_is_an_error_that_says_where_to_name_it(postgres_url: str) -> None:
    check = checks.identity(postgres_url, archived_database="erp", expected_database=None)
    assert check.verdict is Verdict.ERROR
    assert "source: {postgres: COLLECTOR, database: NAME}" in check.message
    assert "guardian.yaml" in check.message


def test_missing_and_older_extensions_fail_and_newer_ones_pass(rich: str, manifest: PostgresManifest) -> None:
    def look(**versions: str) -> Any:
        changed = replace(manifest, extensions={**manifest.extensions, **versions})
        return checks.extensions(rich, needed=["citext"], manifest=changed)

    assert look(citext="1.0").verdict is Verdict.PASS
    assert look(citext="1.0").observed["newer"] == ["citext"]
    assert look(citext="99.9").observed["older"] == ["citext"]
    assert look(citext="99.9").verdict is Verdict.FAIL
    assert look(postgis="3.4").verdict is Verdict.FAIL
    check = checks.extensions(rich, needed=["postgis"])
    assert (check.verdict, check.observed["missing"]) == (Verdict.FAIL, ["postgis"])


def test_freshness_is_the_age_against_the_objective() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def look(age: timedelta | None, rpo_s: float | None) -> Any:
        return checks.freshness(taken_at=None if age is None else now - age, now=now, rpo_s=rpo_s)

    assert look(timedelta(hours=1), 3600).verdict is Verdict.PASS
    assert look(timedelta(hours=1, seconds=1), 3600).verdict is Verdict.FAIL
    assert look(timedelta(days=400), None).verdict is Verdict.PASS
    assert look(timedelta(days=400), None).observed == {"ageSeconds": 400 * 86400}
    assert look(None, 3600).verdict is Verdict.ERROR
    assert look(timedelta(hours=-1), 3600).verdict is Verdict.ERROR


def test_pages_of_a_logical_restore_are_skipped_with_the_reason(postgres_url: str) -> None:
    check = checks.pages(postgres_url, logical=True)
    assert check.verdict is Verdict.SKIP
    assert "own pages" in check.message
