"""The exporting session: one moment of the source that the backup command and the hashing workers share.

Invariant: everything the manifest says about rows is true at this snapshot, whatever users write meanwhile. Sequences
are not part of any snapshot, so they are read just before it: a backup taken in it can never be behind them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.errors import VerifierError
from verifiers.postgres.session import connect, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_LOCKS_A_STATEMENT = 500
_ATTEMPTS = 5
_LOCKABLE = """
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    ORDER BY c.oid
"""
_SEQUENCES = """
    SELECT n.nspname, c.relname, s.seqincrement, s.seqcycle
    FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence = 'p' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.oid
"""
_SEQUENCES_A_STATEMENT = 200


class SnapshotError(VerifierError):
    """The source could not be held still: no connection, no lock, no privilege, or it is too old."""


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A sequence's last value, whether it was handed out yet, and the step (negative: descending)."""

    last_value: int
    is_called: bool
    increment: int
    cycles: bool


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A snapshot held open by its session.

    id: for `pg_dump --snapshot=` and SET TRANSACTION SNAPSHOT. taken_at: aware UTC, of the server's clock.
    lsn: write-ahead log position just before it (`0/16B3748`). sequences: by quoted qualified name.
    started: time.monotonic() when it was taken.
    """

    id: str
    taken_at: datetime
    lsn: str
    sequences: Mapping[str, SequenceState]
    started: float

    @property
    def age_s(self) -> float:
        """Seconds that it has been held: so long it has held back vacuum."""
        return time.monotonic() - self.started


@contextmanager
def exported_snapshot(conninfo: str, *, lock_timeout_s: float = 30.0) -> Iterator[ExportedSnapshot]:
    """Hold a REPEATABLE READ READ ONLY transaction open with its snapshot exported, until the block ends.

    It locks all tables in ACCESS SHARE mode first, as pg_dump does, so that none is truncated, altered or dropped
    meanwhile; reading and writing go on. Hold it no longer than the backup takes. Raises SnapshotError.
    """
    try:
        connection = connect(conninfo)
    except psycopg.Error as error:
        raise SnapshotError(f"cannot connect to the source: {describe(error)}") from error
    try:
        yield _export(connection, lock_timeout_s)
    finally:
        connection.close()


def _export(connection: psycopg.Connection[Any], lock_timeout_s: float) -> ExportedSnapshot:
    reason = "tables kept being created or dropped"
    deadline = time.monotonic() + lock_timeout_s
    for _ in range(_ATTEMPTS):
        try:
            snapshot = _attempt(connection, max(0.001, deadline - time.monotonic()))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            snapshot = None  # dropped between listing and locking
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.LockNotAvailable):
                reason = f"a table could not be locked within {lock_timeout_s:g} s; end the session that alters it"
            else:
                reason = describe(error)
            break
        if snapshot is not None:
            return snapshot
        connection.execute("ROLLBACK")
    raise SnapshotError(f"cannot take a snapshot of the source: {reason}")


def _attempt(connection: psycopg.Connection[Any], lock_timeout_s: float) -> ExportedSnapshot | None:
    """Return the snapshot, or None if a table appeared that is not locked. Leaves the transaction open."""
    tables = connection.execute(_LOCKABLE).fetchall()
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute(
        sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{max(1, int(lock_timeout_s * 1000))}ms"))
    )
    for start in range(0, len(tables), _LOCKS_A_STATEMENT):
        names = sql.SQL(", ").join(
            sql.SQL("ONLY {}").format(sql.Identifier(*row)) for row in tables[start : start + _LOCKS_A_STATEMENT]
        )
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
    # LOCK takes no snapshot, so this one begins with all locks held. Sequences and the log position are read outside of
    # it, and so not after it.
    with connect_like(connection) as other:
        sequences = read_sequences(other)
        [(lsn,)] = other.execute(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
            " ELSE pg_catalog.pg_current_wal_lsn() END::text"
        ).fetchall()
    started = time.monotonic()
    [(snapshot_id, taken_at)] = connection.execute(
        "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.statement_timestamp()"
    ).fetchall()
    if connection.execute(_LOCKABLE).fetchall() != tables:
        return None
    return ExportedSnapshot(snapshot_id, taken_at, lsn or "0/0", sequences, started)


def connect_like(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Open one more session to the same database."""
    info = connection.info
    return connect(psycopg.conninfo.make_conninfo(info.dsn, password=info.password or None))


def read_sequences(connection: psycopg.Connection[Any]) -> dict[str, SequenceState]:
    """Return the state of every permanent sequence, by quoted qualified name."""
    listed = connection.execute(_SEQUENCES).fetchall()
    states: dict[str, SequenceState] = {}
    for start in range(0, len(listed), _SEQUENCES_A_STATEMENT):
        some = listed[start : start + _SEQUENCES_A_STATEMENT]
        # Read from the sequence itself: pg_sequence_last_value() forgets a value that setval() left uncalled.
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, pg_catalog.format('%I.%I', {}::text, {}::text), last_value, is_called FROM {}").format(
                sql.Literal(place), sql.Literal(schema), sql.Literal(name), sql.Identifier(schema, name)
            )
            for place, (schema, name, _, _) in enumerate(some)
        )
        for place, name, last_value, is_called in connection.execute(query):
            states[name] = SequenceState(last_value, is_called, some[place][2], some[place][3])
    return dict(sorted(states.items()))
