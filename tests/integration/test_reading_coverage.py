"""Coverage as API and console read it is the one that the command line makes of the whole log."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from evidence.errors import InvalidEvidenceError
from guardian import records
from guardian.model import Slot
from guardian.usecases import proven
from guardian.usecases.coverage import coverage
from guardian.usecases.reading import Reading, Scope
from tests.reading_support import START, Writer, environment, run_of

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

UNTIL = START + timedelta(days=2)


def recorded(settings: Settings) -> Writer:
    """Record two schedules with drills, decisions and a missed slot between them."""
    writer = Writer(settings)

    def schedule(minute: int, grace_s: int) -> None:
        jobs = [
            {
                "job": f"drill:{asset}",
                "asset": asset,
                "service": service,
                "schedules": [{"cron": "*/10 * * * *", "timeZone": "UTC"}],
                "graceSeconds": grace_s,
                "attempts": 2,
            }
            for asset, service in (("erp", "erp-plant1"), ("secret-asset", "secret-plant2"))
        ]
        run = replace(run_of("schedule", minute), trigger="daemon")
        writer.write(records.schedule(run, writer.context(), jobs, digest="ab" * 32, supersedes=None))

    schedule(0, 60)
    writer.minute = 10
    writer.drill(slot=Slot("drill:erp", START + timedelta(minutes=10)))
    for _ in range(3):
        writer.decision()
    writer.missed("secret-asset")
    writer.minute = 31
    writer.decision()  # later than what the next schedule says of itself
    schedule(29, 120)
    writer.drill("secret-asset")
    writer.some_of_all()
    return writer


@pytest.mark.parametrize("services", [None, frozenset({"erp-plant1"}), frozenset({"nobody"})])
def test_it_is_what_the_whole_log_says_also_after_more_was_appended(
    tmp_path: Path, services: frozenset[str] | None
) -> None:
    settings = environment(tmp_path)
    writer = recorded(settings)
    for step in (writer.drill, writer.decision, writer.missed):
        with Reading(settings) as reading:
            got = reading.coverage(Scope(services), since=START, until=UNTIL)
        whole = coverage(settings, since=START, until=UNTIL, now=datetime.now(UTC), services=services)
        assert got | {"asOf": None} == whole | {"asOf": None}
        step()
    if services is None:
        assert {job["job"] for job in got["jobs"]} == {"drill:erp", "drill:secret-asset"}
        assert got["counts"]["absent"] > 100


def test_an_edited_index_makes_no_slot_vanish(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    recorded(settings)
    with Reading(settings) as reading:
        before = reading.coverage(Scope(), since=START, until=UNTIL)
    proven.forget_all()
    with contextlib.closing(sqlite3.connect(str(settings.storage.database))) as file, file:
        file.execute("DELETE FROM index_record WHERE kind IN ('schedule', 'missed-slot')")
        file.execute("UPDATE index_record SET time = '2030-01-01T00:00:00.000Z'")
    with Reading(settings) as reading:
        assert reading.coverage(Scope(), since=START, until=UNTIL)["missing"] == before["missing"] != []


def test_a_record_missing_from_the_log_is_refused_not_passed_over(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    recorded(settings)
    with Reading(settings) as reading:
        reading.records(Scope())
    with contextlib.closing(sqlite3.connect(str(settings.storage.database))) as file, file:
        file.execute("DELETE FROM log_entry WHERE idx = 2")
    with Reading(settings) as reading, pytest.raises(InvalidEvidenceError, match="record 2 is missing"):
        reading.coverage(Scope(), since=START, until=UNTIL)
