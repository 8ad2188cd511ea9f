"""Where the recovery of a copy ends whose manifest is true at a restore point: there, unless guardian.yaml differs.

Invariant: content is compared only where the recovery ended at that very point; otherwise it is said why not. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.postgres.physical import Segment, Target, TargetKind, lsn_number

if TYPE_CHECKING:
    from guardian.model import BackupJob
    from verifiers.manifest import Manifest, RestorePoint
    from verifiers.sources import LogArchive


@dataclass(frozen=True, slots=True)
class Choice:
    """point: where the recovery ends, None where the manifest has no say. why_not: why no content can be compared."""

    target: Target
    point: RestorePoint | None = None
    why_not: str = ""


def choose(job: BackupJob, manifest: Manifest | None, archive: LogArchive | None, segment_bytes: int) -> Choice:
    """Return where to recover to, for a drill that is to compare content. segment_bytes: of the write-ahead log."""
    if manifest is None or manifest.postgres is None:
        return Choice(job.target)
    point = manifest.recovery
    if point is None:
        return Choice(job.target, why_not="the manifest of this backup names no restore point to recover to")
    target = Target(TargetKind.NAME, point.name)
    if job.target_written and job.target != target:
        where = f"{job.target.kind} {job.target.value}".strip()
        why = (
            f"`recover` of backup {job.name} ends at {where}, and the manifest is true at the restore point "
            f"{point.name}; remove `recover` to have the content compared"
        )
        return Choice(job.target, why_not=why)
    needed = Segment(point.timeline, (lsn_number(point.lsn) - 1) // segment_bytes).name(segment_bytes)
    if archive is None or needed not in archive.segments:
        where = job.place.wal or f"in {job.path}"
        why = (
            f"the archive {where} does not hold the segment {needed} (yet), in which the restore point {point.name} of "
            "the manifest lies; see that archiving works, and drill again"
        )
        return Choice(job.target, why_not=why)
    return Choice(target, point)


def reached(point: RestorePoint, lsn: str | None, timeline: int) -> str:
    """Say why a recovery that ended at `lsn` is not at the point; empty if it is."""
    if lsn is None or lsn_number(lsn) != lsn_number(point.lsn):
        return f"The recovery ended at {lsn}, and the restore point {point.name} lies at {point.lsn}"
    if timeline != point.timeline:
        return f"The recovery followed timeline {timeline}, and the restore point {point.name} is on {point.timeline}"
    return ""
