"""A folder of `<UTC stamp>/` folders, each with `db.dump` and `filestore/`: one folder, one backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources.base import BackupItem, Fetched


class OdooFolders:
    """Backups of an Odoo asset: database and filestore together."""

    format = "pg_dump"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        raise NotImplementedError

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        raise NotImplementedError
