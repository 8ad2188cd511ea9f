"""Databases that are unusual and restored faithfully: nothing may differ, whatever the encoding or the leftovers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.restore_support import KEY, database, dump, restore
from verifiers.postgres import checks
from verifiers.postgres.archive import read_archive
from verifiers.postgres.manifest import capture, compare
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.result import Check
    from verifiers.sandbox.server import SandboxServer

pytestmark = pytest.mark.timeout(300)


def run(url: str, *statements: str | bytes) -> None:
    with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as connection:
        for statement in statements:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)


@contextmanager
def restored(server: SandboxServer, source: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a copy of the source, made by pg_dump and pg_restore without a single message."""
    path = dump(server, source, folder / "x.dump")
    with database(server) as url:
        done = restore(server, url, path)
        assert (done.returncode, done.stderr) == (0, "")
        yield url


def not_passed(checks_: list[Check]) -> list[tuple[str, Any]]:
    return [(check.id, check.observed) for check in checks_ if check.verdict is not Verdict.PASS]


def test_range_type_where_functions_are_not_everybodys(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    """Default privileges reach the constructors of a range when it is made, and no dump carries that."""
    run(
        postgres_url,
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC",
        "CREATE TYPE span AS RANGE (subtype = float8)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    )
    expected = capture(postgres_url, key=KEY)
    assert "grants on function public.mine()" in expected.catalog
    with restored(postgres_server, postgres_url, tmp_path) as copy:
        assert not_passed(compare(expected, capture(copy, key=KEY))) == []


def test_index_that_was_never_finished_is_in_no_dump_and_no_manifest(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    run(postgres_url, "CREATE TABLE t (v int)", "INSERT INTO t VALUES (1), (1)", "CREATE INDEX good ON t (v)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(postgres_url, "CREATE UNIQUE INDEX CONCURRENTLY unfinished ON t (v)")
    run(postgres_url, "COMMENT ON INDEX unfinished IS 'later'")
    expected = capture(postgres_url, key=KEY)
    assert "index public.good" in expected.catalog
    with restored(postgres_server, postgres_url, tmp_path) as copy:
        assert not_passed(compare(expected, capture(copy, key=KEY))) == []


PARTITIONED = (
    "CREATE TABLE p (v int) PARTITION BY RANGE (v)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
    "CREATE INDEX p_v ON ONLY p (v)",
    "CREATE INDEX p1_v ON p1 (v)",
    "ALTER INDEX p_v ATTACH PARTITION p1_v",
)


def test_index_on_the_parent_that_not_every_partition_has_is_told_and_passes(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    run(postgres_url, *PARTITIONED)
    expected = capture(postgres_url, key=KEY)
    with restored(postgres_server, postgres_url, tmp_path) as copy:
        assert not_passed(compare(expected, capture(copy, key=KEY))) == []
        for manifest in (expected, None):
            check = checks.indexes(copy, manifest=manifest)
            assert check.verdict is Verdict.PASS, check
            assert check.observed["incomplete"] == ["public.p_v"]
            assert "public.p_v" in check.message


def test_index_on_the_parent_that_was_whole_at_the_source_fails_where_it_is_not(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    run(postgres_url, *PARTITIONED, "CREATE INDEX p2_v ON p2 (v)", "ALTER INDEX p_v ATTACH PARTITION p2_v")
    expected = capture(postgres_url, key=KEY)
    with restored(postgres_server, postgres_url, tmp_path) as copy:
        assert checks.indexes(copy, manifest=expected).verdict is Verdict.PASS
        run(copy, "DROP INDEX p_v", *PARTITIONED[3:4])
        check = checks.indexes(copy, manifest=expected)
        assert (check.verdict, check.observed["invalidNames"]) == (Verdict.FAIL, ["public.p_v"])
        differing = [check for check in compare(expected, capture(copy, key=KEY)) if check.verdict is Verdict.FAIL]
        assert [check.id for check in differing] == ["catalog.diff"]


@contextmanager
def in_encoding(server: SandboxServer, encoding: str) -> Iterator[str]:
    """Yield the URL of an empty database in an encoding, dropped afterwards."""
    name = f"test_{encoding.lower()}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C' LOCALE_PROVIDER libc").format(
                sql.Identifier(name), sql.Literal(encoding)
            )
        )
        try:
            yield server.url(name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_rows_of_any_encoding_have_a_manifest_and_a_changed_one_is_seen(
    postgres_server: SandboxServer, tmp_path: Path, encoding: str
) -> None:
    # Two bytes above 127, which are é and à, or one letter, or nothing that anybody knows.
    rows = "SELECT n, convert_from('\\xb4c1'::bytea, current_setting('server_encoding')) FROM generate_series(1, 300) n"
    with in_encoding(postgres_server, encoding) as source:
        run(source, "SET client_encoding = SQL_ASCII", f"CREATE TABLE t AS {rows}")
        expected = capture(source, key=KEY)
        assert expected.identity.encoding == encoding
        assert expected.tables["public.t"].sample
        path = dump(postgres_server, source, tmp_path / "x.dump")
    with in_encoding(postgres_server, encoding) as copy:
        done = restore(postgres_server, copy, path)
        assert (done.returncode, done.stderr) == (0, "")
        assert not_passed(compare(expected, capture(copy, key=KEY))) == []
        run(copy, "UPDATE t SET convert_from = 'x' || convert_from WHERE n % 2 = 0")
        observed = capture(copy, key=KEY)
        assert observed.tables["public.t"].sample != expected.tables["public.t"].sample
        assert [name for name, _ in not_passed(compare(expected, observed))] == ["content.hashes"]


@pytest.mark.parametrize(
    ("encoding", "raw", "name"),
    [
        ("LATIN1", b"tabl\xe9", "tablé"),
        ("WIN1252", b"t\x80", "t€"),
        ("EUC_JP", b"\xb4\xc1", "漢"),
        ("LATIN9", b"\xa4", "€"),
        ("UTF8", "tablé".encode(), "tablé"),
    ],
)
def test_names_are_read_in_the_encoding_of_the_archive(
    postgres_server: SandboxServer, tmp_path: Path, encoding: str, raw: bytes, name: str
) -> None:
    with in_encoding(postgres_server, encoding) as url:
        run(url, f'CREATE TABLE "{name}" (v int)', f'CREATE INDEX "i{name}" ON "{name}" (v)')
        path = dump(postgres_server, url, tmp_path / "x.dump")
        assert raw in path.read_bytes()
        archive = read_archive(path)
        assert f"TABLE public.{name}" in {entry.label for entry in archive.entries}
        check = checks.catalog_readable(url, archive=archive)
        assert check.verdict is Verdict.PASS, check


def test_role_with_a_letter_of_the_encoding_is_needed_by_its_name(
    postgres_server: SandboxServer, tmp_path: Path
) -> None:
    with in_encoding(postgres_server, "LATIN1") as url:
        run(url, 'CREATE ROLE "hélène"')
        try:
            run(url, "CREATE TABLE t (v int)", 'GRANT SELECT ON t TO "hélène"')
            needs = read_archive(dump(postgres_server, url, tmp_path / "x.dump")).needs
            assert (needs.encoding, list(needs.roles)) == ("LATIN1", ["hélène", "postgres"])
        finally:
            run(url, 'DROP TABLE t; DROP ROLE "hélène"')


def test_names_of_no_known_encoding_lose_nothing(postgres_server: SandboxServer, tmp_path: Path) -> None:
    with in_encoding(postgres_server, "SQL_ASCII") as url:
        for statement in (b'CREATE TABLE "a\xe9" (v int)', b'CREATE TABLE "a\xe8" (v int)', 'CREATE TABLE "ü" (v int)'):
            with psycopg.connect(url, autocommit=True, client_encoding="SQL_ASCII") as connection:
                connection.execute(statement.encode() if isinstance(statement, str) else statement)
        entries = read_archive(dump(postgres_server, url, tmp_path / "x.dump")).entries
    assert {entry.tag for entry in entries if entry.desc == "TABLE"} == {r"a\xe9", r"a\xe8", "ü"}


EXPRESSIONS = [
    "v IN ('a', 'b')", "v NOT IN ('a', 'b')", "v IN ('a', NULL, t)", "c IN (v, 'b')", "dom IN ('x', 'y') OR dom = 'z'",
    "v = ANY (ARRAY[ARRAY['a', 'b'], ARRAY['c', 'd']]::varchar[])", "v = ANY ('{a,b}'::text[])", "b IN (s, a, 1)",
    "net IN ('10.0.0.0/8', '11.0.0.0/8')", "n IN (1, 1.5) AND - a < 5", "(a = 1 OR s = 2) AND b = 3",
    "(a - s) - b > a - (s - b)", "v NOT IN (t, c, 'x')",
    "a = 1 OR (s = 2 AND b = 3)", "NOT (v ~~ 'a%' AND a BETWEEN -1 AND 5)",
    "CASE v WHEN 'a' THEN c = 'x' ELSE t IS NULL END",
    "(a, s) IN ((1, 2), (3, 4))", "substring(t from 1 for 2) = 'ab'", "v::varchar(3) = 'abc'",
]  # fmt: skip


def test_expressions_of_every_kind_come_back_spelled_alike(
    postgres_server: SandboxServer, postgres_url: str, tmp_path: Path
) -> None:
    """PostgreSQL writes some casts in another place after a restore and means the same."""
    run(
        postgres_url,
        "CREATE DOMAIN code AS varchar(9) CHECK (VALUE IN ('x', 'y') OR VALUE = ANY (ARRAY['p', 'q']))",
        "CREATE TABLE x (a int, s smallint, b bigint, v varchar(20), c char(5), t text, n numeric, net cidr, dom code)",
    )
    for number, expression in enumerate(EXPRESSIONS):
        run(
            postgres_url,
            f"ALTER TABLE x ADD CONSTRAINT k{number} CHECK ({expression})",
            f"CREATE POLICY p{number} ON x USING ({expression})",
            f"CREATE INDEX i{number} ON x (a) WHERE {expression}",
            f"CREATE VIEW w{number} AS SELECT a, ({expression}) AS q FROM x WHERE {expression}",
        )
    expected = capture(postgres_url, key=KEY)
    assert len(expected.definitions) > 4 * len(EXPRESSIONS)
    with restored(postgres_server, postgres_url, tmp_path) as copy:
        assert not_passed(compare(expected, capture(copy, key=KEY))) == []


def test_manifest_that_describes_objects_in_another_way_is_not_compared(postgres_url: str) -> None:
    taken = capture(postgres_url, key=KEY)
    older = replace(taken, catalog_version=taken.catalog_version - 1)
    [(check_id, _)] = not_passed(compare(older, taken))
    assert check_id == "catalog.diff"
    assert {check.verdict for check in compare(older, taken) if check.id == check_id} == {Verdict.ERROR}
