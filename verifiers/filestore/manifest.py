"""The manifest of a filestore: path, size and SHA-256 of every file; and whether a restored one still agrees.

Invariant: every file of the manifest is read to its end before the check can pass, or was, for one that is verified in
turns, within the period in which all are.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from verifiers.filestore.reading import FilestoreError, Known, read_tree
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from verifiers.filestore.reading import File, State

# What Odoo keeps beside the attachments: one empty file for each that its garbage collector is to look at.
CHECKLIST = b"checklist"
SHOWN = 20  # names in a check; the counts tell how many there are
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODES = 0o7777
_UNREAD = Known((), 0)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes, hex SHA-256 and permission bits of one file; those are None in an Odoo filestore."""

    size: int
    sha256: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class FilestoreManifest:
    """What a filestore held: files by path relative to its root, with `/`.

    moving: what was written, added or removed while the backup was taken, so that nobody knows what it should hold.
    """

    files: Mapping[str, FileEntry]
    moving: Collection[str] = field(default=())

    @property
    def bytes(self) -> int:
        """Sum of the sizes."""
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that goes into the joint manifest."""
        files = {
            path: [entry.size, entry.sha256] if entry.mode is None else [entry.size, entry.sha256, entry.mode]
            for path, entry in self.files.items()
        }
        return {"files": files, "moving": sorted(self.moving)} if self.moving else {"files": files}

    @classmethod
    def from_json(cls, value: object) -> FilestoreManifest:
        """Read the JSON value back. Raises FilestoreError naming what is malformed."""
        match value:
            case {"files": dict() as written, **rest} if set(rest) <= {"moving"}:
                moving = rest.get("moving", [])
            case _:
                raise FilestoreError("manifest: filestore must be an object with `files`, and perhaps `moving`")
        if not isinstance(moving, list) or not all(isinstance(path, str) for path in moving) or rest == {"moving": []}:
            raise FilestoreError("manifest: filestore `moving` must be a list of paths")
        return cls({path: _entry(path, entry) for path, entry in written.items()}, tuple(moving))


def _entry(path: str, entry: object) -> FileEntry:
    match entry:
        case [int() as size, str() as sha256, *rest] if (
            type(size) is int and size >= 0 and _SHA256.fullmatch(sha256) and len(rest) <= 1
        ):
            if not rest:
                return FileEntry(size, sha256)
            if type(rest[0]) is int and 0 <= rest[0] <= _MODES:
                return FileEntry(size, sha256, rest[0])
    raise FilestoreError(f"manifest: filestore file {path!r} must be [size, SHA-256] or [size, SHA-256, mode]")


def capture(
    root: Path, *, names: Collection[str] | None = None, progress: Callable[[int], None] | None = None
) -> FilestoreManifest:
    """Hash every file below the root of an Odoo filestore, or only `names` where given (those missing are left out).

    progress: called with the bytes hashed. Raises FilestoreError on a link or special file.
    """
    chosen = None if names is None else frozenset(names)
    found = read_tree(
        root,
        ["sha256"],
        spare=frozenset({CHECKLIST}),
        wanted=None if chosen is None else lambda path: path in chosen,
        progress=progress,
    )
    return FilestoreManifest({file.path: FileEntry(file.state.size, file.digests[0].hex()) for file in found})


def states(root: Path) -> dict[str, State]:
    """Return what the file system says of every file of a plain folder, without reading any. Raises FilestoreError."""
    return {file.path: file.state for file in read_tree(root, [], known=lambda _path, _state: _UNREAD)}


def capture_plain(
    root: Path, *, before: Mapping[str, State] | None = None, progress: Callable[[int], None] | None = None
) -> FilestoreManifest:
    """Hash every file of a plain folder, with its permissions.

    before: its `states` from before the backup began: nobody knows what the backup holds of a file that was written,
    added or removed since. progress: called with the bytes hashed. Raises FilestoreError on a link or special file.
    """
    files: dict[str, FileEntry] = {}
    gone = set(before or ())
    moving = set()
    for file in read_tree(root, ["sha256"], progress=progress):
        path = file.path
        gone.discard(path)
        if not file.steady or (before is not None and before.get(path) != file.state):
            moving.add(path)
        else:
            files[path] = FileEntry(file.state.size, file.digests[0].hex(), file.state.mode)
    return FilestoreManifest(files, tuple(sorted(moving | gone)))


class ManifestLook:
    """Holds file after file against a manifest.

    at: place of the SHA-256 among a file's digests. modes: whether permissions are compared, for a plain folder.
    extra: whether further files stand against it. Users go on adding attachments while an Odoo filestore is copied, and
    `filestore.bijection` tells of these what is right; a plain folder has nothing but its manifest.
    """

    def __init__(self, manifest: FilestoreManifest, at: int, *, modes: bool = False, extra: bool = False) -> None:
        self._manifest, self._at, self._modes = manifest, at, modes
        self._missing = set(manifest.files)
        self._moving = frozenset(manifest.moving)
        self._stands = {"missing", "size", "content", "mode", *(["extra"] if extra else [])}
        self._found: dict[str, list[str]] = {"size": [], "content": [], "mode": [], "extra": []}
        self._seen = 0

    def see(self, file: File) -> bool:
        """Take a file. Returns whether its content is what the manifest says; True for one that it does not list."""
        self._seen += 1
        path = file.path
        entry = self._manifest.files.get(path)
        if entry is None:
            if path not in self._moving:
                self._found["extra"].append(path)
            return True
        self._missing.discard(path)
        if file.state.size != entry.size:
            self._found["size"].append(path)
            return False
        if file.digests[self._at].hex() != entry.sha256:
            self._found["content"].append(path)
            return False
        if self._modes and entry.mode is not None and file.state.mode != entry.mode:
            self._found["mode"].append(path)
        return True

    def check(self, started: float, note: str = "") -> Check:
        """Return `filestore.manifest` (exact). note: goes after what is said of all files being right."""
        found = {"missing": sorted(self._missing), **self._found}
        faults = {kind: names for kind, names in found.items() if kind in self._stands and names}
        differing = len(found["size"]) + len(found["content"]) + len(found["mode"])
        observed: dict[str, Any] = {
            "files": self._seen,
            "missing": len(found["missing"]),
            "differing": differing,
            "extra": len(found["extra"]),
        }
        listed = len(self._manifest.files)
        moving = len(self._moving)
        if moving:
            observed["moving"] = moving
            note += f" {moving} more were written while the backup was taken, and are not compared."
        if faults:
            told = ", ".join(f"{len(names)} {_SAID[kind]}" for kind, names in faults.items())
            message = f"Of {listed} files of the source, {told}; the copy of the filestore is incomplete or damaged."
            observed["differingNames"] = sorted(found["size"] + found["content"] + found["mode"])[:SHOWN]
            observed |= {f"{kind}Names": sorted(names)[:SHOWN] for kind, names in faults.items()}
        else:
            message = f"All {listed} files are as they were at the source.{note}"
        verdict = Verdict.FAIL if faults else Verdict.PASS
        expected = {"files": listed, "bytes": self._manifest.bytes}
        return check("filestore.manifest", Assurance.EXACT, verdict, expected, observed, message, started)


_SAID = {
    "missing": "are missing",
    "size": "have another size",
    "content": "have other content",
    "mode": "have other permissions",
    "extra": "too many are there",
}


def compare(manifest: FilestoreManifest, root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.manifest` (exact) of an Odoo filestore: every file of the manifest is there with size and SHA-256."""
    started = time.monotonic()
    look = ManifestLook(manifest, 0)
    try:
        for file in read_tree(root, ["sha256"], spare=frozenset({CHECKLIST}), progress=progress):
            look.see(file)
    except FilestoreError as error:
        return check("filestore.manifest", Assurance.EXACT, Verdict.ERROR, None, None, f"{error}.", started)
    return look.check(started)


def check(
    check_id: str, level: Assurance, verdict: Verdict, expected: object, observed: object, message: str, started: float
) -> Check:
    """Return a Check that began at `started` (time.monotonic)."""
    return Check(check_id, level, verdict, expected, observed, message, time.monotonic() - started)
