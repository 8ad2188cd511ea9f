"""APScheduler's view of a job: it fires at the instants that `guardian.slots` gives. No I/O.

A firing only wakes the daemon's loop. What is due is decided by rows, so one that comes late or not at all loses no
slot.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from datetime import datetime

    from guardian.usecases.planning import Job

_LATER = timedelta(milliseconds=50)  # so that the clock of the database, which decides, has passed the moment too


class SlotTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires when slots of a job are due."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return when to fire next, None for never."""
        after = now if previous is None else max(previous, now)
        due = self._job.next_due(after - _LATER)
        return None if due is None else due + _LATER
