"""Whether nobody can remove a backup for as long as its job asks: what the object store says of each object.

Invariant: a pass means that every object of the backup was asked for and is held. What may not be read is an error.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from guardian.model import rfc3339
from verifiers.result import Assurance, Check, Verdict
from verifiers.sources import SourceError, open_source
from verifiers.sources.s3 import S3Prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.drills.checklist import Checklist
    from guardian.model import Asset, BackupJob
    from verifiers.sources import BackupItem
    from verifiers.sources.s3_groups import Hold

_ID: Final = "backup.locked"
_TOLERANCE: Final = timedelta(hours=1)  # between the end of a backup and its upload, and between clocks
_DAY_S: Final = 86400


def enter(checklist: Checklist, asset: Asset, job: BackupJob, item: BackupItem) -> None:
    """Enter `backup.locked`."""
    lock_s = job.lock_s
    if lock_s is None:
        checklist.skip(_ID, "this job does not ask for a lock")
        return
    checklist.run([_ID], lambda: _check(asset, job, item, lock_s))


def _check(asset: Asset, job: BackupJob, item: BackupItem, lock_s: int) -> Check:
    source = open_source(asset.type, job.place)
    if not isinstance(source, S3Prefix) or item.taken_at is None:
        raise SourceError(f"backups of format {job.format} are not locked in a way that can be read")
    needed = item.taken_at + timedelta(seconds=lock_s)
    holds = source.holds(item, needed - _TOLERANCE)
    return judged(holds, needed, lock_s)


def judged(holds: Sequence[Hold], needed: datetime, lock_s: int) -> Check:
    """Return `backup.locked` of what holds each object. needed: until when retention must last at least."""
    expected = {"until": rfc3339(needed), "objects": len(holds)}
    least = needed - _TOLERANCE
    loose = [hold for hold in holds if not hold.legal and (hold.until is None or hold.until < least)]
    by_time = [hold.until for hold in holds if hold.until is not None and not hold.legal]
    modes = sorted({"legal hold" if hold.legal else hold.mode or "none" for hold in holds})
    first = min(by_time, default=None)
    observed = {"modes": modes, "until": rfc3339(first.astimezone(UTC)) if first else None, "unlocked": len(loose)}
    if not holds:
        raise SourceError("the backup has no objects that could be locked")
    if loose:
        worst = min(loose, key=lambda hold: (hold.until is not None, hold.key))
        why = f"is held by {worst.mode} until {rfc3339(worst.until)} only" if worst.until else "is not locked at all"
        message = (
            f"{len(loose)} of {len(holds)} objects can be removed too early: {worst.key} {why}, and `lock` asks for"
            f" {_days(lock_s)} from when the backup was taken, until {rfc3339(needed)}. Give the bucket a default"
            " retention that long, and upload the backup again."
        )
        return Check(_ID, Assurance.RESTORED, Verdict.FAIL, expected, observed, message)
    until = f" until {observed['until']}" if first else ""
    message = f"All {len(holds)} objects are locked{until} ({', '.join(modes)})."
    if "GOVERNANCE" in modes:
        message += " GOVERNANCE: who has s3:BypassGovernanceRetention can still remove them."
    if "legal hold" in modes:
        message += " A legal hold lasts until somebody lifts it."
    return Check(_ID, Assurance.RESTORED, Verdict.PASS, expected, observed, message)


def _days(lock_s: int) -> str:
    return f"{lock_s / _DAY_S:g} days" if lock_s >= _DAY_S else f"{lock_s} seconds"
