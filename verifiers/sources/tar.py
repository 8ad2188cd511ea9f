"""A folder of tars, each of which holds one backup: a dump, the copy of a cluster, an Odoo pair, or a filestore.

`*.tar`, `.tar.gz` or `.tgz`, `.tar.zst`, `.tar.lz4`, each also encrypted (`.age`). The name without all that is the
backup's id. Invariant: a tar is unpacked by the rules of `tarfiles`, and one that is not whole is never taken for a
smaller one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from verifiers.compressed import SUFFIXES
from verifiers.sources.archives import ArchiveFiles
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.contents import take
from verifiers.sources.names import AGE, shown
from verifiers.sources.tarfiles import BLOCK, ENDING, unpack
from verifiers.sources.unwrapping import pieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources.base import Place

_SUFFIXES: Final = (".tar", ".tgz", *(f".tar{suffix}" for suffix in SUFFIXES))


class TarFiles:
    """Backups of an asset, packed by tar. asset_type: what each is looked through for."""

    format = "tar"

    def __init__(self, asset_type: str, place: Place) -> None:
        self._asset_type, self._place = asset_type, place
        self._files = ArchiveFiles(place, _SUFFIXES)

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        found = (self._files.item(path, _look) for path in self._files.paths())
        return self._files.sorted([item for item in found if item is not None])

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource. progress: told also what it takes unpacked. Raises DamagedError where it is not whole."""
        path, sha256 = self._files.copy(item, into, progress)
        before = item.size_bytes * (2 if item.path.name.endswith(AGE) else 1)
        root = into / "unpacked"
        inside = root / "backup"
        for folder in (root, inside):
            folder.mkdir(mode=0o700)
        unpack(pieces(path), inside, lambda done: progress(before + done), name=shown(item.path.name))
        path.unlink()
        if (inside / "toc.dat").exists() and (inside / "restore.sql").exists():
            raise SourceError(f"{shown(item.path.name)} is itself a dump (pg_dump -Ft); its format is pg_dump, not tar")
        # What a filestore has for a path at the source begins where the tar begins.
        begins = inside if self._asset_type == "filestore" else root
        fetched = take(begins, into, self._asset_type, self._place, lambda _: None)
        shutil.rmtree(root, ignore_errors=True)
        return replace(fetched, sha256=sha256, bytes=item.size_bytes)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return self._files.digest(item)


def _look(path: Path) -> tuple[bool | None, str]:
    """Return whether a tar ends as one does; None where it is compressed, and only a full read can tell."""
    if path.suffix != ".tar":
        return None, ""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - ENDING))
        if size % BLOCK == 0 and size >= ENDING and not any(os.read(file.fileno(), ENDING)):
            return True, ""
    return False, "it does not end as a tar does: it was cut short, or is still being written"
