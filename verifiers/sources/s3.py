"""A prefix of a bucket: one object or one folder right below it is one backup, by the names used in folders.

Invariant: nothing of the bucket is changed. An id names the versions that the backup was made of, where the bucket
keeps them: `name@version` of an object, `name@digest` of a folder, over the versions of all that lies in it; so a
manifest of one upload is never met by another under the same key. Whether an object is whole inside only a drill tells.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.compressed import DamagedError
from verifiers.layout import Layout
from verifiers.sources.base import BackupItem, Fetched, SourceError
from verifiers.sources.contents import take
from verifiers.sources.copying import Copier
from verifiers.sources.names import Named, parse, parse_folder, shown
from verifiers.sources.pg_basebackup import CONTROL, LABEL, MANIFEST, TAR
from verifiers.sources.pg_dump import DATA_FILE, oldest_first
from verifiers.sources.s3_groups import at_once, groups, in_tree_order, newest_last, readable
from verifiers.sources.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from verifiers.sources.base import Place
    from verifiers.sources.s3_groups import Group, Hold, Stored
    from verifiers.sources.s3_store import Store

_FILES = Named("filestore", Layout.CUSTOM)  # as in `contents`: there is no dump whose form matters


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a group is. reason: why it is not complete. dump: of an Odoo pair. at: when its main part was stored."""

    form: Named
    reason: str = ""
    dump: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A backup with the objects that it is. dump: see _Kind. globals: of the same prefix."""

    item: BackupItem
    group: Group
    dump: str | None = None
    globals: Group | None = None


class S3Prefix:
    """Backups of one asset in an object store. asset_type: `postgres`, `odoo` or `filestore`."""

    format = "s3"

    def __init__(self, asset_type: str, place: Place) -> None:
        self._asset_type, self._place = asset_type, place

    def locate(self) -> list[BackupItem]:
        """See BackupSource. Earlier versions are listed too, and those under a delete marker."""
        return [found.item for found in self._find(self._store())]

    def fetch(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> Fetched:
        """See BackupSource."""
        store = self._store()
        found = self._again(store, item)
        if odd := readable(found.group):
            raise SourceError(f"{item.id}: {odd}")
        if self._asset_type == "odoo" and found.dump is None:
            raise DamagedError(f"{item.id}: {found.item.reason}")
        if any(into.iterdir()):
            raise SourceError(f"the folder {into} is not empty")
        root = into / "s3"
        wanted = _paths(root, found.group) | (_paths(root, found.globals) if found.globals else {})
        _make_folders(root, found.group)
        store.download(wanted, progress)
        total = sum(stored.size for stored in wanted.values())
        verified = f"the lengths of {len(wanted)} object{'s' * (len(wanted) != 1)}, as the store lists them"
        if self._asset_type == "filestore":
            copier = Copier(lambda _done: progress(total), move=True)
            sha256 = copier.tree(root / found.group.name, into / "filestore")
            shutil.rmtree(root, ignore_errors=True)
            return Fetched(None, into / "filestore", copier.bytes, sha256, _FILES, verified=verified)
        return take(root, into, self._asset_type, self._place, lambda _done: progress(total), verified=verified)

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource. Every object is read once, and nothing is kept."""
        store = self._store()
        found = self._again(store, item)
        members, dump = found.group.members, found.dump
        if dump is not None:
            members = {path: stored for path, stored in members.items() if path == dump or _below(path, dump)}
        digests = store.digests(_files(members), hashlib.sha256)
        size = sum(stored.size for stored in digests)
        if not found.item.form.layout.folder and self._asset_type != "filestore":
            return next(iter(digests.values())), size
        strip = f"{dump}/" if dump is not None else ""
        by_path = {path.removeprefix(strip): digests[stored] for path, stored in members.items() if stored in digests}
        sha = hashlib.sha256()
        for path in in_tree_order(by_path):
            sha.update(_line(path, by_path[path]))
        return sha.hexdigest(), size

    def holds(self, item: BackupItem, needed: datetime) -> list[Hold]:
        """Return what holds every object of a backup, its globals too. Raises SourceError where that cannot be read.

        needed: a legal hold is looked for where retention ends before.
        """
        store = self._store()
        found = self._again(store, item)
        objects = [*found.group.members.values(), *(found.globals.members.values() if found.globals else ())]
        return store.holds(objects, needed)

    def _store(self) -> Store:
        from verifiers.sources.s3_store import Store  # noqa: PLC0415 -- boto3 costs half a second to import

        return Store(self._place)

    def _again(self, store: Store, item: BackupItem) -> _Found:
        """Return a backup as it lies there now."""
        for found in self._find(store):
            if found.item.id == item.id:
                return found
        raise SourceError(f"{store.url}: backup {item.id!r} is not there any more")

    def _find(self, store: Store) -> list[_Found]:
        """Return all backups, oldest first. Raises SourceError also where two have one id, or nothing is below it."""
        stored, gone = store.listing()
        if not stored and not gone and store.prefix:
            raise SourceError(f"{store.url}: nothing is stored under this prefix; correct `path`, or take a backup")
        there = groups(store.prefix, stored, gone)
        found: list[_Found] = []
        for same in _by_name(there):
            kinds = [(group, kind) for group in same if (kind := self._kind(group)) is not None]
            moments = newest_last([_moment(group, kind) for group, kind in kinds])
            found += [
                self._found(store, group, kind, moment, there)
                for (group, kind), moment in zip(kinds, moments, strict=True)
            ]
        seen: dict[str, str] = {}
        for each in found:
            other = seen.setdefault(each.item.id, each.group.name)
            if other != each.group.name:
                names = f"{shown(other)} and {shown(each.group.name)}"
                raise SourceError(f"{names} in {store.url} are both backup {each.item.id!r} by their names; keep one")
        return sorted(found, key=lambda each: oldest_first(each.item))

    def _found(self, store: Store, group: Group, kind: _Kind, moment: datetime, there: Sequence[Group]) -> _Found:
        path = Path(store.bucket, store.prefix, group.name)
        reason = readable(group) or kind.reason
        item = BackupItem(
            group.named(kind.form.id if self._asset_type == "postgres" else shown(group.name)),
            path,
            moment,
            group.size_bytes,
            False if reason else None,
            reason,
            form=kind.form,
            dump=path / kind.dump if kind.dump is not None else None,
        )
        if kind.form.layout.physical or self._asset_type != "postgres":
            return _Found(item, group, kind.dump)
        cluster = _globals(kind.form.id, at_once(there, group.replaced_at))
        if cluster is None:
            return _Found(item, group, kind.dump)
        of_it, named = cluster
        size = item.size_bytes + of_it.size_bytes
        return _Found(replace(item, globals=(path.parent / of_it.name, named), size_bytes=size), group, None, of_it)

    def _kind(self, group: Group) -> _Kind | None:
        """Return what a group is for this asset, None if it is no backup."""
        if group.name.startswith("."):
            return None
        if self._asset_type == "odoo":
            return _pair(group) if group.folder else None
        if self._asset_type == "filestore":
            return _Kind(_FILES) if group.folder else None
        if self._place.holds == "pg_basebackup":
            return _cluster(group) if group.folder else None
        return _directory(group) if group.folder else _dump(group)


def _dump(group: Group) -> _Kind | None:
    named = parse(group.name)
    if named is None or named.globals_of is not None:
        return None
    return _Kind(named, "" if group.size_bytes else "the file is empty (0 bytes)")


def _directory(group: Group) -> _Kind | None:
    names = _first_names(group.members)
    if not _holds_directory_dump(names):
        return _Kind(parse_folder(group.name), "the folder is empty") if stamp(group.name) and not names else None
    return _Kind(parse_folder(group.name), _lacks_toc(group.members, ""), at=_came(group, "toc.dat"))


def _cluster(group: Group) -> _Kind | None:
    names = _first_names(group.members)
    tar = any(TAR.fullmatch(name) for name in names)
    if not tar and not names & {"PG_VERSION", LABEL, MANIFEST} and not (stamp(group.name) and not names):
        return None
    reason = ""
    needed = () if tar else ("PG_VERSION", LABEL, CONTROL)
    lacking = next((path for path in needed if path not in group.members), None)
    if lacking is not None:
        reason = f"it has no {lacking}, without which no server starts on it"
    elif tar and not any(name.startswith("base.tar") for name in names):
        reason = "it has no base.tar"
    elif MANIFEST not in names:
        reason = f"it has no {MANIFEST}, which pg_basebackup writes last: it broke off, or was made with --no-manifest"
    layout = Layout.CLUSTER_TAR if tar else Layout.CLUSTER
    return _Kind(Named(shown(group.name), layout), reason, at=_came(group, MANIFEST))


def _pair(group: Group) -> _Kind | None:
    """Return what the folder of an Odoo pair is: as `odoo` sees it on a disk."""
    dumps = []
    for name in sorted(_first_names(group.members)):
        below = {path.removeprefix(f"{name}/") for path in group.members if _below(path, name)}
        folder = bool(below) and name not in group.members
        named = parse_folder(name) if folder and _holds_directory_dump(_first_names(below)) else parse(name)
        if named is not None and named.id == "db":
            dumps.append((name, replace(named, id=shown(group.name))))
    files = any(_below(path, "filestore") for path in group.members)
    if stamp(group.name) is None and not dumps and not files:
        return None
    if len(dumps) != 1:
        names = " and ".join(shown(name) for name, _ in dumps)
        return _Kind(_FILES, f"{names} are both its dump" if dumps else "db.dump is missing")
    [(dump, form)] = dumps
    reason = "" if files else "filestore/ is missing"
    if form.layout is Layout.DIRECTORY:
        reason = _lacks_toc(group.members, f"{dump}/") or reason
        return _Kind(form, reason, dump, _came(group, f"{dump}/toc.dat"))
    empty = f"{shown(dump)} the file is empty (0 bytes)" if group.members[dump].size == 0 else ""
    return _Kind(form, empty or reason, dump, _came(group, dump))


def _holds_directory_dump(names: Iterable[str]) -> bool:
    return any(name == "toc.dat" or DATA_FILE.fullmatch(name) for name in names)


def _lacks_toc(members: Mapping[str, Stored], below: str) -> str:
    there = members.get(f"{below}toc.dat")
    if there is None:
        return "it has no toc.dat, which pg_dump writes last: it broke off"
    return "" if there.size else "its toc.dat is empty (0 bytes)"


def _globals(identity: str, there: Iterable[Group]) -> tuple[Group, Named] | None:
    """Return the globals of a backup: of that one, else of all."""
    found: dict[str, tuple[Group, Named]] = {}
    for group in there:
        named = None if group.folder else parse(group.name)
        if named is not None and named.globals_of is not None:
            other = found.setdefault(named.globals_of, (group, named))[0]
            if other.name != group.name:
                names = f"{shown(other.name)} and {shown(group.name)}"
                raise SourceError(f"{names} are globals of the same backup; keep one")
    return found.get(identity) or found.get("")


def _by_name(there: Iterable[Group]) -> Iterable[list[Group]]:
    same: dict[tuple[str, bool], list[Group]] = {}
    for group in there:
        same.setdefault((group.name, group.folder), []).append(group)
    return same.values()


def _moment(group: Group, kind: _Kind) -> datetime:
    return stamp(group.name) or kind.at or group.stored_at


def _came(group: Group, path: str) -> datetime | None:
    found = group.members.get(path)
    return found.stored_at if found is not None else None


def _first_names(paths: Iterable[str]) -> set[str]:
    return {path.partition("/")[0] for path in paths} - {""}


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _files(members: Mapping[str, Stored]) -> list[Stored]:
    """Return members that are files, not markers of folders; the object itself has an empty path."""
    return [stored for stored in members.values() if not stored.key.endswith("/")]


def _paths(root: Path, group: Group) -> dict[Path, Stored]:
    return {
        root.joinpath(group.name, *path.split("/")) if path else root / group.name: stored
        for path, stored in group.members.items()
        if not stored.key.endswith("/")
    }


def _make_folders(root: Path, group: Group) -> None:
    """Make the folders that only markers tell of, which may be empty."""
    root.mkdir(mode=0o700)
    for path, stored in group.members.items():
        if stored.key.endswith("/"):
            root.joinpath(group.name, *path.strip("/").split("/")).mkdir(parents=True, exist_ok=True, mode=0o700)


def _line(path: str, sha256: str) -> bytes:
    """Return what `Copier.tree` hashes of one file: as sha256sum writes a line."""
    escaped = path.encode().replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"\\" if escaped != path.encode() else b""
    return mark + sha256.encode() + b"  " + escaped + b"\n"
