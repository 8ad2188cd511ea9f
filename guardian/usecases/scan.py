"""Collect, evaluate, record: one look at the environment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from guardian.errors import UsageError
from guardian.model import COLLECTION_ERROR
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.policy.evaluate import evaluate
from guardian.policy.standards import Standards
from guardian.records import policy_evaluation, result_of_findings
from guardian.usecases.collect import collect, read_snapshot
from guardian.usecases.coverage import unrun_drills
from guardian.usecases.ledger import Appended, Ledger, new_run
from guardian.usecases.slot_closing import append_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guardian.model import Claim, Evaluation, Mode, Snapshot
    from guardian.settings import Settings


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan found and where its record lies; None where nothing may be signed, see `scan`."""

    snapshot: Snapshot
    evaluation: Evaluation
    record: Appended | None


def scan(
    settings: Settings,
    *,
    snapshot_file: Path | None = None,
    progress: Callable[[str], None],
    claim: Claim | None = None,
) -> Scan:
    """Collect (or read) a snapshot, judge it, and append the signed record.

    snapshot_file: a snapshot written by `guardian snapshot`; judged as of the moment it was taken. Signed only if this
    log already names its digest: a file may have been edited, and a record says what Guardian itself has seen.
    progress: called with the name of each step as it begins. claim: the slot that asks for it, which its record closes.
    Raises UsageError for a snapshot of another environment, SlotLostError if the slot went to someone else meanwhile.
    """
    started_on = datetime.now(UTC)
    bundle = users.load(settings)
    standards = Standards.of(bundle.catalogue, settings)  # before anything is collected
    with closing(open_engine(settings.engine, bundle)) as engine, Ledger(settings, writable=True) as ledger:
        context = ledger.context()
        if snapshot_file is None:
            progress("collecting")
            snapshot = _look(settings, ledger, started_on)
        else:
            progress(f"reading {snapshot_file}")
            snapshot = read_snapshot(snapshot_file.read_bytes())
            if snapshot.environment != settings.environment:
                raise UsageError(
                    f"{snapshot_file} is a snapshot of environment {snapshot.environment!r}; {settings.path} is of "
                    f"{settings.environment!r}, whose standards may differ"
                )
        progress("judging")
        evaluation = evaluate(snapshot, engine=engine, catalogue=bundle.catalogue, standards=standards)
        if snapshot_file is not None and not _is_known(ledger, snapshot.digest):
            return Scan(snapshot, evaluation, None)
        progress("signing")
        attachments = [
            ledger.attach("snapshot.jsonl", "application/jsonl", snapshot.data),
            ledger.attach(
                "findings.json",
                "application/json",
                orjson.dumps([f.to_json() for f in evaluation.findings], option=orjson.OPT_SORT_KEYS),
            ),
            ledger.attach("standards.json", "application/json", standards.to_json()),
        ]
        run = new_run("scan", started_on, claim=claim)
        record = append_for(ledger, policy_evaluation(run, context, snapshot, evaluation, attachments), claim)
    return Scan(snapshot, evaluation, record)


def _is_known(ledger: Ledger, digest: str) -> bool:
    inputs = [entry for record in ledger.records() for entry in record.predicate.get("inputs", [])]
    return any(entry.get("name") == "snapshot" and entry.get("sha256") == digest for entry in inputs)


def take_snapshot(settings: Settings) -> Snapshot:
    """Collect only; nothing is judged or recorded."""
    now = datetime.now(UTC)
    with Ledger(settings, writable=False) as ledger:
        return _look(settings, ledger, now)


def _look(settings: Settings, ledger: Ledger, now: datetime) -> Snapshot:
    slots = unrun_drills(ledger.records(), now=now, lease_s=settings.daemon.lease_s)
    return collect(settings, now=now, drills=ledger.drills(now), slots=slots)


def exit_code(done: Scan, least_mode: Mode) -> int:
    """Return 0, 1 or 3: unwaived fails in `least_mode` or sterner come first, then what could not be checked."""
    result = result_of_findings(done.evaluation.findings, least_mode, complete=done.snapshot.complete)
    return {"FAILED": 1, "ERROR": 3}.get(result, 0)


def unread(done: Scan) -> list[str]:
    """Return what could not be read, a line each, with the reason."""
    return [
        f"{resource.id}: {resource.attributes['reason']}: {resource.attributes['detail']}"
        for resource in done.snapshot.resources
        if resource.kind == COLLECTION_ERROR
    ]
