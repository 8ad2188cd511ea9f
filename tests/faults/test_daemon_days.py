"""Whole days across both changes of the clock, stepped through the real machinery: rows, closings, signed records."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from guardian.usecases import slot_closing
from guardian.usecases.coverage import coverage
from guardian.usecases.scan import scan
from guardian.usecases.verify import verify_live
from tests.daemon_support import Clock, Daemon, make, of_slots, records

if TYPE_CHECKING:
    from pathlib import Path

# Zone, local day, and what `30 2 * * *` is due at on it, in UTC; Lord Howe's clock moves by half an hour.
DAYS = [
    ("Europe/Berlin", "2027-03-28", "2027-03-28T01:00:00Z"),
    ("Europe/Berlin", "2027-10-31", "2027-10-31T00:30:00Z"),
    ("America/New_York", "2027-03-14", "2027-03-14T07:00:00Z"),
    ("America/New_York", "2027-11-07", "2027-11-07T07:30:00Z"),
    ("Australia/Lord_Howe", "2027-10-03", "2027-10-02T15:30:00Z"),
    ("Australia/Lord_Howe", "2027-04-04", "2027-04-03T16:00:00Z"),
]


@pytest.mark.parametrize(("zone", "day", "half_past_two"), DAYS)
def test_a_day_on_which_the_clock_changes_loses_no_slot_and_runs_none_twice(
    tmp_path: Path, zone: str, day: str, half_past_two: str
) -> None:
    local = ZoneInfo(zone)
    start = datetime.fromisoformat(day).replace(tzinfo=local)
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=local)
    settings = make(
        tmp_path,
        f'{{job: scan, cron: "0 */4 * * *", timeZone: {zone}, grace: 20m}}',
        f'{{job: scan, cron: "30 2 * * *", timeZone: {zone}, grace: 20m}}',
        f'{{job: drill, asset: erp, cron: "*/20 * * * *", timeZone: {zone}, grace: 19m}}',
    )
    clock = Clock((start - timedelta(seconds=1)).isoformat())
    one, two = Daemon.of(settings, clock), Daemon.of(settings, clock, owner="two")
    ran: list[str] = []
    number = 0
    while clock() < end:
        clock.step(minutes=5)
        number += 1
        if number % 12 in (7, 8, 9, 10, 11):
            continue  # for 25 minutes of an hour all daemons are down: what was due in their first minutes is missed
        for daemon in (one, two):
            for claim in daemon.round(2):
                ran.append(claim.slot.id)
                if claim.slot.asset is None:
                    scan(settings, progress=lambda _step: None, claim=claim)
                else:
                    reason = "job ended without a result: there is nothing to drill"
                    slot_closing.close_unfinished(settings, claim, reason, started_on=clock(), now=clock())
    clock.step(hours=1)
    one.round()
    one.close()
    two.close()

    found = of_slots(settings)
    hours = (end.timestamp() - start.timestamp()) / 3600
    drills = {slot for slot in found if slot.startswith("drill:") and slot < f"drill:erp@{_utc(end)}"}
    # Each 20 minutes of the day as it was lived, but the second time round of an hour (or half) that comes twice.
    twice = 0 if hours <= 24 else 3 if hours == 25 else 1
    assert len(drills) == pytest.approx(hours * 3 - twice, abs=1)
    assert all(len(records_of) == 1 for records_of in found.values()), "each closed once"
    assert len(ran) == len(set(ran))
    assert f"scan@{half_past_two}" in found
    document = coverage(settings, until=end, now=clock())
    assert document["counts"]["open"] == document["counts"]["absent"] == 0
    assert document["counts"]["missed"] > 0
    assert document["counts"]["failed"] > 0, "scans came through: there is no backup, so they fail"
    told = {entry["slot"] for job in document["jobs"] for entry in job["slots"]}
    assert told == {slot for slot in found if slot.partition("@")[2] < _utc(end)}, "the population is what was run"
    assert sum(record.kind == "schedule" for record in records(settings)) == 1
    assert not verify_live(settings).problems


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%M:%SZ}"
