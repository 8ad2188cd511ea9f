"""Restore and verify backups now, and record what came out, also of drills that died before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from evidence.statement import new_record_id
from guardian.drills.catalogue import choose, required_assurance
from guardian.drills.history import history
from guardian.drills.run import DEADLINE_S, run_drill
from guardian.drills.turns import turn
from guardian.errors import UsageError
from guardian.records import restore_drill, unfinished_drill
from guardian.redact import parse_key
from guardian.usecases.backup_lock import backup_begun
from guardian.usecases.ledger import Appended, Ledger, new_run
from guardian.usecases.slot_closing import append_for
from verifiers.sandbox.workspace import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from guardian.drills.examination import Progress
    from guardian.model import Asset, Claim, Drill
    from guardian.settings import Settings
    from verifiers.sandbox.workspace import Leftover

log_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """One drill with the place of its record. manifest: whether a manifest of this backup was there to compare with."""

    drill: Drill
    record: Appended
    manifest: bool


def drill_assets(
    settings: Settings,
    names: Sequence[str],
    *,
    backup_id: str | None,
    progress: Callable[[str, str, int | None, int | None], None],
    claim: Claim | None = None,
    accept_anomaly: str | None = None,
    waits: Callable[[str, str], None] = lambda _asset, _why: None,
) -> list[DrillOutcome]:
    """Drill the named assets, or all that have a backup job, one after the other.

    backup_id: a particular backup, only with exactly one asset; else as the asset's policy chooses.
    progress: called as (asset, phase, done, total); counts are None where unknown.
    claim: the slot that asks for it, with exactly one asset; its record closes the slot.
    accept_anomaly: why a backup that is unlike those before it is as it should be, with exactly one asset; recorded.
    waits: called as (asset, why) when a drill has to wait for another's end.
    Raises UsageError for an unknown asset or backup, SlotLostError if the slot went to someone else meanwhile.
    """
    assets = settings.assets()
    unknown = [name for name in names if name not in assets]
    if unknown:
        raise UsageError(f"no asset {unknown[0]!r} in {settings.path}; there are: {', '.join(assets) or 'none'}")
    chosen = [assets[name] for name in names] or [asset for asset in assets.values() if asset.backups]
    if not chosen:
        raise UsageError(f"no asset in {settings.path} has a backup job; add `backups:` to an asset of a service")
    if (backup_id is not None or claim is not None) and len(chosen) != 1:
        raise UsageError("--backup names one backup of one asset; give the asset too")
    if accept_anomaly is not None and (len(chosen) != 1 or not accept_anomaly.strip()):
        raise UsageError("--accept-anomaly takes the reason, and one asset that it is accepted for")
    with Ledger(settings, writable=True) as ledger:
        record_killed(settings, ledger)
        outcomes = []
        for asset in chosen:
            told = _named(progress, asset.name)
            with _turn(settings, asset, waits):
                outcomes.append(_drill(settings, ledger, asset, backup_id, told, claim, accept_anomaly))
        return outcomes


def _turn(settings: Settings, asset: Asset, waits: Callable[[str, str], None]) -> AbstractContextManager[None]:
    """Return a context in which it is this drill's turn; whoever waits for it is told why."""

    def told(why: str) -> None:
        log_events.info("drill_waited", asset=asset.name, why=why)
        waits(asset.name, why)

    return turn(
        settings.sandbox.folder,
        settings.environment,
        asset.name,
        concurrent=settings.sandbox.concurrent,
        deadline_s=asset.drill.deadline_s or DEADLINE_S,
        waits=told,
    )


def _named(progress: Callable[[str, str, int | None, int | None], None], asset: str) -> Progress:
    return lambda phase, done, total: progress(asset, phase, done, total)


def _drill(
    settings: Settings,
    ledger: Ledger,
    asset: Asset,
    backup_id: str | None,
    progress: Progress,
    claim: Claim | None,
    accept_anomaly: str | None,
) -> DrillOutcome:
    """Drill one asset and log the result, also when a person or SIGTERM stops it half-way."""
    context, started_on, run_id = ledger.context(), datetime.now(UTC), new_record_id()
    records = ((found.record_id, found.predicate) for found in ledger.records() if found.kind == "restore-drill")
    job, item, plan = choose(
        asset,
        backup_id,
        being_taken_since=backup_begun(settings, asset.name),
        history=history(records, asset.name),
        now=started_on,
        accepted=accept_anomaly,
    )
    manifest = ledger.manifest_for(asset.name, item.id) if item else None
    try:
        drill = run_drill(
            run_id=run_id,
            asset=asset,
            service=settings.service(asset.service),
            job=job,
            backup=item,
            required=required_assurance(asset, any_manifest_logged=ledger.has_manifest(asset.name)),
            manifest=manifest[1] if manifest else None,
            key=parse_key(settings.keys.redaction),
            settings=replace(settings.sandbox, disk_quota=asset.drill.disk_quota or settings.sandbox.disk_quota),
            progress=progress,
            deadline_s=asset.drill.deadline_s or DEADLINE_S,
            slot=claim.slot.id if claim else None,
            plan=plan,
        )
    except (KeyboardInterrupt, SystemExit):
        run = new_run("drill", started_on, run_id=run_id, claim=claim)
        reason = "stopped: the drill was interrupted, and its sandbox torn down, before it ended"
        unfinished = unfinished_drill(run, context, asset=asset.name, service=asset.service, reason=reason)
        append_for(ledger, unfinished, claim)
        raise
    run = new_run("drill", started_on, run_id=run_id, claim=claim)
    record = append_for(ledger, restore_drill(run, context, drill, manifest[0] if manifest else None), claim)
    return DrillOutcome(drill, record, manifest is not None)


def record_killed(settings: Settings, ledger: Ledger) -> Sequence[Leftover]:
    """Sweep what dead drills left behind, logging each such run as an error first. Returns what was swept.

    Of a drill that a slot asked for, whoever closes the slot writes that record.
    """

    def record(leftover: Leftover) -> None:
        log_events.warning("killed_drill_found", run_id=leftover.run_id, asset=leftover.info.get("asset"))
        if leftover.info.get("slot"):
            return
        started = leftover.info.get("startedOn")
        started_on = datetime.fromisoformat(started) if started else datetime.now(UTC)
        asset = settings.assets().get(str(leftover.info.get("asset")))
        run = new_run("drill", started_on, run_id=leftover.run_id)
        statement = unfinished_drill(
            run,
            ledger.context(),
            asset=asset.name if asset else None,
            service=asset.service if asset else None,
            reason="killed: the process of this drill ended before the drill did",
        )
        ledger.append([statement])

    return sweep(settings.sandbox.folder, before_removal=record)
