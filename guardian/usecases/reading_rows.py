"""A verified statement as what people read: the row of a record, the row of a drill. No I/O.

Invariant: every value comes from the statement that was handed in, which the caller verified; nothing from the index.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.settings import Settings

SCAN: Final = "policy-evaluation"
DRILL: Final = "restore-drill"
MISSED: Final = "missed-slot"
DECISION: Final = "admission-decision"
VERDICT_OF_RESULT: Final = {"PASSED": "pass", "FAILED": "fail", "SKIPPED": "skip"}


def record_row(index: int, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{index, recordId, kind, subject, asset, service, result, assurance, slot, time}` of one record.

    value: the whole statement.
    """
    predicate = value["predicate"]
    run = _object(predicate.get("run"))
    return {
        "index": index,
        "recordId": predicate["recordId"],
        "kind": kind,
        "subject": value["subject"][0]["name"],
        "asset": _text(predicate.get("asset")),
        "service": _text(predicate.get("service")),
        "result": _text(predicate.get("result")) or "ERROR",
        "assurance": _text(predicate.get("assurance")),
        "slot": _text(run.get("slot")),
        "time": _text(run.get("finishedOn")) or "",
    }


def drill_row(index: int, value: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return one restore-drill record as a drill. settings: its objectives where the record states none."""
    predicate = value["predicate"]
    run, measured = predicate["run"], _object(predicate.get("measurements"))
    backup = _object(predicate.get("backup"))
    objectives = _objectives(predicate, settings)
    checks = predicate.get("checks") or []
    estimate, point = measured.get("estimatedRtoSeconds"), measured.get("rpoSeconds")
    return {
        "index": index,
        "recordId": predicate["recordId"],
        "asset": predicate.get("asset"),
        "service": predicate.get("service"),
        "backup": {"id": backup["id"], "takenAt": backup.get("takenAt")} if backup.get("id") else None,
        "result": predicate["result"],
        "verdict": VERDICT_OF_RESULT.get(predicate["result"], "error"),
        "assurance": predicate.get("assurance"),
        "requiredAssurance": predicate.get("requiredAssurance"),
        "restoreSeconds": measured.get("restoreSeconds"),
        "estimatedRtoSeconds": estimate,
        "rpoSeconds": point,
        "objectives": objectives,
        "rto": _held(estimate, objectives["rtoSeconds"]),
        "rpo": _held(point, objectives["rpoSeconds"]),
        "slot": run.get("slot"),
        "startedOn": run["startedOn"],
        "finishedOn": run["finishedOn"],
        "phases": [{"name": phase["name"], "seconds": phase["seconds"]} for phase in predicate.get("phases") or []],
        "failedChecks": [check["id"] for check in checks if check["verdict"] == "fail"],
        "erredChecks": [check["id"] for check in checks if check["verdict"] == "error"],
        "reason": predicate.get("reason"),
    }


def verdict_counts(kind: str, predicate: Mapping[str, Any]) -> dict[tuple[str, str, str], int]:
    """Return how often each control came to each verdict, by (control, verdict, service), as the record itself says.

    A scan's own counts are of all services together: the service is empty.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    if kind == SCAN:
        for control, stated in _object(predicate.get("counts")).items():
            for verdict in ("pass", "fail", "error", "skip"):
                counts[control, verdict, ""] += stated.get(verdict, 0)
    elif kind == DECISION:
        service = _text(predicate.get("service")) or ""
        for finding in predicate.get("findings") or []:
            counts[finding["control"], finding["verdict"], service] += 1
    return {key: count for key, count in counts.items() if count}


def _objectives(predicate: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    stated = predicate.get("objectives")
    if isinstance(stated, dict):
        return {"rtoSeconds": stated.get("rtoSeconds"), "rpoSeconds": stated.get("rpoSeconds")}
    known = {service.name: service for service in settings.services}.get(str(predicate.get("service")))
    return {"rtoSeconds": known.rto_s if known else None, "rpoSeconds": known.rpo_s if known else None}


def _held(measured: float | None, objective: float | None) -> str:
    if objective is None:
        return "undeclared"
    if measured is None:
        return "unknown"
    return "within" if measured <= objective else "beyond"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
