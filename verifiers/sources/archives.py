"""What folders of archives have in common: one file, one backup, unpacked below a folder of ours and taken from there.

Invariant: the digest of a backup is that of its file as it lies there, taken in the pass that reads it; a link is never
followed; an archive's key stays in this process. What is inside is found by `contents.take`.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.compressed import DamagedError
from verifiers.sources.base import BackupItem, KeyMissingError, SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.names import AGE, shown
from verifiers.sources.pg_dump import is_alias, link_reason, oldest_first, refuse_double
from verifiers.sources.stamps import stamp
from verifiers.sources.unwrapping import decrypt, identities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from verifiers.sources.base import Place


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """Finds and copies the archives of a folder. suffixes: those that count, without `.age`, which each may have."""

    place: Place
    suffixes: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return Path(self.place.path)

    def suffix(self, name: str) -> str | None:
        """Return what of a name is not the backup's id, None for a file that is no archive."""
        if name.startswith("."):
            return None
        wrapped = AGE if name.endswith(AGE) else ""
        bare = name.removesuffix(AGE)
        found = next((suffix for suffix in self.suffixes if bare.endswith(suffix) and bare != suffix), None)
        return None if found is None else found + wrapped

    def paths(self) -> Iterator[Path]:
        """Yield what may be a backup. Raises SourceError for an unreadable folder."""
        try:
            yield from sorted(path for path in self.folder.iterdir() if path.name[0] != "." and not is_alias(path))
        except OSError as error:
            raise SourceError(f"cannot read the backup folder {self.folder}: {error.strerror or error}") from error

    def item(self, path: Path, look: Callable[[Path], tuple[bool | None, str]]) -> BackupItem | None:
        """Return the backup that a path is, None if it is none, or gone meanwhile.

        look: takes a plain archive, and returns whether it is complete with the reason if it is not.
        """
        suffix = self.suffix(path.name)
        try:
            status = path.lstat()
            if suffix is None or stat.S_ISDIR(status.st_mode):
                return None
            identity = shown(path.name.removesuffix(suffix))
            if not stat.S_ISREG(status.st_mode):
                return BackupItem(identity, path, stamp(identity), 0, complete=False, reason=link_reason(path))
            complete: bool | None = None
            reason = "" if status.st_size else "the file is empty (0 bytes)"
            if reason:
                complete = False
            elif not suffix.endswith(AGE):
                complete, reason = look(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return BackupItem(
                identity, path, stamp(identity), 0, complete=False, reason=f"cannot be read: {error.strerror}"
            )
        taken_at = stamp(identity) or datetime.fromtimestamp(status.st_mtime, UTC)
        return BackupItem(identity, path, taken_at, status.st_size, complete, reason)

    def sorted(self, items: Sequence[BackupItem]) -> list[BackupItem]:
        """Return them oldest first. Raises SourceError if two are one backup by their names."""
        refuse_double(items, self.folder)
        return sorted(items, key=oldest_first)

    def copy(self, item: BackupItem, into: Path, progress: Callable[[int], None]) -> tuple[Path, str]:
        """Copy the archive of a backup under a name of ours, decrypted, and return it with the digest it had.

        Raises SourceError, DamagedError, KeyMissingError.
        """
        suffix = self.suffix(item.path.name)
        if item.path.parent != self.folder or suffix is None:
            raise SourceError(f"{item.path} is not an archive in the backup folder {self.folder}")
        if item.path.is_symlink():
            raise SourceError(f"{item.path} {link_reason(item.path)}")
        copier = Copier(progress)
        path = into / f"archive{suffix.replace('.tgz', '.tar.gz')}"
        sha256 = copier.file(item.path, path)
        if copier.bytes == 0:
            raise DamagedError("the file is empty (0 bytes)")
        if suffix.endswith(AGE):
            path = decrypt(path, identities(_key(self.place)), lambda done: progress(copier.bytes + done))
        return path, sha256

    def digest(self, item: BackupItem) -> tuple[str, int]:
        """See BackupSource."""
        copier = Copier(lambda _: None)
        return copier.file(item.path, None), copier.bytes


def _key(place: Place) -> str:
    if place.identity is None:
        raise KeyMissingError(
            "the backup is encrypted with age and no key is configured for it; add `decrypt: {age: file:PATH}` to the"
            " backup in guardian.yaml"
        )
    return place.identity.read()
