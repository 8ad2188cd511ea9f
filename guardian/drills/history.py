"""What earlier drills of an asset found, as the signed log tells it.

Invariant: a `PastDrill` says no more than its record. The caller hands over verified records only. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from verifiers.result import Assurance, Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_VERDICTS = {"PASSED": Verdict.PASS, "FAILED": Verdict.FAIL}
ACCEPTED = "accepted"  # in what `anomaly` observed, where a person accepted it


@dataclass(frozen=True, slots=True)
class PastDrill:
    """One drill that has ended. Times are aware, UTC.

    backup_id, taken_at: None where it found no backup, or died. job: None in records of before they told it.
    restore_s: of the restore phases, also of a data-only one. checks: verdict by id. accepted: a person accepted what
    was unlike the drills before. heapallindexed: amcheck passed and looked for every row in every index.
    """

    record_id: str
    ended_on: datetime
    backup_id: str | None
    verdict: Verdict
    taken_at: datetime | None = None
    job: str | None = None
    scope: Scope = Scope.FULL
    assurance: Assurance | None = None
    restore_s: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    measurements: Mapping[str, float | int] = field(default_factory=dict)
    checks: Mapping[str, Verdict] = field(default_factory=dict)
    accepted: bool = False
    heapallindexed: bool = False

    @property
    def passed(self) -> bool:
        """Whether it was green."""
        return self.verdict is Verdict.PASS

    def is_of(self, job: str, backup_id: str) -> bool:
        """Whether it was a drill of this backup."""
        return self.backup_id == backup_id and self.job in {job, None}


def history(records: Iterable[tuple[str, Mapping[str, Any]]], asset: str) -> Sequence[PastDrill]:
    """Return the drills of `asset`, newest first. records: (record id, predicate) of drills in the order of the log."""
    found = [past_drill(record_id, said) for record_id, said in records if said["asset"] == asset]
    return tuple(reversed(found))


def past_drill(record_id: str, said: Mapping[str, Any]) -> PastDrill:
    """Return what the predicate of one restore-drill record says."""
    backup, measured = said.get("backup") or {}, said["measurements"]
    taken_at, assurance = backup.get("takenAt"), said["assurance"]
    checks = {check["id"]: check for check in said["checks"]}
    anomaly, amcheck = (_observed(checks.get(check_id)) for check_id in ("anomaly", "amcheck"))
    verdicts = {check_id: Verdict(check["verdict"]) for check_id, check in checks.items()}
    return PastDrill(
        record_id,
        datetime.fromisoformat(said["run"]["finishedOn"]),
        backup.get("id"),
        _VERDICTS.get(said["result"], Verdict.ERROR),
        taken_at=datetime.fromisoformat(taken_at) if taken_at else None,
        job=backup.get("job"),
        scope=Scope(said.get("scope") or Scope.FULL),
        assurance=Assurance(assurance) if assurance else None,
        restore_s=measured.get("restoreSeconds", measured.get("dataRestoreSeconds")),
        phases={phase["name"]: phase["seconds"] for phase in said.get("phases", ())},
        measurements=measured,
        checks=verdicts,
        accepted=bool(anomaly.get(ACCEPTED)),
        heapallindexed=verdicts.get("amcheck") is Verdict.PASS and amcheck.get("heapallindexed") is True,
    )


def _observed(check: Mapping[str, Any] | None) -> Mapping[str, Any]:
    observed = check["observed"] if check else None
    return observed if isinstance(observed, dict) else {}
