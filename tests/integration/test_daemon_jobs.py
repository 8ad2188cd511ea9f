"""What the daemon's metrics are made of, and jobs that do not end by themselves."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from guardian.model import Slot, rfc3339
from guardian.schedule.daemon import Options, _Daemon
from guardian.schedule.jobs import MOST, Jobs
from guardian.schedule.metrics import Metrics
from guardian.store import slots
from guardian.store.database import Database
from guardian.usecases import planning, slot_closing
from guardian.usecases.following import Follower
from guardian.usecases.scan import scan
from tests.daemon_support import Clock, Daemon, eventually, make, of_slots, records

if TYPE_CHECKING:
    from pathlib import Path


def test_new_records_are_read_once_and_only_drills_after_the_first_look_are_fresh(tmp_path: Path) -> None:
    settings = make(tmp_path, '{job: drill, asset: erp, cron: "0 * * * *", grace: 5h}')
    clock = Clock("2026-06-01T12:00:00+00:00")
    daemon = Daemon.of(settings, clock)
    clock.step(hours=2)
    one, two = daemon.round(2)
    daemon.close()
    reason = "job ended without a result: tried"
    slot_closing.close_unfinished(settings, one, reason, started_on=clock(), now=clock.step(seconds=40))
    follower = Follower(settings)
    first = follower.look()
    assert first is not None
    assert (first.size, first.scan) == (3, None)
    assert [(d.asset, d.result, d.seconds, d.fresh) for d in first.drills] == [("erp", "ERROR", 40.0, False)]
    assert follower.look() is None
    slot_closing.close_unfinished(settings, two, reason, started_on=clock(), now=clock.step(seconds=5))
    scan(settings, progress=lambda _step: None)
    second = follower.look()
    assert second is not None
    assert [(d.seconds, d.fresh) for d in second.drills] == [(5.0, True)]
    assert second.scan is not None
    assert second.scan.counts["service.declared", "pass"] == 1


SLEEPS = "import time\nfrom guardian.schedule import lifeline\nlifeline.hold()\ntime.sleep(100)\n"


def test_a_job_that_hangs_keeps_its_lease_for_half_a_day_and_is_then_ended_and_closed(tmp_path: Path) -> None:
    settings = make(tmp_path, '{job: scan, cron: "0 * * * *", grace: 5m}')
    clock = Clock("2026-06-01T12:00:00+00:00")
    daemon = Daemon.of(settings, clock)
    clock.step(hours=1)
    [claim] = daemon.round(1)
    metrics = Metrics("production", "1")
    jobs = Jobs(settings, daemon.database, clock, metrics, lambda: None, [], program=[sys.executable, "-c", SLEEPS])
    jobs.start(claim, clock())
    for _ in range(100):
        clock.step(seconds=20)
        jobs.tend(clock())
        daemon.round()
    assert claim.slot.id not in of_slots(settings), "its lease was renewed"
    clock.step(seconds=MOST.total_seconds())
    jobs.tend(clock())
    eventually(lambda: jobs.running[0].child.status is not None)
    jobs.tend(clock())
    daemon.close()
    assert of_slots(settings)[claim.slot.id] == [(1, "policy-evaluation", "ERROR")]
    [reason] = [r.predicate["reason"] for r in records(settings) if r.predicate["run"]["slot"] == claim.slot.id]
    assert "took longer than 13:00:00" in reason
    assert b'guardian_job_runs_total{job="scan",result="error"} 1.0' in metrics.text()


def test_a_lease_begins_when_the_slot_is_claimed_however_long_closing_took_before(tmp_path: Path) -> None:
    settings = make(tmp_path, '{job: scan, cron: "0 * * * *", grace: 30m}')
    clock = Clock("2026-06-01T12:00:00+00:00")
    Daemon.of(settings, clock).close()
    clock.step(hours=1)

    looks: list[datetime] = []

    def slow() -> datetime:
        looks.append(clock.step(seconds=2 * settings.daemon.lease_s))  # what happens between two looks takes that long
        return looks[-1]

    with Database(settings) as database:
        options = Options(clock=slow, stop_s=10, program=[sys.executable, "-c", SLEEPS])
        daemon = _Daemon(settings, planning.jobs_of(settings), database, options)
        daemon._round()
        with database.reading() as session:
            row = slots.row_of(session, Slot("scan", datetime.fromisoformat("2026-06-01T13:00:00Z")))
        daemon._end()
    assert row is not None
    assert row.state == slots.CLAIMED
    assert row.lease_until == rfc3339(looks[1] + timedelta(seconds=settings.daemon.lease_s))


def test_a_clock_that_jumps_ahead_and_comes_back_makes_no_slot_due_and_none_missed(tmp_path: Path) -> None:
    settings = make(tmp_path, '{job: scan, cron: "0 * * * *", grace: 5m}')
    clock = Clock("2026-06-01T12:00:00+00:00")
    Daemon.of(settings, clock).close()
    seconds = 0.0
    with Database(settings) as database:
        options = Options(clock=clock, monotonic=lambda: seconds, stop_s=10, program=[sys.executable, "-c", SLEEPS])
        daemon = _Daemon(settings, planning.jobs_of(settings), database, options)
        daemon._round()
        for step in (timedelta(days=10), timedelta(days=-10)):
            clock.step(days=step.days, seconds=5)
            seconds += 5
            daemon._round()
        with database.reading() as session:
            assert slots.open_counts(session) == {slots.DUE: 0, slots.CLAIMED: 0}
        clock.step(hours=1)
        seconds += 3600
        daemon._round()
        with database.reading() as session:
            assert slots.open_counts(session)[slots.CLAIMED] == 1, "and what is due is run again"
        daemon._end()
    assert [record.kind for record in records(settings)].count("missed-slot") == 0
