"""Findings, drills and events become evidence statements here and nowhere else.

Invariant: a statement says no more than the run it is made of. No I/O and no clock; times come in through `Run`.
Shapes: EVIDENCE format, `guardian/schemas/record.schema.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evidence import statement
from guardian.model import Mode, Verdict, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Drill, Evaluation, Finding, Slot, Snapshot

# A record carries at most this many findings that are not a pass; the complete list is an attachment.
MOST_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one job. run_id: UUIDv7; actor: who started it.

    trigger: `manual`, `schedule`, `admission` or `access`. slot: the scheduled moment it is for, None for a run by
    hand. Times are UTC.
    """

    run_id: str
    job: str
    started_on: datetime
    finished_on: datetime
    actor: str
    trigger: str = "manual"
    attempt: int = 1
    slot: Slot | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the `run` member of a predicate."""
        return {
            "id": self.run_id,
            "job": self.job,
            "slot": self.slot.id if self.slot else None,
            "scheduledFor": rfc3339(self.slot.due) if self.slot else None,
            "startedOn": rfc3339(self.started_on),
            "finishedOn": rfc3339(self.finished_on),
            "trigger": self.trigger,
            "actor": self.actor,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds a run. beacon: the last checkpoint when it began (proof of not-before), None before the first.

    image_digest: `sha256:…` of the container image it ran in, as whoever started it says; None where nothing is said.
    """

    environment: str
    version: str
    host: str
    beacon: Mapping[str, Any] | None
    image_digest: str | None = None


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """A stored object that a record names. size: of the content; salted_digest: hex SHA-256 of salt and content."""

    name: str
    media_type: str
    size: int
    salted_digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `attachments`."""
        return {
            "name": self.name,
            "mediaType": self.media_type,
            "size": self.size,
            "saltedDigest": self.salted_digest,
        }


def result_of_findings(findings: Sequence[Finding], least_mode: Mode = Mode.AUDIT, *, complete: bool = True) -> str:
    """Return PASSED, FAILED, ERROR or SKIPPED for one evaluation.

    Unwaived fails in `least_mode` or sterner count; could-not-check is ERROR, never PASSED; nothing judged is SKIPPED.
    complete: whether everything that is configured could be read, also what no control judges.
    """
    if any(f.verdict is Verdict.FAIL and f.waiver is None and f.mode.rank >= least_mode.rank for f in findings):
        return "FAILED"
    verdicts = {finding.verdict for finding in findings}
    if Verdict.ERROR in verdicts or not complete:
        return "ERROR"
    return "PASSED" if verdicts & {Verdict.PASS, Verdict.FAIL} else "SKIPPED"


RESULT_OF_VERDICT = {Verdict.PASS: "PASSED", Verdict.FAIL: "FAILED", Verdict.ERROR: "ERROR", Verdict.SKIP: "SKIPPED"}


def policy_evaluation(
    run: Run, context: Context, snapshot: Snapshot, evaluation: Evaluation, attachments: Sequence[AttachmentRef]
) -> bytes:
    """Return the statement of one evaluation of one snapshot."""
    open_findings = [finding for finding in evaluation.findings if finding.verdict is not Verdict.PASS]
    predicate = {
        "policy": {
            "bundleDigest": evaluation.bundle_digest,
            "entrypoint": "guardian",
            "engine": evaluation.engine,
            "engineVersion": evaluation.engine_version,
        },
        "inputs": [{"name": "snapshot", "sha256": snapshot.digest}],
        "inventory": {
            "collectors": [status.to_json() for status in snapshot.collectors],
            "resources": len(snapshot.resources),
        },
        "result": result_of_findings(evaluation.findings, complete=snapshot.complete),
        "counts": {
            summary.control: {
                "scope": summary.scope,
                "reason": summary.reason,
                "population": summary.population,
                **{verdict.value: summary.counts.get(verdict, 0) for verdict in Verdict},
            }
            for summary in evaluation.summaries
        },
        "findings": [finding.to_json() for finding in open_findings[:MOST_FINDINGS]],
        "findingsOmitted": max(0, len(open_findings) - MOST_FINDINGS),
    }
    subject = [{"name": f"snapshot:{snapshot.environment}", "digest": {"sha256": snapshot.digest}}]
    return _statement("policy-evaluation", subject, predicate, run, context, attachments)


def restore_drill(run: Run, context: Context, drill: Drill, manifest_record: str | None) -> bytes:
    """Return the statement of one drill. manifest_record: the record id of the manifest it was compared with."""
    shape = drill.to_json()
    estimate = shape["estimatedRtoSeconds"]
    predicate = {
        "asset": drill.asset.name,
        "service": drill.service.name,
        "backup": shape["backup"],
        "inputs": [{"name": "source-manifest", "recordId": manifest_record}] if manifest_record else [],
        "result": RESULT_OF_VERDICT[drill.result.verdict],
        "checks": shape["checks"],
        "phases": shape["phases"],
        "assurance": shape["assurance"],
        "requiredAssurance": shape["requiredAssurance"],
        "scope": shape["scope"],
        "objectives": shape["objectives"],
        "measurements": {
            **shape["measurements"],
            **({} if shape["restoreSeconds"] is None else {"restoreSeconds": shape["restoreSeconds"]}),
            **({} if estimate is None else {"estimatedRtoSeconds": estimate}),
        },
        "sandbox": shape["sandbox"],
    }
    return _statement("restore-drill", [_backup_subject(drill)], predicate, run, context, ())


def unfinished_drill(run: Run, context: Context, *, asset: str | None, service: str | None, reason: str) -> bytes:
    """Return the statement of a drill that was killed or stopped: nothing was proved, and the log says so."""
    predicate: dict[str, Any] = {
        "asset": asset,
        "service": service,
        "result": "ERROR",
        "reason": reason,
        "checks": [],
        "assurance": None,
        "measurements": {},
    }
    return _statement("restore-drill", [_run_subject(run)], predicate, run, context, ())


def unfinished_scan(run: Run, context: Context, *, reason: str) -> bytes:
    """Return the statement of a scan that ended before it judged anything: nothing is known, and the log says so."""
    predicate: dict[str, Any] = {
        "inputs": [],
        "result": "ERROR",
        "reason": reason,
        "counts": {},
        "findings": [],
        "findingsOmitted": 0,
    }
    return _statement("policy-evaluation", [_run_subject(run)], predicate, run, context, ())


def schedule(
    run: Run, context: Context, jobs: Sequence[Mapping[str, Any]], *, digest: str, supersedes: str | None
) -> bytes:
    """Return the statement of the schedule in force from the start of `run` on: the population of slots to come.

    jobs: `{job, asset, service, cron, timeZone, graceSeconds, attempts}` of each, sorted. digest: hex SHA-256 of their
    canonical JSON. supersedes: record id of the schedule that ends here, None for the first.
    """
    predicate = {
        "effectiveFrom": rfc3339(run.started_on),
        "jobs": [dict(job) for job in jobs],
        "result": "PASSED",
    }
    subject = [{"name": f"schedule:{context.environment}", "digest": {"sha256": digest}}]
    return _statement("schedule", subject, predicate, run, context, (), supersedes=supersedes)


def missed_slot(run: Run, context: Context, *, asset: str | None, service: str | None, reason: str) -> bytes:
    """Return the statement that nobody ran the slot of `run` before its grace ended."""
    predicate = {"asset": asset, "service": service, "result": "MISSED", "reason": reason}
    return _statement("missed-slot", [_run_subject(run)], predicate, run, context, ())


def access_event(run: Run, context: Context, *, accesses: Sequence[Mapping[str, Any]], omitted: int) -> bytes:
    """Return the statement of what was read of the evidence in one period, that of `run`.

    accesses: `{token, role, route, status, count, from, until}`; omitted: requests beyond what one record holds.
    """
    predicate = {
        "accesses": [dict(access) for access in accesses],
        "accessesOmitted": omitted,
        "result": "PASSED",
    }
    return _statement("access-event", [_run_subject(run)], predicate, run, context, ())


def source_manifest(
    run: Run,
    context: Context,
    *,
    asset: str,
    service: str,
    backup: Mapping[str, Any] | None,
    measurements: Mapping[str, float | int],
    attachments: Sequence[AttachmentRef],
) -> bytes:
    """Return the statement that a content manifest was taken. backup: `{id, sha256, sizeBytes}`, None without one."""
    if backup is None:
        subject = _run_subject(run)
    else:
        subject = {"name": backup_name(asset, backup["id"]), "digest": {"sha256": backup["sha256"]}}
    predicate = {
        "asset": asset,
        "service": service,
        "backup": dict(backup) if backup else None,
        "result": "PASSED",
        "measurements": dict(measurements),
    }
    return _statement("source-manifest", [subject], predicate, run, context, attachments)


def admission_decision(run: Run, context: Context, decision: Mapping[str, Any], review: AttachmentRef) -> bytes:
    """Return the statement of one answered AdmissionReview; its record id is the decision's.

    decision: as `review.Decision.spooled` wrote it. review: its case, redacted, enough to judge it again.
    The context is that of the signing: who decides holds no key and sees no log.
    """
    case = decision["case"]
    predicate = {
        "policy": {**decision["policy"], "entrypoint": "guardian"},
        "inputs": [{"name": "review", "sha256": decision["caseDigest"]}],
        "request": case["request"],
        "resource": case["resource"]["id"] if case["resource"] else None,
        "service": case["resource"]["service"] if case["resource"] else None,
        "outcome": decision["outcome"],
        "allowed": decision["allowed"],
        "message": decision["message"],
        "warnings": decision["warnings"],
        "result": _result_of_decision(decision),
        "findings": decision["findings"],
    }
    subject = {"name": _request_name(case), "digest": {"sha256": decision["caseDigest"]}}
    return _statement("admission-decision", [subject], predicate, run, context, [review], record_id=str(decision["id"]))


def _request_name(case: Mapping[str, Any]) -> str:
    """Return the subject's name, for people: what was asked, and of which resource. Its uid is in the predicate."""
    request, resource = case["request"], case["resource"]
    named = resource["id"] if resource else "/".join(request[key] for key in ("kind", "namespace", "name"))
    return f"request:{request['operation']}:{named}"


def admission_gap(run: Run, context: Context, gap: Mapping[str, Any]) -> bytes:
    """Return the statement that decisions were answered and not recorded one by one.

    gap: `{id, from, until, count, why}`; from is None where it is not known.
    """
    predicate = {name: gap[name] for name in ("from", "until", "count", "why")} | {"result": "ERROR"}
    return _statement("admission-gap", [_run_subject(run)], predicate, run, context, (), record_id=str(gap["id"]))


def _result_of_decision(decision: Mapping[str, Any]) -> str:
    """Return the result as a scan of the same object would have it; what was not judged is never PASSED."""
    if decision["outcome"] == "overdue":
        return "ERROR"
    verdicts = {finding["verdict"] for finding in decision["findings"] if finding["waiver"] is None}
    for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.PASS):
        if verdict in verdicts:
            return RESULT_OF_VERDICT[verdict]
    return "SKIPPED"


def key_event(run: Run, context: Context, keyring_envelope: Mapping[str, Any], *, version: int, digest: str) -> bytes:
    """Return the statement that a keyring version came into force. digest: hex SHA-256 of the keyring envelope."""
    predicate = {"event": "keyring", "version": version, "keyring": dict(keyring_envelope), "result": "PASSED"}
    subject = {"name": f"keyring:{version}", "digest": {"sha256": digest}}
    return _statement("key-event", [subject], predicate, run, context, ())


def backup_name(asset: str, backup_id: str) -> str:
    """Return the subject name under which manifest and drill of one backup meet."""
    return f"backup:{asset}/{backup_id}"


def _backup_subject(drill: Drill) -> dict[str, Any]:
    backup = drill.result.backup
    if not backup.get("id") or not backup.get("sha256"):
        return {"name": f"asset:{drill.asset.name}", "digest": {"sha256": statement.digest_of_text(drill.run_id)}}
    return {"name": backup_name(drill.asset.name, backup["id"]), "digest": {"sha256": backup["sha256"]}}


def _run_subject(run: Run) -> dict[str, Any]:
    # in-toto wants a digest for each subject; where nothing was read there is only the run's identity.
    return {"name": f"run:{run.run_id}", "digest": {"sha256": statement.digest_of_text(run.run_id)}}


def _statement(
    kind: str,
    subjects: Sequence[Mapping[str, Any]],
    predicate: Mapping[str, Any],
    run: Run,
    context: Context,
    attachments: Sequence[AttachmentRef],
    *,
    record_id: str | None = None,
    supersedes: str | None = None,
) -> bytes:
    return statement.build(
        kind,
        subjects,
        {
            "recordId": record_id or statement.new_record_id(),
            "nonce": statement.new_nonce(),
            "environment": context.environment,
            "run": run.to_json(),
            "beacon": dict(context.beacon) if context.beacon else None,
            "producer": {"version": context.version, "host": context.host, "imageDigest": context.image_digest},
            **predicate,
            "attachments": [attachment.to_json() for attachment in attachments],
            "supersedes": supersedes,
            "retentionClass": "standard",
        },
    )
