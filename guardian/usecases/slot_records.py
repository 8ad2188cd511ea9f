"""What coverage needs of every record of a log, read once by a process and kept: who ran when, for which slot.

Invariant: every record was verified, none was passed over, and nothing was taken from the index: whoever can edit that
must not be able to make a slot vanish. Records that no slot is about are kept as the time until which they reach.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from evidence.errors import InvalidEvidenceError
from evidence.verify import VerifiedRecord

if TYPE_CHECKING:
    from evidence.log import Log
    from evidence.statement import Statement
    from guardian.usecases.proven import Proven

_MANY: Final = frozenset({"admission-decision", "admission-gap"})  # of these there are too many to keep
_KEPT: Final = ("asset", "service", "result", "reason", "effectiveFrom", "jobs")


class SlotRecords:
    """The records of one log as coverage reads them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[VerifiedRecord] = []
        self._size = 0

    def follow(self, log: Log, known: Proven) -> list[VerifiedRecord]:
        """Return them up to what is proved of the log.

        Raises InvalidEvidenceError for the first that is missing or does not hold.
        """
        with self._lock:
            size = known.size
            for row in log.rows(self._size, size):
                if row.index != self._size:
                    break
                self._add(row.index, known.verified(row))
                self._size += 1
            if self._size < size:
                raise InvalidEvidenceError(f"record {self._size} is missing from the log")
            return list(self._records)

    def _add(self, index: int, record: Statement) -> None:
        predicate = record.predicate
        run = predicate["run"]
        if record.kind not in _MANY:
            kept = {name: predicate[name] for name in _KEPT if name in predicate} | {"run": run}
            self._records.append(_slim(index, record.record_id, record.kind, kept))
            return
        before = self._records[-1] if self._records else None
        until = run["finishedOn"]
        if before is not None and before.kind in _MANY:
            until = max(until, before.predicate["run"]["finishedOn"])
            self._records.pop()
        reached = {"run": {"finishedOn": until, "slot": None, "trigger": "admission", "job": run["job"]}}
        self._records.append(_slim(index, record.record_id, record.kind, reached))


def _slim(index: int, record_id: str, kind: str, predicate: dict[str, Any]) -> VerifiedRecord:
    return VerifiedRecord(index, record_id, kind, "", {"predicate": predicate})
