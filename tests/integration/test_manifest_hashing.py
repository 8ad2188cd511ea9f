"""The content hash on a real server: no two different contents alike, and equal contents alike wherever they are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.restore_support import KEY, database, dump, restore, server_of_major
from verifiers.errors import VerifierError
from verifiers.postgres.hashing import COLUMNS, Column, Piece, query
from verifiers.postgres.manifest import ManifestError, TableContent, capture
from verifiers.postgres.session import connect
from verifiers.sandbox import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

pytestmark = pytest.mark.timeout(300)

TYPES = """
    CREATE EXTENSION IF NOT EXISTS citext;
    CREATE EXTENSION IF NOT EXISTS hstore;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TYPE pair AS (a integer, b text);
    CREATE DOMAIN small AS integer CHECK (VALUE < 1000);
    CREATE DOMAIN words AS text[];
    CREATE DOMAIN padded AS char(5);
    CREATE TYPE floats AS RANGE (subtype = float8);
"""
# Every common type with three different values each. (Not xml: the wheel's server is built without it.)
VALUES = {
    "int2": ("-32768", "0", "7"),
    "int4": ("-2147483648", "0", "7"),
    "int8": ("-9223372036854775808", "0", "7"),
    "bool": ("true", "false", None),
    "bytea": (r"\x00", r"\x", r"\xdeadbeef"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", None),
    "date": ("-infinity", "2024-02-29", "0044-03-15 BC"),
    "timestamp": ("infinity", "2024-02-29 23:59:59.999999", "1999-12-31 00:00:00"),
    "timestamptz": ("2024-03-31 01:59:59+01", "2024-03-31 01:59:59+02", "epoch"),
    "text": ("", "a", "ä"),
    "varchar(10)": ("", "a", "a "),
    "char(5)": ("", "a", "ab"),
    "bpchar": ("a", "a ", "a  "),
    "name": ("a", "b", "a b"),
    '"char"': ("a", "b", ""),
    "numeric": ("1.0", "1.00", "NaN"),
    "numeric(10,3)": ("1.000", "-1.000", "0.001"),
    "float4": ("0", "-0", "1.1"),
    "float8": ("0", "-0", "0.1"),
    "money": ("1.00", "-1.00", "92233720368547758.07"),
    "interval": ("1 mon", "30 days", "720:00:00"),
    "time": ("00:00:00", "24:00:00", "12:34:56.789"),
    "timetz": ("12:00:00+00", "14:00:00+02", "24:00:00+00"),
    "inet": ("10.0.0.1", "10.0.0.1/24", "::1"),
    "cidr": ("10.0.0.0/8", "10.0.0.0/16", "::/0"),
    "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:04", None),
    "json": ('{"a":1}', '{"a": 1}', '{"a":1,"a":2}'),
    "jsonb": ('{"a":1}', '{"a":1.0}', '{"a":1.00}'),
    "point": ("(0,0)", "(-0,0)", "(1,2)"),
    "box": ("(1,1),(0,0)", "(2,2),(0,0)", "(3,3),(1,1)"),
    "polygon": ("((0,0),(1,1),(1,0))", "((1,1),(1,0),(0,0))", "((0,0),(1,1))"),
    "bit(3)": ("101", "100", "000"),
    "varbit": ("1", "10", "100"),
    "tsvector": ("a:1", "a:2", "a b"),
    "tsquery": ("a & b", "a | b", "!a"),
    "pg_lsn": ("0/0", "0/1", "1/0"),
    "int4[]": ("{1,2}", "{{1,2}}", "[0:1]={1,2}"),
    "text[]": ("{a,NULL}", '{a,"NULL"}', "{}"),
    "numeric[]": ("{1.0}", "{1.00}", "{1}"),
    "numrange": ("[1.0,2.0)", "[1.00,2.0)", "empty"),
    "int4range": ("[1,2)", "[1,3)", "(,)"),
    "int4multirange": ("{[1,2)}", "{[1,2),[5,6)}", "{}"),
    "tstzrange": ("[2024-01-01 00:00+00,)", "[2024-01-01 00:00+01,)", "empty"),
    "mood": ("sad", "ok", "happy"),
    "mood[]": ("{sad}", "{ok}", "{sad,ok}"),
    "pair": ('(1,"a")', "(1,)", "(,)"),
    "pair[]": ('{"(1,a)"}', '{"(1,)"}', "{}"),
    "small": ("1", "2", "3"),
    "words": ("{a}", "{b}", "{a,b}"),
    "padded": ("a", "b", "ab"),
    "floats": ("[0,1)", "[-0,1)", "[0,1]"),
    "citext": ("Foo", "foo", "FOO"),
    "hstore": ("a=>1", "a=>NULL", "a=>2"),
    "regclass": ("pg_class", "pg_proc", "pg_type"),
    "regtype": ("integer", "text", "mood"),
    "oid": ("1", "2", "4294967295"),
    "jsonpath": ("$.a", "$.b", "$"),
}


@pytest.fixture
def session(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a session pinned as the product's own are."""
    with connect(postgres_url) as connection:
        connection.execute("SET search_path = public, pg_catalog")
        yield connection


def row_hashes(session: psycopg.Connection[Any], table: str, *, method: str = "record") -> tuple[Any, ...]:
    """Return (count, sum of hashes) of a table by the product's own SQL."""
    [(oid,)] = session.execute("SELECT %s::regclass::oid::int8", (table,)).fetchall()
    columns = [
        Column(name, type_oid, deterministic, by_function, (schema, function))
        for _, name, type_oid, deterministic, by_function, schema, function in session.execute(COLUMNS, ([oid],))
    ]
    return tuple(session.execute(query(Piece("public", table, columns), method=method, residue=None)).fetchone() or ())


def keyed(url: str, table: str = "public.t") -> TableContent:
    return capture(url, key=KEY).tables[table]


@pytest.mark.parametrize("method", ["record", "text"])
def test_values_that_are_not_the_same_never_hash_alike(session: psycopg.Connection[Any], method: str) -> None:
    session.execute(TYPES)
    for number, (type_name, values) in enumerate(VALUES.items()):
        hashes = set()
        for which, value in enumerate(values):
            session.execute(f"CREATE TABLE t{number}_{which} (v {type_name})".encode())
            session.execute(f"INSERT INTO t{number}_{which} VALUES (%s::text::{type_name})".encode(), (value,))
            hashes.add(row_hashes(session, f"t{number}_{which}", method=method))
        assert len(hashes) == len(values), type_name


def test_citext_and_other_equalities_do_not_hide_a_change(session: psycopg.Connection[Any]) -> None:
    """The types for which `=` calls different values equal: the reason for the allow-list."""
    session.execute(TYPES)
    for type_name, one, other in [
        ("citext", "Foo", "foo"), ("numeric", "1.0", "1.00"), ("numeric[]", "{1.0}", "{1.00}"), ("float8", "0", "-0"),
        ("numrange", "[1.0,2)", "[1.00,2)"), ("interval", "1 mon", "30 days"), ("bpchar", "a", "a "),
    ]:  # fmt: skip
        [(equal,)] = session.execute(f"SELECT %s::text::{type_name} = %s::text::{type_name}".encode(), (one, other))
        assert equal, type_name


def test_text_under_a_nondeterministic_collation_is_told_apart(session: psycopg.Connection[Any]) -> None:
    try:
        session.execute("CREATE COLLATION nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no ICU")
    session.execute("CREATE TABLE a (v text COLLATE nd); INSERT INTO a VALUES ('Foo')")
    session.execute("CREATE TABLE b (v text COLLATE nd); INSERT INTO b VALUES ('foo')")
    assert row_hashes(session, "a") != row_hashes(session, "b")


def test_duplicates_do_not_cancel(session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TABLE none (v int); CREATE TABLE two (v int); INSERT INTO two VALUES (1), (1)")
    session.execute("CREATE TABLE other (v int); INSERT INTO other VALUES (2), (2)")
    assert row_hashes(session, "two")[1] not in {0, row_hashes(session, "other")[1]}


def test_empty_sum_is_null_and_a_table_without_columns_counts(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute("CREATE TABLE t (v int); CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES")
    assert row_hashes(session, "t") == (0, None, None)
    manifest = capture(postgres_url, key=KEY)
    assert (manifest.tables["public.t"].rows, manifest.tables["public.bare"].rows) == (0, 1)


def test_null_is_not_an_empty_text(session: psycopg.Connection[Any]) -> None:
    session.execute(
        "CREATE TABLE a (v text, w numeric[]); CREATE TABLE b (v text, w numeric[]);"
        " INSERT INTO a VALUES ('', NULL); INSERT INTO b VALUES (NULL, NULL)"
    )
    assert row_hashes(session, "a") != row_hashes(session, "b")


def test_value_that_moves_to_the_next_column_is_seen(session: psycopg.Connection[Any]) -> None:
    session.execute(
        "CREATE TABLE a (v text, w text); CREATE TABLE b (v text, w text);"
        " INSERT INTO a VALUES ('x', ''); INSERT INTO b VALUES ('', 'x')"
    )
    assert row_hashes(session, "a") != row_hashes(session, "b")


def test_physical_order_and_dropped_columns_do_not_count_and_column_order_does(
    session: psycopg.Connection[Any],
) -> None:
    session.execute("CREATE TABLE a (x int, gone text, y int); INSERT INTO a VALUES (1, 'g', 2), (3, 'g', 4)")
    session.execute("ALTER TABLE a DROP COLUMN gone")
    session.execute("CREATE TABLE b (x int, y int); INSERT INTO b VALUES (3, 4), (1, 2)")
    session.execute("CREATE TABLE c (y int, x int); INSERT INTO c (x, y) VALUES (1, 2), (3, 4)")
    assert row_hashes(session, "a") == row_hashes(session, "b") != row_hashes(session, "c")


def test_enum_and_regclass_hash_by_name_so_that_a_restore_agrees(session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE r (v int)")
    session.execute("CREATE TABLE t (m mood, c regclass); INSERT INTO t VALUES ('ok', 'r')")
    before = row_hashes(session, "t")
    session.execute("DROP TABLE t; DROP TABLE r; DROP TYPE mood")
    session.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE r (v int)")
    session.execute("CREATE TABLE t (m mood, c regclass); INSERT INTO t VALUES ('ok', 'r')")
    assert row_hashes(session, "t") == before


def test_cast_to_text_that_loses_something_is_not_used(session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TYPE pair AS (a int, b int)")
    session.execute("CREATE FUNCTION lossy(pair) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'same' $$")
    session.execute("CREATE CAST (pair AS text) WITH FUNCTION lossy(pair)")
    session.execute("CREATE TABLE a (v pair); INSERT INTO a VALUES ((1, 2)); CREATE TABLE b (v pair)")
    session.execute("INSERT INTO b VALUES ((1, 3))")
    assert row_hashes(session, "a") != row_hashes(session, "b")


def test_names_that_look_like_sql_are_only_names(session: psycopg.Connection[Any], postgres_url: str) -> None:
    name = sql.Identifier('t"; DROP TABLE x; --')
    session.execute(
        sql.SQL("CREATE TABLE {} ({} int, h int, {} text)").format(
            name, sql.Identifier("a) FROM x; --"), sql.Identifier("%s {}")
        )
    )
    session.execute(sql.SQL("INSERT INTO {} VALUES (1, 2, 'z')").format(name))
    assert capture(postgres_url, key=KEY).tables['public."t""; DROP TABLE x; --"'].rows == 1


def test_server_settings_of_the_database_do_not_change_the_hash(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute(
        "CREATE TABLE t (f float8, i interval, b bytea, z timestamptz, d date, m money, a date[], y bytea[])"
    )
    session.execute(
        "INSERT INTO t VALUES (0.1, '1 day 2 hours', 'a', '2024-05-05', '2024-05-06', 7, '{2024-07-08}', '{abc}')"
    )
    before = keyed(postgres_url)
    for setting in (
        "extra_float_digits = -5", "IntervalStyle = 'sql_standard'", "bytea_output = 'escape'",
        "TimeZone = 'Asia/Tokyo'", "DateStyle = 'German, DMY'", "search_path = 'nowhere'", "row_security = on",
        "client_encoding = 'LATIN1'", "default_transaction_isolation = 'serializable'", "statement_timeout = '100ms'",
    ):  # fmt: skip
        session.execute(f"ALTER DATABASE {session.info.dbname} SET {setting}".encode())
    assert keyed(postgres_url) == before


def test_row_level_security_is_refused_not_obeyed(session: psycopg.Connection[Any], postgres_url: str) -> None:
    role = f"limited_{session.info.dbname}"
    session.execute(f"CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE ROLE {role} LOGIN".encode())
    session.execute(f"GRANT SELECT ON t TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY".encode())
    try:
        with pytest.raises(ManifestError, match=r"public\.t .*row-level security"):
            capture(psycopg.conninfo.make_conninfo(postgres_url, user=role), key=KEY)
    finally:
        session.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_partitions_and_children_are_hashed_one_by_one(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute(
        "CREATE TABLE p (v int) PARTITION BY LIST (v); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
        " CREATE TABLE p2 PARTITION OF p DEFAULT; INSERT INTO p VALUES (1), (2), (3);"
        " CREATE TABLE base (v int); CREATE TABLE child () INHERITS (base);"
        " INSERT INTO base VALUES (1); INSERT INTO child VALUES (2), (3)"
    )
    tables = capture(postgres_url, key=KEY).tables
    assert {name: table.rows for name, table in tables.items()} == {
        "public.p1": 1, "public.p2": 2, "public.base": 1, "public.child": 2,
    }  # fmt: skip


def test_what_is_not_hashed_is_listed_with_its_reason(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE UNLOGGED TABLE u (v int); CREATE EXTENSION file_fdw; CREATE TEMP TABLE passing (v int)")
    session.execute("CREATE SERVER s FOREIGN DATA WRAPPER file_fdw")
    session.execute("CREATE FOREIGN TABLE f (v text) SERVER s OPTIONS (filename '/etc/passwd')")
    manifest = capture(postgres_url, key=KEY)
    assert manifest.tables == {}
    assert manifest.excluded == {"public.u": "unlogged", "public.f": "foreign table"}


def test_generated_columns_that_are_stored_count_and_virtual_ones_do_not(session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TABLE a (v int, w int GENERATED ALWAYS AS (v * 2) STORED); INSERT INTO a VALUES (1)")
    session.execute("CREATE TABLE b (v int, w int GENERATED ALWAYS AS (v / 0) VIRTUAL); INSERT INTO b VALUES (1)")
    session.execute("CREATE TABLE c (v int); INSERT INTO c VALUES (1)")
    assert row_hashes(session, "b") == row_hashes(session, "c") != row_hashes(session, "a")


def test_table_in_parts_has_the_hash_of_the_whole(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t AS SELECT n, md5(n::text) m FROM generate_series(1, 20000) n")
    session.execute("DELETE FROM t WHERE n % 3 = 0")
    whole = capture(postgres_url, key=KEY)
    parts = capture(postgres_url, key=KEY, split_blocks=7, workers=3)
    assert whole.tables == parts.tables
    assert whole.tables["public.t"].rows == 13334


def test_small_tables_leave_only_a_keyed_hash(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute(
        "CREATE TABLE small AS SELECT generate_series(1, 99) n; CREATE TABLE large AS SELECT generate_series(1, 100) n"
    )
    tables = capture(postgres_url, key=KEY).tables
    assert (tables["public.small"].hash, tables["public.large"].keyed) == (None, None)
    assert tables["public.small"].keyed
    assert tables["public.large"].hash
    other = capture(postgres_url, key=bytes(32)).tables
    assert other["public.small"].keyed != tables["public.small"].keyed
    assert other["public.large"].hash == tables["public.large"].hash
    assert other["public.large"].sample != tables["public.large"].sample


def test_progress_ends_with_everything_done(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t AS SELECT generate_series(1, 9999) n; CREATE TABLE u (v int)")
    seen: list[tuple[int, int]] = []
    capture(postgres_url, key=KEY, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_capture_ends_when_its_time_is_over(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("CREATE TABLE t AS SELECT generate_series(1, 300000) n")
    with pytest.raises(ManifestError, match="time"):
        capture(postgres_url, key=KEY, deadline_s=0.02)


def test_unreachable_source_says_so(postgres_url: str) -> None:
    with pytest.raises(VerifierError, match="cannot connect to the source"):
        capture(psycopg.conninfo.make_conninfo(postgres_url, dbname="nowhere"), key=KEY)


TABLE_OF_EVERYTHING = "CREATE TABLE everything (id int4, {})".format(
    ", ".join(f"c{number} {type_name}" for number, type_name in enumerate(VALUES))
)


def fill_everything(session: psycopg.Connection[Any], rows: int) -> None:
    """Make one table with a column of every type, filled with the values above by chance that can be repeated."""
    session.execute(TYPES)
    session.execute(TABLE_OF_EVERYTHING.encode())
    rng = random.Random(5)
    places = ", ".join(["%s"] + [f"%s::text::{type_name}" for type_name in VALUES])
    for row in range(rows):
        chosen = [rng.choice((*values, None)) for values in VALUES.values()]
        session.execute(f"INSERT INTO everything VALUES ({places})".encode(), [row, *chosen])


def test_no_single_change_of_a_value_goes_unnoticed(session: psycopg.Connection[Any]) -> None:
    fill_everything(session, 30)
    rng = random.Random(17)
    before = row_hashes(session, "everything")
    changes = 0
    while changes < 300:
        number, (type_name, values) = rng.choice(list(enumerate(VALUES.items())))
        new = rng.choice((*values, None))
        with session.transaction(force_rollback=True):
            # As text: where two values are written alike, nothing changed.
            statement = f"""
                WITH old AS (SELECT id, ROW(c{number})::text AS was FROM everything WHERE id = %s)
                UPDATE everything e SET c{number} = %s::text::{type_name} FROM old WHERE e.id = old.id
                RETURNING old.was, ROW(e.c{number})::text
            """
            [(was, became)] = session.execute(statement.encode(), (rng.randrange(30), new)).fetchall()
            if was != became:
                changes += 1
                assert row_hashes(session, "everything") != before, (type_name, was, became)
    assert row_hashes(session, "everything") == before


@pytest.mark.parametrize("major", [15, 17])
def test_every_type_hashes_alike_after_a_restore_into_a_newer_server(
    major: int, postgres_server: SandboxServer, tmp_path: Path
) -> None:
    try:
        with server_of_major(major) as old, database(old) as source, database(postgres_server) as target:
            with connect(source) as session:
                session.execute("SET search_path = public, pg_catalog")
                fill_everything(session, 150)
                session.execute("CREATE TABLE few AS SELECT * FROM everything LIMIT 20")
            path = dump(old, source, tmp_path / "x.dump")
            done = restore(postgres_server, target, path)
            assert done.returncode == 0, done.stderr
            for method in ("record", "text"):
                expected, observed = (capture(url, key=KEY, method=method) for url in (source, target))
                assert expected.tables == observed.tables
                assert expected.tables["public.everything"].hash
    except LackingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("method", ["record", "text"])
def test_rows_that_exchange_a_value_are_seen(session: psycopg.Connection[Any], method: str) -> None:
    session.execute("CREATE TABLE one (id int4, pay int4, note text)")
    session.execute("INSERT INTO one SELECT n, 1000 + n, 'n' || n FROM generate_series(1, 200) n")
    session.execute("CREATE TABLE other AS SELECT * FROM one")
    before = row_hashes(session, "one", method=method)
    for first in range(1, 100, 7):
        session.execute(
            "UPDATE other t SET pay = o.pay FROM one o WHERE (t.id, o.id) IN ((%s, %s), (%s, %s))",
            (first, first + 100, first + 100, first),
        )
        assert row_hashes(session, "other", method=method) != before
        session.execute("UPDATE other t SET pay = o.pay FROM one o WHERE t.id = o.id")
    assert row_hashes(session, "other", method=method) == before


@pytest.mark.parametrize(
    ("type_name", "one", "other"),
    [
        ("int8", "1", "4294967296"),
        ("int8", "-1", "4294967295"),
        ("timestamp", "2000-01-01 00:00:00.000001", "2000-01-01 01:11:34.967296"),
        ("timestamptz", "2000-01-01 00:00:00.000001+00", "2000-01-01 01:11:34.967296+00"),
    ],
)
def test_all_64_bits_count(session: psycopg.Connection[Any], type_name: str, one: str, other: str) -> None:
    for table, value in (("one", one), ("other", other)):
        session.execute(f"CREATE TABLE {table} (v {type_name})".encode())
        session.execute(f"INSERT INTO {table} VALUES (%s::text::{type_name})".encode(), (value,))
    assert row_hashes(session, "one") != row_hashes(session, "other")
