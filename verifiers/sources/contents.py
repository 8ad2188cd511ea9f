"""What a repository gave back: a tree of files of our own, in which the one backup is found and taken.

Repositories keep whatever was put into them, under the paths it had at the source. Invariant: files are moved within
our own folder, never copied; a tree that holds no backup, or links out of itself, is refused with what was there.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from verifiers.compressed import DamagedError
from verifiers.layout import Layout
from verifiers.sources.base import Fetched, Place, SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.names import Named, shown
from verifiers.sources.odoo import OdooFolders
from verifiers.sources.pg_basebackup import BaseBackups
from verifiers.sources.pg_dump import DumpFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verifiers.sources.base import BackupItem, BackupSource

_DEEPEST: Final = 16  # levels
_MOST: Final = 20_000  # folders
_FILES: Final = Named("filestore", Layout.CUSTOM)  # of a plain filestore there is no dump whose form matters


class _Folder(Protocol):
    """What reads a folder of backups."""

    def locate(self) -> list[BackupItem]: ...

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None], *, move: bool = ...) -> Fetched: ...


def take(
    root: Path, into: Path, asset_type: str, place: Place, progress: Callable[[int], None], *, verified: str = ""
) -> Fetched:
    """Take the backup out of a restored tree `root` into the folder `into`, both ours and on one disk.

    For a database: what `place.holds` says, wherever it lies below `root`; of several backups in one folder the newest.
    For an odoo pair its folder; for a filestore the folder that has the path of the source, else the first that holds
    more than one folder. verified: what the program verified, for the record.
    Raises SourceError where there is none, DamagedError where a part of it is missing.
    """
    if asset_type == "filestore":
        copier = Copier(progress, move=True)
        sha256 = copier.tree(_files(root, place), into / "filestore")
        shutil.rmtree(root, ignore_errors=True)
        return Fetched(None, into / "filestore", copier.bytes, sha256, _FILES, verified=verified)
    # One level deeper, so that a backup which is the tree itself is found as those below it are: in a folder.
    kept, root = root, root.with_name(f"{root.name}.kept") / "backup"
    root.parent.mkdir(mode=0o700)
    kept.rename(root)
    found = _find(root.parent, asset_type, place)
    if found is None:
        there = ", ".join(shown(path.name) for path in sorted(root.iterdir())[:10]) or "nothing"
        what = {"odoo": "an Odoo pair (a dump db.* beside filestore/)"}.get(asset_type, f"a backup by {place.holds}")
        raise SourceError(f"it does not hold {what}; it holds {there}")
    source, item = found
    if item.form.layout.physical and item.complete is False:
        raise DamagedError(f"{item.id}: {item.reason}")
    try:
        fetched = source.fetch(item, into, progress, move=True)
    except SourceError as error:
        if item.complete is not False:
            raise
        raise DamagedError(f"{item.id}: {item.reason}") from error
    shutil.rmtree(root.parent, ignore_errors=True)
    # What its keeper verified is that it is what was put there. Whether that was whole, a cluster's own manifest tells.
    return replace(fetched, verified="" if item.form.layout.physical else verified, taken_at=item.taken_at)


def _find(root: Path, asset_type: str, place: Place) -> tuple[_Folder, BackupItem] | None:
    """Return the backup in a tree, with what reads the folder it is in."""
    opened = OdooFolders if asset_type == "odoo" else BaseBackups if place.holds == "pg_basebackup" else DumpFiles
    hollow: tuple[_Folder, BackupItem] | None = None
    for folder in _folders(root):
        source: _Folder = opened(Place(place.holds, str(folder)))
        items = source.locate()
        if len(items) == 1 and _hollow(items[0]):
            hollow = hollow or (source, items[0])  # it may be the folder around the backup, with a stamp in its name
        elif items:
            return source, items[-1]
    return hollow


def _hollow(item: BackupItem) -> bool:
    """Whether only a folder's name speaks for a backup: no file is directly in it."""
    if item.complete is not False or item.path.is_symlink() or not item.path.is_dir():
        return False
    return not any(path.is_symlink() or not path.is_dir() for path in item.path.iterdir())


def digest_in(source: BackupSource, item: BackupItem) -> tuple[str, int]:
    """Return the digest of a backup that only fetching tells: into a folder of its own, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="guardian-") as folder:
        fetched = source.fetch(item, Path(folder), lambda _: None)
        return fetched.sha256, fetched.bytes


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders below `root`, itself first, breadth first, without following links or entering clusters.

    Raises SourceError where there are more than a tree around a backup has.
    """
    level, seen = [root], 1
    for _ in range(_DEEPEST):
        yield from level
        below: list[Path] = []
        for folder in level:
            if (folder / "PG_VERSION").exists():
                continue
            below += sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
            if seen + len(below) > _MOST:
                raise SourceError(f"no backup was found in the first {_MOST} folders of it; keep backups by themselves")
        level, seen = below, seen + len(below)


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
