"""What click-odoo-backupdb writes, in any of its formats: one folder or file, one backup.

`--format folder`: `db.dump` (pg_dump -Fc), `manifest.json` and `filestore/`. `--format zip`: as Odoo's own, which is
read the same way. `--format dump`: the dump alone, without the filestore that an Odoo database needs.

Invariant: a folder without one of the three is listed as incomplete, never left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from verifiers.sources.archives import ArchiveFiles
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.names import parse
from verifiers.sources.odoo import MANIFEST, OdooFolders
from verifiers.sources.odoo_zip import OdooZips
from verifiers.sources.pg_dump import look_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources.base import Place

_DUMP_ALONE: Final = "it is a dump without the filestore; take it with --format folder or zip"


class ClickOdoo:
    """Backups of an Odoo asset by click-odoo-contrib."""

    format = "click_odoo"

    def __init__(self, place: Place) -> None:
        self._folders, self._zips = OdooFolders(place), OdooZips(place)
        self._files = ArchiveFiles(place, (".zip",))

    def locate(self) -> list[BackupItem]:
        """See BackupSource. A folder without manifest.json broke off: it is written first."""
        items = [self._whole(item) for item in self._folders.locate() if not self._is_file(item.path)]
        for path in self._files.paths():
            item = self._zips.item(path) or _alone(path)
            if item is not None:
                items.append(item)
        return self._files.sorted(items)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        if self._files.suffix(item.path.name) is not None and not item.path.is_dir():
            return self._zips.fetch(item, into, progress)
        if self._is_file(item.path):
            raise SourceError(f"{item.id}: {item.reason or _DUMP_ALONE}")
        return self._folders.fetch(item, into, progress)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return self._folders.digest(item)

    def _is_file(self, path: Path) -> bool:
        """Whether a path is, or would be, a zip or a dump, and no folder."""
        if path.is_symlink():
            return self._files.suffix(path.name) is not None or parse(path.name) is not None
        return not path.is_dir()

    @staticmethod
    def _whole(item: BackupItem) -> BackupItem:
        if item.complete is False or (item.path / MANIFEST).is_file():
            return item
        return replace(item, complete=False, reason=f"{MANIFEST} is missing, which click-odoo-backupdb writes first")


def _alone(path: Path) -> BackupItem | None:
    """Return a dump beside the folders: a backup of half of what it should be."""
    named = parse(path.name)
    if named is None or named.globals_of is not None or path.is_dir():
        return None
    try:
        return replace(look_at(path, named), complete=False, reason=_DUMP_ALONE)
    except OSError:
        return None
