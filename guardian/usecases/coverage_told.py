"""What the records of a log say of slots: the schedules, each with the time it was in force, and the attempts. Pure.

Invariant: a schedule takes away no slot that was due before it was recorded, and of two no slot is made twice. A record
counts as an attempt at a slot only if a scheduled run of that slot's own job leaves such a record.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.model import Slot, rfc3339
from guardian.slots import instants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evidence.verify import VerifiedRecord

MOMENT: Final = timedelta(microseconds=1)  # slots are due at whole seconds
MOST_SLOTS: Final = 50_000  # of one job: one a minute for a month; more is a list that nobody reads
_KINDS: Final = {"scan": "policy-evaluation", "drill": "restore-drill"}  # of the records of a job, besides missed-slot


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a recorded schedule. schedules: (cron, time zone) of each."""

    name: str
    asset: str | None
    service: str | None
    schedules: Sequence[tuple[str, str]]
    grace_s: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recorded schedule, in force for slots due after `since` up to `until` (None: still)."""

    record: VerifiedRecord
    since: datetime
    until: datetime | None
    jobs: Sequence[Job]

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `schedules`."""
        return {
            "recordId": self.record.record_id,
            "index": self.record.index,
            "effectiveFrom": rfc3339(self.since),
            "effectiveTo": rfc3339(self.until) if self.until else None,
        }


@dataclass(slots=True)
class Told:
    """What the records say of slots. attempts: by slot id, in the log's order. alien: name a slot of another job."""

    schedules: list[Schedule] = field(default_factory=list)
    attempts: dict[str, list[VerifiedRecord]] = field(default_factory=lambda: defaultdict(list))
    alien: list[VerifiedRecord] = field(default_factory=list)
    manual: list[VerifiedRecord] = field(default_factory=list)


def told_by(records: Sequence[VerifiedRecord]) -> Told:
    """Return what these records, oldest first, say of slots."""
    told = Told()
    schedules: list[VerifiedRecord] = []
    starts: list[datetime] = []
    begun = (
        ""  # the newest schedule's beginning: of two, the later record never begins first, or slots would be doubled
    )
    latest = ""  # when the last run since the first schedule ended; one form of text, so that it sorts as time
    for record in records:
        if record.kind == "schedule":
            # Never from before what the log already held: a backdated one would make slots vanish that were due.
            start = max(record.predicate["effectiveFrom"], latest, begun)
            begun = start
            schedules.append(record)
            starts.append(datetime.fromisoformat(start))
        if schedules:
            latest = max(latest, record.predicate["run"]["finishedOn"])
    for record, start, end in zip(schedules, starts, [*starts[1:], None], strict=False):
        jobs = [_job(entry) for entry in record.predicate["jobs"]]
        told.schedules.append(Schedule(record, start, end, jobs))
    for record in records:
        run = record.predicate["run"]
        if run["slot"] is not None:
            if _fits(record, run["slot"]):
                told.attempts[run["slot"]].append(record)
            else:
                told.alien.append(record)
        elif run["trigger"] == "manual" and record.kind not in {"schedule", "key-event"}:
            told.manual.append(record)
    return told


def _fits(record: VerifiedRecord, slot: str) -> bool:
    """Tell whether a record is one that a run of this slot's job leaves."""
    job, _, asset = slot.rpartition("@")[0].partition(":")
    return (
        record.kind in {_KINDS.get(job), "missed-slot"}
        and record.predicate["run"]["trigger"] == "schedule"
        and record.predicate.get("asset") == (asset or None)
    )


def _job(entry: Mapping[str, Any]) -> Job:
    return Job(
        name=entry["job"],
        asset=entry["asset"],
        service=entry["service"],
        schedules=[(one["cron"], one["timeZone"]) for one in entry["schedules"]],
        grace_s=entry["graceSeconds"],
        attempts=entry["attempts"],
    )


def slots_of(schedule: Schedule, job: Job, begin: datetime, end: datetime) -> Iterator[Slot]:
    """Yield the slots of `job` with begin <= due < end that were due while its schedule was in force."""
    after = max(schedule.since, begin - MOMENT)
    until = end - MOMENT if schedule.until is None else min(end - MOMENT, schedule.until)
    if after >= until:
        return
    due: set[datetime] = set()
    for cron, zone in job.schedules:
        due.update(islice(instants(cron, zone, after, until), MOST_SLOTS + 1))
    if len(due) > MOST_SLOTS:
        raise UsageError(
            f"{job.name} has over {MOST_SLOTS:,} slots then; ask for a shorter period with --from and --to"
        )
    for instant in sorted(due):
        yield Slot(job.name, instant)
