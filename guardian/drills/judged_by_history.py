"""What the history of an asset says of the drill that is ending: like the others or not, and as fast or not.

Invariant: nothing here raises the assurance, and what is forecast is told with its error. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardian.drills.anomaly import anomaly
from guardian.drills.forecast import forecast
from verifiers.result import RESTORE_PHASES, Scope

if TYPE_CHECKING:
    from guardian.drills.run import Run
    from verifiers.sources import BackupItem


def judge_by_history(run: Run, item: BackupItem) -> None:
    """Enter `anomaly`, and add what was forecast, and how much of what is kept was drilled, to the measurements."""
    plan, measured = run.plan, run.measurements
    run.checklist.put(
        anomaly(run.job.name, item.id, item.taken_at, run.scope, measured, plan.history, accepted=plan.accepted)
    )
    restore_s = sum(run.phases.get(name, 0.0) for name in RESTORE_PHASES)
    if run.restored and run.scope is Scope.DATA_ONLY:
        measured["dataRestoreSeconds"] = round(restore_s, 3)
    foreseen = forecast(plan.history, run.job.name, run.scope, measured.get("backupBytes", 0))
    if foreseen is not None:
        measured["forecastRestoreSeconds"] = round(foreseen.seconds, 3)
        measured["forecastErrorSeconds"] = round(foreseen.error_s, 3)
        slower = foreseen.slower(restore_s) if run.restored else None
        if slower is not None:
            measured["restoreRegression"] = slower
    if plan.covered is not None:
        done, kept = plan.covered
        measured["keptBackups"], measured["keptBackupsDrilled"] = kept, done + plan.fresh
