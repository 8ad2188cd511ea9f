"""The jobs that run here: their processes and their leases.

Invariant: a claim is renewed while its process lives and is given up when it is found to be another's; a process that
ended without closing its slot has it closed here. I/O: processes, the database, the log.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from guardian.schedule.children import Child, wait_for
from guardian.schedule.order import Order
from guardian.store import slots
from guardian.store.slots import SlotLostError
from guardian.usecases import slot_closing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from guardian.model import Claim
    from guardian.schedule.metrics import Metrics
    from guardian.settings import Settings
    from guardian.store.database import Database

    Clock = Callable[[], datetime]

log_events = structlog.get_logger()

PROGRAM: Final = (sys.executable, "-P", "-m", "guardian.schedule.job")
_LOST_S: Final = 60.0  # a job that is told to end while the daemon lives on has so long to clear up
MOST: Final = timedelta(hours=13)  # a drill ends itself after 12; what hangs for longer must not hold its slot open


@dataclass(slots=True)
class _Running:
    claim: Claim
    child: Child
    started_on: datetime
    renewed_on: datetime
    told_to_end: float | None = None  # monotonic
    killed: str = ""  # why, if it was


@dataclass(slots=True)
class Jobs:
    """The running jobs. ended: called, in another thread, whenever one has ended."""

    settings: Settings
    database: Database
    clock: Clock
    metrics: Metrics
    ended: Callable[[], None]
    running: list[_Running]
    program: Sequence[str] = PROGRAM
    verbose: bool = False

    def start(self, claim: Claim, now: datetime) -> None:
        """Run the job of a claim."""
        order = Order(self.settings.path, claim, self.verbose)
        try:
            child = Child([*self.program, *order.arguments()], self.ended)
        except OSError as error:
            reason = f"job ended without a result: its process could not be started: {error.strerror}"
            self._close(claim, reason, now, now)
            return
        self.running.append(_Running(claim, child, now, now))
        log_events.info("slot_begun", slot=claim.slot.id, attempt=claim.attempt, pid=child.pid)

    def tend(self, now: datetime) -> None:
        """Renew the leases of what runs, and see what has ended."""
        for one in list(self.running):
            if one.child.status is not None:
                self._ended(one, now)
                self.running.remove(one)
            elif one.told_to_end is not None and time.monotonic() - one.told_to_end > _LOST_S:
                one.child.kill()
            elif one.told_to_end is None and now - one.started_on > MOST:
                log_events.error("job_overdue", slot=one.claim.slot.id, hours=MOST.total_seconds() / 3600)
                one.killed = f"job ended without a result: it took longer than {MOST} and was stopped"
                self._end(one)
            elif now - one.renewed_on >= timedelta(seconds=self.settings.daemon.lease_s / 3):
                self._renew(one, now)

    def stop(self, seconds: float) -> None:
        """End all jobs: they clear up and close their slots; one that needs longer is killed, and its slot closed."""
        for one in self.running:
            one.child.stop()
        wait_for([one.child for one in self.running], seconds, self._tend_quietly)
        for one in self.running:
            if one.child.status is None:
                one.killed = "stopped: the daemon ended, and this job did not end in time and was killed"
                log_events.error("job_killed", slot=one.claim.slot.id, reason="it did not end in time")
                one.child.kill()
        self._tend_quietly()

    def _tend_quietly(self) -> None:
        try:
            self.tend(self.clock())
        except Exception as error:  # noqa: BLE001 -- the jobs must end in any case; an expired lease closes the slot
            log_events.error("jobs_not_tended", reason=str(error))  # noqa: TRY400

    def _renew(self, one: _Running, now: datetime) -> None:
        with self.database.writing() as session:
            held = slots.renew(session, one.claim, now + timedelta(seconds=self.settings.daemon.lease_s))
            row = None if held else slots.row_of(session, one.claim.slot)
        if held:
            one.renewed_on = now
        elif one.told_to_end is None and (row is None or row.token != one.claim.token):
            log_events.error(
                "slot_lost", slot=one.claim.slot.id, reason="its lease ended, and another daemon closed it"
            )
            self._end(one)
        # else the job has just closed it itself

    def _end(self, one: _Running) -> None:
        one.told_to_end = time.monotonic()
        one.child.stop()

    def _ended(self, one: _Running, now: datetime) -> None:
        one.child.stop()
        reason = one.killed or f"job ended without a result: {one.child.ending}"
        self._close(one.claim, reason, one.started_on, now)

    def _close(self, claim: Claim, reason: str, started_on: datetime, now: datetime) -> None:
        """Close the slot if its job did not, and tell what came of it."""
        with self.database.reading() as session:
            row = slots.row_of(session, claim.slot)
        if row is not None and row.state == slots.CLAIMED and row.token == claim.token:
            try:
                slot_closing.close_unfinished(self.settings, claim, reason, started_on=started_on, now=now)
            except SlotLostError:
                row = None
            else:
                with self.database.reading() as session:
                    row = slots.row_of(session, claim.slot)
        result = "lost" if row is None or row.token != claim.token or row.result is None else row.result
        self.metrics.ran(claim.slot.job, result)
        tell(claim, result, row.record_id if row else None, again=row is not None and row.state != slots.CLOSED)


def tell(claim: Claim, result: str, record_id: str | None, *, again: bool) -> None:
    """Log what became of a slot, in one line."""
    say = log_events.info if result in {"PASSED", "SKIPPED"} else log_events.warning
    event = "slot_attempt_ended" if again else "slot_closed"
    say(event, slot=claim.slot.id, result=result, attempt=claim.attempt, record_id=record_id)
