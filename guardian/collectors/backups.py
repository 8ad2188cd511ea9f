"""Backups on disk: what is there, of which asset, when taken, how large. Looks, never restores.

Invariant: a folder that cannot be read is an Unreadable and costs the other folders nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from guardian.collectors import Observed, Unreadable
from verifiers.sources import SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.model import Asset, BackupJob
    from verifiers.sources import BackupItem

KIND = "backup.Backup"
_SKEW = timedelta(minutes=5)  # what two clocks may differ; beyond it a time in the future is nobody's time of backup


class Backups:
    """The configured backup folders of all assets. name: the environment's."""

    type = "backups"
    id_scheme = "backup"
    kinds: Sequence[str] = (KIND,)
    sensitive: Mapping[str, Sequence[str]] = {}

    def __init__(self, environment: str, assets: Sequence[Asset]) -> None:
        self.name = environment
        self._assets = assets

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        """Yield every backup of every job, oldest first within a job."""
        for asset in self._assets:
            seen: set[str] = set()
            for job in asset.backups:
                try:
                    items = open_source(asset.type, job.place).locate()
                except (SourceError, OSError) as error:
                    yield Unreadable(KIND, "unreadable", f"backups {job.name} of asset {asset.name}: {error}")
                    continue
                for item in items:
                    # two jobs may give one id; the first keeps the short form, by which a drill names it
                    key = f"{asset.name}/{item.id}" if item.id not in seen else f"{asset.name}/{job.name}/{item.id}"
                    seen.add(item.id)
                    yield _observed(key, asset, job, item, now)


def _observed(key: str, asset: Asset, job: BackupJob, item: BackupItem, now: datetime) -> Observed:
    taken_at, reason = item.taken_at, item.reason
    age: int | None = None
    if taken_at is not None:
        future = taken_at - now
        age = max(0, -int(future.total_seconds())) if future <= _SKEW else None
        if age is None:
            reason = "; ".join(filter(None, (reason, "its time lies in the future, so its age is unknown")))
    attributes = {
        "asset": asset.name,
        "job": job.name,
        "format": job.format,
        "backupId": item.id,
        "takenAt": taken_at,
        "ageSeconds": age,
        "sizeBytes": item.size_bytes,
        "complete": item.complete,
        "reason": reason,
    }
    return Observed(KIND, key, attributes, asset=asset.name)
