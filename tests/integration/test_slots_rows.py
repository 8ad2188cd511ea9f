"""Slots as rows, on SQLite and PostgreSQL: claimed by one, closed once, whoever is killed, late or replaced."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from guardian.records import unfinished_scan
from guardian.store import slots
from guardian.store.database import Database
from guardian.store.slots import SlotLostError
from guardian.usecases import planning, slot_closing
from guardian.usecases.coverage import coverage
from guardian.usecases.ledger import Ledger, new_run
from guardian.usecases.scan import scan
from tests.daemon_support import SCAN, URL, Clock, Daemon, make, of_slots, records, slot, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardian.model import Claim
    from guardian.settings import Settings

NOON = "2026-06-01T12:00:00+00:00"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The URL of a fresh PostgreSQL database, or None for SQLite."""
    if request.param == "sqlite":
        return None
    found: str = request.getfixturevalue("postgres_url")
    monkeypatch.setenv(URL, found)
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def place(tmp_path: Path, url: str | None) -> Callable[..., Settings]:
    """Make an environment in a folder of its own."""
    return lambda *schedules, **more: make(tmp_path, *schedules, url=url, **more)


@pytest.fixture
def daemon(clock: Clock) -> Iterator[Callable[..., Daemon]]:
    """Start daemons, without processes."""
    made: list[Daemon] = []

    def start(settings: Settings, owner: str = "one") -> Daemon:
        made.append(Daemon.of(settings, clock, owner=owner))
        return made[-1]

    yield start
    for one in made:
        one.close()


def fail(settings: Settings, claim: Claim, now: datetime) -> None:
    """Let an attempt end as an error."""
    slot_closing.close_unfinished(settings, claim, "job ended without a result: tried", started_on=now, now=now)


def states(one: Daemon) -> dict[str, tuple[str, str | None, int]]:
    """Return state, result and last attempt of every slot that is a row."""
    query = text("SELECT job, due, state, result, attempt FROM state_slot ORDER BY job, due")
    with one.database.reading() as session:
        return {f"{r[0]}@{r[1]}": (r[2], r[3], r[4]) for r in session.connection().execute(query)}


# -- the schedule


def test_the_schedule_is_recorded_once_and_again_only_when_its_jobs_differ(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN, '{job: drill, asset: erp, cron: "0 3 * * *", timeZone: Europe/Berlin, attempts: 2}')
    daemon(settings)
    clock.step(hours=1)
    daemon(settings, "two")
    [first] = [record for record in records(settings) if record.kind == "schedule"]
    assert first.predicate["effectiveFrom"] == "2026-06-01T12:00:00.000Z"
    assert first.predicate["jobs"] == [
        {
            "job": "drill:erp",
            "asset": "erp",
            "service": "erp-plant1",
            "schedules": [{"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}],
            "graceSeconds": 3600,
            "attempts": 2,
        },
        {
            "job": "scan",
            "asset": None,
            "service": None,
            "schedules": [{"cron": "0 * * * *", "timeZone": "UTC"}],
            "graceSeconds": 1800,
            "attempts": 1,
        },
    ]
    clock.step(hours=1)
    changed = write(settings.path.parent, SCAN, url=_url(settings))
    daemon(changed)
    second = [record for record in records(settings) if record.kind == "schedule"][-1]
    assert second.statement["predicate"]["supersedes"] == first.record_id


def _url(settings: Settings) -> str | None:
    return None if not hasattr(settings.storage.database, "reference") else "set"


def test_what_was_due_under_the_old_schedule_is_closed_under_it(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN, '{job: drill, asset: erp, cron: "*/30 * * * *", grace: 5h}')
    daemon(settings).close()
    clock.step(hours=1)  # nobody was there
    changed = write(settings.path.parent, '{job: scan, cron: "15 * * * *", grace: 30m}', url=_url(settings))
    one = daemon(changed)
    assert set(states(one)) == {
        "scan@2026-06-01T13:00:00Z",
        "drill:erp@2026-06-01T12:30:00Z",
        "drill:erp@2026-06-01T13:00:00Z",
    }
    one.round()
    assert of_slots(settings).keys() == {"drill:erp@2026-06-01T12:30:00Z", "drill:erp@2026-06-01T13:00:00Z"}
    missed = [record for record in records(settings) if record.kind == "missed-slot"]
    assert all("replaced" in record.predicate["reason"] for record in missed)
    assert [row.job for row in _claimed(one, 5)] == ["scan"], "within its grace, a slot of the old schedule still runs"


def _claimed(one: Daemon, room: int) -> list[Any]:
    return [claim.slot for claim in one.round(room)]


def test_a_daemon_with_another_schedule_than_the_newest_begins_nothing(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    old = daemon(settings, "old")
    clock.to("2026-06-01T13:00:00+00:00")
    assert old.sweep.make(clock())
    rows = _waiting(old)
    new = daemon(write(settings.path.parent, SCAN, SCAN.replace("0 *", "30 *"), url=_url(settings)), "new")
    assert not old.sweep.make(clock())
    assert old.round(5) == []
    with old.database.writing() as session:
        digest = planning.digest_of(old.sweep.jobs)
        assert slots.claim(session, rows[0], owner="old", now=clock(), lease_s=60, digest=digest) is None
    assert [claim.slot.id for claim in new.round(5)] == ["scan@2026-06-01T13:00:00Z"]


def _waiting(one: Daemon) -> list[Any]:
    with one.database.reading() as session:
        return slots.waiting(session, one.clock(), limit=500)


def test_two_daemons_that_begin_at_once_with_different_schedules_leave_one_in_force(
    place: Callable[..., Settings], clock: Clock, tmp_path: Path
) -> None:
    settings = place(SCAN)
    others = [
        write(tmp_path, f'{{job: scan, cron: "{minute} * * * *"}}', url=_url(settings), name=f"{minute}.yaml")
        for minute in range(4)
    ]

    def begin(one: Settings) -> bool:
        with Database(one) as database:
            return planning.bring_in_force(one, database, planning.jobs_of(one), clock)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(begin, others))
    found = [record for record in records(settings) if record.kind == "schedule"]
    assert len(found) == 4
    assert [r.predicate["supersedes"] for r in found[1:]] == [r.record_id for r in found[:-1]]
    with Database(settings) as database, database.reading() as session:
        row = slots.in_force(session)
        assert row is not None
        assert row.record_id == found[-1].record_id


def test_rows_that_were_lost_are_mended_from_the_log_and_nothing_runs_twice(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    one = daemon(settings)
    clock.to("2026-06-01T13:00:00+00:00")
    [claim] = one.round(1)
    fail(settings, claim, clock())
    clock.to("2026-06-01T14:00:01+00:00")
    with one.database.writing() as session:
        session.connection().execute(text("DELETE FROM state_slot"))
        session.connection().execute(text("DELETE FROM state_schedule"))
    again = daemon(settings, "again")
    assert [claim.slot.id for claim in again.round(5)] == ["scan@2026-06-01T14:00:00Z"]
    assert of_slots(settings)["scan@2026-06-01T13:00:00Z"] == [(1, "policy-evaluation", "ERROR")]


# -- claims


def test_slots_that_many_make_at_once_are_made_once(place: Callable[..., Settings], clock: Clock) -> None:
    settings = place('{job: scan, cron: "* * * * *", grace: 3h}')
    Daemon.of(settings, clock).close()
    clock.step(hours=2)
    jobs = planning.jobs_of(settings)

    def made(_number: int) -> bool:
        with Database(settings) as database:
            return planning.make_due(database, jobs, clock())

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(made, range(6)))
    one = Daemon.of(settings, clock)
    assert len(states(one)) == 120
    one.close()


def test_a_slot_that_many_claim_at_once_is_claimed_once(place: Callable[..., Settings], clock: Clock) -> None:
    settings = place('{job: scan, cron: "* * * * *", grace: 3h}')
    first = Daemon.of(settings, clock)
    clock.step(minutes=20)
    first.round()
    start = threading.Barrier(6)

    def claimed(number: int) -> list[Claim]:
        one = Daemon.of(settings, clock, owner=f"daemon {number}")
        try:
            start.wait(30)
            return list(one.sweep.claims(clock(), 20))
        finally:
            one.close()

    with ThreadPoolExecutor(6) as pool:
        found = [claim for claims in pool.map(claimed, range(6)) for claim in claims]
    first.close()
    assert sorted(claim.slot.due.minute for claim in found) == list(range(1, 21))
    assert {(claim.token, claim.attempt) for claim in found} == {(1, 1)}


# -- fencing and leases


def test_what_wakes_up_after_its_slot_was_closed_by_another_appends_nothing(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    one, two = daemon(settings, "one"), daemon(settings, "two")
    clock.to("2026-06-01T13:00:00+00:00")
    [claim] = one.round(1)
    clock.step(seconds=61)
    two.round()
    before = records(settings)
    assert of_slots(settings) == {claim.slot.id: [(1, "policy-evaluation", "ERROR")]}
    assert before[-1].predicate["reason"].startswith("daemon lost: one ")
    with pytest.raises(SlotLostError, match="no longer ours"):
        scan(settings, progress=lambda _step: None, claim=claim)
    with pytest.raises(SlotLostError):
        fail(settings, claim, clock())
    assert len(records(settings)) == len(before)
    assert states(one) == {claim.slot.id: ("closed", "ERROR", 1)}


def test_a_lease_that_is_renewed_is_not_taken(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    one, two = daemon(settings), daemon(settings, "two")
    clock.to("2026-06-01T13:00:00+00:00")
    [claim] = one.round(1)
    clock.step(seconds=61)
    with two.database.reading() as session:
        [seen] = slots.expired(session, clock(), limit=10)
    with one.database.writing() as session:
        assert slots.renew(session, claim, clock() + timedelta(seconds=60))
    before = len(records(settings))
    assert slot_closing.close_lost(settings, seen, now=clock()) is None
    two.round()
    assert len(records(settings)) == before
    done = scan(settings, progress=lambda _step: None, claim=claim)
    assert done.record is not None
    [record] = records(settings)[before:]
    run = record.predicate["run"]
    assert (run["slot"], run["trigger"], run["attempt"]) == (claim.slot.id, "schedule", 1)
    assert run["scheduledFor"] == "2026-06-01T13:00:00.000Z"
    assert states(one)[claim.slot.id][0] == "closed"


def test_a_lease_that_another_took_cannot_be_renewed(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN.replace("grace: 30m", "grace: 30m, attempts: 3"))
    one, two = daemon(settings), daemon(settings, "two")
    clock.to("2026-06-01T13:00:00+00:00")
    [claim] = one.round(1)
    clock.step(minutes=11)  # the second attempt begins a third of the grace after the first
    [again] = two.round(1)
    assert (again.slot, again.attempt, again.final) == (claim.slot, 2, False)
    assert again.token > claim.token
    with one.database.writing() as session:
        assert not slots.renew(session, claim, clock() + timedelta(seconds=60))
    with pytest.raises(SlotLostError):
        fail(settings, claim, clock())


def test_a_slot_is_closed_with_its_record_or_not_at_all(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    one = daemon(settings)
    clock.to("2026-06-01T13:00:00+00:00")
    [claim] = one.round(1)
    with Ledger(settings, writable=True) as ledger:
        run = new_run("scan", clock(), clock(), claim=claim)
        payload = unfinished_scan(run, ledger.context(), reason="tried")
        slot_closing.append_for(ledger, payload, claim, now=clock())
        size = ledger.log.size
        with pytest.raises(SlotLostError):  # the same claim again: it is closed by now
            slot_closing.append_for(ledger, unfinished_scan(run, ledger.context(), reason="twice"), claim, now=clock())
        assert ledger.log.size == size
    assert len(of_slots(settings)[claim.slot.id]) == 1


# -- missed, and attempts


def test_a_slot_that_nobody_ran_is_missed_when_its_grace_is_over_and_not_before(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN, '{job: drill, asset: erp, cron: "0 * * * *", grace: 10m}')
    one = daemon(settings)
    clock.to("2026-06-01T13:10:00+00:00")
    one.round()
    assert of_slots(settings) == {}
    clock.step(seconds=1)
    one.round()
    assert of_slots(settings) == {"drill:erp@2026-06-01T13:00:00Z": [(1, "missed-slot", "MISSED")]}
    missed = records(settings)[-1].predicate
    assert (missed["asset"], missed["service"]) == ("erp", "erp-plant1")
    assert "grace of 600 s" in missed["reason"]
    clock.to("2026-06-01T13:30:01+00:00")
    one.round()
    assert of_slots(settings)["scan@2026-06-01T13:00:00Z"] == [(1, "missed-slot", "MISSED")]


def test_all_that_was_missed_while_nobody_was_there_is_named_once_somebody_is(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN.replace("0 *", "*/5 *"))
    daemon(settings).close()
    clock.step(days=3, minutes=2)
    one = daemon(settings)
    claims = one.round(1)
    found = of_slots(settings)
    assert len(found) == 3 * 24 * 12 - 6  # the last half hour is within its grace
    assert set(map(tuple, found.values())) == {((1, "missed-slot", "MISSED"),)}
    assert [claim.slot.due.minute for claim in claims] == [35], "the oldest that may still run"
    document = coverage(settings, now=clock())
    assert document["counts"] == {
        **dict.fromkeys(("passed", "failed", "error", "skipped", "absent"), 0),
        "missed": 858,
        "open": 6,
    }


def test_a_slot_that_was_claimed_meanwhile_is_not_missed_and_the_others_are(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN.replace("0 *", "*/10 *").replace("30m", "1h"))
    one = daemon(settings)
    clock.to("2026-06-01T12:30:00+00:00")
    one.round()
    seen = _waiting(one)
    assert len(seen) == 3
    [claim] = one.round(1)
    closed = slot_closing.close_missed(settings, seen, reason="tried", now=clock())
    assert [each.slot.due.minute for each in closed] == [20, 30]
    assert claim.slot.id not in of_slots(settings)


def test_an_error_is_tried_again_within_the_grace_and_the_last_attempt_closes(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN.replace("grace: 30m", "grace: 30m, attempts: 3"))
    one = daemon(settings)
    clock.to("2026-06-01T13:00:00+00:00")
    name = "scan@2026-06-01T13:00:00Z"
    for attempt, minute in ((1, 0), (2, 10), (3, 20)):
        clock.to(f"2026-06-01T13:{minute:02}:00+00:00")
        [claim] = one.round(1)
        assert (claim.attempt, claim.final) == (attempt, attempt == 3)
        fail(settings, claim, clock())
        clock.step(minutes=9, seconds=59)
        assert one.round(1) == []
    assert of_slots(settings) == {name: [(n, "policy-evaluation", "ERROR") for n in (1, 2, 3)]}
    assert states(one) == {name: ("closed", "ERROR", 3)}


def test_a_slot_whose_grace_ends_after_an_error_closes_with_that_error(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN.replace("grace: 30m", "grace: 30m, attempts: 5"))
    one = daemon(settings)
    clock.to("2026-06-01T13:29:00+00:00")
    [claim] = one.round(1)
    fail(settings, claim, clock())
    clock.to("2026-06-01T13:30:01+00:00")
    assert one.round(1) == []
    name = "scan@2026-06-01T13:00:00Z"
    assert states(one) == {name: ("closed", "ERROR", 1)}
    assert of_slots(settings) == {name: [(1, "policy-evaluation", "ERROR")]}, "not missed: it was tried"


def test_coverage_says_from_the_records_what_the_rows_say(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN, '{job: drill, asset: erp, cron: "0 * * * *", grace: 2h, attempts: 2}')
    one = daemon(settings)
    clock.to("2026-06-01T13:00:00+00:00")
    by_job = {claim.slot.job: claim for claim in one.round(2)}
    fail(settings, by_job["drill:erp"], clock())
    scan(settings, progress=lambda _step: None, claim=by_job["scan"])
    clock.to("2026-06-01T15:10:00+00:00")
    one.round()
    document = coverage(settings, now=clock())
    told = {entry["slot"]: entry["state"] for job in document["jobs"] for entry in job["slots"]}
    for name, (state, result, attempt) in states(one).items():
        over = attempt > 0 or state == "closed"
        assert told[name] == ((result or "").lower() if over else "open"), name
    assert [entry["state"] for entry in document["missing"]] == ["missed"]


def test_closed_rows_are_forgotten_after_a_month_and_not_made_again(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon]
) -> None:
    settings = place(SCAN)
    one = daemon(settings)
    clock.to("2026-06-01T13:40:00+00:00")
    one.round()
    assert set(states(one)) == {"scan@2026-06-01T13:00:00Z"}
    clock.step(days=31)
    one.round()
    one.round()
    assert "scan@2026-06-01T13:00:00Z" not in states(one)
    assert len(of_slots(settings)["scan@2026-06-01T13:00:00Z"]) == 1


def test_the_time_that_daemons_share_is_that_of_the_database(place: Callable[..., Settings]) -> None:
    settings = place(SCAN)
    with Database(settings) as database:
        assert abs(database.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert slot("scan", NOON).id == "scan@2026-06-01T12:00:00Z"


def test_a_slot_of_a_job_that_is_gone_is_not_missed_before_it_is_due(
    place: Callable[..., Settings], clock: Clock, daemon: Callable[..., Daemon], url: str | None
) -> None:
    # A record of a machine whose clock is ahead: a schedule that replaces this one begins no earlier than it ended.
    settings = place(SCAN)
    daemon(settings).close()
    ahead = clock() + timedelta(hours=3)
    with Ledger(settings, writable=True) as ledger:
        ledger.append([unfinished_scan(new_run("scan", ahead, ahead), ledger.context(), reason="ahead")])
    without = write(settings.path.parent, '{job: drill, asset: erp, cron: "30 * * * *", grace: 10m}', url=url)
    two = daemon(without, "two")
    two.round()
    assert of_slots(without) == {}
    clock.step(hours=1)
    two.round()
    assert list(of_slots(without)) == ["scan@2026-06-01T13:00:00Z"]
