"""The schedule as a signed record, and its slots as rows, made when they are due.

Invariant: a slot is made once, under the schedule that was in force when it was due. The newest signed schedule is in
force, and no other: before it begins, the slots of the one before are rows up to that moment.
I/O: the log, the database.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from evidence.statement import parse_statement
from guardian.errors import GuardianError
from guardian.model import rfc3339
from guardian.records import schedule
from guardian.slots import instants
from guardian.store import slots
from guardian.store.slots import ScheduleChangedError
from guardian.store.tables import ScheduleRow, SlotRow
from guardian.usecases.ledger import Ledger, new_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.settings import Schedule, Settings
    from guardian.store.database import Database
    from guardian.store.slots import Transaction

    Clock = Callable[[], datetime]

log_events = structlog.get_logger()

_TRIES: Final = 10
_DAY: Final = timedelta(days=1)
_AHEAD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Job:
    """One job and when it is due. schedules: (cron, time zone) of each, sorted; its slots are their union."""

    name: str
    asset: str | None
    service: str | None
    schedules: tuple[tuple[str, str], ...]
    grace_s: int
    attempts: int

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `jobs` in a schedule record."""
        return {
            "job": self.name,
            "asset": self.asset,
            "service": self.service,
            "schedules": [{"cron": cron, "timeZone": zone} for cron, zone in self.schedules],
            "graceSeconds": self.grace_s,
            "attempts": self.attempts,
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Job:
        """Return the job of a verified record."""
        schedules = tuple((one["cron"], one["timeZone"]) for one in entry["schedules"])
        return cls(entry["job"], entry["asset"], entry["service"], schedules, entry["graceSeconds"], entry["attempts"])

    def due(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the moments with after < due <= until, ascending, in UTC."""
        return sorted({due for cron, zone in self.schedules for due in instants(cron, zone, after, until)})

    def next_due(self, after: datetime) -> datetime | None:
        """Return the first moment after `after`, None if there is none within five years."""
        for days in (1, 7, 31, 366, 5 * 366):
            until = after + timedelta(days=days)
            firsts = [next(instants(cron, zone, after, until), None) for cron, zone in self.schedules]
            if found := [first for first in firsts if first is not None]:
                return min(found)
        return None


def jobs_of(settings: Settings) -> tuple[Job, ...]:
    """Return the jobs that guardian.yaml schedules, by name; of one scheduled twice, the largest grace and attempts."""
    by_name: dict[str, list[Schedule]] = defaultdict(list)
    for item in settings.schedules:
        by_name[f"drill:{item.asset}" if item.job == "drill" else item.job].append(item)
    assets = settings.assets()
    return tuple(
        Job(
            name=name,
            asset=items[0].asset,
            service=assets[items[0].asset].service if items[0].asset else None,
            schedules=tuple(sorted({(item.cron, item.time_zone) for item in items})),
            grace_s=max(item.grace_s for item in items),
            attempts=max(item.attempts for item in items),
        )
        for name, items in sorted(by_name.items())
    )


def digest_of(jobs: Sequence[Job]) -> str:
    """Return the hex SHA-256 of the canonical JSON of these jobs."""
    return hashlib.sha256(orjson.dumps([job.to_json() for job in jobs], option=orjson.OPT_SORT_KEYS)).hexdigest()


def bring_in_force(settings: Settings, database: Database, jobs: Sequence[Job], clock: Clock) -> bool:
    """Make these jobs the schedule in force, recording it if it differs; tell whether a record was written.

    What was due under the schedule before becomes rows first.
    """
    for _ in range(_TRIES):
        with Ledger(settings, writable=True) as ledger:
            seen = _row(database)
            records = ledger.records()
            if _row(database) != seen:
                continue  # another daemon is at it: what was read does not belong together
            newest = next((record for record in reversed(records) if record.kind == "schedule"), None)
            if newest is not None and (seen is None or seen.record_id != newest.record_id):
                seen = _mend(database, records, newest)
            before = () if newest is None else tuple(Job.from_json(entry) for entry in newest.predicate["jobs"])
            if digest_of(before) == digest_of(jobs):
                return False
            start = max(clock(), *_ends_of(records))
            if start > clock() + _AHEAD:
                log_events.error(
                    "schedule_begins_late",
                    begins=rfc3339(start),
                    reason="a record in the log is dated in the future, and a schedule never begins before what the "
                    "log holds: until then the one before stays in force; see which with `guardian evidence list`",
                )
            if seen is not None:
                start = max(start, datetime.fromisoformat(seen.made_until))
                if not _make(database, before, seen, start):
                    continue
                seen = _row(database)
                if seen is None or newest is None or seen.record_id != newest.record_id:
                    continue
            try:
                _record(ledger, jobs, start, seen, newest)
            except ScheduleChangedError:
                continue
            return True
    raise GuardianError("other daemons keep changing the schedule in force: give all of them the same `schedules:`")


def make_due(database: Database, jobs: Sequence[Job], now: datetime) -> bool:
    """Make the slots due up to `now` rows; False if `jobs` are not the schedule in force."""
    seen = _row(database)
    if seen is None:
        return not jobs
    if seen.digest != digest_of(jobs):
        return False
    _make(database, jobs, seen, now)  # what another daemon made meanwhile is made
    return True


def _make(database: Database, jobs: Sequence[Job], seen: ScheduleRow, until: datetime) -> bool:
    """Make rows up to `until`, a day at a time; False if another daemon went on meanwhile."""
    after = datetime.fromisoformat(seen.made_until)
    until = until.astimezone(UTC)
    until = until.replace(microsecond=until.microsecond // 1000 * 1000)
    while after < until:
        end = min(after + _DAY, until)
        rows = [
            SlotRow(job=job.name, due=slots.instant(due), grace_s=job.grace_s, attempts=job.attempts, state=slots.DUE)
            for job in jobs
            for due in job.due(after, end)
        ]
        with database.writing() as session:
            if not slots.make(session, seen, end, rows):
                return False
        seen = ScheduleRow(**seen.model_dump(exclude={"made_until"}), made_until=rfc3339(end))
        after = end
    return True


def _row(database: Database) -> ScheduleRow | None:
    with database.reading() as session:
        return slots.in_force(session)


def _mend(database: Database, records: Sequence[VerifiedRecord], newest: VerifiedRecord) -> ScheduleRow:
    """Return the row of the newest signed schedule, made anew where it was lost or of another: the log says what holds.

    Slots that have a record count as closed.
    """
    jobs = [Job.from_json(entry) for entry in newest.predicate["jobs"]]
    since = newest.predicate["effectiveFrom"]
    log_events.warning("schedule_row_mended", record_id=newest.record_id)
    mended = ScheduleRow(digest=digest_of(jobs), record_id=newest.record_id, effective_from=since, made_until=since)
    closed = {record.predicate["run"]["slot"] for record in records} - {None}
    with database.writing() as session:
        for slot_id in sorted(closed):
            job, _, due = slot_id.rpartition("@")
            if session.get(SlotRow, (job, due)) is None:
                row = SlotRow(job=job, due=due, grace_s=0, attempts=1, state=slots.CLOSED)
                session.add(row)
        session.merge(ScheduleRow(**mended.model_dump()))
    return mended


def _ends_of(records: Sequence[VerifiedRecord]) -> Iterator[datetime]:
    """Yield when runs since the first schedule ended: a new one never begins before what the log already holds."""
    yield datetime.min.replace(tzinfo=UTC)
    begun = False
    for record in records:
        begun = begun or record.kind == "schedule"
        if begun:
            yield datetime.fromisoformat(record.predicate["run"]["finishedOn"])


def _record(
    ledger: Ledger, jobs: Sequence[Job], start: datetime, seen: ScheduleRow | None, newest: VerifiedRecord | None
) -> None:
    digest = digest_of(jobs)
    statement = schedule(
        new_run("schedule", start, start),
        ledger.context(),
        [job.to_json() for job in jobs],
        digest=digest,
        supersedes=newest.record_id if newest else None,
    )
    since = rfc3339(start)
    record_id = parse_statement(statement).predicate["recordId"]
    new = ScheduleRow(digest=digest, record_id=record_id, effective_from=since, made_until=since)

    def replace(transaction: Transaction) -> None:
        slots.put_in_force(transaction, seen, new)

    [appended] = ledger.append([statement], within=replace)
    log_events.info("schedule_recorded", record=appended.index, jobs=[job.name for job in jobs])
