"""An archive of write-ahead log: a folder of segments and histories, as `archive_command` or pg_receivewal fills it.

Invariant: a symbolic link is never followed. What is fetched is named as PostgreSQL asks for it, decompressed; of two
forms of one segment the plain one counts. A `.partial` segment is taken only where nothing follows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.compressed import SUFFIXES, DamagedError
from verifiers.postgres.physical import Segment
from verifiers.sources.base import SourceError
from verifiers.sources.copying import Copier
from verifiers.sources.unwrapping import decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_SUFFIX = "|".join(re.escape(suffix) for suffix in SUFFIXES)
_NAME: Final = re.compile(rf"([0-9A-F]{{24}}|[0-9A-F]{{8}}\.history)(\.partial)?({_SUFFIX})?")


def first_missing(names: Sequence[str], first: Segment, size: int) -> str | None:
    """Return the name of the first segment that is missing between `first` and the newest, None if none is.

    names: of segments. Timelines follow each other: a number counts as there if any timeline from that of `first` on
    has it.
    """
    there = {Segment.parse(name, size) for name in names}
    numbers = {segment.number for segment in there if segment.timeline >= first.timeline}
    if not numbers or max(numbers) < first.number:
        return None
    missing = next((number for number in range(first.number, max(numbers)) if number not in numbers), None)
    if missing is None:
        return None
    timeline = max(s.timeline for s in there if s.number < missing) if missing > first.number else first.timeline
    return Segment(timeline, missing).name(size)


class Length:
    """Holds what a segment unpacks to against how long one is, before it is written: a few bytes can unpack to a disk.

    progress: told the bytes of this one.
    """

    def __init__(self, name: str, most: int, progress: Callable[[int], None] = lambda _: None) -> None:
        self._name, self._most, self._progress = name, most, progress
        self.done = 0

    def written(self, done: int) -> None:
        """Take notice of the bytes so far. Raises DamagedError where they are too many."""
        if done > self._most:
            raise DamagedError(f"the segment {self._name} unpacks to more than the {self._most} bytes of one")
        self.done = done
        self._progress(done)


@dataclass(frozen=True, slots=True)
class WalArchive:
    """What an archive holds. files: name as PostgreSQL asks for it -> path, which may be compressed."""

    files: Mapping[str, Path]

    @classmethod
    def look(cls, folder: Path) -> WalArchive:
        """List the archive. Raises SourceError if it cannot be read."""
        found: dict[str, Path] = {}
        partial: dict[str, Path] = {}
        try:
            for path in sorted(folder.iterdir()):
                matched = _NAME.fullmatch(path.name)
                if matched is None:
                    continue
                if path.is_symlink() or not path.is_file():
                    raise SourceError(f"{path} is not a regular file; a WAL archive holds plain files only")
                (partial if matched[2] else found).setdefault(matched[1], path)
        except OSError as error:
            raise SourceError(f"cannot read the WAL archive {folder}: {error.strerror or error}") from error
        for name, path in partial.items():
            if name not in found and not any(other[:8] == name[:8] and other > name for other in found):
                found[name] = path
        return cls(found)

    @property
    def segments(self) -> list[str]:
        """Names of the segments, sorted."""
        return sorted(name for name in self.files if len(name) == 24)

    def is_whole(self, name: str) -> bool:
        """Whether a segment was archived when it was full, and not while it was being filled."""
        return ".partial" not in self.files[name].name

    def gap(self, first: Segment, size: int) -> str | None:
        """See LogArchive."""
        return first_missing(self.segments, first, size)

    def fetch(self, into: Path, first: Segment, size: int, progress: Callable[[int], None]) -> int:
        """Copy histories, and segments from `first` on, into the folder `into`, which must exist; return their bytes.

        Raises SourceError, DamagedError for a compressed file that is not whole.
        """
        unpacked = 0

        def told(_done: int) -> None:
            progress(copier.bytes + unpacked)

        copier = Copier(told)
        for name, path in self.files.items():
            if len(name) == 24 and Segment.parse(name, size).number < first.number:
                continue
            suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
            target = into / f"{name}{suffix}"
            copier.file(path, target)
            if suffix:
                length = Length(name, size, told)
                decompress(target, length.written)
                unpacked += length.done
        return copier.bytes
