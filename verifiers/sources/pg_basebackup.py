"""A folder of copies of a whole cluster, as pg_basebackup makes them: one folder, one backup.

`<name>/` holds the files themselves (-Fp), or `base.tar` with `pg_wal.tar` and one tar a tablespace (-Ft), each as it
is or compressed (`.gz`, `.zst`, `.lz4`), and `backup_manifest`, which pg_basebackup writes last.

Invariant: a symbolic link is never followed; a backup that has one, as plain ones with tablespaces do, cannot be read.
"""

from __future__ import annotations

import io
import re
import stat
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.compressed import SUFFIXES, DamagedError, Unpacker
from verifiers.layout import Layout
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier, digest_of, tree_size
from verifiers.sources.names import Named, shown
from verifiers.sources.pg_dump import is_alias, oldest_first
from verifiers.sources.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.sources.base import Place

MANIFEST = "backup_manifest"
LABEL = "backup_label"
CONTROL = "global/pg_control"
_BEGINNING = 1 << 20
_LABEL_CHARS = 1 << 16
_SUFFIX = "|".join(re.escape(suffix) for suffix in SUFFIXES)
TAR = re.compile(rf"(base|pg_wal|[1-9][0-9]{{0,9}})\.tar({_SUFFIX})?")
_LABEL_TIME = re.compile(r"^START TIME: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:UTC|GMT)$", re.MULTILINE)


class BaseBackups:
    """Backups of a PostgreSQL cluster, of which an asset names a database."""

    format = "pg_basebackup"

    def __init__(self, place: Place) -> None:
        self.folder = Path(place.path)

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.name[0] != "." and not is_alias(path))
            items = [item for path in paths if (item := _item(path)) is not None]
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error
        return sorted(items, key=oldest_first)

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None], *, move: bool = False) -> Fetched:
        """Copy a backup to `into/cluster`, which must not exist; see BackupSource.

        move: the folder is ours, and files are moved instead of copied.
        """
        if item.path.parent != self.folder:
            raise SourceError(f"{item.path} is not in the backup folder {self.folder}")
        copier = Copier(progress, move=move)
        target = into / "cluster"
        sha256 = copier.tree(item.path, target)
        return Fetched(target, None, copier.bytes, sha256, item.form)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return digest_of(item)


def _item(path: Path) -> BackupItem | None:
    """Return the backup that a path is, None if it is none, or gone meanwhile."""
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            return None
        names = {entry.name for entry in path.iterdir()}
        tar = any(TAR.fullmatch(name) for name in names)
        if not tar and not names & {"PG_VERSION", LABEL, MANIFEST} and not (stamp(path.name) and not names):
            return None
        layout = Layout.CLUSTER_TAR if tar else Layout.CLUSTER
        reason = _lacking(path, names, tar=tar)
        identity = shown(path.name)
        taken_at = stamp(path.name) or _began(path / LABEL) or _written(path / MANIFEST) or _written(path)
        return BackupItem(identity, path, taken_at, tree_size(path), not reason, reason, form=Named(identity, layout))
    except FileNotFoundError:
        return None


def label_text(path: Path) -> str | None:
    """Return the backup_label of a copy, of a tar one from its beginning; None if there is none to be read."""
    try:
        if (path / LABEL).is_file():
            return (path / LABEL).read_text(encoding="utf-8", errors="replace")[:_LABEL_CHARS]
        base = next((entry for entry in path.iterdir() if (m := TAR.fullmatch(entry.name)) and m[1] == "base"), None)
        if base is None or base.is_symlink():
            return None
        with tarfile.open(fileobj=io.BytesIO(_beginning(base)), mode="r|") as archive:
            for member in archive:
                if member.name in {LABEL, f"./{LABEL}"} and member.isreg():
                    content = archive.extractfile(member)
                    return content.read(_LABEL_CHARS).decode("utf-8", "replace") if content else None
    except (OSError, tarfile.TarError, DamagedError, EOFError):
        return None
    return None


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a tar, decompressed; pg_basebackup writes the label first."""
    with path.open("rb") as file:
        data = file.read(_BEGINNING)
    if path.suffix not in SUFFIXES:
        return data
    unpacker, found = Unpacker(SUFFIXES[path.suffix]), b""
    for piece in unpacker.feed(data):
        found += piece
        if len(found) >= _BEGINNING:
            break
    return found


def _lacking(path: Path, names: set[str], *, tar: bool) -> str:
    """Say what a whole backup would have, empty if nothing lacks."""
    if tar:
        if not any(name.startswith("base.tar") for name in names):
            return "it has no base.tar"
    else:
        for name in ("PG_VERSION", LABEL, CONTROL):
            if not (path / name).is_file():
                return f"it has no {name}, without which no server starts on it"
    if MANIFEST not in names:
        return f"it has no {MANIFEST}, which pg_basebackup writes last: it broke off, or was made with --no-manifest"
    return ""


def _began(label: Path) -> datetime | None:
    """Return when the backup began, where its label says so in UTC; other zones' names are ambiguous."""
    try:
        found = _LABEL_TIME.search(label.read_text(encoding="utf-8", errors="replace")[:4096])
    except OSError:
        return None
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if found else None


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except OSError:
        return None
