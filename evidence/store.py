"""Where the log's truth lies: two tables, in plain SQL, on SQLite or PostgreSQL.

Invariant: entries 0..size-1 and the head that covers them change in one durable transaction, and only one process at a
time is between reading the head and writing it. The store keeps bytes; what they mean is `log`'s affair.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol, TypeAlias

import psycopg

from evidence.durable import make_private_folder
from evidence.errors import EvidenceError, LogBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT: Final = 1
BUSY_TIMEOUT_S: Final = 60
_CHUNK_ROWS: Final = 500  # the LIMIT of the queries that read rows
_ADVISORY_LOCK: Final = 0x677561726469616E  # "guardian", held only while the tables are made


@dataclass(frozen=True, slots=True)
class Row:
    """One stored record: its index, and the exact bytes of entry and envelope."""

    index: int
    entry: bytes
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The committed head: `peaks` is the compact range of `size` entries."""

    origin: str
    size: int
    peaks: bytes


class Transaction(Protocol):
    """The database transaction of an append, for what must change together with the log or not at all."""

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, its parameters written `?`, and return its rows (none for an UPDATE without RETURNING)."""
        ...


Within: TypeAlias = "Callable[[Transaction], None]"


class Store(Protocol):
    """What `log` needs of a database."""

    def head(self) -> Head:
        """Return the committed head."""
        ...

    def bounds(self) -> tuple[Head, int, int, int]:
        """Return head, number of rows, lowest and highest index (0 and -1 when empty), all at one moment."""
        ...

    def append(
        self, prepare: Callable[[Head], tuple[Sequence[tuple[bytes, bytes]], bytes]], within: Within | None = None
    ) -> Head:
        """Append in one durable transaction and return the new head.

        prepare: given the locked head, returns (entry, envelope) pairs and the new peaks; what it raises rolls back.
        within: called in that transaction after the rows went in, to change other tables; what it raises rolls back.
        Raises LogBusyError if the lock was not free in time, EvidenceError if an entry is in the log already.
        """
        ...

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Yield the rows with start <= index < stop in order; a missing index is passed over."""
        ...

    def entries(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield (index, entry) like `rows`, without reading envelopes."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


_SQLITE_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log_head (
    one     INTEGER PRIMARY KEY CHECK (one = 1),  -- exactly one head
    format  INTEGER NOT NULL,
    origin  TEXT    NOT NULL,
    size    INTEGER NOT NULL CHECK (size >= 0),
    peaks   BLOB    NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS log_entry (
    idx      INTEGER PRIMARY KEY CHECK (idx >= 0),
    entry    BLOB NOT NULL UNIQUE,                -- the same record is never logged twice
    envelope BLOB NOT NULL
) STRICT;
"""
_POSTGRES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS log_head (
    one     integer PRIMARY KEY CHECK (one = 1),  -- exactly one head
    format  integer NOT NULL,
    origin  text    NOT NULL,
    size    bigint  NOT NULL CHECK (size >= 0),
    peaks   bytea   NOT NULL
);
CREATE TABLE IF NOT EXISTS log_entry (
    idx      bigint PRIMARY KEY CHECK (idx >= 0),
    entry    bytea NOT NULL UNIQUE,               -- the same record is never logged twice
    envelope bytea NOT NULL
);
"""
_HEAD: Final = "SELECT format, origin, size, peaks FROM log_head WHERE one = 1"
_BOUNDS: Final = """
SELECT h.format, h.origin, h.size, h.peaks, e.rows, e.low, e.high
FROM log_head h,
     (SELECT count(*) AS rows, coalesce(min(idx), 0) AS low, coalesce(max(idx), -1) AS high FROM log_entry) e
WHERE h.one = 1
"""


def open_store(database: str | Path, *, origin: str, create: bool) -> Store:
    """Open the log in `database`: a SQLite file, or a postgresql:// URL.

    create: make tables and the empty head if there are none, and allow writing; else reading only.
    Raises EvidenceError if there is no log, or one of another origin or format.
    """
    store: Store
    if str(database).startswith(("postgresql://", "postgres://")):
        store = PostgresStore(str(database), origin=origin, create=create)
    else:
        store = SqliteStore(Path(database), origin=origin, create=create)
    try:
        _refuse_other(store.head().origin, origin)
    except BaseException:
        store.close()
        raise
    return store


def _refuse_other(found: str, origin: str) -> None:
    if found != origin:
        raise EvidenceError(f"the database holds the log {found}, not {origin}: another log was put in its place")


def _head(row: Sequence[Any] | None) -> Head:
    if row is None:
        raise EvidenceError("the database holds no log head: it is no evidence log, or it was emptied")
    if row[0] != FORMAT:
        raise EvidenceError(f"the log is of format {row[0]}; this Guardian reads format {FORMAT}")
    return Head(row[1], row[2], bytes(row[3]))


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()


class _PostgresTransaction:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description else []


class SqliteStore:
    """The log in a SQLite file: WAL, every commit synced."""

    def __init__(self, path: Path, *, origin: str, create: bool) -> None:
        if create:
            make_private_folder(path.parent)
            # Made before SQLite would make it readable to others. Never opened where it exists: closing it would drop
            # the locks of every SQLite connection that this process has to it, and then the database is damaged.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        elif not path.exists():
            raise EvidenceError(
                f"there is no evidence log at {path}: correct `storage:`, or restore the log from its backup"
            )
        with _sqlite_errors():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
            try:
                self._prepare(origin, create=create)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, origin: str, *, create: bool) -> None:
        if not create:
            self._connection.execute("PRAGMA query_only = ON")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript("BEGIN IMMEDIATE;" + _SQLITE_SCHEMA)
        self._connection.execute(
            "INSERT INTO log_head (one, format, origin, size, peaks) VALUES (1, ?, ?, 0, x'') ON CONFLICT DO NOTHING",
            (FORMAT, origin),
        )
        self._connection.execute("COMMIT")

    def head(self) -> Head:
        """See Store."""
        with _sqlite_errors():
            return _head(self._connection.execute(_HEAD).fetchone())

    def bounds(self) -> tuple[Head, int, int, int]:
        """See Store."""
        with _sqlite_errors():
            row = self._connection.execute(_BOUNDS).fetchone()
        return _head(row), row[4], row[5], row[6]

    def append(
        self, prepare: Callable[[Head], tuple[Sequence[tuple[bytes, bytes]], bytes]], within: Within | None = None
    ) -> Head:
        """See Store."""
        with _sqlite_errors():
            self._connection.execute("BEGIN IMMEDIATE")  # takes the write lock before the head is read
            try:
                old = self.head()
                pairs, peaks = prepare(old)
                self._connection.executemany(
                    "INSERT INTO log_entry (idx, entry, envelope) VALUES (?, ?, ?)",
                    ((index, *pair) for index, pair in enumerate(pairs, old.size)),
                )
                new = Head(old.origin, old.size + len(pairs), peaks)
                self._connection.execute("UPDATE log_head SET size = ?, peaks = ? WHERE one = 1", (new.size, new.peaks))
                if within is not None:
                    within(_SqliteTransaction(self._connection))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return new

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """See Store."""
        for index, entry, envelope in self._chunks("idx, entry, envelope", start, stop):
            yield Row(index, entry, envelope)

    def entries(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """See Store."""
        yield from self._chunks("idx, entry", start, stop)

    def _chunks(self, columns: LiteralString, start: int, stop: int) -> Iterator[Any]:
        sql = f"SELECT {columns} FROM log_entry WHERE idx >= ? AND idx < ? ORDER BY idx LIMIT 500"  # noqa: S608 -- literals
        while True:
            with _sqlite_errors():
                rows = self._connection.execute(sql, (start, stop)).fetchall()
            yield from rows
            if len(rows) < _CHUNK_ROWS:
                return
            start = rows[-1][0] + 1

    def close(self) -> None:
        """See Store."""
        self._connection.close()


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise EvidenceError(
            f"the log refused the records: one is in it already, or its rows are damaged ({error})"
        ) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LogBusyError(f"the log was locked for {BUSY_TIMEOUT_S} s; nothing was written, try again") from error
        raise EvidenceError(f"the log's database failed: {error}") from error
    except sqlite3.DatabaseError as error:
        raise EvidenceError(f"the log's database is damaged: {error}") from error


class PostgresStore:
    """The log in a PostgreSQL database."""

    def __init__(self, url: str, *, origin: str, create: bool) -> None:
        with _postgres_errors():
            self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                url, autocommit=True, connect_timeout=15, application_name="guardian-evidence"
            )
            try:
                self._prepare(origin, create=create)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, origin: str, *, create: bool) -> None:
        self._connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # FOR UPDATE must see the newest head
        execute = self._connection.execute
        execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
        if not create:
            execute("SET default_transaction_read_only = on")
            return
        row = execute("SHOW synchronous_commit").fetchone()
        if row is None or row[0] == "off":
            execute("SET synchronous_commit = on")  # an acknowledged record must survive the server's crash
        with self._connection.transaction():
            execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))  # CREATE IF NOT EXISTS alone may race
            if execute("SELECT to_regclass('log_head')").fetchone() == (None,):
                execute(_POSTGRES_SCHEMA)
            execute(
                "INSERT INTO log_head (one, format, origin, size, peaks) VALUES (1, %s, %s, 0, '')"
                " ON CONFLICT DO NOTHING",
                (FORMAT, origin),
            )

    def head(self) -> Head:
        """See Store."""
        with _postgres_errors():
            return _head(self._connection.execute(_HEAD).fetchone())

    def bounds(self) -> tuple[Head, int, int, int]:
        """See Store."""
        with _postgres_errors():
            row = self._connection.execute(_BOUNDS).fetchone()
        head = _head(row)
        rows, low, high = row[4:7] if row else (0, 0, -1)
        return head, rows, low, high

    def append(
        self, prepare: Callable[[Head], tuple[Sequence[tuple[bytes, bytes]], bytes]], within: Within | None = None
    ) -> Head:
        """See Store."""
        with _postgres_errors(), self._connection.transaction():
            old = _head(self._connection.execute(_HEAD + " FOR UPDATE").fetchone())
            pairs, peaks = prepare(old)
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO log_entry (idx, entry, envelope) VALUES (%s, %s, %s)",
                    [(index, *pair) for index, pair in enumerate(pairs, old.size)],
                )
            new = Head(old.origin, old.size + len(pairs), peaks)
            self._connection.execute("UPDATE log_head SET size = %s, peaks = %s WHERE one = 1", (new.size, new.peaks))
            if within is not None:
                within(_PostgresTransaction(self._connection))
        return new

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """See Store."""
        for index, entry, envelope in self._chunks("idx, entry, envelope", start, stop):
            yield Row(index, bytes(entry), bytes(envelope))

    def entries(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """See Store."""
        for index, entry in self._chunks("idx, entry", start, stop):
            yield index, bytes(entry)

    def _chunks(self, columns: LiteralString, start: int, stop: int) -> Iterator[Any]:
        sql = f"SELECT {columns} FROM log_entry WHERE idx >= %s AND idx < %s ORDER BY idx LIMIT 500"  # noqa: S608 -- literals
        while True:
            with _postgres_errors():
                rows = self._connection.execute(sql, (start, stop), binary=True).fetchall()
            yield from rows
            if len(rows) < _CHUNK_ROWS:
                return
            start = rows[-1][0] + 1

    def close(self) -> None:
        """See Store."""
        self._connection.close()


@contextmanager
def _postgres_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise EvidenceError("the log refused the records: one is in it already, or its rows are damaged") from error
    except psycopg.errors.LockNotAvailable as error:
        raise LogBusyError(f"the log was locked for {BUSY_TIMEOUT_S} s; nothing was written, try again") from error
    except psycopg.errors.UndefinedTable as error:
        raise EvidenceError(
            "the database holds no evidence log: correct `storage:`, or restore the log from its backup"
        ) from error
    except psycopg.Error as error:
        raise EvidenceError(f"the log's database failed: {error}") from error
