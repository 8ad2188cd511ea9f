"""Of ten thousand random changes of one value or one row, in every type there is, the content hash misses none.

Whether something changed at all is asked of PostgreSQL, by the text of whole rows, and never of our own hash.
GUARDIAN_SEED repeats a run, GUARDIAN_CHANGES makes it longer.
"""

from __future__ import annotations

import os
import random
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.integration.test_manifest_hashing import TYPES, VALUES
from verifiers.postgres.hashing import COLUMNS, Column, Piece, query
from verifiers.postgres.session import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


pytestmark = pytest.mark.timeout(900)

CHANGES = int(os.environ.get("GUARDIAN_CHANGES", "10000"))
ROWS = 12
A_TABLE = 11  # columns beside the id: a row that is written out whole costs what it holds
_LETTERS = "aAbB \t\n\\'\"{},()[]:;äÄßΩ中🙂\u0301\u00a0"
_FURTHER_TYPES = """
    CREATE DOMAIN precise AS numeric CHECK (VALUE > -1e20);
    CREATE DOMAIN pairs AS pair[];
    CREATE TYPE nested AS (p pair, at timestamptz, tags text[]);
"""
_FURTHER_VALUES = {
    "text COLLATE alike": ("Foo", "foo", "FOO", "fóo"),
    "varchar(20) COLLATE alike": ("Foo", "foo ", "f"),
    "precise": ("1.0", "1.00", "0"),
    "pairs": ('{"(1,a)"}', '{"(1,A)"}', "{}"),
    "nested": ('("(1,a)",2024-01-01 00:00+00,{x})', '("(1,a)",2024-01-01 00:00+00,{X})', "(,,)"),
    "char(8)[]": ("{a}", "{A}", '{"a","b"}'),
    "bit varying(5)[]": ("{1,10}", "{01,10}", "{}"),
    "line": ("{1,2,3}", "{1,2,4}", "{-1,2,3}"),
    "lseg": ("[(0,0),(1,1)]", "[(1,1),(0,0)]", "[(0,0),(-0,1)]"),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1)]", "((0,0),(1,2))"),
    "circle": ("<(0,0),1>", "<(0,0),2>", "<(-0,0),1>"),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06", None),
    "daterange": ("[2024-01-01,2024-02-01)", "empty", "(,)"),
    "datemultirange": ("{[2024-01-01,2024-02-01)}", "{}", "{(,)}"),
    "nummultirange": ("{[1.0,2.0)}", "{[1.00,2.0)}", "{}"),
    "jsonb[]": ('{"{\\"a\\": 1}"}', '{"{\\"a\\": 1.0}"}', "{NULL}"),
    "xid8": ("1", "2", "18446744073709551615"),
}
_MADE: Mapping[str, Callable[[random.Random], str]] = {
    "int2": lambda rng: str(rng.randint(-(2**15), 2**15 - 1)),
    "int4": lambda rng: str(rng.randint(-(2**31), 2**31 - 1)),
    "int8": lambda rng: str(rng.randint(-(2**63), 2**63 - 1)),
    "small": lambda rng: str(rng.randint(-999, 999)),
    "bytea": lambda rng: "\\x" + rng.randbytes(rng.randrange(40)).hex(),
    "uuid": lambda rng: rng.randbytes(16).hex(),
    "date": lambda rng: f"{rng.randint(1, 9999):04}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    "timestamp": lambda rng: f"2024-01-{rng.randint(1, 28):02} 00:00:{rng.random() * 59:09.6f}",
    "timestamptz": lambda rng: f"2024-01-{rng.randint(1, 28):02} 00:00:00{rng.choice('+-')}{rng.randint(0, 14):02}",
    "interval": lambda rng: f"{rng.randint(-5, 5)} mons {rng.randint(-60, 60)} days {rng.randint(-99, 99)} hours",
    "numeric": lambda rng: f"{rng.randint(-9, 9)}.{rng.randint(0, 9)}" + "0" * rng.randrange(6),
    "numeric[]": lambda rng: "{" + ",".join(f"{rng.randint(0, 2)}." + "0" * rng.randint(1, 3) for _ in range(2)) + "}",
    "float4": lambda rng: repr(rng.choice([rng.random(), -0.0, 0.0, float("nan"), float("-inf"), 1e-45])),
    "float8": lambda rng: repr(rng.choice([rng.random(), -0.0, 0.0, float("nan"), float("inf"), 5e-324])),
    "inet": lambda rng: f"10.0.0.{rng.randrange(4)}/{rng.randint(8, 32)}",
    "json": lambda rng: '{"a":' + " " * rng.randrange(3) + str(rng.randrange(3)) + "}",
    "jsonb": lambda rng: '{"a": 1.' + "0" * rng.randint(1, 4) + "}",
    "text": lambda rng: "".join(rng.choices(_LETTERS, k=rng.randrange(30))),
    "citext": lambda rng: "".join(rng.choices("aAbB ", k=rng.randrange(4))),
    "text COLLATE alike": lambda rng: "".join(rng.choices("aAäbB", k=rng.randrange(4))),
    "text[]": lambda rng: "{" + ",".join(rng.choices(["a", "A", "NULL", '"NULL"', '""'], k=rng.randrange(4))) + "}",
    "varbit": lambda rng: "".join(rng.choices("01", k=rng.randrange(20))),
    "int4[]": lambda rng: f"[{(low := rng.randint(-3, 3))}:{low + 1}]={{{rng.randrange(3)},NULL}}",
}


@pytest.fixture(scope="module")
def seed() -> int:
    """Another one each time; what fails says which."""
    return int(os.environ.get("GUARDIAN_SEED") or secrets.randbits(32))


@pytest.fixture
def session(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a session pinned as the product's own are."""
    with connect(postgres_url) as connection:
        connection.execute("SET search_path = public, pg_catalog")
        yield connection


class Table:
    """A table with a few of the types, filled by chance."""

    def __init__(self, session: psycopg.Connection[Any], name: str, types: Sequence[str], rng: random.Random) -> None:
        self.name, self._session, self._rng = name, session, rng
        self._values = {**VALUES, **_FURTHER_VALUES}
        self._types = list(types)
        columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(self._types))
        session.execute(f"CREATE TABLE {name} (id int4, {columns})".encode())
        for row in range(ROWS):
            places = ", ".join(["%s"] + [f"%s::text::{_cast(kind)}" for kind in self._types])
            session.execute(
                f"INSERT INTO {name} VALUES ({places})".encode(), [row, *(self._value(kind) for kind in self._types)]
            )
        [(oid,)] = session.execute("SELECT %s::regclass::oid::int8", (name,)).fetchall()
        found = [
            Column(column, type_oid, deterministic, by_function, (schema, function))
            for _, column, type_oid, deterministic, by_function, schema, function in session.execute(COLUMNS, ([oid],))
        ]
        self._hash = {
            method: query(Piece("public", name, found), method=method, residue=None) for method in ("record", "text")
        }

    def _value(self, kind: str) -> str | None:
        made = _MADE.get(kind)
        if made is not None and self._rng.random() < 0.5:
            return made(self._rng)
        return self._rng.choice((*self._values[kind], None))

    def hash(self, method: str) -> tuple[Any, ...]:
        """The product's own."""
        return tuple(self._session.execute(self._hash[method]).fetchone() or ())

    def rows(self) -> list[str]:
        """The oracle's: the text of every row, in order, for a bag of them is what a table is."""
        statement = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(self.name))
        return sorted(text for (text,) in self._session.execute(statement))

    def change(self) -> str:
        """Make one change by chance; return what it was."""
        rng, name = self._rng, self.name
        number, one, other = rng.randrange(len(self._types)), rng.randrange(ROWS), rng.randrange(ROWS)
        kind = self._types[number]
        what = rng.choices(("value", "swap", "delete", "duplicate", "copy", "move"), weights=(80, 8, 3, 3, 3, 3))[0]
        match what:
            case "value":
                statement = f"UPDATE {name} SET c{number} = %s::text::{_cast(kind)} WHERE id = %s"
                self._session.execute(statement.encode(), (self._value(kind), one))
            case "swap":  # a value goes from one row to another, and that one's comes back
                statement = f"""
                    UPDATE {name} t SET c{number} = o.c{number} FROM {name} o
                    WHERE (t.id, o.id) IN ((%s, %s), (%s, %s))
                """
                self._session.execute(statement.encode(), (one, other, other, one))
            case "delete":
                self._session.execute(f"DELETE FROM {name} WHERE id = %s".encode(), (one,))
            case "duplicate":
                self._session.execute(f"INSERT INTO {name} SELECT * FROM {name} WHERE id = %s".encode(), (one,))
            case "copy":  # one row becomes another a second time, so that the number stays
                self._session.execute(f"DELETE FROM {name} WHERE id = %s".encode(), (one,))
                self._session.execute(f"INSERT INTO {name} SELECT * FROM {name} WHERE id = %s".encode(), (other,))
            case "move":
                self._session.execute(f"UPDATE {name} SET id = id + 1000 WHERE id = %s".encode(), (one,))
        return f"{what} of c{number} {kind} in rows {one} and {other} of {name}"


def _cast(kind: str) -> str:
    return kind.partition(" COLLATE")[0]


def test_ten_thousand_changes_and_none_goes_unnoticed(session: psycopg.Connection[Any], seed: int) -> None:
    rng = random.Random(seed)
    session.execute(TYPES)
    session.execute(_FURTHER_TYPES)
    types = [*VALUES, *_FURTHER_VALUES]
    try:
        session.execute("CREATE COLLATION alike (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:  # the wheels' servers have no ICU
        types = [kind for kind in types if "COLLATE alike" not in kind]
    rng.shuffle(types)
    tables = [
        Table(session, f"t{start}", types[start : start + A_TABLE], rng) for start in range(0, len(types), A_TABLE)
    ]
    before = {table.name: (table.rows(), table.hash("record"), table.hash("text")) for table in tables}
    changed, same = 0, 0
    while changed < CHANGES:
        table = rng.choice(tables)
        rows, *hashes = before[table.name]
        with session.transaction(force_rollback=True):
            what = table.change()
            method = "record" if rng.random() < 0.8 else "text"
            observed = table.hash(method)
            was = hashes[0 if method == "record" else 1]
            if table.rows() == rows:
                same += 1
                assert observed == was, f"seen where nothing was: {what}, by {method}, seed {seed}"
            else:
                changed += 1
                assert observed != was, f"not seen: {what}, by {method}, seed {seed}"
    for table in tables:
        assert (table.rows(), table.hash("record"), table.hash("text")) == before[table.name], f"seed {seed}"
    assert same < changed  # it was about changes
