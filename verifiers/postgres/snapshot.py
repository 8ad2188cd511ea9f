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
    """No snapshot of the source could be taken: no connection, or a sequence that may not be read."""


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
def exported_snapshot(conninfo: str) -> Iterator[ExportedSnapshot]:
    """Hold a REPEATABLE READ READ ONLY transaction open with its snapshot exported, until the block ends.

    It locks no table, and so never makes users wait: a table that is truncated or rewritten meanwhile is what `capture`
    finds out and refuses. It holds back vacuum; hold it no longer than the backup takes. Raises SnapshotError.
    """
    try:
        connection = connect(conninfo)
    except psycopg.Error as error:
        raise SnapshotError(f"cannot connect to the source: {describe(error)}") from error
    try:
        try:
            snapshot = export(connection, read_before(connection))
        except psycopg.Error as error:
            raise SnapshotError(f"cannot take a snapshot of the source: {describe(error)}") from error
        yield snapshot
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Before:
    """What is read just before a snapshot is taken, because none holds it. lsn: of the write-ahead log."""

    sequences: Mapping[str, SequenceState]
    lsn: str


def read_before(connection: psycopg.Connection[Any]) -> Before:
    """Read the sequences, outside of the transaction and so not after its snapshot. Raises psycopg.Error."""
    sequences = read_sequences(connection)
    [(lsn,)] = connection.execute(
        "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
        " ELSE pg_catalog.pg_current_wal_lsn() END::text"
    ).fetchall()
    return Before(sequences, lsn or "0/0")


def export(connection: psycopg.Connection[Any], before: Before) -> ExportedSnapshot:
    """Take and export the snapshot in the autocommit session `connection`, which holds it. Raises psycopg.Error."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    started = time.monotonic()
    [(snapshot_id, taken_at)] = connection.execute(
        "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.statement_timestamp()"
    ).fetchall()
    return ExportedSnapshot(snapshot_id, taken_at, before.lsn, before.sequences, started)


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
