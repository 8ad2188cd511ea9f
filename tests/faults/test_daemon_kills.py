"""Two daemons on one PostgreSQL, killed a hundred times: no slot is lost, none is run twice.

What is asserted comes from the signed records alone, and from the schedule that they hold.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from guardian.usecases.coverage import coverage
from guardian.usecases.verify import verify_live
from tests.daemon_child import fast
from tests.daemon_support import URL, Process, children_of, eventually, make, records, write

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

ROUNDS = 100
SPEED = 20.0  # a minute passes in three seconds
GRACE_S = 600
SCHEDULES = (
    '{job: scan, cron: "* * * * *", grace: 10m}',
    # There is no backup to drill, so that every attempt ends as an error, quickly.
    '{job: drill, asset: erp, cron: "*/4 * * * *", grace: 10m, attempts: 3}',
)


class Pair:
    """Two daemons, of which either may be dead."""

    def __init__(self, folder: Path, settings: Settings, base: float) -> None:
        others = write(folder, *SCHEDULES, url="set", name="other.yaml", port=0, lease_s=60, jobs=1)
        self._configs = (settings.path, others.path)
        self._folder, self._base = folder, base
        self.running: list[Process | None] = [None, None]
        self.starts = 0

    def start(self, which: int) -> None:
        self.starts += 1
        command = ["-m", "tests.daemon_child", str(self._configs[which]), str(self._base), str(SPEED)]
        self.running[which] = Process(command, self._folder / f"daemon-{which}.log")

    def kill(self, which: int, *, jobs_too: bool) -> None:
        """Kill a daemon, and its jobs or not; these end by themselves then."""
        process = self.running[which]
        assert process is not None
        children = process.children()
        process.kill()
        for child in children if jobs_too else ():
            _kill(child)
        self.running[which] = None

    def kill_job(self) -> bool:
        """Kill a job under a daemon that lives on."""
        jobs = [child for process in self.running if process for child in children_of(process.popen.pid)]
        if jobs:
            _kill(jobs[0])
        return bool(jobs)

    def said(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self._folder.glob("daemon-*.log")))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_a_hundred_kills_lose_no_slot_and_run_none_twice(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, postgres_url)
    settings = make(tmp_path, *SCHEDULES, url=postgres_url, port=0, lease_s=60)
    base, chance = time.time(), random.Random(5)
    pair = Pair(tmp_path, settings, base)
    try:
        for which in (0, 1):
            pair.start(which)
        eventually(lambda: _first_schedule(settings), why=pair.said)
        killed = {"daemon": 0, "daemon and job": 0, "job": 0}
        while sum(killed.values()) < ROUNDS:
            time.sleep(chance.uniform(0.2, 2.2))
            if chance.random() < 0.4:
                killed["job"] += pair.kill_job()
                continue
            jobs_too = chance.random() < 0.5
            which = chance.randrange(2)
            pair.kill(which, jobs_too=jobs_too)
            killed["daemon and job" if jobs_too else "daemon"] += 1
            pair.start(which)
        last = fast(base, SPEED)
        # One daemon alone closes everything that the dead left open, after grace and lease at the latest.
        pair.kill(1, jobs_too=True)
        over = last + timedelta(seconds=GRACE_S + 60)
        eventually(lambda: fast(base, SPEED) > over, seconds=120)
        eventually(lambda: _open(settings, last, fast(base, SPEED)) == 0, seconds=120, why=pair.said)
        survivor = pair.running[0]
        assert survivor is not None
        assert survivor.terminate() == 0, pair.said()
    finally:
        for process in filter(None, pair.running):
            process.kill()
    assert all(killed.values()), killed
    _look(settings, last)
    report = verify_live(settings)
    assert not report.problems, report.problems


def _first_schedule(settings: Settings) -> datetime | None:
    found = [record for record in records(settings) if record.kind == "schedule"]
    return datetime.fromisoformat(found[0].predicate["effectiveFrom"]) if found else None


def _open(settings: Settings, until: datetime, now: datetime) -> int:
    counts = coverage(settings, until=until, now=now)["counts"]
    return int(counts["open"] + counts["absent"])


def _look(settings: Settings, last: datetime) -> None:
    found = records(settings)
    [schedule] = [record for record in found if record.kind == "schedule"]
    since = datetime.fromisoformat(schedule.predicate["effectiveFrom"])
    attempts: dict[str, list[tuple[int, str, str]]] = {}
    for record in found:
        run = record.predicate["run"]
        if run["slot"] is not None:
            attempts.setdefault(run["slot"], []).append((run["attempt"], record.kind, record.predicate["result"]))
    minute = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
    population = []
    while minute <= last:
        population.append(f"scan@{minute:%Y-%m-%dT%H:%M:%SZ}")
        if minute.minute % 4 == 0:
            population.append(f"drill:erp@{minute:%Y-%m-%dT%H:%M:%SZ}")
        minute += timedelta(minutes=1)
    assert [slot for slot in population if slot not in attempts] == [], "lost"
    for slot in population:
        told = attempts[slot]
        most = 1 if slot.startswith("scan") else 3
        numbers = [number for number, _, _ in told]
        assert numbers == list(range(1, len(told) + 1)), f"{slot} was run twice: {told}"
        assert len(told) <= most, (slot, told)
        assert all(result == "ERROR" for _, _, result in told[:-1]), f"{slot} went on after it had a result: {told}"
        assert len(told) == 1 or all(kind != "missed-slot" for _, kind, _ in told), f"{slot} was run and missed"
    results = [told[-1][2] for slot, told in attempts.items() if slot.startswith("scan")]
    assert {"PASSED", "FAILED"} & set(results), "some scan came through"
    assert "ERROR" in results, "some scan was killed"
