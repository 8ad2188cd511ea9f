"""What a backup format is to the rest: locate, describe, fetch, say what is complete.

Invariant: nothing outside the folder a source was opened on is ever read; a symbolic link in a backup is refused, not
followed. This module holds the shapes only, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path


class SourceError(VerifierError):
    """A backup folder or a backup cannot be read, or holds something a backup must not hold (links, devices)."""


@dataclass(frozen=True, slots=True)
class BackupItem:
    """One backup as found.

    id: unique in its folder. path: the dump file (pg_dump) or the folder of the pair (odoo).
    taken_at: aware UTC, None if nothing tells. size_bytes: of everything that belongs to it.
    complete: whether it begins and ends as a whole one does, told without reading it all; None where only a full read
    can tell. Damage inside is a drill's to find.
    reason: why it is not complete, empty otherwise.
    """

    id: str
    path: Path
    taken_at: datetime | None
    size_bytes: int
    complete: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A backup copied into a work folder. bytes: of all files; sha256: hex, of the dump file, taken on the way."""

    dump: Path
    filestore: Path | None
    bytes: int
    sha256: str


class BackupSource(Protocol):
    """One folder of backups in one format."""

    @property
    def format(self) -> str:
        """The format's name, as in guardian.yaml."""
        ...

    def locate(self) -> Sequence[BackupItem]:
        """Return the backups, oldest first, with incomplete ones. Raises SourceError if the folder is unreadable."""
        ...

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """Copy a backup into the folder `into`, which must exist; files there are new, 0600, folders 0700.

        progress: called with the bytes copied so far. Raises SourceError on a link, a special file or a read error.
        """
        ...
