"""Source against restored copy: nothing where nothing differs, and the one thing named that does."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import psycopg
import pytest

from tests.restore_support import KEY, database, dump, fill_rich, restore, server_of_major
from verifiers.errors import VerifierError
from verifiers.postgres import catalog
from verifiers.postgres.manifest import PostgresManifest, capture, compare
from verifiers.postgres.session import connect
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.result import Assurance, Verdict
from verifiers.sandbox import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.result import Check
    from verifiers.sandbox.server import SandboxServer

pytestmark = pytest.mark.timeout(300)

CHECKS = ["catalog.diff", "content.rows", "content.hashes", "sequences", "large-objects", "materialized-views"]


@pytest.fixture(scope="module")
def source(postgres_server: SandboxServer) -> Iterator[str]:
    with database(postgres_server) as url:
        fill_rich(postgres_server, url)
        yield url


@pytest.fixture(scope="module")
def expected(source: str) -> PostgresManifest:
    return capture(source, key=KEY)


@pytest.fixture(scope="module")
def dumped(postgres_server: SandboxServer, source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump(postgres_server, source, tmp_path_factory.mktemp("compare") / "rich.dump")


@pytest.fixture
def copy(postgres_server: SandboxServer, dumped: Path) -> Iterator[str]:
    with database(postgres_server) as url:
        done = restore(postgres_server, url, dumped)
        assert done.returncode == 0, done.stderr
        yield url


def failing(checks: list[Check]) -> dict[str, Check]:
    assert [check.id for check in checks] == CHECKS
    assert {check.level for check in checks} == {Assurance.EXACT}
    return {check.id: check for check in checks if check.verdict is not Verdict.PASS}


def change(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_faithful_restore_differs_in_nothing(expected: PostgresManifest, copy: str) -> None:
    checks = compare(expected, capture(copy, key=KEY))
    assert failing(checks) == {}
    assert len(expected.catalog) > 200


@pytest.mark.parametrize("major", [15, 17])
def test_faithful_restore_into_a_newer_server_differs_in_nothing(
    major: int, postgres_server: SandboxServer, tmp_path: Path
) -> None:
    try:
        with server_of_major(major) as old, database(old) as source, database(postgres_server) as target:
            fill_rich(old, source)
            before = capture(source, key=KEY)
            done = restore(postgres_server, target, dump(old, source, tmp_path / "x.dump"))
            assert done.returncode == 0, done.stderr
            checks = compare(before, capture(target, key=KEY))
            assert failing(checks) == {}
            assert ("without parentheses and casts" in checks[0].message) == ("comparedLoosely" in checks[0].observed)
            assert ("comparedLoosely" in checks[0].observed) == (major == 15)
            # And once more: what the first restore spelled anew stays as it is.
            with database(old) as again:
                assert restore(old, again, dump(old, source, tmp_path / "y.dump")).returncode == 0
                assert failing(compare(before, capture(again, key=KEY))) == {}
    except LackingError as error:
        pytest.skip(str(error))


def test_one_changed_digit_fails_the_hashes_alone_and_names_the_table(expected: PostgresManifest, copy: str) -> None:
    change(
        copy, "ALTER TABLE app.partner DISABLE TRIGGER ALL", "UPDATE app.partner SET amount = amount + 1 WHERE id = 77"
    )
    change(copy, "ALTER TABLE app.partner ENABLE TRIGGER touch")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert list(failed) == ["content.hashes"]
    assert failed["content.hashes"].observed["differingTables"] == ["app.partner"]
    assert "app.partner" in failed["content.hashes"].message


def test_one_changed_value_of_a_small_table_fails_too(expected: PostgresManifest, copy: str) -> None:
    change(copy, "UPDATE app.base SET a = 5 WHERE a = 1")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert list(failed) == ["content.hashes"]
    assert failed["content.hashes"].verdict is Verdict.FAIL


def test_lost_row_fails_rows_and_hashes_with_the_counts(expected: PostgresManifest, copy: str) -> None:
    change(copy, "DELETE FROM app.event WHERE id = 7")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert list(failed) == ["content.rows", "content.hashes"]
    assert failed["content.rows"].observed["differing"] == {"app.event_2023": {"expected": 200, "observed": 199}}


def test_lost_table_is_named(expected: PostgresManifest, copy: str) -> None:
    change(copy, "DROP TABLE app.booking CASCADE")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert set(failed) == {"catalog.diff", "content.rows", "content.hashes"}
    assert "app.booking is missing" in failed["content.rows"].message
    assert "table app.booking" in failed["catalog.diff"].observed["missingNames"]


@pytest.mark.parametrize(
    ("statement", "kind", "name"),
    [
        ("DROP INDEX app.partner_lower", "missing", "index app.partner_lower"),
        ("DROP VIEW app.v_join", "missing", "view app.v_join"),
        ("DROP TRIGGER touch ON app.partner", "missing", "trigger touch on app.partner"),
        ("DROP FUNCTION app.body", "missing", "function app.body(a integer)"),
        ("ALTER TABLE app.partner DROP CONSTRAINT sane", "missing", "constraint sane on app.partner"),
        ("ALTER TABLE app.partner DROP CONSTRAINT partner_parent_fkey", "missing",
         "constraint partner_parent_fkey on app.partner"),
        ("DROP POLICY mine ON app.secret", "missing", "policy mine on app.secret"),
        ("DROP RULE v_union_no_insert ON app.v_union", "missing", "rule v_union_no_insert on app.v_union"),
        ("DROP STATISTICS app.partner_stats", "missing", "statistics app.partner_stats"),
        ("DROP EVENT TRIGGER watch", "missing", "event trigger watch"),
        ("COMMENT ON COLUMN app.partner.name IS NULL", "missing", "comment table column app.partner.name"),
        ("ALTER TABLE app.partner ALTER state SET DEFAULT 'done'", "changed", "column app.partner.state"),
        ("ALTER TABLE app.partner ALTER name DROP NOT NULL", "changed", "column app.partner.name"),
        ("ALTER TABLE app.partner ALTER lap TYPE interval(3)", "changed", "column app.partner.lap"),
        ("ALTER TABLE app.secret DISABLE ROW LEVEL SECURITY", "changed", "table app.secret"),
        ("ALTER TABLE app.partner ENABLE TRIGGER silent", "changed", "trigger silent on app.partner"),
        ("ALTER SEQUENCE app.orders_no INCREMENT 6", "changed", "sequence app.orders_no"),
        ("ALTER TYPE app.mood RENAME VALUE 'ok' TO 'fine'", "changed", "type app.mood"),
        ("CREATE OR REPLACE VIEW app.v_checked AS SELECT id, who FROM app.secret WHERE id < 1001", "changed",
         "view app.v_checked"),
        ("ALTER FUNCTION app.add(integer, integer) COST 8", "changed", "function app.add(a integer, b integer)"),
        ("ALTER FUNCTION app.touch() SECURITY INVOKER", "changed", "function app.touch()"),
        ("ALTER TABLE app.partner OWNER TO postgres", "changed", "owner of relation app.partner"),
        ("REVOKE SELECT ON app.v_simple FROM PUBLIC", "missing", "grants on relation app.v_simple"),
        ('GRANT DELETE ON app.partner TO "Rich Writer"', "changed", "grants on relation app.partner"),
        ("REVOKE SELECT (id) ON app.partner FROM rich_reader", "missing", "grants on column app.partner.id"),
        ("GRANT CREATE ON SCHEMA app TO rich_reader", "changed", "grants on schema app"),
        ("ALTER POLICY mine ON app.secret USING (who = CURRENT_USER AND (id > 10 OR id < 0))", "changed",
         "policy mine on app.secret"),
        ("ALTER POLICY grouped ON app.secret USING (id = 1 OR (who = 'a' AND who <> 'b'))", "changed",
         "policy grouped on app.secret"),
        ("ALTER POLICY grouped ON app.secret USING ((id = 1 OR who = 'a') AND who::\"char\" <> 'b')", "changed",
         "policy grouped on app.secret"),
        ("ALTER PUBLICATION narrow SET TABLE app.secret (id) WHERE (id > 1 AND who IN ('a', 'b'))", "changed",
         "narrowed publication narrow of app.secret"),
        ("ALTER PUBLICATION narrow SET TABLE app.secret (id, who) WHERE (id > 2)", "changed",
         "narrowed publication narrow of app.secret"),
        ("ALTER PUBLICATION narrow SET (publish_via_partition_root = false)", "changed", "publication narrow"),
        ('ALTER PUBLICATION whole DROP TABLES IN SCHEMA "Odd ""Schema"""', "changed", "publication whole"),
        ("CREATE SUBSCRIPTION sub CONNECTION 'host=x' PUBLICATION p WITH (connect = false)", "added",
         "subscription sub"),
        ("ALTER EXTENSION citext SET SCHEMA app", "changed", "extension citext"),
        ("ALTER LARGE OBJECT 70001 OWNER TO rich_reader", "changed", "owners and grants of large objects"),
        ("REVOKE ALL ON LARGE OBJECT 70001 FROM rich_reader", "changed", "owners and grants of large objects"),
        ("COMMENT ON SCHEMA public IS 'other'", "changed", "comment schema public"),
        ("CREATE TRUSTED LANGUAGE spoken HANDLER plpgsql_call_handler; REVOKE USAGE ON LANGUAGE spoken FROM PUBLIC",
         "added", "grants on language spoken"),
        ("REVOKE USAGE ON FOREIGN DATA WRAPPER plain FROM rich_reader", "missing",
         "grants on foreign data wrapper plain"),
        ('REVOKE USAGE ON FOREIGN SERVER far FROM "Rich Writer"', "missing", "grants on foreign server far"),
        ("DROP USER MAPPING FOR rich_reader SERVER far", "missing", "user mapping rich_reader on far"),
        ("CREATE TABLE public.added (a int)", "added", "table public.added"),
        ("ALTER TABLE public.constrained VALIDATE CONSTRAINT later", "changed",
         "constraint later on public.constrained"),
        ("ALTER TABLE app.event DETACH PARTITION app.event_other", "changed", "table app.event_other"),
        ("ALTER PUBLICATION rich DROP TABLE app.secret", "changed", "publication rich"),
        ("ALTER DOMAIN app.positive DROP CONSTRAINT positive_only", "missing",
         "constraint positive_only on app.positive"),
    ],
)  # fmt: skip
def test_every_kind_of_object_that_differs_is_named(
    expected: PostgresManifest, source: str, statement: str, kind: str, name: str
) -> None:
    # The change is made at the source itself and taken back: catalogue only, so that one copy serves all.
    with connect(source) as session:
        session.execute("BEGIN")
        session.execute(statement.encode())
        found = catalog.digests(session)
        observed = replace(expected, catalog=found.objects, definitions=found.definitions)
        session.execute("ROLLBACK")
    [check] = [check for check in compare(expected, observed) if check.id == "catalog.diff"]
    assert check.verdict is Verdict.FAIL
    assert name in check.observed[f"{kind}Names"], check.observed


def test_sequence_behind_fails_and_ahead_passes(expected: PostgresManifest, copy: str) -> None:
    change(copy, "SELECT setval('app.orders_no', 300)", "SELECT setval('app.downwards', 40)")
    assert failing(compare(expected, capture(copy, key=KEY))) == {}
    change(copy, "SELECT setval('app.orders_no', 245)", "SELECT setval('app.partner_id_seq', 250, false)")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert list(failed) == ["sequences"]
    assert failed["sequences"].observed["behindNames"] == ["app.orders_no", "app.partner_id_seq"]


def test_descending_sequence_behind_is_one_that_is_higher(expected: PostgresManifest, copy: str) -> None:
    change(copy, "SELECT setval('app.downwards', 50, false)")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert failed["sequences"].observed["behindNames"] == ["app.downwards"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT lo_unlink(70001)",
        "SELECT lo_put(70001, 4000, '\\x00')",
        "SELECT lo_put(70003, 4, '\\x00')",
        "SELECT lo_create(70009)",
    ],
)
def test_changed_large_object_fails(expected: PostgresManifest, copy: str, statement: str) -> None:
    change(copy, statement)
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert "large-objects" in failed
    assert "content.hashes" not in failed


def test_unpopulated_materialized_view_fails(expected: PostgresManifest, copy: str) -> None:
    change(copy, "REFRESH MATERIALIZED VIEW app.mv WITH NO DATA")
    failed = failing(compare(expected, capture(copy, key=KEY)))
    assert list(failed) == ["materialized-views"]
    assert failed["materialized-views"].observed["unpopulatedNames"] == ["app.mv"]


def test_stale_materialized_view_of_the_source_is_no_failure(expected: PostgresManifest, copy: str) -> None:
    """A restore refreshes views: what the source had not refreshed yet must not look like damage."""
    change(copy, "ALTER TABLE app.partner DISABLE TRIGGER USER")
    stale = replace(
        expected,
        materialized_views={**expected.materialized_views, "app.mv": replace(expected.tables["app.base"], rows=2)},
    )
    [check] = [check for check in compare(stale, capture(copy, key=KEY)) if check.id == "materialized-views"]
    assert check.verdict is Verdict.PASS
    assert check.observed["refreshedDiffering"] == ["app.mv"]


@pytest.mark.parametrize("key", [None, bytes(32)])
def test_without_the_key_of_the_source_small_tables_are_not_compared(
    expected: PostgresManifest, source: str, key: bytes | None
) -> None:
    failed = failing(compare(expected, capture(source, key=key)))
    assert list(failed) == ["content.hashes"]
    assert failed["content.hashes"].verdict is Verdict.ERROR
    assert "key" in failed["content.hashes"].message


def test_without_the_key_a_changed_large_table_still_fails(expected: PostgresManifest, copy: str) -> None:
    change(copy, "ALTER TABLE app.partner DISABLE TRIGGER USER", "UPDATE app.partner SET name = 'x' WHERE id = 5")
    failed = failing(compare(expected, capture(copy, key=None)))
    assert failed["content.hashes"].verdict is Verdict.FAIL


def test_writers_do_not_disturb_the_agreement_of_manifest_and_dump(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    """People keep writing, sequences included, while the manifest is captured and the dump taken in one snapshot."""
    change(
        postgres_url,
        "CREATE TABLE a (id serial PRIMARY KEY, v text, n int DEFAULT 0)",
        "CREATE TABLE b (id bigserial, a_id int REFERENCES a, w numeric)",
        "CREATE SEQUENCE loose",
        "INSERT INTO a (v) SELECT md5(n::text) FROM generate_series(1, 30000) n",
    )
    stop, written = threading.Event(), []

    def write() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO a (v) VALUES ('new') RETURNING id")
                connection.execute("UPDATE a SET n = n + 1 WHERE id = 1 + floor(random() * 1000)::int")
                connection.execute("INSERT INTO b (a_id, w) SELECT max(id), nextval('loose') FROM a")
                connection.execute("DELETE FROM a WHERE id = (SELECT min(id) FROM a WHERE id > 2000)")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            stop.wait(0.01)
        with exported_snapshot(postgres_url) as snapshot:
            before = len(written)
            first = capture(postgres_url, snapshot=snapshot, key=KEY, split_blocks=20)
            path = dump(postgres_server, postgres_url, tmp_path / "x.dump", f"--snapshot={snapshot.id}")
            second = capture(postgres_url, snapshot=snapshot, key=KEY)
            assert len(written) > before
    finally:
        stop.set()
        writer.join()
    assert first.tables == second.tables
    with database(postgres_server) as target:
        assert restore(postgres_server, target, path).returncode == 0
        assert failing(compare(first, capture(target, key=KEY))) == {}
    later = capture(postgres_url, key=KEY)
    assert later.tables != first.tables


def test_manifest_holds_names_and_digests_and_no_value_or_definition(expected: PostgresManifest) -> None:
    text = orjson.dumps(expected.to_json()).decode()
    for value in (
        "partner 7",
        "P7@x.test",
        "It's a partner",
        "SELECT a + b",
        "draft",
        "so so",
        "tab\\tnew",
        "Canary",
        "2020-01-01",
    ):
        assert value not in text
    assert "app.partner" in text


def test_role_that_reads_everything_captures_the_same_as_a_superuser(expected: PostgresManifest, source: str) -> None:
    role = f"reader_{expected.identity.database}"
    change(source, f"CREATE ROLE {role} LOGIN BYPASSRLS IN ROLE pg_read_all_data")
    try:
        observed = capture(psycopg.conninfo.make_conninfo(source, user=role), key=KEY)
    finally:
        change(source, f"DROP ROLE {role}")
    assert replace(observed, taken_at="", lsn="") == replace(expected, taken_at="", lsn="")


def test_role_that_may_not_read_large_objects_leaves_them_uncompared(postgres_url: str) -> None:
    role = f"limited_{secrets.token_hex(4)}"
    change(postgres_url, "CREATE TABLE t (v int)", "SELECT lo_from_bytea(0, 'x')")
    before = capture(postgres_url, key=KEY)
    change(postgres_url, f"CREATE ROLE {role} LOGIN")
    limited = psycopg.conninfo.make_conninfo(postgres_url, user=role)
    try:
        with pytest.raises(VerifierError, match="may read every table"):
            capture(limited, key=KEY)
        change(postgres_url, f"GRANT SELECT ON t TO {role}")
        observed = replace(capture(limited, key=KEY), catalog=before.catalog, definitions=before.definitions)
    finally:
        change(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert (observed.large_objects.count, observed.large_objects.hash) == (1, None)
    failed = failing(compare(before, observed))
    assert list(failed) == ["large-objects"]
    assert failed["large-objects"].verdict is Verdict.ERROR
