"""A log held to its signed checkpoint, remembered by this process: every hash, and the keyring in force at each place.

Invariant: hashes are used only up to a size whose root a log key of the log's own keyring signed, so that a record
whose entry hashes to its leaf is the record that was logged there. A log that is smaller than this process has seen it,
or differs, is refused. Growing costs what was appended since; a proof costs its own length.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from evidence import checkpoint, judge, merkle
from evidence.entry import parse_entry
from evidence.errors import EvidenceError, InvalidEvidenceError, LogRolledBackError
from evidence.statement import KEY_EVENT
from guardian.usecases.slot_records import SlotRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evidence.keyring import Keyring, Root
    from evidence.log import Log
    from evidence.statement import Statement
    from evidence.store import Row

_KEY_EVENT_ENTRY: Final = f'"kind":"{KEY_EVENT}"'.encode()
MAX_KEPT: Final = 20_000


class Proven:
    """What this process knows of one log. Safe to share between threads; each brings its own open Log.

    indexing: held by the thread that adds to the index; migrated, whole: whether its tables were made, and whether it
    was seen to have no gap.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.head: tuple[int, bytes | None] = (0, None)
        self.lock = threading.RLock()
        self.indexing = threading.Lock()
        self.slot_records = SlotRecords()
        self.migrated = False
        self.whole = False
        self._tree = merkle.Tree()
        self._starts: list[int] = []
        self._rings: list[Keyring] = []
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()

    @property
    def size(self) -> int:
        """Number of records that are proved."""
        return self.head[0]

    def grow(self, log: Log) -> tuple[int, bytes | None]:
        """Follow the log to its newest checkpoint; return its size and that checkpoint, None before the first.

        Raises EvidenceError if it is not the log that this process has seen, or not signed as its keyring demands.
        """
        note = log.checkpoint()
        size, known = self.head
        if note == known:
            return size, known
        with self.lock:
            return self._follow(log, note)

    def _follow(self, log: Log, note: bytes | None) -> tuple[int, bytes | None]:
        size = 0 if note is None else checkpoint.parse(note).size
        if note is None or size < self.size:
            newer = log.checkpoint()  # another thread was here first, with a newer one
            size = 0 if newer is None else checkpoint.parse(newer).size
            if size < self.size:
                raise LogRolledBackError(
                    f"the log {log.origin} had {self.size} records a moment ago, and its checkpoint covers {size} now:"
                    " an old one was put in its place; restore the newest, or restart this process if it was meant"
                )
            note = newer
        if note is None or note == self.head[1]:
            return self.head
        try:
            self._read(log, note, size)
        except EvidenceError:
            self._forget_unproved()
            raise
        self.head = (size, note)
        return self.head

    def _read(self, log: Log, note: bytes, size: int) -> None:
        if self._tree.size < size:
            for index, entry in enumerate(log.entries(self._tree.size, size), self._tree.size):
                if _KEY_EVENT_ENTRY in entry and parse_entry(entry).kind == KEY_EVENT:
                    self._take_keyring(log, index, entry)
                self._tree.append(merkle.leaf_hash(entry))
        if not self._rings:
            raise InvalidEvidenceError("no keyring is in force: the log must begin with a key-event")
        _, root = judge.check_log_key(note, self._rings[-1])
        if self._tree.root(size) != root:
            raise InvalidEvidenceError(
                f"the first {size} records of the log {log.origin} are not those that its checkpoint signs"
            )

    def _take_keyring(self, log: Log, index: int, entry: bytes) -> None:
        judging = judge.Judge(self.root, None)
        judging.keyring = self._rings[-1] if self._rings else None
        judging.record(index, entry, log.envelope(index))
        if judging.keyring is not None:
            self._starts.append(index)
            self._rings.append(judging.keyring)

    def _forget_unproved(self) -> None:
        """Go back to what is proved: what was read beyond it is not believed."""
        proved, size = merkle.Tree(), self.size
        leaves = self._tree.hashes(0, 0, size)
        for at in range(0, len(leaves), merkle.HASH_BYTES):
            proved.append(leaves[at : at + merkle.HASH_BYTES])
        count = bisect_left(self._starts, size)
        self._tree, self._starts, self._rings = proved, self._starts[:count], self._rings[:count]

    def verified(self, row: Row) -> Statement:
        """Return the record in `row` if it is the one logged there, and holds. Raises InvalidEvidenceError."""
        if not 0 <= row.index < self.size or merkle.leaf_hash(row.entry) != self._tree.hashes(
            0, row.index, row.index + 1
        ):
            raise InvalidEvidenceError(f"record {row.index}: its entry is not the one that was logged there")
        judging = judge.Judge(self.root, self._tree.root)
        before = bisect_left(self._starts, row.index)  # a key-event is judged by the keyring before it
        judging.keyring = self._rings[before - 1] if before else None
        try:
            return judging.record(row.index, row.entry, row.envelope)
        except (EvidenceError, IndexError) as error:
            raise InvalidEvidenceError(f"record {row.index}: {error}") from error

    def keyring_at(self, index: int) -> Keyring:
        """Return the keyring by which record `index` was signed: a key-event's own."""
        at = bisect_left(self._starts, index + 1)
        if not at:
            raise InvalidEvidenceError(f"no keyring is in force at record {index}")
        return self._rings[at - 1]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of record `index` in the log of `size` records, bottom first."""
        return self._tree.inclusion_path(index, size)

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """Return the joined hashes of the complete subtrees start..stop-1 of 2**level leaves each."""
        return self._tree.hashes(level, start, stop)

    def recall(self, what: str, index: int) -> Any:  # noqa: ANN401 -- whatever was kept
        """Return what was kept of record `index`, None if nothing is."""
        with self.lock:
            if (what, index) not in self._kept:
                return None
            self._kept.move_to_end((what, index))
            return self._kept[what, index]

    def keep(self, what: str, index: int, made: object) -> None:
        """Keep what was made of the verified record `index`: a logged record never changes."""
        with self.lock:
            self._kept[what, index] = made
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)


_LOCK: Final = threading.Lock()
_PROVEN: Final[dict[tuple[str, str, str], Proven]] = {}


def proven(database: str, root: Root) -> Proven:
    """Return what this process knows of the log of `root` in `database`; one for all threads."""
    key = (database, root.origin, root.fingerprint)
    with _LOCK:
        return _PROVEN.setdefault(key, Proven(root))


def forget_all() -> None:
    """Forget every log, as a new process would begin."""
    with _LOCK:
        _PROVEN.clear()


def stored(log: Log, indexes: Iterable[int]) -> Iterator[Row]:
    """Yield the stored rows at these indexes, ascending, unverified; one that is missing is passed over."""
    wanted = sorted(set(indexes))
    if wanted and wanted[-1] - wanted[0] < 4 * len(wanted):
        among = set(wanted)
        yield from (row for row in log.rows(wanted[0], wanted[-1] + 1) if row.index in among)
        return
    for index in wanted:
        yield from log.rows(index, index + 1)
