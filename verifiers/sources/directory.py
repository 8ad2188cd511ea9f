"""A folder of plain files as the backup of a filestore: itself one mirror, or a folder of copies named by their time.

Subfolders whose names end with a UTC stamp are one backup each; where there is none, the folder itself is the one
backup, called `current`, and it was taken when it was last written to.
Invariant: a symbolic link is never followed; what a name says is still being written is listed as incomplete.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verifiers.layout import Layout
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.names import Named, shown
from verifiers.sources.pg_dump import is_alias, oldest_first
from verifiers.sources.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.sources.base import Place

CURRENT: Final = "current"
_WRITING: Final = (".partial", ".part", ".tmp", ".incomplete")
_FILES: Final = Named("filestore", Layout.DIRECTORY)


class FileFolders:
    """Copies of a folder of files, which lie there as they are."""

    format = "directory"

    def __init__(self, place: Place) -> None:
        self.folder = Path(place.path)

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        try:
            stamped = [path for path in self.folder.iterdir() if path.name[0] != "." and not is_alias(path)]
            stamped = [path for path in stamped if stamp(path.name) is not None and path.is_dir()]
            if not stamped:
                return [_item(self.folder, CURRENT, None)]
            items = [_item(path, shown(path.name), stamp(path.name)) for path in stamped]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        return sorted(items, key=oldest_first)

    def in_place(self, item: BackupItem) -> Path:
        """Return the folder of a backup, which can be read where it is. Raises SourceError for one from elsewhere."""
        if self.folder not in {item.path, item.path.parent}:
            raise SourceError(f"{item.path} is not in the backup folder {self.folder}")
        return item.path

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource: copy a backup to `into/filestore`."""
        copier = Copier(progress)
        sha256 = copier.tree(self.in_place(item), into / "filestore")
        return Fetched(None, into / "filestore", copier.bytes, sha256, _FILES)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        copier = Copier(lambda _: None)
        return copier.tree(self.in_place(item), None), copier.bytes


def _item(path: Path, identity: str, taken_at: datetime | None) -> BackupItem:
    files, size, written = _look(path)
    reason = "it holds no file; is the disk that it lies on mounted" if not files else ""
    if identity != CURRENT and identity.endswith(_WRITING):
        reason = "its name says that it is still being written, or broke off"
    return BackupItem(
        identity,
        path,
        taken_at or (written if files else None),
        size,
        complete=False if reason else None,
        reason=reason,
        form=Named(identity, Layout.DIRECTORY),
    )


def _look(root: Path) -> tuple[int, int, datetime]:
    """Return how many files there are, their bytes, and when anything was last written. Raises OSError for the root.

    That is the time of the inode's change: tools that mirror give files the times they had at the source.
    """
    files = size = 0
    written = root.stat().st_ctime
    os.scandir(root).close()  # fwalk says nothing of a root that cannot be read
    for _, _, names, folder in os.fwalk(root, follow_symlinks=False):
        written = max(written, os.fstat(folder).st_ctime)
        for name in names:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            files, size = files + 1, size + (status.st_size if stat.S_ISREG(status.st_mode) else 0)
            written = max(written, status.st_ctime)
    return files, size, datetime.fromtimestamp(written, UTC)
