"""Keep the index of records: verified, added, compared, mended, made anew.

Invariant: only what a verified record says is written. The index follows the log up to its signed checkpoint; one
writer at a time, and what two found out at once is written once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import structlog

from evidence.entry import open_record
from evidence.errors import EvidenceError
from guardian.store import index
from guardian.store.database import Database
from guardian.store.index import Counted, Indexed
from guardian.usecases.ledger import Ledger, database_url
from guardian.usecases.proven import Proven, proven, stored
from guardian.usecases.reading_judged import verdicts_of
from guardian.usecases.reading_rows import record_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from evidence.log import Log
    from evidence.statement import Statement
    from evidence.store import Row
    from guardian.settings import Settings

log_events = structlog.get_logger()

BATCH: Final = 500  # records verified between two writes
MOST_AT_ONCE: Final = 2_000  # records that one call of `follow` verifies
_NUL: Final = "\0"  # which PostgreSQL keeps in no text


def rows_of(log: Log, row: Row, record: Statement) -> tuple[Indexed, list[Counted]]:
    """Return what the index must say of one record; a scan's attachments are read."""
    counted: dict[tuple[str, str, str], int] = {}
    for (control, verdict, service), count in verdicts_of(log, row.index, record.kind, record.predicate).items():
        key = (plain(control), plain(verdict), plain(service))
        counted[key] = counted.get(key, 0) + count
    return indexed_of(row, record), [Counted(row.index, *key, count) for key, count in sorted(counted.items())]


def indexed_of(row: Row, record: Statement) -> Indexed:
    """Return the row of `index_record` of one record."""
    said = record_row(row.index, record.kind, record.value)
    return Indexed(
        row.index,
        record.record_id,
        record.kind,
        plain(said["subject"]),
        _plain(said["asset"]),
        _plain(said["service"]),
        plain(said["result"]),
        _plain(said["assurance"]),
        plain(said["time"]),
        _plain(said["slot"]),
        hashlib.sha256(row.envelope).hexdigest(),
    )


def plain(text: str) -> str:
    """Return the text as every database can keep it."""
    return text.replace(_NUL, "\N{REPLACEMENT CHARACTER}")


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)


def follow(log: Log, known: Proven, database: Database, *, most: int = MOST_AT_ONCE) -> int:
    """Add the records that the index lacks, at most `most` of them; return up to which size of the log it reaches.

    Once a process, rows that are missing in between are added too, and rows beyond the log are deleted.
    """
    if not known.migrated:
        with known.lock:
            database.migrate()
            known.migrated = True
    with database.reading() as session:
        reach = index.reach(session)
    if (reach == known.size and known.whole) or not known.indexing.acquire(blocking=False):
        return min(reach, known.size)  # nothing to do, or another thread does it
    try:
        return _follow(log, known, database, reach, most)
    finally:
        known.indexing.release()


def _follow(log: Log, known: Proven, database: Database, reach: int, most: int) -> int:
    if reach > known.size:
        reach = _cut(log, known, database)
    if not known.whole:
        with database.reading() as session:
            missing = index.absent(session, most)
        _add(log, known, database, missing)
        known.whole = len(missing) < most
        most -= len(missing)
    until = min(known.size, reach + most)
    _add(log, known, database, range(reach, until))
    return max(reach, until)


def _cut(log: Log, known: Proven, database: Database) -> int:
    """Delete rows beyond the log. Another process may have followed a newer checkpoint than this one: ask the log."""
    with database.writing() as session:
        index.take_turn(database, session)
        if gone := index.cut(session, max(log.size, known.size)):
            log_events.warning("index_rows_of_no_record", rows=gone)
        return min(index.reach(session), known.size)


def _add(log: Log, known: Proven, database: Database, indexes: Sequence[int]) -> None:
    for at in range(0, len(indexes), BATCH):
        part = [one for one in indexes[at : at + BATCH] if one < known.size]
        found = [rows_of(log, row, known.verified(row)) for row in stored(log, part)]
        write(database, found)


def write(database: Database, found: Iterable[tuple[Indexed, list[Counted]]]) -> None:
    """Write what the index must say of these records."""
    pairs = list(found)
    with database.writing() as session:
        index.take_turn(database, session)
        index.put(session, [record for record, _ in pairs], [one for _, counted in pairs for one in counted])


def reindex(settings: Settings, *, progress: Callable[[int, int], None]) -> int:
    """Make the index anew from the log, every record verified; return how many. Needs no key.

    progress: called with (records done, all). Readers see the part that is done.
    """
    with Ledger(settings, writable=False) as ledger, Database(settings) as database:
        known = proven(database_url(settings), ledger.root)
        known.grow(ledger.log)
        database.migrate()
        with database.writing() as session:
            index.take_turn(database, session)
            index.cut(session, 0)
        for start in range(0, known.size, BATCH):
            progress(start, known.size)
            _add(ledger.log, known, database, range(start, min(known.size, start + BATCH)))
        progress(known.size, known.size)
        return known.size


def differences(settings: Settings, log: Log, *, most: int) -> Iterator[str]:
    """Yield how the index differs from the records of a log that was verified, at most `most` times.

    An index that lacks the newest records only is behind, which is no difference.
    """
    with Database(settings) as database:
        if not index.is_there(database):
            return
        with database.reading() as session:
            reach = index.reach(session)
        size = log.size
        found = 0
        for start in range(0, max(reach, size), BATCH):
            for problem in _differing(log, database, start, min(start + BATCH, max(reach, size)), min(reach, size)):
                yield problem
                found += 1
                if found == most:
                    return


def _differing(log: Log, database: Database, start: int, stop: int, reach: int) -> Iterator[str]:
    with database.reading() as session:
        records, verdicts = index.rows(session, start, stop)
    logged = {row.index: row for row in log.rows(start, stop)}
    for at in sorted(records.keys() | verdicts.keys() | {one for one in logged if one < reach}):
        row = logged.get(at)
        if row is None:
            yield f"row {at} is of no record; `guardian evidence reindex` removes it"
            continue
        if at not in records:
            yield f"row {at} is missing; `guardian evidence reindex` adds it"
            continue
        try:
            _, record = open_record(row.entry, row.envelope)
        except EvidenceError:
            continue  # told already, as a problem of the record
        expected, counted = rows_of(log, row, record)
        differing = difference(records[at], expected) or _differing_verdicts(verdicts.get(at, []), counted)
        if differing:
            yield f"row {at} differs from its record: {differing}; `guardian evidence reindex` mends it"


def difference(found: Indexed, expected: Indexed) -> str | None:
    """Return what an index row says otherwise than its record, None if nothing."""
    pairs: Mapping[str, tuple[Any, Any]] = {
        name: (getattr(found, name), getattr(expected, name)) for name in Indexed._fields
    }
    return next((f"{name} is {a!r}, the record says {b!r}" for name, (a, b) in pairs.items() if a != b), None)


def _differing_verdicts(found: Sequence[Counted], expected: Sequence[Counted]) -> str | None:
    if sorted(found) == sorted(expected):
        return None
    odd = min(set(found) ^ set(expected))
    where = "only the index" if odd in set(found) else "only the record"
    return f"{where} counts {odd.times} {odd.verdict} of {odd.control} on service {odd.service!r}"
