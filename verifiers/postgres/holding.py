"""Sessions inside a shared snapshot, and tables held as the snapshot sees them.

A snapshot keeps rows, not tables: TRUNCATE and every rewriting ALTER TABLE put a new file in the old one's place, in
which an older snapshot sees nothing. So a table is locked before it is read, in the mode that lets users read and
write, and then must still have the file it had.

Invariant: a session that holds its tables never waits for another one, and nobody who waits for it can wait for ever:
it ends by itself. (The exporting session must hold none: it lives until the backup is done, and a user's ALTER TABLE
waiting for it would keep the backup waiting, and so both.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.postgres.manifest_shape import ManifestError
from verifiers.postgres.session import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.postgres.inventory import Relation
    from verifiers.postgres.snapshot import ExportedSnapshot

_LOCKS_A_STATEMENT = 500
_REPLACED = """
    SELECT format('%%I.%%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%s) AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
    ORDER BY 1
"""


class KeptWaitingError(ManifestError):
    """A table could not be locked in time."""


def joined(
    conninfo: str, snapshot: ExportedSnapshot, *, statement_timeout_s: float, lock_timeout_s: float
) -> psycopg.Connection[Any]:
    """Open a session inside the snapshot. Raises psycopg.Error."""
    connection = connect(conninfo, statement_timeout_s=statement_timeout_s)
    try:
        milliseconds = str(max(1, int(lock_timeout_s * 1000)))
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (milliseconds,))
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot.id)))
    except BaseException:
        connection.close()
        raise
    return connection


def hold(session: psycopg.Connection[Any], relations: Sequence[Relation]) -> None:
    """Lock every relation that is to be hashed in ACCESS SHARE mode, up to the end of the session's transaction.

    Raises KeptWaitingError past the session's lock_timeout, ManifestError if one is not what the snapshot saw any more.
    """
    hashed = [each for each in relations if each.hashed]
    tables = [each for each in hashed if not each.materialized]
    try:
        for start in range(0, len(tables), _LOCKS_A_STATEMENT):
            names = sql.SQL(", ").join(
                sql.SQL("ONLY {}").format(sql.Identifier(each.schema, each.table))
                for each in tables[start : start + _LOCKS_A_STATEMENT]
            )
            session.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
        for each in hashed:
            if each.materialized:  # LOCK TABLE takes none, reading does
                session.execute(sql.SQL("SELECT FROM {} LIMIT 0").format(sql.Identifier(each.schema, each.table)))
    except psycopg.errors.LockNotAvailable as error:
        raise KeptWaitingError(
            "a table is being altered and could not be locked in time; try again when that is done"
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise ManifestError("a table was dropped or renamed since the snapshot was taken; try again") from error
    replaced = [name for (name,) in session.execute(_REPLACED, ([each.oid for each in hashed],))]
    if replaced:
        raise ManifestError(
            f"{', '.join(replaced[:5])} was truncated or rewritten since the snapshot was taken, which may see nothing "
            "of it any more; try again"
        )
