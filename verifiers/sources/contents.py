"""What a repository gave back: a tree of files of our own, in which the one backup is found and taken.

Repositories keep whatever was put into them, under the paths it had at the source. Invariant: files are moved within
our own folder, never copied; a tree that holds no backup, or links out of itself, is refused with what was there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verifiers.layout import Layout
from verifiers.sources.base import Fetched, Place, SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.names import Named, shown
from verifiers.sources.odoo import OdooFolders
from verifiers.sources.pg_basebackup import BaseBackups
from verifiers.sources.pg_dump import DumpFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verifiers.sources.base import BackupItem

_DEEPEST: Final = 16
_FILES: Final = Named("filestore", Layout.CUSTOM)  # of a plain filestore there is no dump whose form matters


def take(
    root: Path, into: Path, asset_type: str, place: Place, progress: Callable[[int], None], *, verified: str = ""
) -> Fetched:
    """Take the backup out of a restored tree `root` into the folder `into`, both ours and on one disk.

    For a database: what `place.holds` says, wherever it lies below `root`; of several backups in one folder the newest.
    For an odoo pair its folder; for a filestore the folder that has the path of the source, else the first that holds
    more than one folder. verified: what the program verified, for the record.
    Raises SourceError where there is none.
    """
    if asset_type == "filestore":
        copier = Copier(progress, move=True)
        sha256 = copier.tree(_files(root, place), into / "filestore")
        return Fetched(None, into / "filestore", copier.bytes, sha256, _FILES, verified=verified)
    opened = OdooFolders if asset_type == "odoo" else BaseBackups if place.holds == "pg_basebackup" else DumpFiles
    for folder in _folders(root):
        source = opened(Place(place.holds, str(folder)))
        items: list[BackupItem] = source.locate()
        if items:
            fetched = source.fetch(items[-1], into, progress, move=True)
            shutil.rmtree(root, ignore_errors=True)
            return _with(fetched, verified)
    there = ", ".join(shown(path.name) for path in sorted(root.iterdir())[:10]) or "nothing"
    what = {"odoo": "an Odoo pair (a dump db.* beside filestore/)"}.get(asset_type, f"a backup by {place.holds}")
    raise SourceError(f"it does not hold {what}; it holds {there}")


def _with(fetched: Fetched, verified: str) -> Fetched:
    return Fetched(
        fetched.dump,
        fetched.filestore,
        fetched.bytes,
        fetched.sha256,
        fetched.form,
        fetched.globals,
        verified=verified,
    )


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders below `root`, itself first, breadth first, without following links."""
    level = [root]
    for _ in range(_DEEPEST):
        yield from level
        level = [
            path for folder in level for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()
        ]


def _files(root: Path, place: Place) -> Path:
    """Return the folder of a filestore: by its path at the source, else where the tree first branches."""
    if place.filestore is not None:
        kept = root.joinpath(*Path(place.filestore).parts[1:])
        if kept.is_dir() and not kept.is_symlink():
            return kept
    folder = root
    while True:
        inside = list(folder.iterdir())
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
            return folder
        folder = inside[0]
