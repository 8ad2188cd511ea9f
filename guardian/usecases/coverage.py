"""The population of scheduled slots, and what became of each: what an auditor asks for when nothing may be left out.

Invariant: everything here follows from verified records. Which slots there had to be is computed from the signed
schedules, so that one which nobody ran, and nobody closed either, is named and not merely not there. Pure, but for the
functions that open the log.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.model import Slot, rfc3339
from guardian.usecases.coverage_told import MOMENT, Job, Schedule, Told, slots_of, told_by
from guardian.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings

SCHEMA: Final = "guardian/coverage/v2"
STATES: Final = ("passed", "failed", "error", "skipped", "missed", "open", "absent")
MISSING: Final = ("missed", "absent")
_ABSENT: Final = "no record closes it: it is still running, or no daemon was alive since to close it"


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
    """Return the coverage document of `records`, oldest first. as_of: aware; slots due later are not in it.

    astray: records that name a slot of the period and do not count for it, with the reason. manual: runs by hand that
    ended in the period.
    """
    told = told_by(records)
    first = told.schedules[0].since if told.schedules else None
    begin, end = since or first or as_of, until or as_of
    if begin > end:
        raise UsageError(f"the period runs backwards: from {rfc3339(begin)} to {rfc3339(end)}")
    jobs: dict[str, dict[str, Any]] = {}
    for schedule in told.schedules:
        for job in schedule.jobs:
            if services is None or job.service in services:
                _add(jobs, job, slots_of(schedule, job, begin, min(end, as_of)), told, as_of, lease_s)
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
    astray = _astray(told, jobs, begin, min(end, as_of), services)
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
        "astray": astray,
        "manual": _manual([one for one in told.manual if begin <= _ended(one) < end and _is_of(one, services)]),
        "promised": first is not None and begin >= first,
        "complete": first is not None and begin >= first and not missing and not astray and total["open"] == 0,
        "note": _note(first, begin, end),
    }


def unrun_drills(
    records: Sequence[VerifiedRecord], *, now: datetime, lease_s: int, reach: timedelta = timedelta(days=400)
) -> list[dict[str, Any]]:
    """Return the attributes of a `guardian.Slot` for every drill's slot that was missed, or that nobody closed.

    Only slots since the asset's newest drill that passed, which makes up for what was missed before it; of a job with
    more slots than can be listed, the newest. reach: how far back; aware `now` is what ages are counted from.
    """
    told = told_by(records)
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
            return list(slots_of(schedule, job, begin, now))
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


def _is_of(record: VerifiedRecord, services: frozenset[str] | None) -> bool:
    return services is None or record.predicate.get("service") in services


def _ended(record: VerifiedRecord) -> datetime:
    return datetime.fromisoformat(record.predicate["run"]["finishedOn"])


def _manual(records: Iterable[VerifiedRecord]) -> list[dict[str, Any]]:
    runs: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
    for record in records:
        runs[record.predicate["run"]["job"], record.predicate.get("asset")][record.predicate["result"]] += 1
    return [
        {"job": job, "asset": asset, "runs": results.total(), "results": dict(sorted(results.items()))}
        for (job, asset), results in sorted(runs.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]


def _astray(
    told: Told, jobs: Mapping[str, Mapping[str, Any]], begin: datetime, end: datetime, services: frozenset[str] | None
) -> list[dict[str, Any]]:
    """Return the records of slots with begin <= due < end that do not count for them, in the log's order."""
    found = [(record, "it is no record of a scheduled run of that slot's job") for record in told.alien]
    listed = {slot["slot"]: slot for entry in jobs.values() for slot in entry["slots"]}
    for name, records in told.attempts.items():
        if name not in listed:
            if not _is_promised(told, name):
                found += [(record, "no recorded schedule makes that slot due") for record in records]
            continue
        closed = next((at for at, one in enumerate(records) if one.record_id == listed[name]["closedBy"]), len(records))
        for at, record in enumerate(records):
            if at > closed:
                found.append((record, f"record {records[closed].index} had closed that slot before"))
            elif record.predicate["run"]["attempt"] != at + 1:
                found.append((record, f"it is attempt {record.predicate['run']['attempt']}, where {at + 1} was next"))
    return [
        {
            "slot": record.predicate["run"]["slot"],
            "recordId": record.record_id,
            "index": record.index,
            "result": record.predicate["result"],
            "reason": reason,
        }
        for record, reason in sorted(found, key=lambda one: one[0].index)
        if _is_of(record, services) and begin <= _due(record) < end
    ]


def _due(record: VerifiedRecord) -> datetime:
    """Return when the slot that a record names was due; when the run ended, where that cannot be told."""
    try:
        due = datetime.fromisoformat(str(record.predicate["run"]["slot"]).rpartition("@")[2])
    except ValueError:
        return _ended(record)
    return due if due.tzinfo else _ended(record)


def _is_promised(told: Told, slot: str) -> bool:
    name, _, text = slot.rpartition("@")
    try:
        due = datetime.fromisoformat(text)
    except ValueError:
        return False
    return any(
        any(True for _ in slots_of(schedule, job, due, due + MOMENT))
        for schedule in told.schedules
        for job in schedule.jobs
        if job.name == name and slot == Slot(name, due).id
    )


def _add(
    jobs: dict[str, dict[str, Any]],
    job: Job,
    slots: Iterable[Slot],
    told: Told,
    as_of: datetime,
    lease_s: int,
) -> None:
    found = [_slot(slot, job, told.attempts.get(slot.id, ()), as_of, lease_s) for slot in slots]
    if found:
        entry = jobs.setdefault(job.name, {"job": job.name, "asset": job.asset, "service": job.service, "slots": []})
        entry["service"] = job.service
        entry["slots"] += found


def _slot(slot: Slot, job: Job, attempts: Sequence[VerifiedRecord], as_of: datetime, lease_s: int) -> dict[str, Any]:
    grace_over = as_of > slot.due + timedelta(seconds=job.grace_s + lease_s)
    closing = None
    if not attempts:
        state, reason = ("absent", _ABSENT) if grace_over else ("open", None)
    else:
        # What closed the slot decides: a run that came later, however it ended, is no run of it.
        closing = next((one for one in attempts if _closes(one, job)), None)
        last = (closing or attempts[-1]).predicate
        state, reason = ("open" if closing is None and not grace_over else last["result"].lower()), last.get("reason")
    return {
        "slot": slot.id,
        "due": rfc3339(slot.due),
        "state": state,
        "reason": reason,
        "closedBy": closing.record_id if closing else None,
        "attempts": [
            {
                "attempt": record.predicate["run"]["attempt"],
                "result": record.predicate["result"],
                "recordId": record.record_id,
                "index": record.index,
                "finishedOn": record.predicate["run"]["finishedOn"],
            }
            for record in attempts
        ],
    }


def _closes(record: VerifiedRecord, job: Job) -> bool:
    """Tell whether no attempt follows this one: it came to a result, or was the last there may be."""
    result: str = record.predicate["result"]
    attempt: int = record.predicate["run"]["attempt"]
    return result != "ERROR" or attempt >= job.attempts


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
