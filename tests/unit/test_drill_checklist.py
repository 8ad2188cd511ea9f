"""Every check of a drill is accounted for, and one that breaks costs no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.drills.catalogue import choose, required_assurance
from guardian.drills.checklist import CHECKS, Checklist, StopDrill
from guardian.drills.freshness import Age
from guardian.errors import UsageError
from guardian.model import Asset, Assurance, BackupJob, Source
from verifiers.errors import VerifierError
from verifiers.result import Check, DrillResult, Verdict
from verifiers.sources import Place

if TYPE_CHECKING:
    from pathlib import Path


def check(check_id: str, verdict: Verdict = Verdict.PASS) -> Check:
    return Check(check_id, CHECKS[check_id], verdict, message="told")


def result(checklist: Checklist) -> DrillResult:
    return DrillResult(checklist.required, checklist.result("it broke off"), [], {}, restored=False)


def test_what_was_not_reached_is_an_error_with_the_reason() -> None:
    checklist = Checklist(Assurance.EXACT)
    checklist.put(check("archive.complete", Verdict.FAIL))
    checks = {each.id: each for each in checklist.result("archive.complete did not pass")}
    assert list(checks) == list(CHECKS)
    assert checks["amcheck"].verdict is Verdict.ERROR
    assert checks["amcheck"].message == "not run: archive.complete did not pass"
    assert checks["archive.complete"].verdict is Verdict.FAIL


@pytest.mark.parametrize("required", list(Assurance))
def test_what_lies_above_the_required_level_is_skipped_and_never_run(required: Assurance) -> None:
    checklist = Checklist(required)
    ran: list[str] = []
    for check_id, level in CHECKS.items():

        def job(name: str = check_id) -> Check:
            ran.append(name)
            return check(name)

        checklist.run([check_id], job)
        assert (check_id in ran) is (level is None or level.rank <= required.rank)
    assert result(checklist).verdict is Verdict.PASS
    assert result(checklist).assurance is required


@pytest.mark.parametrize("missing", CHECKS)
def test_a_drill_without_any_one_of_its_checks_never_passes(missing: str) -> None:
    checklist = Checklist(Assurance.EXACT)
    for check_id in CHECKS:
        if check_id != missing:
            checklist.put(check(check_id))
    assert result(checklist).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (VerifierError("the reason"), "could not be checked: the reason"),
        (psycopg.errors.UniqueViolation("Key (a)=(secret row)"), "could not be checked: "),
        (KeyError("secret row"), "could not be checked: KeyError; this is a defect of Guardian, please report it"),
    ],
)
def test_a_check_that_raises_is_an_error_and_tells_no_row(raised: Exception, told: str) -> None:
    def job() -> Check:
        raise raised

    checklist = Checklist(Assurance.EXACT)
    for each in checklist.run(["content.rows", "content.hashes"], job):
        assert each.verdict is Verdict.ERROR
        assert each.message.startswith(told)
        assert "secret row" not in each.message


def test_a_job_that_forgets_a_check_leaves_an_error() -> None:
    checklist = Checklist(Assurance.EXACT)
    [rows, hashes] = checklist.run(["content.rows", "content.hashes"], lambda: [check("content.rows")])
    assert (rows.verdict, hashes.verdict) == (Verdict.PASS, Verdict.ERROR)


def test_stopping_a_drill_passes_through_a_check() -> None:
    def job() -> Check:
        raise StopDrill("the deadline passed")

    with pytest.raises(StopDrill):
        Checklist(Assurance.EXACT).run(["amcheck"], job)


def test_a_check_that_is_not_on_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match="no check of a drill"):
        Checklist(Assurance.EXACT).put(Check("made.up", None, Verdict.PASS))


def asset(assurance: Assurance | None = None, *jobs: BackupJob) -> Asset:
    return Asset("erp", "postgres", "plant", assurance, Source(), jobs)


def test_required_level_is_the_declared_one_else_follows_the_first_manifest() -> None:
    assert required_assurance(asset(), any_manifest_logged=False) is Assurance.SOUND
    assert required_assurance(asset(), any_manifest_logged=True) is Assurance.EXACT
    assert required_assurance(asset(Assurance.RESTORED), any_manifest_logged=True) is Assurance.RESTORED


def test_the_newest_backup_over_all_jobs_is_chosen(tmp_path: Path) -> None:
    jobs = []
    for name, stamps in (("a", ["20260101T000000Z", "20260301T000000Z"]), ("b", ["20260201T000000Z"])):
        (tmp_path / name).mkdir()
        for stamp in stamps:
            (tmp_path / name / f"{stamp}.dump").write_bytes(b"")
        jobs.append(BackupJob(name, Place("pg_dump", str(tmp_path / name)), None))
    job, item, _ = choose(asset(None, *jobs))
    assert item is not None
    assert (job.name, item.id) == ("a", "20260301T000000Z"), "also when it is visibly incomplete"
    job, item, _ = choose(asset(None, *jobs), "20260201T000000Z")
    assert item is not None
    assert (job.name, item.id) == ("b", "20260201T000000Z")
    with pytest.raises(UsageError, match="no backup 'nope'"):
        choose(asset(None, *jobs), "nope")


def test_job_that_cannot_be_read_is_told_as_a_newer_backup_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/20260301T000000Z.dump").write_bytes(b"")
    jobs = [BackupJob(name, Place("pg_dump", str(tmp_path / name)), None) for name in ("a", "gone")]
    chosen = choose(asset(None, *jobs))
    assert chosen.backup is not None
    assert chosen.plan.unread.startswith("job gone: cannot read the backup folder")
    now = datetime(2026, 3, 1, 1, tzinfo=UTC)
    age = Age(now, now - timedelta(hours=1))
    check = age.check(chosen.job, "erp", newest=True, unread=chosen.plan.unread)
    assert (check.verdict, "job gone" in check.message) == (Verdict.ERROR, True)
    assert age.check(chosen.job, "erp", newest=True).verdict is Verdict.PASS
    assert choose(asset(None, *jobs), "20260301T000000Z").plan.unread == "", "which one is meant was said"


def test_an_asset_without_a_backup_job_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="add `backups:`"):
        choose(asset())
