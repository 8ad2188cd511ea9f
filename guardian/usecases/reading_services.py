"""What is known of a service, from verified records: its verdict, its controls, its drills, its next slots. Pure.

Invariant: a service is never shown better than the worst thing known of it, and what is not known is not a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from guardian.model import rfc3339
from guardian.slots import instants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from guardian.model import Service
    from guardian.settings import Schedule, Settings

NEXT_SLOTS: Final = 3
_HORIZON: Final = timedelta(days=5 * 366)  # the rarest cron expression is that of 29 February
_WORST_FIRST: Final = ("fail", "error", "pass", "skip")
NO_COUNTS: Final = {"pass": 0, "fail": 0, "error": 0, "skip": 0}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one scan said, by (control, service); the service is None for resources of none.

    counts: by verdict. unwaived: (control, service) pairs with a fail that no waiver covers. unread: collectors that
    could not be read whole. problem: why it cannot be told which service a verdict is of, None if it can.
    """

    counts: Mapping[tuple[str, str | None], Mapping[str, int]] = field(default_factory=dict)
    unwaived: frozenset[tuple[str, str | None]] = frozenset()
    unread: frozenset[str] = frozenset()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LastScan:
    """The newest scan that judged something. row: its record; readable: whether the caller may open that record."""

    row: Mapping[str, Any]
    judged: Judged
    readable: bool


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of these verdicts, `skip` for none: fail before error before pass before skip."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), "skip")


def service_entry(
    service: Service,
    *,
    settings: Settings,
    last: LastScan | None,
    unfinished: str | None,
    drills: Mapping[str, Mapping[str, Any]],
    missed: Mapping[str, Mapping[str, Any]],
    catalogue: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """Return one service as people read it.

    unfinished: why the newest scan judged nothing, None if it did. drills, missed: the newest drill and the newest
    missed slot of each asset; a slot missed after the drill is told, and is an error.
    """
    controls = _controls(service.name, last, catalogue)
    reasons, verdicts = _scan_state(service, last, unfinished)
    verdicts += [control["verdict"] for control in controls]
    for asset in service.assets:
        drill, slot = drills.get(asset.name), missed.get(asset.name)
        if drill is not None:
            verdicts.append(drill["verdict"])
        if slot is not None and (drill is None or slot["index"] > drill["index"]):
            verdicts.append("error")
            reasons.append(f"the slot {slot['slot']} was missed")
    verdict = worst(verdicts)
    if last is None and verdict == "pass":
        verdict = "skip"  # a drill alone does not make a service compliant
    return {
        "name": service.name,
        "owner": service.owner,
        "escalation": service.escalation,
        "tier": service.tier.value if service.tier else None,
        "tenancy": service.tenancy,
        "dataClass": service.data_class,
        "objectives": {"rtoSeconds": service.rto_s, "rpoSeconds": service.rpo_s},
        "verdict": verdict,
        "reason": "; ".join(reasons) or None,
        "controls": controls,
        "assets": [
            {
                "name": asset.name,
                "type": asset.type,
                "requiredAssurance": asset.assurance.value if asset.assurance else None,
                "backups": [
                    {"name": one.name, "format": one.format, "everySeconds": one.every_s} for one in asset.backups
                ],
                "drill": drills.get(asset.name),
            }
            for asset in service.assets
        ],
        "waivers": [],
        "nextSlots": next_slots(settings.schedules, {asset.name for asset in service.assets}, now),
    }


def next_slots(schedules: Sequence[Schedule], assets: set[str], now: datetime) -> list[dict[str, str]]:
    """Return the next three instants of each job that touches these assets: scans, and drills of them."""
    jobs: dict[str, set[datetime]] = {}
    for schedule in schedules:
        if schedule.asset is not None and schedule.asset not in assets:
            continue
        job = f"{schedule.job}:{schedule.asset}" if schedule.asset else schedule.job
        coming = instants(schedule.cron, schedule.time_zone, now, now + _HORIZON)
        jobs.setdefault(job, set()).update(islice(coming, NEXT_SLOTS))
    found = [(moment, job) for job, moments in jobs.items() for moment in sorted(moments)[:NEXT_SLOTS]]
    return [{"job": job, "due": f"{rfc3339(moment)[:19]}Z"} for moment, job in sorted(found)]


def control_counts(judged: Judged, control: str, services: frozenset[str] | None) -> dict[str, int] | None:
    """Return how often a control came to each verdict on resources of these services, None if it judged none."""
    total = dict(NO_COUNTS)
    for (name, service), counts in judged.counts.items():
        if name == control and (services is None or service in services):
            for verdict, count in counts.items():
                total[verdict] += count
    return total if any(total.values()) else None


def _scan_state(service: Service, last: LastScan | None, unfinished: str | None) -> tuple[list[str], list[str]]:
    """Return what the scans leave unknown of a service: the reasons, and the verdicts that follow."""
    reasons: list[str] = []
    verdicts: list[str] = []
    if last is None and unfinished is None:
        reasons.append("no scan has judged it yet")
    if unfinished is not None:
        reasons.append(f"the newest scan did not finish: {unfinished}")
        verdicts.append("error")
    if last is not None and last.judged.problem is not None:
        reasons.append(last.judged.problem)
        verdicts.append("error")
    unread = sorted({match.collector for match in service.match} & last.judged.unread) if last is not None else []
    if unread:
        reasons.append(f"could not be read whole: {', '.join(unread)}")
        verdicts.append("error")
    return reasons, verdicts


def _controls(name: str, last: LastScan | None, catalogue: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    if last is None:
        return []
    found = []
    for (control, service), counts in sorted(last.judged.counts.items(), key=lambda entry: entry[0][0]):
        if service != name:
            continue
        known = catalogue.get(control, {})
        verdicts = {verdict for verdict, count in counts.items() if count}
        if (control, service) not in last.judged.unwaived:
            verdicts = {"pass" if verdict == "fail" else verdict for verdict in verdicts}
        found.append(
            {
                "control": control,
                "title": known.get("title", control),
                "severity": known.get("severity"),
                "verdict": worst(verdicts),
                "counts": {**NO_COUNTS, **counts},
                "record": last.row["index"] if last.readable else None,
                "recordId": last.row["recordId"] if last.readable else None,
                "time": last.row["time"],
            }
        )
    return found
