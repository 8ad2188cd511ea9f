"""Is there room for what a drill is about to write? Looks at the disk, and changes nothing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from guardian.drills.checklist import StopDrill

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import SandboxSettings

_SPARE_BYTES = 512 << 20  # a fresh server with its write-ahead log


def see_room(settings: SandboxSettings, folder: Path, needed: int) -> None:
    """Raise StopDrill unless `needed` bytes find room in `folder`, and in the quota, beside what is spared."""
    needed += _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed or settings.disk_quota < needed:
        limit = "free" if free < settings.disk_quota else "allowed by sandbox.diskQuota"
        has = min(free, settings.disk_quota)
        raise StopDrill(
            f"about {needed / 2**30:.1f} GiB are needed in {settings.folder}, and {has / 2**30:.1f} GiB are "
            f"{limit}; make room, raise the quota, or set sandbox.folder to a larger disk"
        )
