"""A catalogue of Barman, read as it lies on disk: `<path>/<server>/base/<backup id>`, its log in `<server>/wals`.

Barman itself is not needed. Invariant: the catalogue is only read, and never through a link; the links by which a copy
finds its tablespaces are passed over, for Barman keeps those beside it. What Barman called done counts as complete,
and nothing else does.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verifiers.compressed import KINDS, DamagedError, Unpacker
from verifiers.layout import Layout
from verifiers.postgres.physical import Segment
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.clusters import LINKS, is_oid
from verifiers.sources.copying import Copier, new_file, tree_size
from verifiers.sources.names import Named
from verifiers.sources.pg_basebackup import MANIFEST, TAR
from verifiers.sources.pg_dump import oldest_first
from verifiers.sources.wal_archive import Length, first_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verifiers.sources.base import Place

_ID: Final = re.compile(r"\d{8}T\d{6}")
_INFO_BYTES: Final = 8 << 20
_DONE: Final = {"DONE", "WAITING_FOR_WALS"}  # of the latter the log may have come since; the recovery tells
_HASH: Final = re.compile(r"[0-9A-F]{16}")
_LOG: Final = re.compile(r"([0-9A-F]{24}|[0-9A-F]{8}\.history)(\.partial)?")
_MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_LOG_MAGIC: Final = 0xD1  # second byte of every page of log, of every version there is
_PIECE: Final = 1 << 20
_OLD_INFO_BYTES: Final = 64 << 10  # which a catalogue before 3.13.2 counted in, as it was then


@dataclass(frozen=True, slots=True)
class _Info:
    """What backup.info says. fields: as written. old: it lies within the backup, as before Barman 3.13.2."""

    fields: Mapping[str, str]
    old: bool

    def get(self, name: str) -> str:
        value = self.fields.get(name, "")
        return "" if value == "None" else value

    @property
    def ended(self) -> datetime | None:
        try:
            ended = datetime.fromisoformat(self.get("end_time"))
        except ValueError:
            return None
        return ended.astimezone(UTC) if ended.tzinfo is not None else None  # another host's zone is not known

    @property
    def tablespaces(self) -> list[str]:
        """The OIDs of its tablespaces. Raises SourceError."""
        try:
            return [str(int(oid)) for _, oid, _ in ast.literal_eval(self.get("tablespaces") or "[]")]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise SourceError("backup.info names tablespaces in a way that is not known") from error


class BarmanCatalogue:
    """Backups of a PostgreSQL cluster, one server of Barman's."""

    format = "barman"

    def __init__(self, place: Place) -> None:
        self._place = place

    def locate(self) -> list[BackupItem]:
        """See BackupSource."""
        home = server_folder(self._place)
        try:
            ids = {path.name for path in (home / "base").iterdir() if _ID.fullmatch(path.name)}
            if (home / "meta").is_dir():
                names = (path.name for path in (home / "meta").iterdir() if path.name.endswith("-backup.info"))
                ids |= {name for each in names if _ID.fullmatch(name := each.removesuffix("-backup.info"))}
            return sorted((self._item(home, identity) for identity in ids), key=oldest_first)
        except OSError as error:
            raise SourceError(f"cannot read Barman's catalogue {home}: {error.strerror or error}") from error

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """Copy a backup to `into/cluster`, its tablespaces beside it; see BackupSource."""
        copier, sha256, verified = self._read(item, into, progress)
        return Fetched(into / "cluster", None, copier.bytes, sha256, item.form, verified=verified)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """Return the digest of `data`, as of any folder; with tablespaces, that of the lines `<digest>  <name>`."""
        copier, sha256, _ = self._read(item, None, lambda _: None)
        return sha256, copier.bytes

    def _read(self, item: BackupItem, into: Path | None, progress: Callable[[int], None]) -> tuple[Copier, str, str]:
        """Read a backup once, copying it where `into` is given; return what was read and what is known of it."""
        home = server_folder(self._place)
        backup = home / "base" / item.id
        info = _info(home, item.id)
        if item.path != backup / "data" or info is None:
            raise SourceError(f"{item.path} is not in Barman's catalogue {home}")
        _refuse(info, item.id)
        copier = Copier(progress, passed_over=_is_tablespace_link)
        sha256 = copier.tree(backup / "data", into / "cluster" if into else None)
        lines = [f"{sha256}  data\n"]
        for oid in info.tablespaces if item.form.layout is Layout.CLUSTER else ():
            if not is_oid(oid) or not (backup / oid).is_dir() or (backup / oid).is_symlink():
                raise DamagedError(f"the backup's tablespace {oid} is missing in the catalogue")
            inner = copier.tree(backup / oid, into / f"tablespace-{oid}" if into else None)
            lines.append(f"{inner}  {oid}\n")
        if len(lines) > 1:
            sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
        if (backup / "data" / MANIFEST).exists():
            return copier, sha256, ""
        return copier, sha256, _sizes(info, copier.bytes)

    def _item(self, home: Path, identity: str) -> BackupItem:
        backup, info = home / "base" / identity, _info(home, identity)
        data = backup / "data"
        there = {path.name for path in data.iterdir()} if data.is_dir() and not data.is_symlink() else set()
        layout = Layout.CLUSTER_TAR if any(TAR.fullmatch(name) for name in there) else Layout.CLUSTER
        size = tree_size(backup) if backup.is_dir() else 0
        reason = ""
        if info is None:
            reason = "it has no backup.info"
        elif (status := info.get("status") or "EMPTY") not in _DONE:
            reason = f"Barman did not finish it: its status is {status if status.isascii() else 'unknown'}"
        elif not there and not info.get("snapshots_info"):
            reason = "Barman's catalogue lists it as done, and its files are missing"
        taken_at = (info.ended if info else None) or _written(backup)
        form = Named(identity, layout)
        return BackupItem(identity, data, taken_at, size, not reason, reason, form=form)


class BarmanLog:
    """The write-ahead log that Barman keeps for a server. Compression is told by how a file begins."""

    def __init__(self, home: Path) -> None:
        self._home, self._files = home, dict[str, Path]()
        partial: dict[str, Path] = {}
        folder = home / "wals"
        try:
            folders = [folder, *(path for path in folder.iterdir() if _HASH.fullmatch(path.name))]
            for path in sorted(path for each in folders for path in each.iterdir()):
                matched = _LOG.fullmatch(path.name)
                if matched is None:
                    continue
                if path.is_symlink() or not path.is_file():
                    raise SourceError(f"{path} is not a regular file; Barman's archive holds plain files only")
                (partial if matched[2] else self._files).setdefault(matched[1], path)
        except OSError as error:
            raise SourceError(f"cannot read Barman's archive {folder}: {error.strerror or error}") from error
        for name, path in partial.items():
            if name not in self._files and not any(other[:8] == name[:8] and other > name for other in self._files):
                self._files[name] = path

    @classmethod
    def of(cls, place: Place) -> BarmanLog:
        """Open the log of a server. Raises SourceError."""
        return cls(server_folder(place))

    @property
    def segments(self) -> list[str]:
        """See LogArchive."""
        return sorted(name for name in self._files if len(name) == 24)

    def is_whole(self, name: str) -> bool:
        """See LogArchive."""
        return not self._files[name].name.endswith(".partial")

    def gap(self, first: Segment, size: int) -> str | None:
        """See LogArchive."""
        return first_missing(self.segments, first, size)

    def fetch(self, into: Path, first: Segment, size: int, progress: Callable[[int], None]) -> int:
        """See LogArchive."""
        done = 0
        for name, path in sorted(self._files.items()):
            if len(name) == 24 and Segment.parse(name, size).number < first.number:
                continue
            done += self._copy(path, name, into / name, size)
            progress(done)
        return done

    def _copy(self, path: Path, name: str, target: Path, size: int) -> int:
        done, length = 0, Length(name, size)
        source_fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(source_fd, "rb", buffering=0) as source, new_file(target) as sink:
            data = source.read(_PIECE)
            unpacker = Unpacker(self._kind(name, data))
            try:
                while data:
                    for piece in unpacker.feed(data):
                        done += len(piece)
                        length.written(done)
                        view = memoryview(piece)
                        while view:
                            view = view[sink.write(view) :]
                    data = source.read(_PIECE)
                unpacker.close()
            except DamagedError as error:
                raise DamagedError(f"the segment {name} is damaged in Barman's archive: {error}") from error
        return done

    def _kind(self, name: str, data: bytes) -> str:
        for magic, kind in _MAGIC.items():
            if data.startswith(magic):
                return kind
        if name.endswith(".history") or (len(data) > 1 and data[1] == _LOG_MAGIC):
            return "none"
        if not data:
            raise DamagedError(f"the segment {name} is damaged in Barman's archive: the file is empty (0 bytes)")
        noted = self._noted(name)
        if noted - {*KINDS.values(), "None", "pygzip", "pigz", "pybzip2", "pyxz"}:
            raise SourceError(f"the segment {name} is wrapped by {' and '.join(sorted(noted))}, which is not read here")
        raise DamagedError(f"the segment {name} in Barman's archive does not begin as write-ahead log does")

    def _noted(self, name: str) -> set[str]:
        """Return what Barman noted of a segment's compression and encryption, in xlog.db."""
        for path in (*(self._home / "wals").glob("*-xlog.db"), self._home / "wals/xlog.db"):
            if path.is_file() and not path.is_symlink():
                with path.open(encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        columns = line.rstrip("\n").split("\t")
                        if columns[0] == name:
                            return {word for word in columns[3:5] if re.fullmatch(r"[A-Za-z0-9]{1,20}", word)}
        return set()


def server_folder(place: Place) -> Path:
    """Return the folder of the server that a place names, or of the only one. Raises SourceError."""
    home = Path(place.path)
    if place.server is not None:
        if not (home / place.server / "base").is_dir():
            raise SourceError(f"Barman's catalogue {home} holds no server {place.server!r}")
        return home / place.server
    try:
        servers = sorted(path.name for path in home.iterdir() if (path / "base").is_dir())
    except OSError as error:
        raise SourceError(f"cannot read Barman's catalogue {home}: {error.strerror or error}") from error
    if len(servers) != 1:
        there = f"several servers ({', '.join(servers)}); name one as `server:`" if servers else "no server"
        raise SourceError(f"Barman's catalogue {home} holds {there}")
    return home / servers[0]


def _info(home: Path, identity: str) -> _Info | None:
    for path, old in (
        (home / "meta" / f"{identity}-backup.info", False),
        (home / "base" / identity / "backup.info", True),
    ):
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                lines = file.read(_INFO_BYTES).splitlines()
            pairs = (line.partition("=") for line in lines if "=" in line)
            return _Info({name.strip(): value.strip() for name, _, value in pairs}, old)
    return None


def _refuse(info: _Info, identity: str) -> None:
    """Raise SourceError for what only Barman itself, or the cloud, can give back."""
    if info.get("snapshots_info"):
        raise SourceError(f"the backup {identity} is a snapshot of disks that the cloud keeps; it cannot be read here")
    if info.get("encryption"):
        raise SourceError(f"the backup {identity} is encrypted by Barman ({info.get('encryption')}), not read here")


def _sizes(info: _Info, found: int) -> str:
    """Hold the bytes read against those that Barman counted; return that in words. Raises DamagedError."""
    try:
        counted = int(info.get("size"))
    except ValueError:
        return ""
    spare = _OLD_INFO_BYTES if info.old else 0
    if not counted - spare <= found <= counted:
        raise DamagedError(f"its files have {found} bytes, and Barman counted {counted} when it was done")
    return f"its files have the {counted} bytes that Barman counted; a copy by rsync keeps no checksums of files"


def _is_tablespace_link(path: bytes) -> bool:
    folder, _, name = path.decode("utf-8", "replace").rpartition("/")
    return folder == LINKS and is_oid(name)


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except OSError:
        return None
