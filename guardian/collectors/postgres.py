"""A live PostgreSQL server, 14 and newer: what it is, who may do what, who may come from where, what it holds.

Read-only; a superuser is not needed. A role with `pg_monitor` sees everything but two things: `passwordType` is null,
and HBA rules are Unreadable (grant SELECT on pg_hba_file_rules and EXECUTE on its function for them). Without
`pg_monitor` also settings reserved to `pg_read_all_settings` are absent, sizes of databases one may not connect to
are null, and replicas, if there are any, are Unreadable.

Invariant: what one kind or one database costs is its own: the others are read all the same.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from guardian.collectors import Observed, Unreadable
from guardian.collectors import postgres_sql as ask
from guardian.collectors.postgres_session import Server, SessionError
from guardian.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.settings import PostgresCollector

SERVER, ROLE, HBA_RULE, DATABASE, REPLICA = (
    "postgres.Server",
    "postgres.Role",
    "postgres.HbaRule",
    "postgres.Database",
    "postgres.Replica",
)
_SENSITIVE_SETTINGS = (
    "primary_conninfo",
    "archive_command",
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "ssl_passphrase_command",
    # settings of applications and extensions have a dot in their name
    *(
        f"*.*{word}*"
        for word in ("passw", "passphrase", "pwd", "secret", "token", "key", "credential", "dsn", "conninfo")
    ),
)

_Row = dict[str, Any]
_Extensions = dict[str, "list[dict[str, str]] | None"]


class Postgres:
    """The collector of one server."""

    type = "postgres"
    id_scheme = "pg"
    kinds: Sequence[str] = (SERVER, ROLE, HBA_RULE, DATABASE, REPLICA)
    # HBA options such as ldapbindpasswd=... are found by their look, whatever their place in the list.
    sensitive: Mapping[str, Sequence[str]] = {
        SERVER: [f"{place}/{name}" for place in ("/settings", "/overrides/*/settings") for name in _SENSITIVE_SETTINGS],
    }

    def __init__(self, settings: PostgresCollector) -> None:
        self.name = settings.name
        self._dsn = settings.dsn

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        """Yield the server, its roles, HBA rules, databases and replicas."""
        try:
            server = Server(self._dsn.read())
            with server.session() as connection:
                yield from _Look(self.name, server, connection, now).everything()
        except ConfigError as error:
            yield from self._nothing("unreachable", str(error))
        except SessionError as error:
            yield from self._nothing(error.reason, error.detail)

    def _nothing(self, reason: str, detail: str) -> Iterator[Unreadable]:
        for kind in self.kinds:
            yield Unreadable(kind, reason, detail)


class _Look:
    """One look at one server over one connection, and one short connection a database."""

    def __init__(self, name: str, server: Server, connection: psycopg.Connection, now: datetime) -> None:
        self._name, self._server, self._connection, self._now = name, server, connection, now
        self._major = connection.info.server_version // 10_000

    def everything(self) -> Iterator[Observed | Unreadable]:
        databases = self._guarded(DATABASE, "reading databases", self._databases)
        extensions: _Extensions = {}
        for database in databases:
            if isinstance(database, Observed):
                found = self._extensions(database)
                if isinstance(found, Unreadable):
                    yield found
                    found = None
                extensions[database.attributes["name"]] = found
        yield from self._guarded(SERVER, "reading the server", lambda: [self._the_server(extensions)])
        yield from self._guarded(ROLE, "reading roles", self._roles)
        yield from self._guarded(HBA_RULE, "reading pg_hba_file_rules", self._hba_rules)
        for item in databases:
            if isinstance(item, Observed):
                attributes = {**item.attributes, "extensions": extensions[item.attributes["name"]]}
                yield Observed(item.kind, item.key, attributes)
            else:
                yield item
        yield from self._guarded(REPLICA, "reading pg_stat_replication", self._replicas)

    def _guarded(self, kind: str, doing: str, read: Callable[[], list[Observed]]) -> Sequence[Observed | Unreadable]:
        """Run one reading in a savepoint; what fails becomes an Unreadable of that kind."""
        try:
            with self._connection.transaction():
                return read()
        except (psycopg.Error, UnicodeError) as error:
            explained = self._server.explain(error, doing)
            return [Unreadable(kind, explained.reason, explained.detail)]

    def _rows(self, statement: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[_Row]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, parameters).fetchall()

    def _pairs(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()

    def _the_server(self, extensions: _Extensions) -> Observed:
        attributes = {
            **self._rows(ask.SERVER)[0],
            "systemIdentifier": self._system_identifier(),
            "settings": dict(self._pairs(ask.SETTINGS)),
            "overrides": [
                {"database": database, "role": role, "settings": dict(entry.split("=", 1) for entry in config)}
                for database, role, config in self._pairs(ask.OVERRIDES)
            ],
            "archiver": self._rows(ask.ARCHIVER, {"now": self._now})[0],
            "extensions": [
                {"database": database, **extension}
                for database, found in extensions.items()
                for extension in found or ()
            ],
            "availableExtensions": [name for (name,) in self._pairs(ask.AVAILABLE_EXTENSIONS)],
            "hbaRules": self._hba_count(),
        }
        return Observed(SERVER, f"{self._name}/server", attributes)

    def _system_identifier(self) -> str | None:
        try:
            with self._connection.transaction():
                return str(self._pairs(ask.SYSTEM_IDENTIFIER)[0][0])
        except psycopg.errors.InsufficientPrivilege:  # some managed services keep it to themselves
            return None

    def _hba_count(self) -> int | None:
        try:
            with self._connection.transaction():
                return int(self._pairs(ask.HBA_COUNT)[0][0])
        except psycopg.Error:  # why is told where the rules themselves are read
            return None

    def _roles(self) -> list[Observed]:
        settable = ask.SETTABLE_16 if self._major >= 16 else ask.SETTABLE_14
        readable = self._pairs(ask.MAY_READ_HASHES)[0][0]
        passwords = dict(self._pairs(ask.HASH_KINDS)) if readable else {}
        return [
            Observed(ROLE, f"{self._name}/role/{row['name']}", {**row, "passwordType": passwords.get(row["name"])})
            for row in self._rows(ask.ROLES.format(settable=settable))
        ]

    def _hba_rules(self) -> list[Observed]:
        file = ask.HBA_FILE_16 if self._major >= 16 else ask.HBA_FILE_14
        rows = self._rows(ask.HBA.format(file=file))
        for row in rows:
            for name in ("databases", "users", "options"):
                row[name] = row[name] or []
            row["error"] = row["error"] and _without_quotations(row["error"])
        return [
            Observed(HBA_RULE, f"{self._name}/hba/{PurePosixPath(row['file'] or '').name}:{row['line']}", row)
            for row in rows
        ]

    def _databases(self) -> list[Observed]:
        collation = ask.COLLATION_15 if self._major >= 15 else ask.COLLATION_14
        return [
            Observed(DATABASE, f"{self._name}/database/{row['name']}", row)
            for row in self._rows(ask.DATABASES.format(collation=collation))
        ]

    def _extensions(self, database: Observed) -> list[dict[str, str]] | Unreadable | None:
        """Return what is installed in one database, None where nobody may connect (template0)."""
        name = database.attributes["name"]
        if not database.attributes["allowConnections"]:
            return None
        doing = f"reading extensions of database {name}"
        try:
            with self._server.session(name) as connection:
                found = connection.execute(ask.EXTENSIONS).fetchall()
        except SessionError as error:
            return Unreadable(DATABASE, error.reason, f"{doing}: {error.detail}")
        except (psycopg.Error, UnicodeError) as error:
            explained = self._server.explain(error, doing)
            return Unreadable(DATABASE, explained.reason, explained.detail)
        return [{"name": extension, "version": version} for extension, version in found]

    def _replicas(self) -> list[Observed]:
        if not self._pairs(ask.MAY_READ_REPLICAS)[0][0]:
            raise psycopg.errors.InsufficientPrivilege("replicas show only to a member of pg_read_all_stats; grant it")
        rows = self._rows(ask.REPLICAS)
        names = Counter(row["applicationName"] for row in rows)
        keys = [
            row["applicationName"]
            if names[row["applicationName"]] == 1  # `walreceiver`, the default, may stand there many times
            else f"{row['applicationName']}@{row['clientAddress'] or 'local'}"
            for row in rows
        ]
        return [Observed(REPLICA, f"{self._name}/replica/{key}", row) for key, row in zip(keys, rows, strict=True)]


def _without_quotations(error: str) -> str:
    """Return an HBA parse error without what it quotes of the line, which may be a secret in the wrong place."""
    return re.sub(r'format: .*|"[^"]*"', "...", error, flags=re.DOTALL)
