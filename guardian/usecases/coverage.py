"""The population of scheduled slots, and what became of each: what an auditor asks for when nothing may be left out.

Invariant: everything here follows from verified records. Which slots there had to be is computed from the signed
schedules, so that one which nobody ran, and nobody closed either, is named and not merely not there. Pure, but for the
functions that open the log.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.model import Slot, rfc3339
from guardian.slots import instants
from guardian.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings

SCHEMA: Final = "guardian/coverage/v2"
STATES: Final = ("passed", "failed", "error", "skipped", "missed", "open", "absent")
MISSING: Final = ("missed", "absent")
_MOMENT: Final = timedelta(microseconds=1)  # slots are due at whole seconds
_MOST_SLOTS: Final = 50_000  # of one job: one a minute for a month; more is a list that nobody reads
_ABSENT: Final = "no record closes it: it is still running, or no daemon was alive since to close it"


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
class _Told:
    """What the records say of slots. attempts: by slot id, in the log's order."""

    schedules: list[Schedule] = field(default_factory=list)
    attempts: dict[str, list[VerifiedRecord]] = field(default_factory=lambda: defaultdict(list))
    manual: dict[tuple[str, str | None], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    services: dict[str, str | None] = field(default_factory=dict)  # by asset, for runs by hand


def coverage(
    settings: Settings,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime,
    services: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Return the population of slots due from `since` until `until`, as of `now`, and what became of each.

    since: None for the first schedule; until: None for `now`. services: only jobs of their assets, None for all.
    Raises UsageError for a period that runs backwards or holds more slots than can be listed.
    """
    with Ledger(settings, writable=False) as ledger:
        return population(
            ledger.records(),
            environment=settings.environment,
            since=since,
            until=until,
            as_of=now,
            lease_s=settings.daemon.lease_s,
            services=services,
        )


def population(
    records: Sequence[VerifiedRecord],
    *,
    environment: str,
    since: datetime | None,
    until: datetime | None,
    as_of: datetime,
    lease_s: int,
    services: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Return the coverage document of `records`, oldest first. as_of: aware; slots due later are not in it."""
    told = _told(records)
    first = told.schedules[0].since if told.schedules else None
    begin, end = since or first or as_of, until or as_of
    if begin > end:
        raise UsageError(f"the period runs backwards: from {rfc3339(begin)} to {rfc3339(end)}")
    jobs: dict[str, dict[str, Any]] = {}
    for schedule in told.schedules:
        for job in schedule.jobs:
            if services is None or job.service in services:
                _add(jobs, job, _slots_of(schedule, job, begin, min(end, as_of)), told, as_of, lease_s)
    listed = [_with_counts(jobs[name]) for name in sorted(jobs)]
    total: Counter[str] = Counter()
    for entry in listed:
        total.update(entry["counts"])
    missing = [
        {
            "slot": slot["slot"],
            "job": entry["job"],
            "due": slot["due"],
            "state": slot["state"],
            "reason": slot["reason"],
        }
        for entry in listed
        for slot in entry["slots"]
        if slot["state"] in MISSING
    ]
    manual = [
        {"job": job, "asset": asset, "runs": results.total(), "results": dict(sorted(results.items()))}
        for (job, asset), results in sorted(told.manual.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        if services is None or told.services.get(asset or "") in services
    ]
    return {
        "schema": SCHEMA,
        "environment": environment,
        "from": rfc3339(begin),
        "to": rfc3339(end),
        "asOf": rfc3339(as_of),
        "schedules": [one.to_json() for one in told.schedules if one.since < end and (one.until or end) > begin],
        "jobs": listed,
        "counts": {state: total[state] for state in STATES},
        "missing": sorted(missing, key=lambda entry: (entry["due"], entry["job"])),
        "manual": manual,
        "promised": first is not None and begin >= first,
        "complete": first is not None and begin >= first and not missing and total["open"] == 0,
        "note": _note(first, begin, end),
    }


def unrun_drills(
    records: Sequence[VerifiedRecord], *, now: datetime, lease_s: int, reach: timedelta = timedelta(days=400)
) -> list[dict[str, Any]]:
    """Return the attributes of a `guardian.Slot` for every drill's slot that was missed, or that nobody closed.

    Only slots since the asset's newest drill that passed, which makes up for what was missed before it; of a job with
    more slots than can be listed, the newest. reach: how far back; aware `now` is what ages are counted from.
    """
    told = _told(records)
    passed = {
        record.predicate["asset"]: datetime.fromisoformat(record.predicate["run"]["finishedOn"])
        for record in records
        if record.kind == "restore-drill" and record.predicate["result"] == "PASSED"
    }
    found = [
        (job, _slot(slot, job, told.attempts.get(slot.id, ()), now, lease_s))
        for schedule in told.schedules
        for job in schedule.jobs
        if job.asset is not None
        for slot in _newest_slots(schedule, job, max(now - reach, passed.get(job.asset, now - reach)), now)
    ]
    return [_attributes(job, slot, now) for job, slot in found if slot["state"] in MISSING]


def _newest_slots(schedule: Schedule, job: Job, begin: datetime, now: datetime) -> list[Slot]:
    while True:
        try:
            return list(_slots_of(schedule, job, begin, now))
        except UsageError:
            begin += (now - begin) / 2


def _attributes(job: Job, slot: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    last = slot["attempts"][-1] if slot["attempts"] else None
    return {
        "slot": slot["slot"],
        "job": job.name,
        "asset": job.asset,
        "due": slot["due"],
        "ageSeconds": int((now - datetime.fromisoformat(slot["due"])).total_seconds()),
        "state": slot["state"],
        "reason": slot["reason"],
        "recordId": last["recordId"] if last else None,
        "logIndex": last["index"] if last else None,
    }


def _told(records: Sequence[VerifiedRecord]) -> _Told:
    told = _Told()
    schedules: list[VerifiedRecord] = []
    starts: list[datetime] = []
    latest = ""  # when the last run since the first schedule ended; one form of text, so that it sorts as time
    for record in records:
        if record.kind == "schedule":
            # Never from before what the log already held: a backdated one would make slots vanish that were due.
            start = max(record.predicate["effectiveFrom"], latest)
            schedules.append(record)
            starts.append(datetime.fromisoformat(start))
        if schedules:
            latest = max(latest, record.predicate["run"]["finishedOn"])
    for record, start, end in zip(schedules, starts, [*starts[1:], None], strict=False):
        jobs = [_job(entry) for entry in record.predicate["jobs"]]
        told.schedules.append(Schedule(record, start, end, jobs))
    for record in records:
        run, asset = record.predicate["run"], record.predicate.get("asset")
        if run["slot"] is not None:
            told.attempts[run["slot"]].append(record)
        elif run["trigger"] == "manual" and record.kind not in {"schedule", "key-event"}:
            told.manual[run["job"], asset][record.predicate["result"]] += 1
        if asset is not None:
            told.services[asset] = record.predicate.get("service")
    return told


def _job(entry: Mapping[str, Any]) -> Job:
    return Job(
        name=entry["job"],
        asset=entry["asset"],
        service=entry["service"],
        schedules=[(one["cron"], one["timeZone"]) for one in entry["schedules"]],
        grace_s=entry["graceSeconds"],
        attempts=entry["attempts"],
    )


def _slots_of(schedule: Schedule, job: Job, begin: datetime, end: datetime) -> Iterator[Slot]:
    """Yield the slots of `job` with begin <= due < end that were due while its schedule was in force."""
    after = max(schedule.since, begin - _MOMENT)
    until = end - _MOMENT if schedule.until is None else min(end - _MOMENT, schedule.until)
    if after >= until:
        return
    due: set[datetime] = set()
    for cron, zone in job.schedules:
        due.update(islice(instants(cron, zone, after, until), _MOST_SLOTS + 1))
    if len(due) > _MOST_SLOTS:
        raise UsageError(
            f"{job.name} has over {_MOST_SLOTS:,} slots then; ask for a shorter period with --from and --to"
        )
    for instant in sorted(due):
        yield Slot(job.name, instant)


def _add(
    jobs: dict[str, dict[str, Any]],
    job: Job,
    slots: Iterable[Slot],
    told: _Told,
    as_of: datetime,
    lease_s: int,
) -> None:
    found = [_slot(slot, job, told.attempts.get(slot.id, ()), as_of, lease_s) for slot in slots]
    if found:
        entry = jobs.setdefault(job.name, {"job": job.name, "asset": job.asset, "service": job.service, "slots": []})
        entry["service"] = job.service
        entry["slots"] += found


def _slot(slot: Slot, job: Job, attempts: Sequence[VerifiedRecord], as_of: datetime, lease_s: int) -> dict[str, Any]:
    ended = sorted(attempts, key=lambda record: (record.predicate["run"]["attempt"], record.index))
    grace_over = as_of > slot.due + timedelta(seconds=job.grace_s + lease_s)
    if not ended:
        state, reason = ("absent", _ABSENT) if grace_over else ("open", None)
    else:
        last = ended[-1].predicate
        again = last["result"] == "ERROR" and last["run"]["attempt"] < job.attempts and not grace_over
        state, reason = ("open" if again else last["result"].lower()), last.get("reason")
    return {
        "slot": slot.id,
        "due": rfc3339(slot.due),
        "state": state,
        "reason": reason,
        "attempts": [
            {
                "attempt": record.predicate["run"]["attempt"],
                "result": record.predicate["result"],
                "recordId": record.record_id,
                "index": record.index,
                "finishedOn": record.predicate["run"]["finishedOn"],
            }
            for record in ended
        ],
    }


def _with_counts(entry: dict[str, Any]) -> dict[str, Any]:
    counts = Counter(slot["state"] for slot in entry["slots"])
    return entry | {"counts": {state: counts[state] for state in STATES}}


def _note(first: datetime | None, begin: datetime, end: datetime) -> str:
    if first is None:
        return (
            "No schedule was ever recorded: every run was started by hand, and no slot can be shown as met or missed."
        )
    if end <= first:
        return f"The first schedule was recorded on {rfc3339(first)}: before it, nothing was promised."
    if begin < first:
        return f"The period begins before the first schedule, of {rfc3339(first)}: before it, nothing was promised."
    return "Every slot of every recorded schedule in the period is listed; those that nobody ran are named."


def moment(text: str, *, option: str) -> datetime:
    """Parse a date (`2026-11-24`, its midnight in UTC) or an RFC 3339 time. Raises UsageError naming `option`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option}: {text[:40]!r} is no time; write a date, 2026-11-24, or a time, 2026-11-24T03:00:00Z"
        ) from error
    if len(text) <= len("2026-11-24"):
        return found.replace(tzinfo=UTC)
    if found.tzinfo is None:
        raise UsageError(f"{option}: {text} has no time zone; add Z for UTC, or an offset such as +01:00")
    return found.astimezone(UTC)
