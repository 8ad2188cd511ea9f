"""Capture a database's manifest: hashing workers over one shared snapshot, catalogue and identity beside them.

Invariant: every table is hashed or listed in `excluded` with its reason; a table that cannot be read ends the capture.
No row leaves the server: only counts, sums and digests do.
"""

from __future__ import annotations

import hashlib
import hmac
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from verifiers.postgres import catalog
from verifiers.postgres.hashing import COLUMNS, SAMPLE_MASK, Column, Piece, query
from verifiers.postgres.holding import KeptWaitingError, hold, joined
from verifiers.postgres.inventory import Relation, facts, relations
from verifiers.postgres.manifest_shape import ManifestError, PostgresManifest, TableContent
from verifiers.postgres.session import describe, limit_statements
from verifiers.postgres.snapshot import ExportedSnapshot, exported_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SMALL_TABLE_ROWS = 100  # fewer, and the hash could be guessed: then only a keyed one is kept
SPLIT_BLOCKS = 16384  # 128 MiB: bigger tables are hashed in parts, so that all workers end at about the same time
_RECORD_HASH_SINCE = 140000
_LONGEST_S = 24 * 3600.0
_HELPER_LOCK_TIMEOUT_S = 1.0


def capture(
    conninfo: str,
    *,
    snapshot: ExportedSnapshot | None = None,
    key: bytes | None,
    method: str | None = None,
    workers: int = 2,
    deadline_s: float | None = None,
    lock_timeout_s: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
    split_blocks: int = SPLIT_BLOCKS,
) -> PostgresManifest:
    """Capture the manifest of a live or restored database.

    snapshot: the object that `exported_snapshot` yields, still held (not its id alone: sequences are in no snapshot, so
    their values were read with it); None opens one for the time of the capture.
    key: 32 bytes, for small tables and the sample. method: that of the manifest to compare with (None: the best).
    lock_timeout_s: how long to wait for a table that is being altered. progress: called as (bytes hashed, bytes in
    total). Raises ManifestError, also when deadline_s is over or a table was truncated or rewritten since the snapshot.
    """
    ends = time.monotonic() + (deadline_s or _LONGEST_S)
    with ExitStack() as stack:
        if snapshot is None:
            snapshot = stack.enter_context(exported_snapshot(conninfo))
        try:
            session = stack.enter_context(
                joined(conninfo, snapshot, statement_timeout_s=_left(ends), lock_timeout_s=lock_timeout_s)
            )
            best = "record" if session.info.server_version >= _RECORD_HASH_SINCE else "text"
            if method == "record" and best == "text":
                raise ManifestError(
                    "the manifest was taken on PostgreSQL 14 or newer; this server is too old to compare"
                )
            method = method or best
            found = relations(session)
            hold(session, found)
            run = _Run(conninfo, snapshot, key, method, ends, progress or (lambda *_: None), found)
            run.add(session, split_blocks)
            helpers = max(1, workers) - 1
            with ThreadPoolExecutor(helpers + 1, thread_name_prefix="manifest") as pool:
                helping = [pool.submit(run.help) for _ in range(helpers)]
                # This session holds every table and so is never kept waiting: whatever becomes of the helpers, it gets
                # to the end.
                run.work(session)
                for future in helping:
                    future.result()
            own, digests = facts(session), catalog.digests(session)
        except psycopg.Error as error:
            raise ManifestError(f"the database could not be captured: {describe(error)}{_hint(error)}") from error
        except UnicodeDecodeError as error:
            raise ManifestError("the database holds names that are not valid in its own encoding") from error
    contents = run.contents()
    return PostgresManifest(
        method=method,
        key_id=None if key is None else _keyed(key, "key id")[:16],
        taken_at=snapshot.taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        lsn=snapshot.lsn,
        identity=own.identity,
        tables={each.name: contents[each.oid] for each in found if each.hashed and not each.materialized},
        excluded={each.name: each.excluded for each in found if each.excluded},
        materialized_views={each.name: contents.get(each.oid) for each in found if each.materialized},
        sequences=snapshot.sequences,
        large_objects=own.large_objects,
        extensions=own.extensions,
        collations=own.collations,
        roles=own.roles,
        catalog=digests.objects,
        definitions=digests.definitions,
        catalog_version=catalog.VERSION,
    )


@dataclass
class _Run:
    """What the workers share. A failure of one stops all."""

    conninfo: str
    snapshot: ExportedSnapshot
    key: bytes | None
    method: str
    ends: float
    progress: Callable[[int, int], None]
    found: Sequence[Relation]
    names: dict[int, str] = field(default_factory=dict)
    sums: dict[int, list[int]] = field(default_factory=dict)
    total_bytes: int = 0
    done_bytes: int = 0
    stopped: bool = False
    todo: queue.SimpleQueue[tuple[int, int, Piece]] = field(default_factory=queue.SimpleQueue)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, session: psycopg.Connection[Any], split_blocks: int) -> None:
        """Queue the pieces of every relation that is hashed, biggest first."""
        hashed = sorted((each for each in self.found if each.hashed), key=lambda each: -each.size_bytes)
        columns: dict[int, list[Column]] = {each.oid: [] for each in hashed}
        for oid, name, type_oid, deterministic, by_function, *output in session.execute(COLUMNS, (list(columns),)):
            columns[oid].append(Column(name, type_oid, deterministic, by_function, (output[0], output[1])))
        ranges = session.info.server_version >= _RECORD_HASH_SINCE  # ctid ranges are scanned as such since then
        for each in hashed:
            self.names[each.oid], self.sums[each.oid] = each.name, [0, 0, 0]
            self.total_bytes += each.size_bytes
            for piece, size in _pieces(each, columns[each.oid], split_blocks if ranges else None):
                self.todo.put((each.oid, size, piece))

    def help(self) -> None:
        """Work in a session of its own, or not at all where that would have to wait for a table."""
        try:
            session = joined(
                self.conninfo,
                self.snapshot,
                statement_timeout_s=_left(self.ends),
                lock_timeout_s=_HELPER_LOCK_TIMEOUT_S,
            )
        except psycopg.Error:
            return  # no connection to spare: the first session does it alone
        with session:
            try:
                hold(session, self.found)
            except (KeptWaitingError, psycopg.errors.OutOfMemory):
                return  # the lock table of the server may be too small for one more
            self.work(session)

    def work(self, session: psycopg.Connection[Any]) -> None:
        """Hash pieces until none is left."""
        try:
            while not self.stopped:
                try:
                    oid, size, piece = self.todo.get_nowait()
                except queue.Empty:
                    return
                counted = self._hash(session, oid, piece)
                with self.lock:
                    self.sums[oid] = [have + more for have, more in zip(self.sums[oid], counted, strict=True)]
                    self.done_bytes += size
                    self.progress(self.done_bytes, self.total_bytes)
        except BaseException:
            self.stopped = True
            raise

    def _hash(self, session: psycopg.Connection[Any], oid: int, piece: Piece) -> list[int]:
        name = self.names[oid]
        remaining = self.ends - time.monotonic()
        if remaining <= 0:
            raise ManifestError(f"the time for capturing was over before table {name} was hashed")
        try:
            limit_statements(session, remaining)
            residue = None if self.key is None else int(_keyed(self.key, "sample", name), 16) & SAMPLE_MASK
            statement = query(piece, method=self.method, residue=residue)
            return [int(value or 0) for value in session.execute(statement).fetchone() or ()]
        except psycopg.Error as error:
            raise ManifestError(f"table {name} could not be hashed: {describe(error)}{_hint(error)}") from error

    def contents(self) -> Mapping[int, TableContent]:
        """Return what was counted, by the relation's oid."""
        return {oid: self._content(name, *self.sums[oid]) for oid, name in self.names.items()}

    def _content(self, name: str, rows: int, total: int, sample: int) -> TableContent:
        small = rows < SMALL_TABLE_ROWS
        keyed = sampled = None
        if self.key is not None:
            keyed = _keyed(self.key, "table", name, str(rows), str(total)) if small else None
            sampled = _keyed(self.key, "rows", name, str(sample))
        return TableContent(rows, None if small else str(total), keyed, sampled)


def _pieces(each: Relation, columns: list[Column], split_blocks: int | None) -> list[tuple[Piece, int]]:
    """Split a relation into pieces of about split_blocks blocks, each with the bytes it stands for."""
    whole = Piece(each.schema, each.table, columns, each.condition)
    if split_blocks is None or each.condition or each.blocks <= split_blocks:
        return [(whole, each.size_bytes)]
    starts = list(range(0, each.blocks, split_blocks))
    size, rest = divmod(each.size_bytes, len(starts))
    return [
        # The last one is open: blocks added since hold nothing that the snapshot sees, but need not be argued about.
        (
            Piece(each.schema, each.table, columns, None, start, start + split_blocks if start != starts[-1] else None),
            size + (rest if start == 0 else 0),
        )
        for start in starts
    ]


def _left(ends: float) -> float:
    return max(0.001, ends - time.monotonic())


def _keyed(key: bytes, *parts: str) -> str:
    """Return hex HMAC-SHA-256 of parts, none of which holds a NUL."""
    return hmac.new(key, "\0".join(("guardian/manifest/v1", *parts)).encode(), hashlib.sha256).hexdigest()


def _hint(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "; capture as a role that may read every table and is not bound by row-level security, as pg_dump needs"
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "; a table is being altered, try again when that is done"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "; the time for capturing was over"
    return ""
