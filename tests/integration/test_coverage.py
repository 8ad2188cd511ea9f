"""Coverage names every slot that a signed schedule made due, from the log alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.errors import UsageError
from guardian.model import Claim, Slot
from guardian.records import missed_slot, schedule, unfinished_drill, unfinished_scan
from guardian.usecases import init
from guardian.usecases.coverage import coverage, moment, unrun_drills
from guardian.usecases.ledger import Ledger, new_run
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHTLY = {
    "job": "drill:erp",
    "asset": "erp",
    "service": "erp-plant1",
    "schedules": [{"cron": "0 3 * * *", "timeZone": "UTC"}],
    "graceSeconds": 3600,
    "attempts": 1,
}
SCAN = {
    "job": "scan",
    "asset": None,
    "service": None,
    "schedules": [{"cron": "0 */12 * * *", "timeZone": "UTC"}],
    "graceSeconds": 3600,
    "attempts": 1,
}


class Diary:
    """A log into which a test writes what a daemon would have written, at moments of its choosing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def schedule(self, at: datetime, *jobs: dict[str, Any]) -> None:
        with Ledger(self.settings, writable=True) as ledger:
            run = new_run("schedule", at, at)
            ledger.append([schedule(run, ledger.context(), list(jobs), digest="0" * 64, supersedes=None)])

    def ran(self, job: str, due: datetime, *, attempt: int = 1, result: str = "ERROR") -> None:
        """Close a slot: as missed, or as a run that ended in an error, which needs no backup and no server."""
        slot = Slot(job, due)
        with Ledger(self.settings, writable=True) as ledger:
            claim = Claim(slot, token=attempt, attempt=attempt)
            run = new_run(job.partition(":")[0], due, due + timedelta(minutes=5), claim=claim)
            context = ledger.context()
            if result == "MISSED":
                made = missed_slot(run, context, asset=slot.asset, service="erp-plant1", reason="no daemon was alive")
            elif slot.asset:
                made = unfinished_drill(run, context, asset=slot.asset, service="erp-plant1", reason="daemon lost")
            else:
                made = unfinished_scan(run, context, reason="daemon lost")
            ledger.append([made])

    def covers(self, since: datetime | None, until: datetime | None, now: datetime, **rest: Any) -> dict[str, Any]:
        return coverage(self.settings, since=since, until=until, now=now, **rest)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    init.init(tmp_path / "guardian.yaml", environment="test")
    return Diary(config.load(tmp_path / "guardian.yaml"))


def states(document: dict[str, Any], job: str = "drill:erp") -> dict[str, str]:
    [found] = [entry for entry in document["jobs"] if entry["job"] == job]
    return {slot["due"][:16]: slot["state"] for slot in found["slots"]}


def test_slot_that_no_record_closes_is_named_although_every_daemon_was_down(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    diary.ran("drill:erp", MONDAY + timedelta(hours=3))
    document = diary.covers(MONDAY, MONDAY + 3 * DAY, MONDAY + 3 * DAY)
    assert states(document) == {
        "2026-03-02T03:00": "error",
        "2026-03-03T03:00": "absent",
        "2026-03-04T03:00": "absent",
    }
    assert [entry["slot"] for entry in document["missing"]] == [
        "drill:erp@2026-03-03T03:00:00Z",
        "drill:erp@2026-03-04T03:00:00Z",
    ]
    assert not document["complete"]


def test_missed_slot_is_missing_with_its_reason(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    diary.ran("drill:erp", MONDAY + timedelta(hours=3), result="MISSED")
    document = diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY)
    [missing] = document["missing"]
    assert (missing["state"], missing["reason"]) == ("missed", "no daemon was alive")


def test_slot_within_its_grace_is_open_and_nothing_is_missing(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    document = diary.covers(MONDAY, None, MONDAY + timedelta(hours=3, minutes=30))
    assert states(document) == {"2026-03-02T03:00": "open"}
    assert document["missing"] == []
    assert not document["complete"]


def test_last_attempt_decides_and_all_are_listed(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY | {"attempts": 2})
    due = MONDAY + timedelta(hours=3)
    diary.ran("drill:erp", due, attempt=1)
    document = diary.covers(MONDAY, None, due + timedelta(minutes=10))
    assert states(document) == {"2026-03-02T03:00": "open"}  # another attempt may follow
    diary.ran("drill:erp", due, attempt=2, result="MISSED")
    document = diary.covers(MONDAY, None, MONDAY + DAY)
    assert states(document) == {"2026-03-02T03:00": "missed"}
    [slot] = document["jobs"][0]["slots"]
    assert [attempt["result"] for attempt in slot["attempts"]] == ["ERROR", "MISSED"]


def test_each_schedule_makes_slots_only_while_it_was_in_force(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    diary.schedule(MONDAY + DAY, NIGHTLY | {"schedules": [{"cron": "0 5 * * *", "timeZone": "UTC"}]}, SCAN)
    document = diary.covers(None, MONDAY + 2 * DAY, MONDAY + 3 * DAY)
    assert list(states(document)) == ["2026-03-02T03:00", "2026-03-03T05:00"]
    assert list(states(document, "scan")) == ["2026-03-03T12:00"]  # midnight belongs to the schedule before
    assert [entry["effectiveTo"] for entry in document["schedules"]] == ["2026-03-03T00:00:00.000Z", None]


def test_backdated_schedule_takes_no_slot_away(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY, SCAN)
    diary.ran("scan", MONDAY + 3 * DAY)
    diary.schedule(MONDAY + timedelta(hours=1), SCAN)  # so that no drill was ever due
    document = diary.covers(MONDAY, MONDAY + 5 * DAY, MONDAY + 5 * DAY)
    assert list(states(document).values()) == ["absent"] * 3


def test_day_with_an_hour_leapt_over_and_one_that_comes_twice_has_one_slot_each(diary: Diary) -> None:
    berlin = NIGHTLY | {"schedules": [{"cron": "30 2 * * *", "timeZone": "Europe/Berlin"}]}
    diary.schedule(datetime(2026, 3, 27, tzinfo=UTC), berlin)
    spring = diary.covers(
        datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )
    autumn = diary.covers(
        datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    )
    assert list(states(spring)) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]
    assert list(states(autumn)) == ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]


def test_period_before_the_first_schedule_is_not_called_covered(diary: Diary) -> None:
    assert not diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY)["promised"]
    diary.schedule(MONDAY, NIGHTLY)
    early = diary.covers(MONDAY - DAY, MONDAY, MONDAY)
    assert not early["promised"]
    assert "nothing was promised" in early["note"]


def test_period_ends_before_its_end(diary: Diary) -> None:
    diary.schedule(MONDAY, SCAN)
    document = diary.covers(MONDAY, MONDAY + timedelta(hours=12), MONDAY + DAY)
    assert document["jobs"] == []


def test_only_the_jobs_of_services_asked_for_are_listed(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY, SCAN, NIGHTLY | {"job": "drill:hr", "asset": "hr", "service": "people"})
    document = diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY, services=frozenset({"people"}))
    assert [job["job"] for job in document["jobs"]] == ["drill:hr"]
    assert "erp" not in json.dumps(document)


def test_policies_are_told_of_drills_that_did_not_run_and_of_nothing_else(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY, SCAN)
    diary.ran("drill:erp", MONDAY + timedelta(hours=3), result="MISSED")
    diary.ran("drill:erp", MONDAY + DAY + timedelta(hours=3))
    now = MONDAY + 2 * DAY + timedelta(hours=12)
    with Ledger(diary.settings, writable=False) as ledger:
        found = unrun_drills(ledger.records(), now=now, lease_s=60)
    assert [(slot["slot"], slot["state"], slot["logIndex"]) for slot in found] == [
        ("drill:erp@2026-03-02T03:00:00Z", "missed", 2),
        ("drill:erp@2026-03-04T03:00:00Z", "absent", None),
    ]
    assert found[1]["ageSeconds"] == 9 * 3600


def test_job_with_more_slots_than_can_be_listed_tells_of_the_newest_and_holds_nothing_up(diary: Diary) -> None:
    each_minute = NIGHTLY | {"schedules": [{"cron": "* * * * *", "timeZone": "UTC"}], "graceSeconds": 60}
    diary.schedule(MONDAY, each_minute)
    now = MONDAY + 390 * DAY
    with Ledger(diary.settings, writable=False) as ledger:
        found = unrun_drills(ledger.records(), now=now, lease_s=60)
    assert 0 < len(found) <= 50_000
    assert max(slot["due"] for slot in found) == "2027-03-26T23:57:00.000Z"


def test_command_names_the_missing_slot_and_exits_1(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    period = ("--from", "2026-03-02", "--to", "2026-03-03", "--config", str(diary.settings.path))
    ran = guardian("evidence", "coverage", *period)
    assert ran.code == 1
    assert "drill:erp@2026-03-02T03:00:00Z" in ran.stdout
    diary.ran("drill:erp", MONDAY + timedelta(hours=3))
    ran = guardian("evidence", "coverage", *period, "--format", "json")
    assert ran.code == 0
    assert json.loads(ran.stdout)["complete"]
    ran = guardian("evidence", "coverage", "--from", "2026-03-01", *period[2:])
    assert (ran.code, "NOT KNOWN" in ran.stdout) == (3, True)
    diary.ran("drill:erp", MONDAY + timedelta(hours=4))
    ran = guardian("evidence", "coverage", *period)
    assert (ran.code, "ASTRAY: 1 record(s)" in ran.stdout, "complete" in ran.stdout) == (1, True, False)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-03-02T03:00:00"])
def test_time_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--from: .*(write a date|add Z)"):
        moment(text, option="--from")


def test_period_that_runs_backwards_is_refused(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    with pytest.raises(UsageError, match="runs backwards"):
        diary.covers(MONDAY + DAY, MONDAY, MONDAY + DAY)


def test_result_that_closed_a_slot_is_not_bettered_by_a_later_record(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    due = MONDAY + timedelta(hours=3)
    diary.ran("drill:erp", due, result="MISSED")
    diary.ran("drill:erp", due, attempt=2)
    document = diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY)
    assert states(document) == {"2026-03-02T03:00": "missed"}
    [odd] = document["astray"]
    assert odd["slot"] == "drill:erp@2026-03-02T03:00:00Z"
    assert "had closed that slot before" in odd["reason"]


def test_two_records_of_one_attempt_and_one_that_lacks_the_attempt_before_are_told(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY | {"attempts": 3})
    diary.ran("drill:erp", MONDAY + timedelta(hours=3), attempt=2)
    diary.ran("drill:erp", MONDAY + DAY + timedelta(hours=3), attempt=1)
    diary.ran("drill:erp", MONDAY + DAY + timedelta(hours=3), attempt=1)
    document = diary.covers(MONDAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY)
    assert [odd["reason"] for odd in document["astray"]] == [
        "it is attempt 2, where 1 was next",
        "it is attempt 1, where 2 was next",
    ]
    assert not document["complete"]


@pytest.mark.parametrize("how", ["a run by hand", "another asset's drill", "a scan"])
def test_record_that_no_run_of_the_slots_job_leaves_closes_no_slot(diary: Diary, how: str) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    due = MONDAY + timedelta(hours=3)
    run = new_run("drill", due, due, claim=Claim(Slot("drill:erp", due), token=1, attempt=1))
    with Ledger(diary.settings, writable=True) as ledger:
        context = ledger.context()
        made = {
            "a run by hand": lambda: unfinished_drill(
                replace(run, trigger="manual"), context, asset="erp", service="erp-plant1", reason="r"
            ),
            "another asset's drill": lambda: unfinished_drill(
                run, context, asset="crm", service="erp-plant1", reason="r"
            ),
            "a scan": lambda: unfinished_scan(run, context, reason="r"),
        }
        ledger.append([made[how]()])
    document = diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY)
    assert states(document) == {"2026-03-02T03:00": "absent"}
    [odd] = document["astray"]
    assert odd["reason"] == "it is no record of a scheduled run of that slot's job"


def test_record_of_a_slot_that_no_schedule_made_due_is_told(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    diary.ran("drill:erp", MONDAY + timedelta(hours=3))
    diary.ran("drill:erp", MONDAY + timedelta(hours=4))
    document = diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY)
    assert [(odd["slot"], odd["reason"]) for odd in document["astray"]] == [
        ("drill:erp@2026-03-02T04:00:00Z", "no recorded schedule makes that slot due")
    ]
    assert not document["complete"]
    assert diary.covers(MONDAY, MONDAY + DAY, MONDAY + DAY, services=frozenset({"other"}))["astray"] == []
    assert diary.covers(MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 2 * DAY)["astray"] == []


def test_schedule_dated_into_the_future_doubles_no_slot(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    with Ledger(diary.settings, writable=True) as ledger:
        run = replace(new_run("schedule", MONDAY, MONDAY), started_on=MONDAY + 5 * DAY)
        ledger.append([schedule(run, ledger.context(), [], digest="0" * 64, supersedes=None)])
    diary.schedule(MONDAY + DAY, NIGHTLY)
    document = diary.covers(MONDAY, MONDAY + 7 * DAY, MONDAY + 7 * DAY)
    [job] = document["jobs"]
    slots = [slot["slot"] for slot in job["slots"]]
    assert len(slots) == len(set(slots)) == 7


def test_runs_by_hand_are_those_that_ended_in_the_period_and_of_the_services_asked_for(diary: Diary) -> None:
    diary.schedule(MONDAY, NIGHTLY)
    with Ledger(diary.settings, writable=True) as ledger:
        for day, service in ((1, "erp-plant1"), (3, "erp-plant2")):  # the asset went over to another service
            run = new_run("drill", MONDAY + day * DAY, MONDAY + day * DAY)
            ledger.append([unfinished_drill(run, ledger.context(), asset="erp", service=service, reason="r")])
    runs = {
        (days, service): sum(
            one["runs"]
            for one in diary.covers(
                MONDAY, MONDAY + days * DAY, MONDAY + 9 * DAY, services=service and frozenset({service})
            )["manual"]
        )
        for days in (1, 2, 9)
        for service in (None, "erp-plant1", "erp-plant2")
    }
    assert runs == {
        (1, None): 0,
        (1, "erp-plant1"): 0,
        (1, "erp-plant2"): 0,
        (2, None): 1,
        (2, "erp-plant1"): 1,
        (2, "erp-plant2"): 0,
        (9, None): 2,
        (9, "erp-plant1"): 1,
        (9, "erp-plant2"): 1,
    }
