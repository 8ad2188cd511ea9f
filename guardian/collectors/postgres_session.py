"""A read-only look into a PostgreSQL server, and errors that never repeat what the connection string holds.

Invariant: nothing raised here, and no message made here, holds the connection string or its password. libpq repeats
parts of a string it cannot parse, and of a password with an unescaped `@` or `/` it makes a host: so its own words
are passed on only when the string is well-formed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from guardian.collectors import postgres_sql as ask

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET_KEYS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
CONNECTING = "connecting"
_REASONS = {"42501": "denied", "57014": "timeout", "28P01": "denied", "28000": "denied"}


class SessionError(Exception):
    """A connection or a question failed. reason: one of unreachable, denied, timeout, unreadable."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Server:
    """A server named by a connection string, which is held and never shown."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        try:
            self._parts: dict[str, Any] = dict(conninfo_to_dict(dsn))
        except (psycopg.Error, ValueError):
            # not chained: the cause repeats parts of the string
            raise SessionError(
                "unreachable",
                "the connection string cannot be parsed (it is not repeated here); "
                "expected postgresql://user:password@host:port/database with %-encoded special characters",
            ) from None

    def __repr__(self) -> str:
        return "Server(...)"

    @contextmanager
    def session(self, dbname: str | None = None) -> Iterator[psycopg.Connection]:
        """Open a read-only transaction, in `dbname` if given. Raises SessionError if it cannot be had."""
        try:
            connection = self._connect(dbname)
        except (psycopg.Error, ValueError, OSError) as error:
            raise self.explain(error, CONNECTING) from None
        try:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            try:
                connection.execute(ask.PREPARE)
            except (psycopg.Error, ValueError) as error:
                raise self.explain(error, "preparing the session") from None
            yield connection
        finally:
            connection.close()

    def _connect(self, dbname: str | None) -> psycopg.Connection:
        return psycopg.connect(
            self._dsn,
            dbname=dbname,  # None: what the string says
            application_name="guardian",
            client_encoding="UTF8",
            connect_timeout=10,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            prepare_threshold=None,  # a pooler between us may not know prepared statements
        )

    def explain(self, error: Exception, doing: str) -> SessionError:
        """Return what `error` means, for a person, without secrets. doing: what was tried, such as `reading roles`."""
        state = getattr(error, "sqlstate", None) or ""
        text = str(getattr(getattr(error, "diag", None), "message_primary", None) or error)
        if isinstance(error, UnicodeError):
            text = "a name is not valid UTF-8"
        if doing == CONNECTING:  # libpq says itself where it tried
            return SessionError(_reason(state, text), self._scrub(text.removeprefix("connection failed: ")))
        return SessionError(_reason(state, text), f"{self._where()}{doing}: {self._scrub(text)}")

    def _well_formed(self) -> bool:
        return not any(re.search(r"[@?]", str(self._parts.get(key, ""))) for key in ("host", "port", "dbname"))

    def _where(self) -> str:
        if not self._well_formed():
            return ""
        host, port = self._parts.get("host"), self._parts.get("port")
        return f"{host}{f':{port}' if port else ''}: " if host else ""

    def _scrub(self, text: str) -> str:
        if not self._well_formed():
            return "failed; the host looks like part of a password: %-encode special characters in the password"
        if "invalid" in text:  # an option's value, quoted: perhaps what was meant for another option
            text = re.sub(r'"[^"]*"', '"..."', text)
        for key in _SECRET_KEYS:
            if value := self._parts.get(key):
                text = text.replace(str(value), "***")
        return re.sub(r"\s*\n\s*", "; ", text.strip())[:500]


def _reason(state: str, text: str) -> str:
    if state in _REASONS:
        return _REASONS[state]
    if "password authentication failed" in text or "no pg_hba.conf entry" in text or "permission denied" in text:
        return "denied"
    if "timeout" in text:
        return "timeout"
    if state.startswith(("08", "53", "57")) or (not state and "UTF-8" not in text):
        return "unreachable"
    return "unreadable"
