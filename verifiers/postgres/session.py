"""Connections to a database under examination, with everything pinned that could change what is read.

Invariant: no session here resolves a name through the database's own search path, runs without a deadline, or hides
rows by row-level security; and no error text of the server is passed on, because it may carry a row.
"""

from __future__ import annotations

from typing import Any

import psycopg

_CONNECT_TIMEOUT_S = 15

# What the output of a type, or the hash of a row, depends on.
PINS = {
    "search_path": "pg_catalog, pg_temp",
    "row_security": "off",
    "extra_float_digits": "3",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "jit": "off",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
}


_OPTIONAL_PINS = {"transaction_timeout": "0", "idle_session_timeout": "0"}  # where the server knows them


def connect(conninfo: str, *, statement_timeout_s: float = 3600) -> psycopg.Connection[Any]:
    """Open an autocommit session with PINS set, in which no statement may take longer than statement_timeout_s.

    Raises psycopg.Error.
    """
    connection = psycopg.connect(
        conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="guardian"
    )
    try:
        limit_statements(connection, statement_timeout_s)  # first: the database's own limit may be shorter
        for name, value in PINS.items():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))
        for name, value in _OPTIONAL_PINS.items():
            query = "SELECT pg_catalog.set_config(name, %s, false) FROM pg_catalog.pg_settings WHERE name = %s"
            connection.execute(query, (value, name))
    except BaseException:
        connection.close()
        raise
    return connection


def limit_statements(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Let no statement of the session take longer than `seconds` from now on."""
    milliseconds = str(max(1, int(seconds * 1000)))
    connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", (milliseconds,))


def describe(error: psycopg.Error) -> str:
    """Return what may be said of an error: its SQLSTATE, condition and the object it names; never its text.

    A failed connection has no SQLSTATE and no row in it, so its text is given.
    """
    diagnostic = error.diag
    if error.sqlstate is None:
        return " ".join(str(error).split())[:300] or type(error).__name__
    named = [
        f"{kind} {name}"
        for kind, name in (
            ("schema", diagnostic.schema_name),
            ("table", diagnostic.table_name),
            ("constraint", diagnostic.constraint_name),
        )
        if name
    ]
    return " ".join([f"SQLSTATE {error.sqlstate} ({type(error).__name__})", *named])
