"""The manifest of a filestore: path, size and SHA-256 of every file; and whether a restored one still agrees.

Invariant: every file of the manifest is read to its end before the check can pass.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verifiers.filestore.listing import FilestoreError, digests
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

# What Odoo keeps beside the attachments: one empty file for each that its garbage collector is to look at.
SPARED = frozenset({"checklist"})
SHOWN = 20  # names in a check; the counts tell how many there are
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes and hex SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FilestoreManifest:
    """What a filestore held: files by path relative to its root, with `/`."""

    files: Mapping[str, FileEntry]

    @property
    def bytes(self) -> int:
        """Sum of the sizes."""
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that goes into the joint manifest."""
        return {"files": {path: [entry.size, entry.sha256] for path, entry in self.files.items()}}

    @classmethod
    def from_json(cls, value: object) -> FilestoreManifest:
        """Read the JSON value back. Raises FilestoreError naming what is malformed."""
        if not isinstance(value, dict) or set(value) != {"files"} or not isinstance(value["files"], dict):
            raise FilestoreError("manifest: filestore must be an object with the one field `files`")
        files = {}
        for path, entry in value["files"].items():
            match entry:
                case [int() as size, str() as sha256] if type(size) is int and size >= 0 and _SHA256.fullmatch(sha256):
                    files[path] = FileEntry(size, sha256)
                case _:
                    raise FilestoreError(f"manifest: filestore file {path!r} must be [size, SHA-256]")
        return cls(files)


def capture(
    root: Path, *, names: Collection[str] | None = None, progress: Callable[[int], None] | None = None
) -> FilestoreManifest:
    """Hash every file below root, or only `names` where given (those missing are left out).

    progress: called with the bytes hashed. Raises FilestoreError on a link or special file.
    """
    chosen = None if names is None else frozenset(names)
    found = digests(
        root, ["sha256"], wanted=lambda path: chosen is None or path in chosen, spare=SPARED, progress=progress
    )
    return FilestoreManifest({path: FileEntry(size, sha256) for path, size, (sha256,) in found})


def compare(manifest: FilestoreManifest, root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.manifest` (exact): every file of the manifest is there with its size and SHA-256.

    Further files are counted and do not fail it: users go on adding attachments while a backup is copied, and what is
    right between database and files tells `filestore.bijection`.
    """
    started = time.monotonic()
    missing = set(manifest.files)
    differing: list[str] = []
    seen = extra = 0
    try:
        for path, size, (sha256,) in digests(root, ["sha256"], spare=SPARED, progress=progress):
            seen += 1
            expected = manifest.files.get(path)
            if expected is None:
                extra += 1
                continue
            missing.discard(path)
            if (size, sha256) != (expected.size, expected.sha256):
                differing.append(path)
    except FilestoreError as error:
        return check("filestore.manifest", Assurance.EXACT, Verdict.ERROR, None, None, f"{error}.", started)
    passed = not missing and not differing
    counted = {"files": seen, "missing": len(missing), "differing": len(differing), "extra": extra}
    names = {"missingNames": sorted(missing)[:SHOWN], "differingNames": differing[:SHOWN]}
    message = (
        f"All {len(manifest.files)} files are as they were at the source."
        if passed
        else f"Of {len(manifest.files)} files of the source, {len(missing)} are missing and {len(differing)} differ; "
        "the copy of the filestore is incomplete or damaged."
    )
    return check(
        "filestore.manifest",
        Assurance.EXACT,
        Verdict.PASS if passed else Verdict.FAIL,
        {"files": len(manifest.files), "bytes": manifest.bytes},
        counted if passed else {**counted, **names},
        message,
        started,
    )


def check(
    check_id: str, level: Assurance, verdict: Verdict, expected: object, observed: object, message: str, started: float
) -> Check:
    """Return a Check that began at `started` (time.monotonic)."""
    return Check(check_id, level, verdict, expected, observed, message, time.monotonic() - started)
