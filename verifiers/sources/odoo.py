"""A folder of `<UTC stamp>/` folders, each with a dump called `db` and `filestore/`: one folder, one backup.

The dump has any of the names that `pg_dump` knows: `db.dump`, `db.tar`, `db.sql.gz`, or a folder `db` with a `toc.dat`;
Odoo itself calls it `dump.sql`. Odoo and click-odoo put a `manifest.json` beside it, which names the database.

Invariant: a backup without one of its two halves is listed as incomplete, never left out.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verifiers.compressed import DamagedError
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier, digest_of, folder_fd, tree_size
from verifiers.sources.names import Named, parse, parse_folder, shown
from verifiers.sources.pg_dump import (
    fetch_dump,
    fetch_globals,
    find_globals,
    holds_directory_dump,
    is_alias,
    link_reason,
    look_at,
    oldest_first,
    refuse_double,
)
from verifiers.sources.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.sources.base import Place

MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES: Final = 16 << 20
_NAME_BYTES: Final = 63  # PostgreSQL cuts names there


class OdooFolders:
    """Backups of an Odoo asset: database and filestore together."""

    format = "pg_dump"

    def __init__(self, place: Place) -> None:
        self.folder = Path(place.path)

    def locate(self) -> list[BackupItem]:
        """See BackupSource. A folder counts if its name carries a UTC stamp, or if it holds one of the halves."""
        try:
            paths = [path for path in self.folder.iterdir() if path.name[0] != "." and not is_alias(path)]
            items = [item for path in paths for item in self._items(path)]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        refuse_double(items, self.folder)
        return sorted(items, key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None], *, move: bool = False) -> Fetched:
        """See BackupSource. move: the folder is ours, and files are moved instead of copied."""
        if item.path.parent != self.folder or item.path.is_symlink():
            raise SourceError(f"{item.path} is not a folder of the backup folder {self.folder}")
        if item.dump is None:
            raise SourceError(f"{item.id}: {item.reason or 'db.dump is missing'}")
        copier = Copier(progress, move=move)
        dump, sha256 = fetch_dump(item, into, copier)
        if (item.path / "filestore").is_symlink():
            raise SourceError(f"{item.id}/filestore {link_reason(item.path / 'filestore')}")
        copier.tree(item.path / "filestore", into / "filestore")
        cluster = fetch_globals(item, into, copier)
        database = database_of(item.path / MANIFEST)
        return Fetched(dump, into / "filestore", copier.bytes, sha256, item.form, cluster, database=database)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return digest_of(item)

    def _items(self, path: Path) -> list[BackupItem]:
        try:
            return [self._item(path)] if _counts(path) else []
        except FileNotFoundError:
            return []  # removed while we looked, as rotation does

    def _item(self, path: Path) -> BackupItem:
        backup_id, filestore = shown(path.name), path / "filestore"
        if path.is_symlink() or not path.is_dir():
            reason = link_reason(path) if path.is_symlink() else "is not a folder"
            return BackupItem(backup_id, path, stamp(path.name), 0, complete=False, reason=reason)
        empty = BackupItem(backup_id, path, stamp(path.name), tree_size(path), complete=False)
        dumps = _dumps(path)
        if len(dumps) != 1:
            names = " and ".join(shown(dump.name) for dump, _ in dumps)
            return replace(empty, reason=f"{names} are both its dump" if dumps else "db.dump is missing")
        [(dump, named)] = dumps
        looked = look_at(dump, replace(named, id=backup_id))
        found = replace(empty, dump=dump, form=looked.form, globals=find_globals(path.iterdir()).get(""))
        if looked.size_bytes == 0 and looked.reason:
            return replace(found, reason=f"{shown(dump.name)} {looked.reason}")
        if filestore.is_symlink() or not filestore.is_dir():
            reason = link_reason(filestore) if filestore.is_symlink() else "is missing"
            return replace(found, taken_at=looked.taken_at, reason=f"filestore/ {reason}")
        return replace(found, taken_at=looked.taken_at, complete=looked.complete, reason=looked.reason)


def _dumps(folder: Path) -> list[tuple[Path, Named]]:
    """Return what may be the dump in the folder of a pair. Raises OSError."""
    found = []
    for path in sorted(folder.iterdir()):
        named = parse(path.name)
        if path.is_dir() and not path.is_symlink():
            named = parse_folder(path.name) if holds_directory_dump(path) else named
        if named is not None and named.id in {"db", "dump"}:
            found.append((path, named))
    return found


def database_of(manifest: Path) -> str | None:
    """Return the name that Odoo's manifest.json gives for the database, None if there is no such file.

    Raises DamagedError if it is not what Odoo writes, SourceError if it cannot be read.
    """
    try:
        with folder_fd(manifest.parent) as folder:
            opened = os.open(manifest.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise SourceError(f"{MANIFEST} is not a regular file")
            data = file.read(_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"cannot read {MANIFEST}: {error.strerror or error}") from error
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"its {MANIFEST} is no JSON") from error
    name = content.get("db_name") if isinstance(content, dict) else None
    if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) <= _NAME_BYTES or not name.isprintable():
        raise DamagedError(f"its {MANIFEST} gives no db_name, which Odoo writes there")
    return name


def _counts(path: Path) -> bool:
    if stamp(path.name) is not None:
        return True
    if path.is_symlink() or not path.is_dir():
        return (path / "db.dump").exists() or (path / "filestore").is_dir()
    return bool(_dumps(path)) or (path / "filestore").is_dir()
