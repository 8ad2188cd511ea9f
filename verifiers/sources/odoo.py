"""A folder of `<UTC stamp>/` folders, each with `db.dump` and `filestore/`: one folder, one backup.

Invariant: a backup without one of its two halves is listed as incomplete, never left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier, tree_size
from verifiers.sources.pg_dump import is_alias, link_reason, oldest_first
from verifiers.sources.stamps import look_at_dump, stamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class OdooFolders:
    """Backups of an Odoo asset: database and filestore together."""

    format = "pg_dump"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self) -> list[BackupItem]:
        """See BackupSource. A folder counts if its name carries a UTC stamp, or if it holds one of the halves."""
        try:
            paths = [path for path in self.folder.iterdir() if _counts(path) and not is_alias(path, self.folder)]
            items = [self._item(path) for path in paths]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        return sorted(items, key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        if item.path.parent != self.folder or item.path.is_symlink():
            raise SourceError(f"{item.path} is not a folder of the backup folder {self.folder}")
        copier = Copier(progress)
        sha256 = copier.file(item.path / "db.dump", into / "db.dump")
        if (item.path / "filestore").is_symlink():
            raise SourceError(f"{item.id}/filestore {link_reason(item.path / 'filestore')}")
        copier.tree(item.path / "filestore", into / "filestore")
        return Fetched(into / "db.dump", into / "filestore", copier.bytes, sha256)

    def _item(self, path: Path) -> BackupItem:
        if path.is_symlink() or not path.is_dir():
            reason = link_reason(path) if path.is_symlink() else "is not a folder"
            return BackupItem(path.name, path, stamp(path.name), 0, complete=False, reason=reason)
        dump, filestore = path / "db.dump", path / "filestore"
        size = tree_size(path)
        for half in (dump, filestore):
            if half.is_symlink():
                reason = f"{half.name} {link_reason(half)}"
                return BackupItem(path.name, path, stamp(path.name), size, complete=False, reason=reason)
        if not dump.is_file():
            return BackupItem(path.name, path, stamp(path.name), size, complete=False, reason="db.dump is missing")
        taken_at, complete, reason = look_at_dump(path.name, dump)
        if not filestore.is_dir():
            complete, reason = False, "filestore/ is missing"
        return BackupItem(path.name, path, taken_at, size, complete, reason)


def _counts(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return stamp(path.name) is not None or (path / "db.dump").exists() or (path / "filestore").is_dir()
