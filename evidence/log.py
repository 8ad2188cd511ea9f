"""The evidence log: append records, prove them, remember the signed head.

Invariant: what `append` returned is committed, covered by a signed checkpoint, and that checkpoint lies outside the
database. A log that is smaller than the remembered checkpoint, or differs from it, cannot be opened. One Log belongs to
one thread; many processes may each open the same log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evidence import checkpoint, dsse, merkle, statement
from evidence.entry import entry_of, parse_entry
from evidence.errors import EvidenceError, InvalidEvidenceError, LogRolledBackError
from evidence.objects import Attachment, Objects
from evidence.remembered import Remembered
from evidence.store import Head, Row, Store, open_store
from evidence.strict import b64encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from evidence.keys import PrivateKey
    from evidence.store import Within

__all__ = ["Appended", "Attachment", "Log"]


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record went."""

    index: int
    record_id: str


class Log:
    """An open log. Use `Log.open`, and as a context manager."""

    def __init__(
        self, store: Store, objects: Objects, remembered: Remembered, origin: str, key: PrivateKey | None
    ) -> None:
        self.origin = origin
        self.environment = checkpoint.environment_of(origin)
        self._store, self._objects, self._remembered, self._key = store, objects, remembered, key
        self._tree = merkle.Tree()
        self._seen = merkle.CompactRange()

    @classmethod
    def open(
        cls, database: str | Path, objects: Path, *, origin: str, log_key: PrivateKey | None, create: bool = True
    ) -> Log:
        """Open the log `origin`.

        database: path of a SQLite file (made, with its folders, when missing), or a postgresql:// URL. objects: folder
        of the attachments; the remembered checkpoint is the file `checkpoint` beside it. log_key: signs checkpoints;
        None opens for reading only. create: False refuses a log that does not exist or has no record: one that was
        made before is never silently begun anew. Raises LogRolledBackError if the log is smaller than, or differs from,
        the remembered checkpoint, EvidenceError if it cannot be opened.
        """
        checkpoint.environment_of(origin)
        if not create:
            _refuse_empty(database, origin)
        store = open_store(database, origin=origin, create=log_key is not None)
        try:
            log = cls(store, Objects(Path(objects)), Remembered(Path(objects).parent / "checkpoint"), origin, log_key)
            log._check_remembered()
        except BaseException:
            store.close()
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._store.close()

    @property
    def size(self) -> int:
        """Number of committed records."""
        return self._store.head().size

    def append(self, envelopes: Sequence[bytes], *, within: Within | None = None) -> list[Appended]:
        """Append the records in one commit, then sign and remember the checkpoint.

        within: changes other tables of the same database in that very commit; what it raises leaves nothing written.
        Raises InvalidEvidenceError if one is not a record of this environment (nothing is written then),
        LogRolledBackError if the database went back since it was last seen, LogBusyError if it was locked too long.
        """
        if self._key is None:
            raise EvidenceError("the log was opened for reading only: the log key is needed to append")
        if not envelopes:
            return []
        records = [self._parse(envelope) for envelope in envelopes]
        pairs = [(entry_of(one, record), one) for one, record in zip(envelopes, records, strict=True)]
        after = self._seen

        def prepare(head: Head) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
            nonlocal after
            before = self._range_of(head)
            if head.size == 0 and records[0].kind != statement.KEY_EVENT:
                raise EvidenceError("the first record of a log must be its keyring (a key-event)")
            after = before.append([merkle.leaf_hash(entry) for entry, _ in pairs])
            return pairs, after.to_bytes()

        self._store.append(prepare, within)
        self._sign(after)
        start = after.size - len(pairs)
        return [Appended(start + at, record.record_id) for at, record in enumerate(records)]

    def head(self) -> merkle.CompactRange:
        """Return the committed head. Raises InvalidEvidenceError if it is damaged."""
        return self._range_of(self._store.head())

    def bounds(self) -> tuple[merkle.CompactRange, int, int, int]:
        """Return head, number of rows, lowest and highest index (0 and -1 when empty), all at one moment."""
        head, rows, low, high = self._store.bounds()
        return self._range_of(head), rows, low, high

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield the stored rows with start <= index < stop in order, unverified. stop: None for all committed."""
        return self._store.rows(start, self.size if stop is None else stop)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the entries start..stop-1 as stored. Raises InvalidEvidenceError naming the first that is missing."""
        expected = start
        last = self.size if stop is None else stop
        for index, entry in self._store.entries(start, last):
            if index != expected:
                break
            expected += 1
            yield entry
        if expected < last:
            raise InvalidEvidenceError(f"record {expected} is missing from the log")

    def envelope(self, index: int) -> bytes:
        """Return the exact envelope of record `index`. Raises InvalidEvidenceError if it is missing."""
        for row in self._store.rows(index, index + 1):
            return row.envelope
        raise InvalidEvidenceError(f"record {index} is missing from the log")

    def checkpoint(self) -> bytes | None:
        """Return the highest checkpoint signed, None while the log is empty."""
        note = self._remembered.read()
        return None if note is None or checkpoint.parse(note).size == 0 else note

    def beacon(self) -> dict[str, Any] | None:
        """Return {origin, size, root} of the last checkpoint for a run that begins now; None before the first."""
        note = self.checkpoint()
        if note is None:
            return None
        parsed = checkpoint.parse(note)
        return {"origin": parsed.origin, "size": parsed.size, "root": b64encode(parsed.root)}

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` records, from their entries."""
        self._grow(size)
        return self._tree.root(size)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of record `index` in the log of `size` records, bottom first."""
        self._grow(size)
        return self._tree.inclusion_path(index, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the log of `new` records continues the one of `old`."""
        self._grow(new)
        return self._tree.consistency_path(old, new)

    def put_object(self, content: bytes) -> Attachment:
        """Store an attachment durably, salted; do so before the record that names it is appended."""
        return self._objects.put(content)

    def get_object(self, digest: str) -> bytes:
        """Return an attachment's content, verified, without its salt."""
        return self._objects.get(digest)

    def get_salted_object(self, digest: str) -> bytes:
        """Return an attachment as stored, salt first, verified."""
        return self._objects.get_salted(digest)

    def key_events(self) -> list[tuple[int, bytes]]:
        """Return (index, envelope) of every key-event, oldest first, unverified."""
        found = []
        for index, entry in self._store.entries(0, self.size):
            if parse_entry(entry).kind == statement.KEY_EVENT:
                found.append((index, self.envelope(index)))
        return found

    def _parse(self, envelope: bytes) -> statement.Statement:
        record = statement.parse_statement(dsse.open_envelope(envelope).payload)
        statement.refuse_foreign(record, self.environment)
        return record

    def _range_of(self, head: Head) -> merkle.CompactRange:
        """Return the head as a compact range, and refuse one behind what this process has seen."""
        current = merkle.CompactRange.from_bytes(head.size, head.peaks)
        seen = self._seen
        if current.size < seen.size or (current.size == seen.size and current.peaks != seen.peaks):
            raise LogRolledBackError(
                f"the log {self.origin} had {seen.size} records a moment ago and is another now, of {current.size}:"
                " an old or foreign database was put in its place; nothing was written"
            )
        return current

    def _sign(self, head: merkle.CompactRange) -> None:
        self._seen = head
        if self._key is not None:
            self._remembered.raise_to(checkpoint.sign(self.origin, head.size, head.root(), self._key))

    def _check_remembered(self) -> None:
        """Hold the committed head against the remembered checkpoint, then sign what a crash left unsigned."""
        where = self._remembered.path
        note = self._remembered.read()  # before the head: another process may append between the two
        head = self.head()
        if note is None:
            if head.size:
                raise LogRolledBackError(
                    f"the log {self.origin} has {head.size} records, but its remembered checkpoint {where} is gone, so"
                    " whether records are missing cannot be checked: put it back, for instance from the newest pack"
                )
        else:
            known = checkpoint.parse(note)
            if known.origin != self.origin:
                raise LogRolledBackError(f"the checkpoint {where} is of the log {known.origin}, not {self.origin}")
            if head.size < known.size:
                raise LogRolledBackError(
                    f"the log {self.origin} has {head.size} records, but {where} proves that it had {known.size}:"
                    " an old database was restored or its tail was cut; restore the newest database"
                )
            root = head.root() if head.size == known.size else self.root(known.size)
            if root != known.root:
                raise LogRolledBackError(
                    f"the first {known.size} records of the log {self.origin} are not those that {where} signs:"
                    " the log was replaced, reordered or edited"
                )
        self._sign(head)

    def _grow(self, size: int) -> None:
        """Read entries into the tree until it has `size` leaves."""
        for entry in self._store_entries(self._tree.size, size):
            self._tree.append(merkle.leaf_hash(entry))

    def _store_entries(self, start: int, stop: int) -> Iterator[bytes]:
        return self.entries(start, stop) if start < stop else iter(())


def _refuse_empty(database: str | Path, origin: str) -> None:
    store = open_store(database, origin=origin, create=False)
    try:
        size = store.head().size
    finally:
        store.close()
    if size == 0:
        raise EvidenceError(
            f"the log {origin} has no record, not even the keyring it began with: it was erased; restore its database"
        )
