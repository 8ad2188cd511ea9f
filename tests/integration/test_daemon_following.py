"""What the daemon's metrics are made of: each record of the log is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardian.usecases import slot_closing
from guardian.usecases.following import Follower
from guardian.usecases.scan import scan
from tests.daemon_support import Clock, Daemon, make

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
