"""Packs asked for over the API: noted by the process that answers, written by the one that holds the keys.

Invariants: a pack holds what its token may read, as that token is when the pack is written, and no more. It is one
whole file of mode 0600 or none. A pack is written where it was asked for: its marker lies in this machine's folder, so
that daemons which share a database do not write each other's. What was being written when a process died has failed,
and says so. After `KEPT_S` it is gone. I/O: the database, the folder of packs, the evidence log.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from evidence import keyring
from evidence.durable import make_private_folder, sync_folder
from evidence.errors import EvidenceError
from evidence.pack import write_pack
from evidence.statement import new_record_id
from guardian.errors import GuardianError
from guardian.model import rfc3339
from guardian.settings import Secret
from guardian.store import packs as rows
from guardian.store import tokens as token_rows
from guardian.store.database import Database
from guardian.store.packs import DONE, FAILED, QUEUED, RUNNING
from guardian.store.tables import PackRow
from guardian.usecases import export, tokens
from guardian.usecases.coverage import population
from guardian.usecases.ledger import Ledger
from guardian.usecases.reading import Scope
from guardian.usecases.reading_rows import record_row

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.settings import Settings

KEPT_S: Final = 24 * 3600
PENDING_OF_ONE: Final = 3
KEPT_OF_ONE: Final = 10
KEPT_OF_ALL: Final = 100
_TOLD_S: Final = 0.5  # how often progress is written down
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log_events = structlog.get_logger()


class TooManyPacksError(GuardianError):
    """A token has as many packs as it may have; `retry_s`: when to ask again."""

    def __init__(self, message: str, retry_s: int) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class _StoppedError(GuardianError):
    """The process is asked to end."""


def folder(settings: Settings) -> Path:
    """Return where packs lie: beside the database, or beside the objects where the database is a server."""
    database = settings.storage.database
    return (settings.storage.objects if isinstance(database, Secret) else database).parent / "packs"


class Requests:
    """Packs as those who ask for them see them. Safe between threads; needs no key."""

    def __init__(self, settings: Settings) -> None:
        self._database, self._folder = Database(settings), folder(settings)

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def add(self, token_id: str) -> dict[str, Any]:
        """Ask for a pack of all that a token may read, and return it as `get` does. Raises TooManyPacksError."""
        row = PackRow(id=new_record_id(), requested_by=token_id, requested_at=rfc3339(datetime.now(UTC)), state=QUEUED)
        make_private_folder(self._folder)
        with self._database.writing() as session:
            if rows.counted(session, (QUEUED, RUNNING), token_id) >= PENDING_OF_ONE:
                raise TooManyPacksError(f"{PENDING_OF_ONE} packs of this token are still to be written", 30)
            kept = rows.counted(session, (QUEUED, RUNNING, DONE), token_id)
            if kept >= KEPT_OF_ONE or rows.counted(session, (QUEUED, RUNNING, DONE)) >= KEPT_OF_ALL:
                raise TooManyPacksError("too many packs are kept; each goes a day after it was written", 3600)
            session.add(row)
            handle = os.open(_marker(self._folder, row.id), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(handle)
            sync_folder(self._folder)
            return _shown(row)

    def get(self, pack_id: str, token_id: str) -> dict[str, Any] | None:
        """Return a pack that this token asked for, None if it did not.

        `{id, state: queued | running | done | failed, requestedAt, done, total, records, sizeBytes, sha256, finishedAt,
        expiresAt, problem}`; done, total: members written, and how many there are.
        """
        row = self._row(pack_id, token_id)
        return None if row is None else _shown(row)

    def file(self, pack_id: str, token_id: str) -> tuple[Path, str] | None:
        """Return where the file of a finished pack of this token lies, and its hex SHA-256; None if there is none."""
        row = self._row(pack_id, token_id)
        if row is None or row.state != DONE or row.sha256 is None:
            return None
        path = _file(self._folder, row.id)
        return (path, row.sha256) if path.is_file() else None

    def _row(self, pack_id: str, token_id: str) -> PackRow | None:
        if not _ID.fullmatch(pack_id):
            return None
        with self._database.reading() as session:
            row = rows.by_id(session, pack_id)
        if row is None or row.requested_by != token_id:
            return None
        return None if row.expires_at is not None and row.expires_at <= rfc3339(datetime.now(UTC)) else row


def write_waiting(settings: Settings, stop: threading.Event, *, pause_s: float = 0.5) -> None:
    """Write the packs asked for on this machine until `stop` is set. One that is under way then is written later.

    Another process of this machine that does so goes first; this one waits until it ends.
    """
    place = folder(settings)
    make_private_folder(place)
    with Database(settings) as database:
        while not stop.is_set():
            with _sole(place) as alone:
                if alone:
                    _fail_interrupted(database, place)
                while alone and not stop.is_set():
                    try:
                        _remove_over(database, place)
                        _write_next(settings, database, place, stop)
                    except (GuardianError, EvidenceError, OSError) as error:
                        log_events.warning("packs_not_written", reason=str(error))
                        stop.wait(5.0)
                    stop.wait(pause_s)
            stop.wait(5.0)


@contextlib.contextmanager
def _sole(place: Path) -> Iterator[bool]:
    handle = os.open(place / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _write_next(settings: Settings, database: Database, place: Path, stop: threading.Event) -> None:
    with database.writing() as session:
        row = next((one for one in rows.in_state(session, QUEUED) if _marker(place, one.id).exists()), None)
        if row is None:
            return
        row.state, row.done, row.total = RUNNING, 0, 0
        session.add(row)
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if stop.is_set():
            raise _StoppedError("stopped")
        if time.monotonic() - last >= _TOLD_S or done == total:
            last = time.monotonic()
            _change(database, row.id, done=done, total=total)

    path = _file(place, row.id)
    try:
        records = _write(settings, database, row, path, progress)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except _StoppedError:
        _change(database, row.id, state=QUEUED, done=0, total=0)
        return
    except (GuardianError, EvidenceError, OSError) as error:
        log_events.warning("pack_failed", pack=row.id, reason=str(error))
        path.unlink(missing_ok=True)
        _finish(database, place, row.id, state=FAILED, problem=f"it could not be written: {error}")
        return
    size = path.stat().st_size
    _finish(database, place, row.id, state=DONE, records=records, size_bytes=size, sha256=digest)
    log_events.info("pack_written", pack=row.id, records=records, size_bytes=size)


def _write(
    settings: Settings, database: Database, row: PackRow, path: Path, progress: Callable[[int, int], None]
) -> int:
    """Write the pack and return how many records are in it."""
    with database.reading() as session:
        token = token_rows.by_id(session, row.requested_by)
    if token is None or token.revoked_at is not None or token.expires_at <= rfc3339(database.now()):
        raise GuardianError("the token that asked for it has ended")
    holder = tokens.holder_of_row(token)
    scope = Scope(services=holder.services, since=holder.since, until=holder.until)
    if scope == Scope():
        return export.export(settings, path, replace=True, progress=progress).records
    with Ledger(settings, writable=False) as ledger:
        records = ledger.records()  # and not the index, which may be behind, or edited
        document = population(
            records,
            environment=settings.environment,
            since=_moment(scope.since),
            until=_moment(scope.until),
            as_of=datetime.now(UTC),
            lease_s=settings.daemon.lease_s,
            services=scope.services,
        )
        chosen = [one.index for one in records if scope.allows(record_row(one.index, one.kind, one.statement))]
        written = write_pack(
            path,
            ledger.log,
            record_key=keyring.load_key(settings.keys.record.path),
            views={},  # the report is of everything
            coverage=orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2),
            records=chosen,
            progress=progress,
        )
    return written.records


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _change(database: Database, pack_id: str, **values: object) -> None:
    with database.writing() as session:
        row = rows.by_id(session, pack_id)
        if row is not None:
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)


def _finish(database: Database, place: Path, pack_id: str, **values: object) -> None:
    now = database.now()
    ends = rfc3339(now + timedelta(seconds=KEPT_S))
    _change(database, pack_id, **values, finished_at=rfc3339(now), expires_at=ends)
    _marker(place, pack_id).unlink(missing_ok=True)


def _fail_interrupted(database: Database, place: Path) -> None:
    """Close what a process that died was writing; nobody else writes here now."""
    for leftover in place.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    with database.reading() as session:
        running = [row.id for row in rows.in_state(session, RUNNING) if _marker(place, row.id).exists()]
    for pack_id in running:
        _file(place, pack_id).unlink(missing_ok=True)
        problem = "it was interrupted: the process that wrote it ended; ask for it again"
        _finish(database, place, pack_id, state=FAILED, problem=problem)


def _remove_over(database: Database, place: Path) -> None:
    """Remove packs whose time is over, and files that no row knows any more."""
    with database.reading() as session:
        over = [row.id for row in rows.over(session, rfc3339(database.now()))]
    for pack_id in over:
        _file(place, pack_id).unlink(missing_ok=True)
        with database.writing() as session:
            row = rows.by_id(session, pack_id)
            if row is not None:
                session.delete(row)


def _file(place: Path, pack_id: str) -> Path:
    return place / f"{pack_id}.zip"


def _marker(place: Path, pack_id: str) -> Path:
    return place / f"{pack_id}.asked"


def _shown(row: PackRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.state,
        "requestedAt": row.requested_at,
        "done": row.done,
        "total": row.total,
        "records": row.records,
        "sizeBytes": row.size_bytes,
        "sha256": row.sha256,
        "finishedAt": row.finished_at,
        "expiresAt": row.expires_at,
        "problem": row.problem,
    }
