"""What was in a filestore, and whether it still is after a restore.

Invariant: streaming, bounded memory; links and special files are never followed. An Odoo filestore is
`<2 hex>/<sha1>`, and `checklist/` (the garbage collector's to-do list) is spared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from verifiers.result import Check


class FilestoreError(VerifierError):
    """A filestore cannot be read, or a manifest of one is malformed."""


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
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: object) -> FilestoreManifest:
        """Read the JSON value back. Raises FilestoreError."""
        raise NotImplementedError


def names_in_snapshot(conninfo: str, snapshot_id: str | None) -> frozenset[str]:
    """Return the paths (`ab/abcd...`) that attachments name, in the exported snapshot, or now when None."""
    raise NotImplementedError


def capture(
    root: Path, *, names: Collection[str] | None = None, progress: Callable[[int], None] | None = None
) -> FilestoreManifest:
    """Hash every file below root, or only `names` where given (those missing are left out).

    progress: called with the bytes hashed. Raises FilestoreError on a link or special file.
    """
    raise NotImplementedError


def content(root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.content` (sound): every file's SHA-1 is its name, and it lies in the folder of its first two digits."""
    raise NotImplementedError


def bijection(conninfo: str, root: Path, *, deadline_s: float = 600) -> Check:
    """`filestore.bijection` (sound): rows of ir_attachment against files: counts, and up to 20 names of each kind."""
    raise NotImplementedError


def compare(manifest: FilestoreManifest, root: Path, progress: Callable[[int], None] | None = None) -> Check:
    """`filestore.manifest` (exact): every file of the manifest is there with its size and SHA-256."""
    raise NotImplementedError
