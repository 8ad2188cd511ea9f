"""A folder of zips as Odoo's own database manager makes them: `dump.sql`, `manifest.json` and `filestore/` in each.

The name without `.zip` is the backup's id. Odoo names what it offers for download `<database>_<time>.zip`, in UTC.

Invariant: a zip that lacks one of its two halves is listed as incomplete, never left out. Odoo writes no filestore into
a backup taken "without filestore", and none can be restored from it then.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from verifiers.compressed import DamagedError
from verifiers.sources import zipfiles
from verifiers.sources.archives import ArchiveFiles
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.contents import take
from verifiers.sources.names import AGE, shown
from verifiers.sources.odoo import MANIFEST
from verifiers.sources.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources.base import Place

DUMP: Final = "dump.sql"
FILESTORE: Final = "filestore/"
NO_FILESTORE: Final = (
    "it holds no filestore/: it was taken without, or Odoo found none under the data folder of its configuration"
)
_DOWNLOADED: Final = re.compile(r".*_(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)")


class OdooZips:
    """Backups of an Odoo asset, each a zip."""

    format = "odoo_zip"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._files = ArchiveFiles(place, (".zip",))

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        found = (self.item(path) for path in self._files.paths())
        return self._files.sorted([item for item in found if item is not None])

    def item(self, path: Path) -> BackupItem | None:
        """Return the backup that a path is, None if it is none."""
        item = self._files.item(path, _look)
        if item is not None and stamp(item.id) is None and (found := _DOWNLOADED.fullmatch(item.id)):
            try:
                taken_at = datetime.strptime(found[1], "%Y-%m-%d_%H-%M-%S").replace(tzinfo=UTC)
            except ValueError:
                return item
            return replace(item, taken_at=taken_at)
        return item

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource. progress: told also what it takes unpacked. Raises DamagedError where it is not whole."""
        path, sha256 = self._files.copy(item, into, progress)
        before = item.size_bytes * (2 if item.path.name.endswith(AGE) else 1)
        root = into / "unpacked"
        inside = root / "backup"
        for folder in (root, inside):
            folder.mkdir(mode=0o700)
        try:
            names = zipfiles.unpack(path, inside, _wanted, lambda done: progress(before + done))
        except SourceError as error:
            raise SourceError(f"{shown(item.path.name)}: {error}") from error
        path.unlink()
        if DUMP not in names:
            raise DamagedError(f"it holds no {DUMP}, which Odoo writes first")
        if not any(name.startswith(FILESTORE) for name in names):
            raise DamagedError(NO_FILESTORE)
        fetched = take(root, into, "odoo", self._place, lambda _: None)
        return replace(fetched, sha256=sha256, bytes=item.size_bytes)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return self._files.digest(item)


def _wanted(name: str) -> bool:
    return name in {DUMP, MANIFEST} or name.startswith(FILESTORE)


def _look(path: Path) -> tuple[bool | None, str]:
    """Return whether a zip ends as one does and names both halves."""
    try:
        return _halves(path)
    except SourceError:
        return None, ""  # what is refused there is told by fetching


def _halves(path: Path) -> tuple[bool, str]:
    for name, reason in ((DUMP, f"it holds no {DUMP}"), (FILESTORE, NO_FILESTORE)):
        ends, missing = zipfiles.look(path, name.encode())
        if not ends:
            return False, missing
        if missing:
            return False, reason
    return True, ""
