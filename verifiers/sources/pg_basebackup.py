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
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.compressed import SUFFIXES, DamagedError, Unpacker
from verifiers.layout import Layout
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.copying import Copier, digest_of, tree_size
from verifiers.sources.names import Named, shown
from verifiers.sources.pg_dump import is_alias, oldest_first
from verifiers.sources.stamps import stamp
from verifiers.sources.tarfiles import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        """Copy a backup to `into/cluster`, which must not exist, tars unpacked; see BackupSource.

        move: the folder is ours, and files are moved instead of copied. progress: told also what tars take unpacked.
        """
        if item.path.parent != self.folder:
            raise SourceError(f"{item.path} is not in the backup folder {self.folder}")
        tars = Tars(into / "cluster", progress)
        copier = Copier(tars.read, move=move, unpacked=tars.of)
        sha256 = copier.tree(item.path, into / "cluster")
        return Fetched(into / "cluster", None, copier.bytes, sha256, replace(item.form, layout=Layout.CLUSTER))

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        return digest_of(item)


class Tars:
    """Unpacks the tars of a copy while they are read, so that none is written twice: into the folder `cluster`.

    That of a tablespace goes beside it. progress: told the bytes read, or written where those are more.
    """

    def __init__(self, cluster: Path, progress: Callable[[int], None]) -> None:
        self._cluster, self._progress = cluster, progress
        self._written = 0

    def read(self, count: int) -> None:
        """Tell how much was read."""
        self._progress(max(count, self._written))

    def of(self, target: Path) -> Callable[[Iterator[memoryview]], None] | None:
        """Return what unpacks a file that would be copied to `target`, None if it is no tar of a copy."""
        matched = TAR.fullmatch(target.name)
        if matched is None or target.parent != self._cluster:
            return None
        stem = matched[1]
        place = {"base": self._cluster, "pg_wal": self._cluster / "pg_wal"}.get(stem)
        return partial(self._unpack, place or self._cluster.with_name(f"tablespace-{stem}"), target)

    def _unpack(self, place: Path, target: Path, pieces: Iterator[memoryview]) -> None:
        place.mkdir(mode=0o700, exist_ok=True)
        before = self._written
        unpacker = Unpacker(SUFFIXES.get(target.suffix, "none"))
        inflated = (piece for read in pieces for piece in unpacker.feed(bytes(read)))
        unpack(inflated, place, lambda done: self.read(self._add(before + done)), name=target.name)
        unpacker.close()

    def _add(self, written: int) -> int:
        self._written = written
        return written


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
