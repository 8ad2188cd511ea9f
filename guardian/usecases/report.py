"""The HTML report of an environment, made from its verified records, so that it says what the log says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from guardian.model import (
    Asset,
    Assurance,
    ControlSummary,
    Drill,
    Evaluation,
    Finding,
    Mode,
    Service,
    Severity,
    Source,
    Verdict,
)
from guardian.policy import bundle as bundles
from guardian.reports.html import ReportInput, render
from verifiers.result import Check, DrillResult, Phase, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings
    from guardian.usecases.ledger import Ledger


def render_report(settings: Settings, ledger: Ledger, records: Sequence[VerifiedRecord]) -> str:
    """Return the report of the newest scan and the newest drill of each asset."""
    scans = [record for record in records if record.kind == "policy-evaluation" and "policy" in record.predicate]
    newest: dict[str, VerifiedRecord] = {}
    for record in records:
        if record.kind == "restore-drill" and record.predicate.get("asset") is not None:
            newest[record.predicate["asset"]] = record
    catalogue = bundles.load().catalogue
    generated_at = datetime.fromisoformat(records[-1].predicate["run"]["finishedOn"])
    return render(
        ReportInput(
            environment=settings.environment,
            generated_at=generated_at,
            evaluation=evaluation_of(ledger, scans[-1], catalogue.describe()) if scans else None,
            controls=catalogue.describe(),
            services=settings.services,
            drills=[drill_of(settings, newest[name]) for name in sorted(newest)],
            records=[record_ref(record) for record in records],
            log=ledger.log.beacon() or {},
            verify_command="guardian verify pack.zip --root root.json",
        )
    )


def record_ref(record: VerifiedRecord) -> dict[str, Any]:
    """Return what a report needs to point at a record."""
    return {
        "index": record.index,
        "recordId": record.record_id,
        "kind": record.kind,
        "asset": record.predicate.get("asset"),
        "result": record.predicate["result"],
        "time": record.predicate["run"]["finishedOn"],
    }


def evaluation_of(ledger: Ledger, record: VerifiedRecord, controls: Mapping[str, Mapping[str, Any]]) -> Evaluation:
    """Return the evaluation that a policy-evaluation record and its attachment of findings describe."""
    predicate = record.predicate
    [attachment] = [a for a in predicate["attachments"] if a["name"] == "findings.json"]
    findings = [_finding(raw) for raw in orjson.loads(ledger.log.get_object(attachment["saltedDigest"]))]
    summaries = []
    for control, counts in predicate["counts"].items():
        known = controls.get(control, {"title": control, "severity": Severity.HIGH})
        summaries.append(
            ControlSummary(
                control,
                known["title"],
                Severity(known["severity"]),
                counts["population"],
                {verdict: counts[verdict.value] for verdict in Verdict},
                counts["scope"],
                counts["reason"],
            )
        )
    policy = predicate["policy"]
    return Evaluation(findings, summaries, policy["bundleDigest"], policy["engine"], policy["engineVersion"])


def drill_of(settings: Settings, record: VerifiedRecord) -> Drill:
    """Return the drill that a restore-drill record describes, held against the objectives recorded with it."""
    return drill_from(settings, record.predicate)


def drill_from(settings: Settings, predicate: Mapping[str, Any]) -> Drill:
    """Return the drill that the predicate of a verified restore-drill record describes."""
    name = predicate["asset"]
    asset = settings.assets().get(name) or Asset(name, "postgres", str(predicate["service"]), None, Source())
    known = {service.name: service for service in settings.services}
    service = known.get(str(predicate["service"])) or Service(str(predicate["service"]))
    objectives = predicate.get("objectives") or {}
    result = DrillResult(
        required=Assurance(predicate.get("requiredAssurance") or Assurance.SOUND),
        checks=[_check(raw) for raw in predicate["checks"]],
        phases=[Phase(raw["name"], raw["seconds"]) for raw in predicate.get("phases", [])],
        backup=predicate.get("backup") or {},
        restored=bool({"restoreSeconds", "dataRestoreSeconds"} & set(predicate["measurements"])),
        sandbox=predicate.get("sandbox") or {},
        measurements={k: v for k, v in predicate["measurements"].items() if k != "restoreSeconds"},
        scope=Scope(predicate.get("scope") or Scope.FULL),
    )
    return Drill(
        run_id=predicate["run"]["id"],
        asset=asset,
        service=replace(service, rto_s=objectives.get("rtoSeconds"), rpo_s=objectives.get("rpoSeconds")),
        started_on=datetime.fromisoformat(predicate["run"]["startedOn"]),
        finished_on=datetime.fromisoformat(predicate["run"]["finishedOn"]),
        result=result,
    )


def _finding(raw: Mapping[str, Any]) -> Finding:
    return Finding(
        raw["control"],
        raw["resource"],
        Verdict(raw["verdict"]),
        Severity(raw["severity"]),
        raw["message"],
        raw["expected"],
        raw["observed"],
        Mode(raw["mode"]),
        raw["waiver"],
    )


def _check(raw: Mapping[str, Any]) -> Check:
    return Check(
        raw["id"],
        Assurance(raw["level"]) if raw["level"] else None,
        Verdict(raw["verdict"]),
        raw["expected"],
        raw["observed"],
        raw["message"],
        raw["durationSeconds"],
    )
