"""A restore point at which a live cluster holds exactly what one snapshot sees, found by locking tables for a moment.

One session takes every table of the database in SHARE mode, which lets readers on and waits for writers to commit;
then nobody has an uncommitted change in them. Another exports a snapshot; the first writes a restore point into the log
and lets go. What a recovery to that point brings back is what the snapshot sees.

Invariant: one attempt keeps no writer waiting longer than about `lock_timeout_s`, by the server's own clock, whatever
becomes of us; while a transaction that lasts longer is known to be in the way, no lock is asked for at all. What these
locks do not hold (definitions; large objects made or removed) is looked at in the snapshot, and again when everything
that ran at the point is over: it must be the same. Sessions are told by number, state and age, never by what they run.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.errors import VerifierError
from verifiers.postgres import catalog
from verifiers.postgres.inventory import relations
from verifiers.postgres.manifest_shape import RestorePoint
from verifiers.postgres.session import connect, describe, limit_statements
from verifiers.postgres.snapshot import Before, ExportedSnapshot, export, read_before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from verifiers.postgres.patience import Patience

_STATEMENT_S = 300.0
_POLL_S = 0.02
_NAMED = 3
_LARGE_OBJECTS_OID = 2613

_CAPABLE = """
    SELECT pg_is_in_recovery(), current_setting('wal_level'), current_user,
        has_function_privilege('pg_create_restore_point(text)', 'EXECUTE'),
        has_function_privilege('pg_switch_wal()', 'EXECUTE')
"""
_LOCKABLE = """
    SELECT c.oid::int8, has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') OR
        CASE WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(c.oid, %s) END
    FROM pg_class c WHERE c.oid = ANY (%s) ORDER BY c.oid
"""
# Who holds a lock that SHARE has to wait for.
_IN_THE_WAY = """
    SELECT l.pid, a.backend_type, a.state, extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
        l.relation::regclass::text
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY (%s) AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                     'AccessExclusiveLock')
    ORDER BY a.xact_start NULLS LAST
"""
_PREPARED = """
    SELECT extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
    WHERE database = current_database() ORDER BY 1 DESC
"""
# Transactions of this database that wrote something; one that has committed stays here until everybody can see it.
_WRITING = """
    SELECT l.transactionid::text, l.pid, a.backend_type, a.state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.pid <> pg_backend_pid()
      AND a.datname = current_database()
"""
_POINT = """
    SELECT p.lsn::text, ('x' || substr(pg_walfile_name(p.lsn), 1, 8))::bit(32)::int8
    FROM pg_create_restore_point(%s) AS p (lsn)
"""
_LARGE_OBJECTS = "SELECT count(*), coalesce(sum(hashoidextended(oid, 0)), 0)::text FROM pg_largeobject_metadata"


class QuiesceError(VerifierError):
    """There is no restore point. The message says what stands in the way, and what to do."""


@dataclass(frozen=True, slots=True)
class Quiesced:
    """A restore point, and the snapshot that sees the same, held open.

    attempts: how many it took. held_s: how long all tables were locked. waited_s: the longest that any writer can have
    waited for us: from asking for the first lock to letting go, the worst of all attempts. large_objects: whether their
    content was held too; if not, it may be another at the point than in the snapshot.
    """

    point: RestorePoint
    snapshot: ExportedSnapshot
    attempts: int
    held_s: float
    waited_s: float
    large_objects: bool


@dataclass(frozen=True, slots=True)
class _Tables:
    """What is locked, in the order of their oids. large_objects: whether pg_largeobject can be locked too."""

    oids: Sequence[int]
    names: Sequence[sql.Composable]
    large_objects: bool


@dataclass(frozen=True, slots=True)
class _Made:
    """What one attempt made. writing: transactions that were not over."""

    snapshot: ExportedSnapshot
    point: RestorePoint
    writing: frozenset[str]
    held_s: float


def check_can_quiesce(conninfo: str) -> None:
    """Raise QuiesceError where no restore point can be made, before hours go into a backup."""
    try:
        with connect(conninfo, statement_timeout_s=_STATEMENT_S) as session:
            _check_server(session)
            _tables(session)
    except psycopg.Error as error:
        raise QuiesceError(f"the source could not be asked for a restore point: {describe(error)}") from error


@contextmanager
def quiesced(
    conninfo: str, name: str, patience: Patience, progress: Callable[[str], None] = lambda _said: None
) -> Iterator[Quiesced]:
    """Make a restore point, and hold the snapshot that sees the same until the block ends.

    name: what its name begins with, at most 58 letters, digits, `-` and `_`; never used before.
    Raises QuiesceError past the attempts.
    """
    with ExitStack() as stack:
        try:
            made = _Attempts(conninfo, name, patience, progress).until_made(stack)
        except psycopg.Error as error:
            raise QuiesceError(f"no restore point could be made: {describe(error)}") from error
        yield made


class _Attempts:
    def __init__(self, conninfo: str, name: str, patience: Patience, progress: Callable[[str], None]) -> None:
        self._conninfo, self._name, self._patience, self._progress = conninfo, name, patience, progress
        self._worst_s = 0.0
        self._why = ""

    def until_made(self, stack: ExitStack) -> Quiesced:
        """Try until it is made; the snapshot is held by `stack`."""
        told = ""
        for number in range(1, self._patience.attempts + 1):
            with ExitStack() as attempt:
                done = self._one(attempt, number)
                if done is not None:
                    stack.push(attempt.pop_all())
                    return done
            if self._why != told:
                self._progress(f"waiting for a moment without writers: {self._why}")
                told = self._why
            time.sleep(self._patience.lock_timeout_s)  # whoever queued up behind our lock goes first
        raise QuiesceError(
            f"no moment without writers was found in {self._patience.attempts} attempts, "
            f"{self._patience.lock_timeout_s:g} s apart: {self._why}. Try again when that is over, or allow more "
            "`attempts` (a longer `lockTimeout` lets writers wait that long)"
        )

    def _one(self, stack: ExitStack, number: int) -> Quiesced | None:
        # Sessions of their own for each attempt: the server may have ended the ones before.
        locking = stack.enter_context(connect(self._conninfo, statement_timeout_s=_STATEMENT_S))
        exporting = stack.enter_context(connect(self._conninfo, statement_timeout_s=_STATEMENT_S))
        _check_server(locking)
        tables = _tables(locking)
        if self._in_the_way(locking, tables, at_least_s=self._patience.lock_timeout_s):
            return None
        try:
            made = self._locked(locking, exporting, tables, read_before(exporting), f"{self._name}-{number}")
        except psycopg.errors.OutOfMemory as error:
            raise QuiesceError(
                f"{len(tables.oids)} tables are more than the server can lock at once; raise its "
                "max_locks_per_transaction"
            ) from error
        except (psycopg.OperationalError, psycopg.InternalError, psycopg.errors.UndefinedTable) as error:
            self._why = f"its tables could not be locked in time: {describe(error)}"
            if not locking.closed:
                self._in_the_way(locking, tables, at_least_s=0.0)
            return None
        locking.execute("SELECT pg_switch_wal()")  # so that the archive receives it now, not when the segment is full
        if not self._over(locking, made.writing):
            return None
        with connect(self._conninfo, statement_timeout_s=_STATEMENT_S) as later:
            later.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            seen, after = _unlocked(exporting), _unlocked(later)
        if seen != after:
            self._why = "tables, other definitions or large objects were made, changed or removed at that moment"
            return None
        return Quiesced(
            made.point, made.snapshot, number, made.held_s, self._worst_s, tables.large_objects or seen[1] == 0
        )

    def _locked(
        self,
        locking: psycopg.Connection[Any],
        exporting: psycopg.Connection[Any],
        tables: _Tables,
        before: Before,
        point: str,
    ) -> _Made:
        """Lock, take the snapshot, make the point, and let go."""
        patience_s = self._patience.lock_timeout_s
        limit_statements(exporting, patience_s)
        asked = time.monotonic()
        try:
            locking.execute("BEGIN")
            # lock_timeout alone begins anew with each table, while the first ones are held already. And should we be
            # stopped half-way, the server ends the session.
            for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
                milliseconds = str(max(1, int(patience_s * 1000)))
                locking.execute("SELECT set_config(%s, %s, true)", (setting, milliseconds))
            if tables.names:
                locking.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.SQL(", ").join(tables.names)))
            granted = time.monotonic()
            snapshot = export(exporting, before)
            [(lsn, timeline)] = locking.execute(_POINT, (point,)).fetchall()
            writing = frozenset(row[0] for row in locking.execute(_WRITING))
        finally:
            if not locking.closed:
                locking.execute("ROLLBACK")
            released = time.monotonic()
            self._worst_s = max(self._worst_s, released - asked)
        limit_statements(exporting, _STATEMENT_S)
        return _Made(snapshot, RestorePoint(point, lsn, timeline), writing, released - granted)

    def _in_the_way(self, session: psycopg.Connection[Any], tables: _Tables, *, at_least_s: float) -> bool:
        """Whether somebody holds a table, or a prepared transaction anything; then keep who it is."""
        found = [
            f"{_session(pid, kind, state, age_s)} holds {table}"
            for pid, kind, state, age_s, table in session.execute(_IN_THE_WAY, (list(tables.oids),))
            if (age_s or 0.0) >= at_least_s
        ]
        found += [
            f"a prepared transaction {age_s:.0f} s old, which COMMIT PREPARED or ROLLBACK PREPARED would end"
            for (age_s,) in session.execute(_PREPARED)
        ]
        if found:
            more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            self._why = "; ".join(found[:_NAMED]) + more
        return bool(found)

    def _over(self, session: psycopg.Connection[Any], writing: frozenset[str]) -> bool:
        """Wait, holding nothing, until what was not over at the point is over, for it may belong to either side."""
        ends = time.monotonic() + self._patience.lock_timeout_s * self._patience.attempts
        while True:
            left = [row[1:] for row in session.execute(_WRITING) if row[0] in writing]
            if not left:
                return True
            if time.monotonic() > ends:
                self._why = f"{_session(*left[0])} has written, and does not end"
                return False
            time.sleep(_POLL_S)


def _session(pid: int, kind: str | None, state: str | None, age_s: float | None) -> str:
    age = "of unknown age" if age_s is None else f"in a transaction {age_s:.1f} s old"
    return f"process {pid} ({kind or 'unknown'}, {state or 'state unknown'}, {age})"


def _check_server(session: psycopg.Connection[Any]) -> None:
    [(standby, wal_level, role, may_point, may_switch)] = session.execute(_CAPABLE).fetchall()
    if standby:
        raise QuiesceError(
            "the source is a standby, on which no restore point can be made; let the collector reach the primary"
        )
    if wal_level == "minimal":
        raise QuiesceError("the source has wal_level minimal, and so no log to recover from; set it to replica")
    lacking = [
        function
        for function, may in (("pg_create_restore_point(text)", may_point), ("pg_switch_wal()", may_switch))
        if not may
    ]
    if lacking:
        grants = "; ".join(f'GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO "{role}"' for function in lacking)
        raise QuiesceError(f"the role {role} may not make a restore point; as a superuser: {grants}")


def _tables(session: psycopg.Connection[Any]) -> _Tables:
    """Return the tables with rows. Raises QuiesceError for one that may not be locked."""
    found = {each.oid: each for each in relations(session) if each.hashed and not each.materialized}
    # MAINTAIN is a word since PostgreSQL 17 only; before, the branch is not taken.
    asked = session.execute(_LOCKABLE, ("MAINTAIN", [*found, _LARGE_OBJECTS_OID])).fetchall()
    refused = [found[oid].name for oid, may in asked if not may and oid in found]
    if refused:
        raise QuiesceError(
            f"the role may not lock {len(refused)} tables, such as {', '.join(refused[:_NAMED])}; grant it UPDATE on "
            "them, or pg_maintain (PostgreSQL 17 and newer)"
        )
    names: list[sql.Composable] = [
        sql.SQL("ONLY {}").format(sql.Identifier(found[oid].schema, found[oid].table))
        for oid, _ in asked
        if oid in found
    ]
    whole = any(oid == _LARGE_OBJECTS_OID and may for oid, may in asked)
    if whole:
        # What writes a large object holds this up to its end; who makes or removes one lets it go at once.
        names.insert(0, sql.SQL("pg_catalog.pg_largeobject"))
    return _Tables([oid for oid, _ in asked if oid in found or whole], names, whole)


def _unlocked(session: psycopg.Connection[Any]) -> tuple[object, int, str]:
    """Return what the locks do not hold, as the session's snapshot sees it: definitions, and which large objects."""
    [(count, objects)] = session.execute(_LARGE_OBJECTS).fetchall()
    tables = [(each.oid, each.name) for each in relations(session)]
    return (tables, catalog.digests(session)), count, objects
