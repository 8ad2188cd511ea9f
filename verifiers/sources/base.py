"""What a backup format is to the rest: locate, describe, fetch, say what is complete.

Invariant: nothing outside the folder a source was opened on is ever read; a symbolic link in a backup is refused, not
followed. This module holds the shapes only, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from verifiers.errors import VerifierError
from verifiers.layout import Layout
from verifiers.sources.names import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path


class SourceError(VerifierError):
    """A backup folder or a backup cannot be read, or holds something a backup must not hold (links, devices)."""


_CUSTOM = Named("", Layout.CUSTOM)


@dataclass(frozen=True, slots=True)
class BackupItem:
    """One backup as found.

    id: unique in its folder. path: the dump, a file or folder (pg_dump), or the folder of the pair (odoo).
    taken_at: aware UTC, None if nothing tells. size_bytes: of everything that belongs to it.
    complete: whether it begins and ends as a whole one does, told without reading it all; None where only a full read
    can tell. Damage inside is a drill's to find.
    reason: why it is not complete, empty otherwise. form: what its name says of the dump. dump: the dump where it is
    not `path` itself. globals: the output of `pg_dumpall --globals-only` that belongs to it, and what its name says.
    """

    id: str
    path: Path
    taken_at: datetime | None
    size_bytes: int
    complete: bool | None
    reason: str = ""
    form: Named = _CUSTOM
    dump: Path | None = None
    globals: tuple[Path, Named] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A backup copied into a work folder, as it was: still encrypted and compressed, if it is.

    bytes: of all files. sha256: hex, taken on the way: of the dump file, or of a folder as `Copier.tree` says. globals:
    the copy of what `BackupItem.globals` names.
    """

    dump: Path
    filestore: Path | None
    bytes: int
    sha256: str
    globals: Path | None = None


class BackupSource(Protocol):
    """One folder of backups in one format."""

    @property
    def format(self) -> str:
        """The format's name, as in guardian.yaml."""
        ...

    def locate(self) -> Sequence[BackupItem]:
        """Return the backups, oldest first, with incomplete ones.

        Raises SourceError if the folder is unreadable, or if two of its files are one backup by their names.
        """
        ...

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """Copy a backup into the folder `into`, which must exist; files there are new, 0600, folders 0700.

        progress: called with the bytes copied so far, ending with all of them.
        Raises SourceError on a link, a special file or a read error.
        """
        ...
