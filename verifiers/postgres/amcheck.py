"""`amcheck`: every B-tree index and every heap, as the extension of that name verifies them.

Invariant: nothing is left behind: an extension made for the check goes with it. What verify_heapam says of a tuple is
counted, never passed on.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from verifiers.postgres.outcome import SHOWN, Outcome, examine, is_damage, named
from verifiers.postgres.session import limit_statements
from verifiers.postgres.sharing import share
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verifiers.result import Check

_SCHEMA = "guardian_amcheck"
_UNIQUE_SINCE = (1, 4)
_HEAP_SINCE = 140000
# System catalogues too: an index of theirs that disagrees makes objects vanish.
_TARGETS = """
    SELECT c.oid::int8, c.oid::regclass::text, c.relkind = 'i'
    FROM pg_class c JOIN pg_am a ON a.oid = c.relam LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relpersistence <> 't'
      AND ((c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)
        OR (c.relkind IN ('r', 't', 'm') AND a.amname = 'heap'))
    ORDER BY pg_relation_size(c.oid) DESC, c.oid
"""


def amcheck(
    conninfo: str,
    *,
    heapallindexed: bool = False,
    deadline_s: float = 1800,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """`amcheck` (sound): every B-tree index and every heap. Leaves no extension behind. progress: (relations, of).

    heapallindexed: also that every row of a table is in each of its indexes; about ten times as long.
    """
    ends = time.monotonic() + deadline_s

    def look(session: psycopg.Connection[Any]) -> Outcome:
        with _installed(session) as (schema, version):
            targets = session.execute(_TARGETS).fetchall()
            if session.info.server_version < _HEAP_SINCE:
                targets = [target for target in targets if target[2]]
            queries = (_of_heap(schema), _of_index(schema, version, heapallindexed=heapallindexed))
            damaged: list[str] = []

            def relation(session: psycopg.Connection[Any], target: tuple[int, str, bool]) -> None:
                oid, name, is_index = target
                if not _sound(session, queries[is_index], oid):
                    damaged.append(name)

            done = share(conninfo, session, targets, relation, ends=ends, progress=progress)
        if done < len(targets):
            message = f"The time was over after {done} of {len(targets)} relations."
            return Outcome(Verdict.ERROR, None, {"relations": done, "of": len(targets)}, message)
        damaged.sort()
        counts: dict[str, Any] = {
            "indexes": sum(target[2] for target in targets),
            "heaps": sum(not target[2] for target in targets),
            "heapallindexed": heapallindexed,
            "damaged": len(damaged),
        }
        if damaged:
            message = f"{len(damaged)} relations are damaged: {named(damaged)}."
            return Outcome(Verdict.FAIL, {"damaged": 0}, {**counts, "damagedNames": damaged[:SHOWN]}, message)
        message = f"All {counts['indexes']} B-tree indexes and {counts['heaps']} heaps are sound."
        return Outcome(Verdict.PASS, {"damaged": 0}, counts, message)

    return examine("amcheck", Assurance.SOUND, conninfo, deadline_s, look)


@contextmanager
def _installed(session: psycopg.Connection[Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the schema and version of the extension, made for as long if the database has it not."""
    query = """
        SELECT n.nspname, x.extversion FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
        WHERE x.extname = 'amcheck'
    """
    found = session.execute(query).fetchone()
    ours = found is None
    if ours:
        # Event triggers of the restored database must not see, or stop, what only the check makes.
        session.execute("SELECT set_config('session_replication_role', 'replica', false)")
        session.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_SCHEMA)))
    try:
        if ours:
            session.execute(sql.SQL("CREATE EXTENSION amcheck SCHEMA {}").format(sql.Identifier(_SCHEMA)))
            found = session.execute(query).fetchone()
        schema, version = found or (_SCHEMA, "0")
        yield schema, tuple(int(part) for part in version.split(".") if part.isdigit())
    finally:
        if ours and not session.closed:
            limit_statements(session, 60)
            session.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(_SCHEMA)))


def _of_index(schema: str, version: tuple[int, ...], *, heapallindexed: bool) -> sql.Composed:
    unique = sql.SQL(", true") if heapallindexed and version >= _UNIQUE_SINCE else sql.SQL("")
    return sql.SQL("SELECT {}.bt_index_check(%s::oid::regclass, {}{})").format(
        sql.Identifier(schema), sql.Literal(heapallindexed), unique
    )


def _of_heap(schema: str) -> sql.Composed:
    return sql.SQL("SELECT FROM {}.verify_heapam(%s::oid::regclass, check_toast => true) LIMIT 1").format(
        sql.Identifier(schema)
    )


def _sound(session: psycopg.Connection[Any], query: sql.Composed, oid: int) -> bool:
    try:
        rows = session.execute(query, (oid,)).fetchall()
    except psycopg.Error as error:
        if is_damage(error):
            return False
        raise
    # bt_index_check gives one empty row and raises for damage; verify_heapam gives one row for each fault.
    return len(rows) == 0 or rows == [("",)]
