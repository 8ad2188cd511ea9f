"""A folder of dumps in every output format of pg_dump: one file or folder, one backup.

`*.dump` (-Fc), `*.tar` (-Ft) and `*.sql` (-Fp), each as it is, compressed (`.gz`, `.zst`, `.lz4`), encrypted (`.age`),
or both, and folders with a `toc.dat` (-Fd). `globals.sql`, or `<id>.globals.sql`, is what `pg_dumpall --globals-only`
wrote for all of them, or for that one.

Invariant: a symbolic link is never followed. One to a file of the same folder (`latest.dump`) is only another
name of a backup and is left out; any other is listed as a backup that cannot be whole. No two backups share an id.
"""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.layout import Layout
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier, digest_of, tree_size
from verifiers.sources.names import SUFFIX_OF, Named, parse, parse_folder, shown
from verifiers.sources.stamps import look_at_dump, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from verifiers.sources.base import Place

_NEVER = datetime.min.replace(tzinfo=UTC)
# What pg_dump -Fd leaves before it writes toc.dat, its last file.
DATA_FILE = re.compile(r"(\d+|blob_\d+)\.dat(\.gz|\.lz4|\.zst)?|blobs(_\d+)?\.toc")


class DumpFiles:
    """Backups of a plain PostgreSQL asset."""

    format = "pg_dump"

    def __init__(self, place: Place) -> None:
        self.folder = Path(place.path)

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.name[0] != "." and not is_alias(path))
            cluster = find_globals(paths)
            items = [item for path in paths for item in self._items(path, cluster)]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        refuse_double(items, self.folder)
        return sorted(items, key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None], *, move: bool = False) -> Fetched:
        """See BackupSource. move: the folder is ours, and files are moved instead of copied."""
        if item.path.parent != self.folder:
            raise SourceError(f"{item.path} is not in the backup folder {self.folder}")
        copier = Copier(progress, move=move)
        dump, sha256 = fetch_dump(item, into, copier)
        cluster = fetch_globals(item, into, copier)
        return Fetched(dump, None, copier.bytes, sha256, item.form, cluster)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return digest_of(item)

    def _items(self, path: Path, cluster: Mapping[str, tuple[Path, Named]]) -> list[BackupItem]:
        """Return the backup that a path is, if it is one and still there."""
        try:
            mode = path.lstat().st_mode
            named = parse(path.name)
            if stat.S_ISDIR(mode) and holds_directory_dump(path):
                named = parse_folder(path.name)
            elif stat.S_ISDIR(mode) and named is None and stamp(path.name) and not any(path.iterdir()):
                named = parse_folder(path.name)  # pg_dump -Fd made it and wrote nothing
            elif stat.S_ISLNK(mode) and named is None and stamp(path.name):
                named = parse_folder(path.name)
            if named is None or named.globals_of is not None:
                return []
            return [with_globals(look_at(path, named), cluster)]
        except FileNotFoundError:
            return []  # removed while we looked, as rotation does


def look_at(path: Path, named: Named) -> BackupItem:
    """Return what is at a dump's place. Raises OSError."""
    wanted = stat.S_ISDIR if named.layout is Layout.DIRECTORY else stat.S_ISREG
    if not wanted(path.lstat().st_mode):
        return BackupItem(named.id, path, stamp(named.id), 0, complete=False, reason=link_reason(path), form=named)
    taken_at, complete, reason = look_at_dump(named, path)
    size = tree_size(path) if named.layout is Layout.DIRECTORY else path.stat().st_size
    return BackupItem(named.id, path, taken_at, size, complete, reason, form=named)


def holds_directory_dump(path: Path) -> bool:
    """Whether a folder is a dump in directory format, or the beginning of one. Raises OSError."""
    return any(entry.name == "toc.dat" or DATA_FILE.fullmatch(entry.name) for entry in path.iterdir())


def find_globals(paths: Iterable[Path]) -> dict[str, tuple[Path, Named]]:
    """Return the globals of a folder by the backup's id, an empty one for all.

    Raises SourceError if one is there twice.
    """
    found: dict[str, tuple[Path, Named]] = {}
    for path in paths:
        named = parse(path.name)
        if named is None or named.globals_of is None:
            continue
        other = found.setdefault(named.globals_of, (path, named))[0]
        if other != path:
            raise SourceError(f"{shown(other.name)} and {shown(path.name)} are globals of the same backup; keep one")
    return found


def with_globals(item: BackupItem, cluster: Mapping[str, tuple[Path, Named]]) -> BackupItem:
    """Return the backup with its globals, if there are any. Raises OSError."""
    found = cluster.get(item.id) or cluster.get("")
    return replace(item, globals=found, size_bytes=item.size_bytes + found[0].lstat().st_size) if found else item


def fetch_dump(item: BackupItem, into: Path, copier: Copier) -> tuple[Path, str]:
    """Copy the dump under a name of ours and return it with its digest. Raises SourceError."""
    source = item.dump or item.path
    target = into / f"db{SUFFIX_OF[item.form.layout]}{''.join(item.form.wrappings)}"
    if item.form.layout is not Layout.DIRECTORY:
        return target, copier.file(source, target)
    if source.is_symlink():
        raise SourceError(f"{shown(source.name)} {link_reason(source)}")
    return target, copier.tree(source, target)


def fetch_globals(item: BackupItem, into: Path, copier: Copier) -> tuple[Path, Named] | None:
    """Copy the globals, if there are any. Raises SourceError."""
    if item.globals is None:
        return None
    path, named = item.globals
    target = into / f"globals.sql{''.join(named.wrappings)}"
    copier.file(path, target)
    return target, named


def refuse_double(items: Iterable[BackupItem], folder: Path) -> None:
    """Raise SourceError if two backups have one id: a manifest could be of either."""
    seen: dict[str, BackupItem] = {}
    for item in items:
        other = seen.setdefault(item.id, item)
        if other is not item:
            raise SourceError(
                f"{shown(other.path.name)} and {shown(item.path.name)} in {folder} are both backup {item.id!r} by their"
                " names; keep one of them there"
            )


def oldest_first(item: BackupItem) -> tuple[datetime, str]:
    """Sort key: by time, then name; what has no time comes first, so that it is never taken for the newest."""
    return (item.taken_at or _NEVER, item.id)


def is_alias(path: Path) -> bool:
    """Whether a path is a link to something that is itself listed in the same folder."""
    if not path.is_symlink():
        return False
    target, folder = path.readlink(), path.parent
    return target.parent in {type(target)(), folder} and target.name != path.name and (folder / target.name).exists()


def link_reason(path: Path) -> str:
    """Say why what stands at a backup's place is not read."""
    return "is a symbolic link, which is not followed" if path.is_symlink() else "is not a regular file"
