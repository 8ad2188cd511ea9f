"""One backup of an asset at a time, and a drill that looks meanwhile passes over the one that is being taken.

Invariant: while the lock is held, what appears in the backup folder has no manifest yet. The kernel drops the lock with
its process, so a killed run leaves none behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from guardian.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.settings import Settings

_TRIES, _PAUSE_S = 20, 0.05


@contextmanager
def taking_backup(settings: Settings, asset: str, started_on: datetime) -> Iterator[None]:
    """Hold the asset's lock from before the backup command until its manifest is logged.

    started_on: UTC. Raises UsageError if another process holds it.
    """
    path = _path(settings, asset)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(handle):
            raise UsageError(f"a backup of asset {asset!r} is being taken by another run; wait for its end")
        os.ftruncate(handle, 0)
        # Whole seconds, as in the stamps of backups.
        os.pwrite(handle, started_on.replace(microsecond=0).isoformat().encode(), 0)
        yield
    finally:
        os.close(handle)


def backup_begun(settings: Settings, asset: str) -> datetime | None:
    """Return when the backup of `asset` that is being taken now began, None if none is."""
    try:
        handle = os.open(_path(settings, asset), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        begun = os.pread(handle, 64, 0).decode()
        return datetime.fromisoformat(begun) if begun else datetime.now(UTC)
    finally:
        os.close(handle)
    return None


def _locked(handle: int) -> bool:
    for _ in range(_TRIES):  # `backup_begun` holds it for an instant
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return True
    return False


def _path(settings: Settings, asset: str) -> Path:
    return settings.storage.objects.parent / "locks" / f"{asset}.backup"
