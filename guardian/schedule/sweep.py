"""One pass over the slots: those that are due become rows, those that nobody can run any more are closed.

Invariant: after a pass no slot is open whose lease or grace has ended, whoever it belonged to. I/O: database, log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from guardian.schedule.jobs import tell
from guardian.store import slots
from guardian.usecases import planning, slot_closing
from guardian.usecases.planning import Job, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from guardian.model import Claim
    from guardian.settings import Settings
    from guardian.store.database import Database
    from guardian.store.tables import SlotRow

log_events = structlog.get_logger()

_BATCH: Final = 100
_CANDIDATES: Final = 500
_KEPT: Final = timedelta(days=30)
_GONE: Final = "the schedule that asked for it was replaced before anybody ran it, and its job is no longer scheduled"


@dataclass(slots=True)
class Sweep:
    """What a daemon does to slots. owner: how its claims are signed, unique to this start of it."""

    settings: Settings
    database: Database
    jobs: Sequence[Job]
    owner: str
    _digest: str = field(init=False)
    _pruned: date | None = None

    def __post_init__(self) -> None:
        self._digest = digest_of(self.jobs)

    def make(self, now: datetime) -> bool:
        """Make what is due rows; False if another schedule is in force."""
        return planning.make_due(self.database, self.jobs, now)

    def close(self, now: datetime, *, ours: bool) -> bool:
        """Close what nobody can run any more; tell whether there may be more of it. ours: the schedule in force is."""
        with self.database.reading() as session:
            lost = slots.expired(session, now, limit=_BATCH)
            names = [job.name for job in self.jobs] if ours else None
            over = slots.overdue(session, now, limit=_BATCH, jobs=names)
        for row in lost:
            closed = slot_closing.close_lost(self.settings, row, now=now)
            if closed is not None:
                tell(slots.claim_of(row, now), "ERROR", closed.record.record_id, again=closed.again)
        for reason in dict.fromkeys(self._why(row, names) for row in over if row.attempt == 0):
            missed = [row for row in over if row.attempt == 0 and self._why(row, names) == reason]
            for closed in slot_closing.close_missed(self.settings, missed, reason=reason, now=now):
                log_events.warning(
                    "slot_closed", slot=closed.slot.id, result="MISSED", record_id=closed.record.record_id
                )
        self._close_tried([row for row in over if row.attempt > 0], now)
        self._prune(now)
        return len(lost) == _BATCH or len(over) == _BATCH

    def claims(self, now: datetime, room: int) -> Iterator[Claim]:
        """Claim up to `room` slots that may run now."""
        if room <= 0:
            return
        names = {job.name for job in self.jobs}
        with self.database.reading() as session:
            rows = slots.waiting(session, now, limit=_CANDIDATES)
        for row in rows:
            if room and row.job in names and slots.may_begin(row, now):
                lease_s = self.settings.daemon.lease_s
                with self.database.writing() as session:
                    claim = slots.claim(session, row, owner=self.owner, now=now, lease_s=lease_s, digest=self._digest)
                if claim is not None:
                    room -= 1
                    yield claim

    def _why(self, row: SlotRow, names: Sequence[str] | None) -> str:
        if names is not None and row.job not in names:
            return _GONE
        return f"nobody ran it within its grace of {row.grace_s} s"

    def _close_tried(self, rows: Sequence[SlotRow], now: datetime) -> None:
        if not rows:
            return
        with self.database.writing() as session:
            closed = [row for row in rows if slots.close_tried(session, row, now)]
        for row in closed:
            tell(slots.claim_of(row, now), row.result or "ERROR", row.record_id, again=False)

    def _prune(self, now: datetime) -> None:
        if self._pruned != now.date():
            with self.database.writing() as session:
                slots.prune(session, now - _KEPT)
            self._pruned = now.date()
