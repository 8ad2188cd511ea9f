"""A folder of `*.dump` files made by `pg_dump -Fc`: one file, one backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources.base import BackupItem, Fetched


class DumpFiles:
    """Backups of a plain PostgreSQL asset."""

    format = "pg_dump"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        raise NotImplementedError

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        raise NotImplementedError
