"""Daemons in processes of their own, with a faster clock: suspended jobs, other schedules, orphans."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.daemon_support import Process, eventually, is_alive, make, of_slots, records, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.settings import Settings

SPEED = 20.0  # a lease of a minute is three seconds
MINUTELY = '{job: scan, cron: "* * * * *", grace: 30m}'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Settings], Process]]:
    """Start daemons that share one clock."""
    base = time.time()
    with ExitStack() as stack:

        def started(settings: Settings) -> Process:
            command = ["-m", "tests.daemon_child", str(settings.path), str(base), str(SPEED)]
            return stack.enter_context(Process(command, tmp_path / f"{settings.path.stem}.log"))

        yield started


def place_of(process: Process) -> str:
    """Return where a daemon answers over HTTP."""

    def found() -> str:
        _, _, rest = process.said.partition("/metrics on ")
        return rest.split()[0] if rest else ""

    place: str = eventually(found, why=lambda: process.said)
    return place


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=20) as answer:  # noqa: S310 -- http, from the daemon's own words
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_job_suspended_beyond_its_lease_adds_nothing_when_it_wakes(
    tmp_path: Path, start: Callable[[Settings], Process]
) -> None:
    settings = make(tmp_path, MINUTELY, port=0)
    first = start(settings)
    job = eventually(first.children, why=lambda: first.said)[0]
    for pid in (first.popen.pid, job):  # as where a whole machine is suspended
        os.kill(pid, signal.SIGSTOP)
    slot = first.said.rpartition("slot_begun")[2].split("slot=")[1].split()[0]
    other = start(write(tmp_path, MINUTELY, port=0, name="other.yaml"))
    eventually(lambda: slot in of_slots(settings), why=lambda: other.said)
    assert other.terminate() == 0
    before = of_slots(settings)
    assert before[slot] == [(1, "policy-evaluation", "ERROR")]
    reason = next(r.predicate["reason"] for r in records(settings) if r.predicate["run"]["slot"] == slot)
    assert reason.startswith("daemon lost: ")
    for pid in (job, first.popen.pid):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: not is_alive(job))
    assert of_slots(settings)[slot] == before[slot]
    assert "slot_lost" in first.said, "it found out"
    assert first.terminate() == 0
    assert of_slots(settings)[slot] == before[slot]


def test_a_job_whose_daemon_is_killed_ends_and_closes_its_slot_itself(
    tmp_path: Path, start: Callable[[Settings], Process]
) -> None:
    settings = make(tmp_path, MINUTELY, port=0)
    first = start(settings)
    job = eventually(first.children, why=lambda: first.said)[0]
    slot = first.said.rpartition("slot_begun")[2].split("slot=")[1].split()[0]
    first.kill()
    eventually(lambda: not is_alive(job))
    assert of_slots(settings)[slot] == [(1, "policy-evaluation", "ERROR")]
    [reason] = [r.predicate["reason"] for r in records(settings) if r.predicate["run"]["slot"] == slot]
    assert reason.startswith("stopped: ")


def test_a_job_that_is_killed_is_closed_by_its_daemon(tmp_path: Path, start: Callable[[Settings], Process]) -> None:
    settings = make(tmp_path, MINUTELY, port=0)
    first = start(settings)
    job = eventually(first.children, why=lambda: first.said)[0]
    slot = first.said.rpartition("slot_begun")[2].split("slot=")[1].split()[0]
    os.kill(job, signal.SIGKILL)
    eventually(lambda: slot in of_slots(settings), why=lambda: first.said)
    [reason] = [r.predicate["reason"] for r in records(settings) if r.predicate["run"]["slot"] == slot]
    assert reason == "job ended without a result: killed by signal 9"
    assert first.terminate() == 0


def test_a_daemon_whose_schedule_was_replaced_is_not_ready_and_says_so(
    tmp_path: Path, start: Callable[[Settings], Process]
) -> None:
    settings = make(tmp_path, '{job: scan, cron: "0 0 1 1 *"}', port=0)
    first = start(settings)
    place = place_of(first)
    eventually(lambda: get(f"{place}/readyz") == (200, "ok\n"), why=lambda: first.said)
    other = start(write(tmp_path, '{job: scan, cron: "0 0 2 1 *"}', port=0, name="other.yaml"))
    place_of(other)
    eventually(lambda: get(f"{place}/readyz")[0] == 503, why=lambda: first.said)
    assert "another schedule" in get(f"{place}/readyz")[1]
    assert "schedule_superseded" in first.said
    assert "guardian_ready 0.0" in get(f"{place}/metrics")[1]
    assert get(f"{place}/healthz") == (200, "ok\n")
    assert (first.terminate(), other.terminate()) == (0, 0)


def test_metrics_tell_what_the_newest_scan_found(tmp_path: Path, start: Callable[[Settings], Process]) -> None:
    settings = make(tmp_path, MINUTELY, port=0)
    first = start(settings)
    place = place_of(first)
    eventually(
        lambda: 'guardian_scan_verdicts{control="service.declared",verdict="pass"} 1.0' in get(f"{place}/metrics")[1],
        why=lambda: first.said,
    )
    body = get(f"{place}/metrics")[1]
    assert "guardian_slot_lateness_seconds_count" in body
    eventually(lambda: 'guardian_job_runs_total{job="scan",result="failed"}' in get(f"{place}/metrics")[1])
    assert first.terminate() == 0
    assert "guards production" in first.said
    assert "scan: * * * * * (UTC); next " in first.said
