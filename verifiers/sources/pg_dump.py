"""A folder of `*.dump` files made by `pg_dump -Fc`: one file, one backup.

Invariant: a symbolic link is never followed. One to a file of the same folder (`latest.dump`) is only another
name of a backup and is left out; any other is listed as a backup that cannot be whole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.stamps import look_at_dump, stamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NEVER = datetime.min.replace(tzinfo=UTC)


class DumpFiles:
    """Backups of a plain PostgreSQL asset."""

    format = "pg_dump"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        try:
            paths = [path for path in self.folder.iterdir() if path.suffix == ".dump" and path.name[0] != "."]
            items = [self._item(path) for path in paths if not is_alias(path, self.folder)]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        return sorted(items, key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        if item.path.parent != self.folder:
            raise SourceError(f"{item.path} is not in the backup folder {self.folder}")
        copier = Copier(progress)
        sha256 = copier.file(item.path, into / "db.dump")
        return Fetched(into / "db.dump", None, copier.bytes, sha256)

    def _item(self, path: Path) -> BackupItem:
        if path.is_symlink() or not path.is_file():
            return BackupItem(path.stem, path, stamp(path.stem), 0, complete=False, reason=link_reason(path))
        taken_at, complete, reason = look_at_dump(path.stem, path)
        return BackupItem(path.stem, path, taken_at, path.stat().st_size, complete, reason)


def oldest_first(item: BackupItem) -> tuple[datetime, str]:
    """Sort key: by time, then name; what has no time comes first, so that it is never taken for the newest."""
    return (item.taken_at or _NEVER, item.id)


def is_alias(path: Path, folder: Path) -> bool:
    """Whether a path is a link to something that is itself listed in the same folder."""
    if not path.is_symlink():
        return False
    target = path.readlink()
    return target.parent in {type(target)(), folder} and target.name != path.name and (folder / target.name).exists()


def link_reason(path: Path) -> str:
    """Say why what stands at a backup's place is not read."""
    return "is a symbolic link, which is not followed" if path.is_symlink() else "is not a regular file"
