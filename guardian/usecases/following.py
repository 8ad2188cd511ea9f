"""New records, read as the log grows, for metrics: what is read once is not read again.

Invariant: each record is checked against the keyring in force as it is read; one that does not hold is passed over and
told, for metrics are no evidence, and `guardian evidence verify` is what judges the log. I/O: the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from evidence.errors import EvidenceError
from evidence.judge import Judge
from guardian.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evidence.keyring import Keyring
    from guardian.settings import Settings

log_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ScanSeen:
    """A scan. counts: resources by (control, verdict)."""

    finished_on: datetime
    counts: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class DrillSeen:
    """A drill. fresh: its record came after the first look."""

    asset: str
    result: str
    seconds: float
    finished_on: datetime
    fresh: bool


@dataclass(frozen=True, slots=True)
class Followed:
    """What came since the last look. scan: the newest one, None if there was none."""

    size: int
    scan: ScanSeen | None
    drills: Sequence[DrillSeen]


@dataclass(slots=True)
class Follower:
    """Reads a log from where it stopped the last time; the first look reads all of it."""

    settings: Settings
    _next: int = 0
    _looked: bool = False
    _keyring: Keyring | None = field(default=None, repr=False)

    def look(self) -> Followed | None:
        """Return what is new, None if nothing is. Raises what opening the log raises."""
        with Ledger(self.settings, writable=False) as ledger:
            size = ledger.log.size
            if size <= self._next:
                return None
            judge = Judge(ledger.root, None)  # a new one each time: it remembers every record it has seen
            judge.keyring = self._keyring
            scan: ScanSeen | None = None
            drills = []
            for row in ledger.log.rows(self._next, size):
                try:
                    record = judge.record(row.index, row.entry, row.envelope)
                except EvidenceError as error:
                    log_events.error("record_does_not_hold", index=row.index, reason=str(error))  # noqa: TRY400
                    continue
                if record.kind == "policy-evaluation":
                    scan = _scan(record.predicate)
                elif record.kind == "restore-drill" and record.predicate["asset"] is not None:
                    drills.append(_drill(record.predicate, fresh=self._looked))
        self._next, self._looked, self._keyring = size, True, judge.keyring
        return Followed(size, scan, drills)


def _scan(predicate: Mapping[str, Any]) -> ScanSeen:
    counts = {
        (control, verdict): entry[verdict]
        for control, entry in predicate["counts"].items()
        for verdict in ("pass", "fail", "error", "skip")
    }
    return ScanSeen(datetime.fromisoformat(predicate["run"]["finishedOn"]), counts)


def _drill(predicate: Mapping[str, Any], *, fresh: bool) -> DrillSeen:
    run = predicate["run"]
    began, ended = (datetime.fromisoformat(run[key]) for key in ("startedOn", "finishedOn"))
    return DrillSeen(predicate["asset"], predicate["result"], (ended - began).total_seconds(), ended, fresh)
