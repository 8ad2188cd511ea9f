"""How much a restored database holds: tables, rows, bytes; numbers that drills are compared by.

Invariant: all of it is counted or nothing is told. Reads only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from verifiers.postgres.session import connect, limit_statements

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLES = """
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY c.oid
"""
_BYTES = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"


def counts(conninfo: str, *, deadline_s: float) -> Mapping[str, int]:
    """Return tables, rows and databaseBytes; empty where it could not be counted in time or not be read."""
    try:
        with connect(conninfo) as session:
            limit_statements(session, deadline_s)
            [(size,)] = session.execute(_BYTES).fetchall()
            names = session.execute(_TABLES).fetchall()
            rows = 0
            for schema, name in names:
                table = sql.Identifier(schema, name)
                [(count,)] = session.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(table)).fetchall()
                rows += count
            return {"tables": len(names), "rows": rows, "databaseBytes": size}
    except psycopg.Error:
        return {}  # damage is for the checks to find, and to tell
