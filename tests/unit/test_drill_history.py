"""What earlier drills decide: whose turn it is, what is unlike them, how long a restore should take."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guardian.drills.anomaly import anomaly
from guardian.drills.forecast import forecast, line_through
from guardian.drills.freshness import Age
from guardian.drills.history import PastDrill, history, past_drill
from guardian.drills.plan import drilled_within, plan, sample
from guardian.model import BackupJob, Place
from guardian.model.drill_policy import Choice, DrillPolicy, ScopePolicy
from verifiers.result import Assurance, Check, DrillResult, Scope, Verdict
from verifiers.sources import BackupItem

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
DAY = timedelta(days=1)
JOB = BackupJob("nightly", Place("pg_dump", "/backups"), 86_400)
COPY = BackupJob("copy", Place("pg_dump", "/copies"), 86_400)


def item(name: str, days: float = 0) -> BackupItem:
    return BackupItem(name, Path("/backups", name), NOW - days * DAY, 100, complete=True)


def past(backup: str | None, days: float, **changes: Any) -> PastDrill:
    """Return a green drill so many days ago, of a backup a day older."""
    said = {"verdict": Verdict.PASS, "job": "nightly", "taken_at": NOW - (days + 1) * DAY}
    return PastDrill(f"r{days}", NOW - days * DAY, backup, **{**said, **changes})


def record(**changes: Any) -> dict[str, Any]:
    return {
        "asset": "erp",
        "run": {"finishedOn": "2026-11-22T11:00:00.000Z"},
        "backup": {"id": "b", "job": "nightly", "takenAt": "2026-11-22T03:00:00.000Z"},
        "result": "PASSED",
        "assurance": "sound",
        "scope": "full",
        "checks": [
            {"id": "amcheck", "verdict": "pass", "observed": {"heapallindexed": True}},
            {"id": "anomaly", "verdict": "skip", "observed": {"accepted": "moved"}},
        ],
        "phases": [{"name": "restore", "seconds": 3.5}],
        "measurements": {"restoreSeconds": 4.5, "backupBytes": 10},
        **changes,
    }


# -- history


def test_history_tells_what_records_say_newest_first_of_one_asset_only() -> None:
    records = [("1", record()), ("2", record(asset="crm")), ("3", record(result="FAILED", assurance=None))]
    newest, older = history(records, "erp")
    assert (newest.record_id, newest.verdict, newest.assurance) == ("3", Verdict.FAIL, None)
    assert (older.record_id, older.restore_s, older.phases) == ("1", 4.5, {"restore": 3.5})
    assert older.heapallindexed
    assert older.accepted


def test_drill_that_died_and_one_of_an_older_version_are_read_too() -> None:
    died = record(result="ERROR", assurance=None, checks=[], measurements={})
    del died["backup"], died["phases"], died["scope"]
    assert past_drill("1", died).backup_id is None
    old = record(backup={"id": "b", "takenAt": None}, result="PASSED")
    del old["scope"]
    assert past_drill("1", old).scope is Scope.FULL
    assert past_drill("1", old).is_of("whatever", "b")


# -- choice


def test_sampling_takes_the_oldest_never_drilled_first_and_then_the_one_drilled_longest_ago() -> None:
    kept = [(JOB, item("a", 3)), (JOB, item("b", 2)), (COPY, item("a", 1))]
    drilled: list[PastDrill] = []
    turns = []
    for day in range(5):
        now = NOW + day * DAY
        job, chosen = sample(kept, drilled, 30 * 86_400, now)
        turns.append((job.name, chosen.id))
        drilled.insert(0, PastDrill(str(day), now, chosen.id, Verdict.PASS, job=job.name))
    assert turns == [("nightly", "a"), ("nightly", "b"), ("copy", "a"), ("nightly", "a"), ("nightly", "b")]


def test_every_backup_is_drilled_within_the_period_when_there_are_as_many_drills_as_backups_kept() -> None:
    """Daily backups of which 20 are kept and one drill a day: each one kept for the period was drilled in it."""
    drilled: list[PastDrill] = []
    for day in range(120):
        now = NOW + day * DAY
        kept = [(JOB, BackupItem(str(n), Path(str(n)), NOW + n * DAY, 1, complete=True)) for n in range(day - 20, day)]
        job, chosen = sample(kept, drilled, 20 * 86_400, now)
        drilled.insert(0, PastDrill(str(day), now, chosen.id, Verdict.PASS, job=job.name))
    assert len({each.backup_id for each in drilled}) > 100


def test_backup_that_cannot_be_checked_keeps_no_other_waiting_and_does_not_count_as_drilled() -> None:
    kept = [(JOB, item("a", 3)), (JOB, item("b", 2))]
    erred = [past("a", 0.1, verdict=Verdict.ERROR)]
    assert sample(kept, erred, 86_400, NOW)[1].id == "b"
    assert drilled_within(86_400, kept, erred, NOW) == set()
    both = [past("b", 0.05, verdict=Verdict.FAIL), *erred]
    assert drilled_within(86_400, kept, both, NOW) == {("nightly", "b")}
    assert sample(kept, both, 86_400, NOW)[1].id == "a"


def test_plan_of_a_sampled_drill_tells_the_coverage() -> None:
    kept = [(JOB, item("a", 3)), (JOB, item("b", 2))]
    policy = DrillPolicy(choose=Choice.SAMPLED, period_s=5 * 86_400)
    made = plan(policy, [past("a", 1)], NOW, sampled=(kept, "nightly", "b"))
    assert (made.covered, made.fresh, made.newest) == ((1, 2), True, False)
    again = plan(policy, [past("a", 1)], NOW, sampled=(kept, "nightly", "a"))
    assert (again.covered, again.fresh) == ((1, 2), False)
    assert plan(policy, [past("a", 6)], NOW, sampled=(kept, "nightly", "a")).covered == (0, 2)


def test_rotation_restores_everything_when_the_last_full_pass_is_long_enough_ago() -> None:
    policy = DrillPolicy(scope=ScopePolicy.ROTATE, full_every_s=7 * 86_400)
    data = past("a", 0.5, scope=Scope.DATA_ONLY)
    assert plan(policy, [], NOW).scope is Scope.FULL
    between = plan(policy, [data, past("a", 6)], NOW)
    assert (between.scope, between.last_full) == (Scope.DATA_ONLY, "the last full one was 2026-11-17 11:00 UTC")
    assert plan(policy, [data, past("a", 7)], NOW).scope is Scope.FULL
    assert plan(policy, [past("a", 1, verdict=Verdict.FAIL), past("a", 8)], NOW).scope is Scope.FULL


def test_expensive_amcheck_is_due_by_its_cadence_and_what_is_not_due_says_since_when() -> None:
    policy = DrillPolicy(heapallindexed_every_s=3 * 86_400)
    assert plan(DrillPolicy(), [], NOW).heapallindexed is None
    assert plan(policy, [past("a", 1)], NOW).heapallindexed is True
    rests = plan(policy, [past("b", 1), past("a", 2, heapallindexed=True)], NOW)
    assert rests.heapallindexed is False
    assert "last proved 2026-11-21 11:00 UTC" in rests.heapallindexed_said
    assert plan(policy, [past("a", 3, heapallindexed=True)], NOW).heapallindexed is True


# -- result


def test_drill_of_the_data_alone_can_claim_no_more_than_restored_and_no_restore_time() -> None:
    checks = [Check(level.value, level, Verdict.PASS) for level in Assurance]
    full = DrillResult(Assurance.EXACT, checks, [], {}, restored=True)
    assert (full.assurance, full.verdict, full.restore_seconds) == (Assurance.EXACT, Verdict.PASS, 0)
    data = DrillResult(Assurance.EXACT, checks, [], {}, restored=True, scope=Scope.DATA_ONLY)
    assert (data.assurance, data.verdict, data.restore_seconds) == (Assurance.RESTORED, Verdict.PASS, None)
    wrong = [*checks, Check("content.rows", Assurance.EXACT, Verdict.FAIL)]
    assert DrillResult(Assurance.EXACT, wrong, [], {}, restored=True, scope=Scope.DATA_ONLY).verdict is Verdict.FAIL
    none = [Check("x", Assurance.RESTORED, Verdict.SKIP), Check("y", Assurance.SOUND, Verdict.PASS)]
    assert DrillResult(Assurance.SOUND, none, [], {}, restored=True, scope=Scope.DATA_ONLY).verdict is Verdict.ERROR


# -- anomaly


def compared(measured: Mapping[str, float], drills: list[PastDrill], **changes: Any) -> Check:
    said = {"scope": Scope.FULL, "accepted": None, **changes}
    return anomaly("nightly", "new", NOW, said["scope"], measured, drills, said["accepted"])


def usual(count: int = 5, /, **measured: float) -> list[PastDrill]:
    return [past(f"b{day}", day, measurements=measured) for day in range(1, count + 1)]


def test_first_drill_has_nothing_to_be_compared_with() -> None:
    assert compared({"rows": 5}, []).verdict is Verdict.SKIP
    assert compared({"rows": 5}, [past("new", 1, measurements={"rows": 50_000})]).verdict is Verdict.SKIP
    assert compared({"rows": 5}, usual(rows=50_000)[:0]).message.startswith("no earlier green drill")


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"rows": 1000}, {"rows": 499}, "499 rows, less than half of the usual 1,000"),
        ({"rows": 1000}, {"rows": 3001}, "3,001 rows, more than three times the usual 1,000"),
        ({"backupBytes": 1 << 20}, {"backupBytes": 400_000}, "bytes in the backup, less than half"),
        ({"tables": 40}, {"tables": 10}, "10 tables, less than half"),
        ({"files": 1000}, {"files": 100}, "100 files, less than half"),
        ({"files": 1000, "fileBytes": 1 << 20}, {"files": 1000, "fileBytes": 10}, "10 bytes in files, less than half"),
        ({"files": 1000}, {"files": 1000, "filesChanged": 501}, "501 of 1,000 files changed"),
        (
            {"files": 1000, "filesHighEntropy": 100},
            {"files": 1000, "filesHighEntropy": 900},
            "90% of the files look encrypted, and 10% are usual",
        ),
    ],
)
def test_backup_far_outside_the_usual_fails_and_says_in_what(
    before: Mapping[str, float], now: Mapping[str, float], said: str
) -> None:
    check = compared(now, usual(**before))
    assert check.verdict is Verdict.FAIL
    assert said in check.message
    assert "--accept-anomaly" in check.message


def test_usual_growth_and_small_numbers_are_no_anomaly() -> None:
    assert compared({"rows": 2900, "tables": 200}, usual(rows=1000, tables=40)).verdict is Verdict.PASS
    assert compared({"rows": 3, "files": 1}, usual(rows=50, files=6)).verdict is Verdict.PASS
    assert compared({"rows": 9000}, usual(2, rows=1000)).verdict is Verdict.PASS, "two drills tell no growth"
    changed = {"files": 1000, "filesChanged": 500, "filesHighEntropy": 350}
    assert compared(changed, usual(files=1000, filesHighEntropy=100)).verdict is Verdict.PASS


def test_red_drills_other_jobs_and_later_backups_are_never_the_measure() -> None:
    odd = {"rows": 10_000}
    drills = [
        past("x", 1, measurements=odd, verdict=Verdict.FAIL),
        past("y", 1, measurements=odd, job="weekly"),
        past("z", 1, measurements=odd, taken_at=NOW + DAY),
    ]
    assert compared({"rows": 1000}, [*drills, *usual(rows=1000)]).verdict is Verdict.PASS
    assert compared({"rows": 1000}, drills).verdict is Verdict.SKIP


def test_accepted_change_is_skipped_with_its_reason_and_becomes_the_new_measure() -> None:
    check = compared({"rows": 100}, usual(rows=1000), accepted="archived 2019")
    assert (check.verdict, check.observed["accepted"]) == (Verdict.SKIP, "archived 2019")
    assert "archived 2019" in check.message
    assert "less than half" in check.message
    after = [past("c", 0.5, measurements={"rows": 100}, accepted=True), *usual(rows=1000)]
    assert compared({"rows": 100}, after).verdict is Verdict.PASS
    assert compared({"rows": 40}, after).verdict is Verdict.FAIL


def test_size_of_a_database_without_indexes_is_held_against_others_without() -> None:
    big = {"databaseBytes": 900 << 20}
    assert compared({"databaseBytes": 200 << 20}, usual(**big), scope=Scope.DATA_ONLY).verdict is Verdict.PASS
    assert compared({"databaseBytes": 200 << 20}, usual(**big)).verdict is Verdict.FAIL


# -- forecast


def test_restore_is_forecast_by_a_line_through_size_and_seconds() -> None:
    found = line_through([(100, 12), (200, 22), (300, 32)], 1000)
    assert found is not None
    assert found.seconds == pytest.approx(102)
    assert found.error_s == pytest.approx(5.1), "a perfect line still has an error"
    assert found.slower(150) is None
    assert found.slower(160) == 1.57


def test_fewer_than_three_drills_forecast_nothing_and_a_falling_line_is_not_believed() -> None:
    assert line_through([(100, 12), (200, 22)], 300) is None
    found = line_through([(100, 30), (200, 20), (300, 10)], 1000)
    assert found is not None
    assert found.seconds == 20
    same = line_through([(100, 10), (100, 11), (100, 12)], 100)
    assert same is not None
    assert same.seconds == 11
    assert same.slower(16) is None, "within the error, though half as much again"


def test_forecast_holds_for_most_drills_of_a_noisy_line() -> None:
    noise = random.Random(7)
    held = 0
    for _ in range(300):
        points = [(size, 5 + size / 10 + noise.gauss(0, 3)) for size in (noise.uniform(50, 500) for _ in range(6))]
        found = line_through(points, 300)
        assert found is not None
        held += abs(35 + noise.gauss(0, 3) - found.seconds) <= found.error_s
    assert held > 270


def test_only_green_drills_of_the_same_job_and_scope_are_counted() -> None:
    timed = {"measurements": {"backupBytes": 10}, "restore_s": 5.0}
    drills = [past(str(day), day, **timed) for day in (1, 2, 3)]
    found = forecast(drills, "nightly", Scope.FULL, 10)
    assert found is not None
    assert found.drills == 3
    assert forecast(drills, "weekly", Scope.FULL, 10) is None
    assert forecast(drills, "nightly", Scope.DATA_ONLY, 10) is None
    assert forecast([*drills[:2], past("x", 1, **timed, verdict=Verdict.FAIL)], "nightly", Scope.FULL, 10) is None


# -- freshness


def test_newest_backup_older_than_twice_its_period_fails_and_names_job_and_age() -> None:
    late = Age(NOW, NOW - timedelta(days=21))
    check = late.check(JOB, "erp", newest=True)
    assert check.verdict is Verdict.FAIL
    assert "The newest backup of erp is 21 d old, and job nightly should make one every 24 h" in check.message
    assert late.check(JOB, "erp", newest=False).verdict is Verdict.PASS, "an old one that was asked for"
    assert late.check(BackupJob("n", JOB.place, None), "erp", newest=True).verdict is Verdict.PASS
    assert Age(NOW, NOW - 2 * DAY).check(JOB, "erp", newest=True).verdict is Verdict.PASS


def test_heartbeat_tells_the_age_before_all_others_and_one_that_stood_still_fails() -> None:
    beat = Age(NOW, NOW - DAY, newest=NOW - timedelta(hours=2), heartbeat=NOW - DAY - timedelta(seconds=1))
    assert (beat.source, beat.seconds) == ("heartbeat", 86_401)
    check = beat.check(JOB, "erp", newest=True)
    assert (check.verdict, check.observed["rpoSource"]) == (Verdict.PASS, "heartbeat")
    still = Age(NOW, NOW - DAY, heartbeat=NOW - 9 * DAY).check(JOB, "erp", newest=True)
    assert still.verdict is Verdict.FAIL
    assert "8 d older than the backup itself" in still.message


def test_heartbeat_without_an_answer_is_an_error_and_not_the_age_of_the_backup() -> None:
    check = Age(NOW, NOW - DAY, heartbeat="it gave NULL, so there is no heartbeat row.").check(JOB, "erp", newest=True)
    assert check.verdict is Verdict.ERROR
    assert "it gave NULL" in check.message


def test_log_tells_the_age_of_a_recovered_cluster_and_the_manifest_that_of_a_backup_without_a_time() -> None:
    log = Age(NOW, NOW - DAY, by_manifest=NOW - DAY, newest=NOW - timedelta(minutes=1))
    assert (log.source, log.seconds) == ("write-ahead log", 60)
    assert Age(NOW, NOW - DAY, by_manifest=NOW).source == "backup"
    unknown = Age(NOW, None, by_manifest=NOW - DAY)
    assert (unknown.source, unknown.check(JOB, "erp", newest=True).verdict) == ("manifest", Verdict.PASS)
    assert Age(NOW, None).check(JOB, "erp", newest=True).verdict is Verdict.ERROR
    assert Age(NOW, NOW + DAY).check(JOB, "erp", newest=True).verdict is Verdict.ERROR
