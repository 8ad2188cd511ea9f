"""Find records by the index and read them from the log, verified.

Invariant: what is returned was made of the record in the log, verified against the signed checkpoint, never of the
index. An index row that says otherwise than its record is mended and the search begun anew, so that a search never
returns what its own records deny.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import structlog

from evidence.entry import parse_entry
from evidence.errors import InvalidEvidenceError
from evidence.statement import KEY_EVENT
from guardian.errors import GuardianError
from guardian.store import index
from guardian.store.database import Database
from guardian.usecases.indexing import difference, follow, indexed_of, plain, rows_of, write
from guardian.usecases.ledger import Ledger, database_url
from guardian.usecases.proven import proven, stored
from guardian.usecases.reading_rows import record_row, verdict_counts
from guardian.usecases.reading_scope import Filter, Page, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evidence.keyring import Keyring
    from evidence.statement import Statement
    from evidence.store import Row
    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings
    from guardian.store.index import Indexed

log_events = structlog.get_logger()
_Made = TypeVar("_Made")

_MOST_MENDINGS: Final = 50
_RECORD_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


class _Known(NamedTuple):
    """What is kept of a verified record. judged: (control, verdict) pairs that it counts."""

    row: dict[str, Any]
    indexed: Indexed
    judged: frozenset[tuple[str, str]]


class Finder:
    """Log and index of one environment, open for reading. Belongs to one thread."""

    def __init__(self, settings: Settings) -> None:
        """Open both. Raises UsageError where the environment was never initialised, EvidenceError for a broken log."""
        self._ledger = Ledger(settings, writable=False)
        self.log = self._ledger.log
        try:
            self._known = proven(database_url(settings), self._ledger.root)
            self._database = Database(settings)
        except BaseException:
            self.log.close()
            raise
        self._reach = 0
        self._size: int = 0
        self._note: bytes | None = None

    def close(self) -> None:
        """Release the database."""
        self._database.close()
        self.log.close()

    @property
    def size(self) -> int:
        """Number of records that the newest checkpoint signs, as of the last `refresh`."""
        return self._size

    @property
    def behind(self) -> int:
        """Number of the newest records that cannot be found by what they say yet."""
        return max(0, self.size - self._reach)

    def refresh(self) -> None:
        """Follow the log to its newest checkpoint, and let the index follow. Each call does bounded work."""
        self._size, self._note = self._known.grow(self.log)
        self._reach = follow(self.log, self._known, self._database)

    def page(self, scope: Scope, wanted: Filter, page: Page) -> tuple[list[dict[str, Any]], int | None]:
        """Return the rows of one page, and the cursor of the next."""
        if scope == Scope() and wanted == Filter():
            indexes = self._consecutive(page)
            rows = [known.row for known in self._read(indexes)]
        else:
            rows = self._search(scope, wanted, page)
        shown = [dict(row) for row in rows[: page.limit]]
        return shown, shown[-1]["index"] if len(rows) > page.limit else None

    def newest(self, scope: Scope, wanted: Filter) -> dict[str, Any] | None:
        """Return the row of the newest record, None if there is none."""
        rows, _ = self.page(scope, wanted, Page(1, None, newest_first=True))
        return rows[0] if rows else None

    def place_of(self, wanted: str) -> int | None:
        """Return the log index of a record named by its index or its id, None if there is none."""
        if _INDEX.fullmatch(wanted):
            return int(wanted) if int(wanted) < self.size else None
        if not _RECORD_ID.fullmatch(wanted):
            return None
        for _ in range(_MOST_MENDINGS):
            with self._database.reading() as session:
                at = index.find_id(session, wanted)
            if at is None or at >= self.size:
                return self._place_in_tail(wanted)
            [known] = self._read([at])
            if known.row["recordId"] == wanted:
                return at
            self._mend([at])
        raise self._unmendable(wanted)

    def row_at(self, at: int) -> dict[str, Any]:
        """Return the row of the record at a log index."""
        [known] = self._read([at])
        return dict(known.row)

    def record_at(self, at: int) -> tuple[Row, Statement]:
        """Return the record at a log index as it lies in the log, verified now."""
        for row in stored(self.log, [at]):
            return row, self._known.verified(row)
        raise InvalidEvidenceError(f"record {at} is missing from the log")

    def slot_records(self) -> list[VerifiedRecord]:
        """Return what coverage needs of every record; the first time, each record of the log is verified for it."""
        return self._known.slot_records.follow(self.log, self._known)

    def kept(self, what: str, at: int, make: Callable[[], _Made]) -> _Made:
        """Return what this process made of a record before, or make it."""
        made = self._known.recall(what, at)
        if made is None:
            made = make()
            self._known.keep(what, at, made)
        return cast("_Made", made)

    def proof(self, at: int) -> list[bytes]:
        """Return the audit path of a record in the log of `size` records."""
        return self._known.inclusion_proof(at, self.size)

    @property
    def note(self) -> bytes | None:
        """The checkpoint that signs the log of `size` records."""
        return self._note

    def keyring_at(self, at: int) -> Keyring:
        """Return the keyring by which a record was signed."""
        return self._known.keyring_at(at)

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """See `evidence.tiles.Source`."""
        return self._known.hashes(level, start, stop)

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """See `evidence.tiles.Source`."""
        return self.log.entries(start, stop)

    def _consecutive(self, page: Page) -> list[int]:
        count = page.limit + 1
        if page.newest_first:
            last = self.size if page.cursor is None else min(page.cursor, self.size)
            return list(range(last - 1, max(-1, last - 1 - count), -1))
        first = 0 if page.cursor is None else page.cursor + 1
        return list(range(first, min(self.size, first + count)))

    def _search(self, scope: Scope, wanted: Filter, page: Page) -> list[dict[str, Any]]:
        query = self._query(scope, wanted, page)
        for _ in range(_MOST_MENDINGS):
            with self._database.reading() as session:
                found = index.find(session, query, page.limit + 1)
            read = list(zip(found, self._read([one.idx for one in found]), strict=True))
            wrong = [one.idx for one, known in read if difference(one, known.indexed) or not _judges(known, wanted)]
            if not wrong:
                return [known.row for _, known in read if scope.allows(known.row) and wanted.accepts(known.row)]
            self._mend(wrong)
        raise self._unmendable(str(wrong[0]))

    def _query(self, scope: Scope, wanted: Filter, page: Page) -> index.Query:
        return index.Query(
            size=self.size,
            services=scope.services,
            open_kind=KEY_EVENT,
            kind=wanted.kind,
            service=wanted.service,
            asset=wanted.asset,
            result=wanted.result,
            control=wanted.control,
            verdict=wanted.verdict if wanted.control is not None else None,
            since=[bound for bound in (scope.from_time, wanted.since) if bound is not None],
            until=[bound for bound in (scope.to_time, wanted.until) if bound is not None],
            above=None if page.newest_first else page.cursor,
            below=page.cursor if page.newest_first else None,
            newest_first=page.newest_first,
        )

    def _read(self, indexes: Sequence[int]) -> list[_Known]:
        """Return the records at these indexes, in this order, each verified by this process."""
        found: dict[int, _Known] = {at: known for at in indexes if (known := self._known.recall("row", at)) is not None}
        lacking = [at for at in indexes if at not in found]
        for row in stored(self.log, lacking):
            record = self._known.verified(row)
            judged = frozenset((c, v) for c, v, _ in verdict_counts(record.kind, record.predicate))
            found[row.index] = _Known(record_row(row.index, record.kind, record.value), indexed_of(row, record), judged)
            self._known.keep("row", row.index, found[row.index])
        for at in lacking:
            if at not in found:
                raise InvalidEvidenceError(f"record {at} is missing from the log")
        return [found[at] for at in indexes]

    def _mend(self, indexes: Sequence[int]) -> None:
        log_events.warning("index_rows_differed", indexes=list(indexes))
        write(self._database, [rows_of(self.log, row, self._known.verified(row)) for row in stored(self.log, indexes)])

    def _unmendable(self, which: str) -> GuardianError:
        return GuardianError(
            f"index: row {which} differs from its record, again and again; run `guardian evidence reindex`"
        )

    def _place_in_tail(self, wanted: str) -> int | None:
        """Look for a record among those that the index lacks still."""
        for at, entry in enumerate(self.log.entries(self._reach, self.size), self._reach):
            if parse_entry(entry).record_id == wanted:
                return at
        return None


def _judges(known: _Known, wanted: Filter) -> bool:
    """Whether a record counts a verdict of the control that was asked for; of which service, the index alone says."""
    if wanted.control is None:
        return True
    return any(
        plain(control) == wanted.control and wanted.verdict in (None, verdict) for control, verdict in known.judged
    )
