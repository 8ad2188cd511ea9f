"""The SQL that hashes a table's rows: order-free, parallel, and sensitive to every stored value.

    SELECT count(*), sum(hash_record_extended(ROW(int8send(hash_record_extended(ROW(<columns>), 0))), 0))
    FROM ONLY <table>                                                                   -- PostgreSQL 14 and newer

Invariant: two values that a dump would write differently never hash alike by rule, and a value hashes alike on every
server that restores it. Hence the allow-list: types whose hash covers every stored bit and no object identifier go in
natively, those of 64 bits as the bytes they are sent as, all others as the text of their output function under the
collation "C". No I/O.

Virtual generated columns (PostgreSQL 18) are left out: nothing of them is stored, and their expressions are in the
catalogue. Stored ones are in, as data that a restore computes anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

# int2, int4, bool, bytea, uuid, date
_NATIVE = frozenset({21, 23, 16, 17, 2950, 1082})
# int8, timestamp, timestamptz: their hash folds 64 bits into 32, by which 1 and 2^32, and -1 and 2^32 - 1, are alike.
_SENT = {20: "int8send", 1114: "timestamp_send", 1184: "timestamptz_send"}
_TEXTS = frozenset({25, 1043})  # text, varchar
SAMPLE_MASK = 63  # one row in 64 goes into the keyed sample

# Columns in attnum order. base: the type under all domains. cast_by_function: a cast to text that may lose something
# (bpchar drops its padding); then the output function itself is asked.
COLUMNS = """
    WITH RECURSIVE base (type, base) AS (
        SELECT oid, oid FROM pg_type WHERE typtype <> 'd'
        UNION ALL SELECT t.oid, b.base FROM pg_type t JOIN base b ON t.typtype = 'd' AND t.typbasetype = b.type
    )
    SELECT a.attrelid, a.attname, a.atttypid::int8, coalesce(co.collisdeterministic, true),
        EXISTS (SELECT FROM pg_cast k
            WHERE k.castsource = b.base AND k.casttarget = 'text'::regtype AND k.castmethod = 'f'),
        pn.nspname, p.proname
    FROM pg_attribute a JOIN base b ON b.type = a.atttypid JOIN pg_type t ON t.oid = b.base
        JOIN pg_proc p ON p.oid = t.typoutput JOIN pg_namespace pn ON pn.oid = p.pronamespace
        LEFT JOIN pg_collation co ON co.oid = a.attcollation
    WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    ORDER BY a.attrelid, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as COLUMNS returns it. output: schema and name of its type's output function."""

    name: str
    type_oid: int
    deterministic: bool
    cast_by_function: bool
    output: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one table: the blocks from first up to, not including, last; None for no limit."""

    schema: str
    table: str
    columns: Sequence[Column]
    condition: str | None = None
    first_block: int | None = None
    last_block: int | None = None


def query(piece: Piece, *, method: str, residue: int | None) -> sql.Composed:
    """Return the query of a piece: count, sum of hashes (NULL if empty), sum of the sample (NULL without a residue).

    method: `record`, or `text` for servers before PostgreSQL 14. residue: which rows belong to the sample.
    """
    values = sql.SQL(", ").join(_value(column) for column in piece.columns)
    row_hash: sql.Composable
    if not piece.columns:
        row_hash = sql.SQL("0::bigint")
    elif method == "record":
        # The hash of a record is a sum of its columns' hashes, each times a constant: summed as it is, two rows could
        # exchange the values of a column unseen. Hashed once more, it belongs to the row as a whole.
        row_hash = sql.SQL(
            "pg_catalog.hash_record_extended(ROW(pg_catalog.int8send(pg_catalog.hash_record_extended(stored, 0))), 0)"
        )
    else:
        row_hash = sql.SQL('pg_catalog.hashtextextended(stored::text COLLATE "C", 0)')
    sample: sql.Composable = sql.SQL("NULL::numeric")
    if residue is not None and piece.columns:
        # The first 8 bytes of SHA-256 of the row's text, as a number, in the encoding that both databases have: to
        # convert it would fail at bytes that SQL_ASCII takes for granted. The filter is evaluated first, so that only
        # the sampled rows are written out as text.
        sample = sql.SQL(
            "pg_catalog.sum(('x' || pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256("
            "pg_catalog.convert_to(stored::text, pg_catalog.getdatabaseencoding())), 1, 8), 'hex'))::bit(64)::bigint)"
            " FILTER (WHERE hash & {} = {})"
        ).format(sql.Literal(SAMPLE_MASK), sql.Literal(residue))
    # OFFSET 0 keeps the planner from pulling the subqueries up, by which each row would be hashed twice.
    return sql.SQL(
        "SELECT pg_catalog.count(*), pg_catalog.sum(hash), {} FROM (SELECT stored, {} AS hash FROM"
        " (SELECT ROW({}) AS stored FROM ONLY {}{} OFFSET 0) AS one OFFSET 0) AS two"
    ).format(sample, row_hash, values, sql.Identifier(piece.schema, piece.table), _where(piece))


def _where(piece: Piece) -> sql.Composable:
    if piece.condition:
        # An extension's own condition for its configuration table, which pg_dump appends in the same way.
        return sql.SQL(" {}").format(sql.SQL(piece.condition))
    limits: list[sql.Composable] = []
    if piece.first_block is not None:
        limits.append(sql.SQL("ctid >= {}::tid").format(sql.Literal(f"({piece.first_block},0)")))
    if piece.last_block is not None:
        limits.append(sql.SQL("ctid < {}::tid").format(sql.Literal(f"({piece.last_block},0)")))
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(limits) if limits else sql.SQL("")


def _value(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.type_oid in _NATIVE or (column.type_oid in _TEXTS and column.deterministic):
        return name
    if column.type_oid in _SENT:
        return sql.SQL("pg_catalog.{}({})").format(sql.Identifier(_SENT[column.type_oid]), name)
    if column.cast_by_function:
        return sql.SQL('pg_catalog.textin({}({})) COLLATE "C"').format(sql.Identifier(*column.output), name)
    return sql.SQL('{}::text COLLATE "C"').format(name)
