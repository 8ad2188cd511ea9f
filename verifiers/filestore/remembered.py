"""What was verified of a tree of files, kept between two drills: one record a file, in the order of the walk.

Invariant: the file is 0600, replaced as a whole, and ends with the SHA-256 of all before it: what is damaged, cut or of
another version counts as not there, and then everything is read again.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from verifiers.filestore.reading import File, Known, State

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = b"guardian files verified 1\n"
# length of the path, size, mode, mtime and ctime in ns, inode, device, SHA-256, when it was read in ns
_RECORD: Final = struct.Struct(">HQHqqQQ32sQ")
_TRAILER: Final = 32
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept in a file that was found whole."""

    path: Path

    @classmethod
    def look(cls, path: Path) -> Remembered | None:
        """Return what a file keeps, None if it is not there, or not whole."""
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.sha256()
                left = size - _TRAILER
                while left > 0 and (data := file.read(min(_CHUNK, left))):
                    digest.update(data)
                    left -= len(data)
                if left or file.read() != digest.digest():
                    return None
                file.seek(0)
                return cls(path) if file.read(len(_MAGIC)) == _MAGIC else None
        except OSError:
            return None

    def files(self) -> Iterator[File]:
        """Yield what is kept, in the order of the walk. Raises OSError."""
        with self.path.open("rb", buffering=_CHUNK) as file:
            end = os.fstat(file.fileno()).st_size - _TRAILER
            place = file.seek(len(_MAGIC))
            while place < end:
                length, *state, sha256, read_at = _RECORD.unpack(file.read(_RECORD.size))
                raw = file.read(length)
                place += _RECORD.size + length
                yield File(raw, State(*state), (sha256,), Known((sha256,), read_at))


def _clear(path: Path) -> None:
    """Remove what processes that are gone did not finish."""
    for left in path.parent.glob(f"{path.name}.*.making"):
        number = left.name.split(".")[-2]
        if not number.isdecimal() or int(number) == os.getpid() or not Path("/proc", number).exists():
            left.unlink(missing_ok=True)


class Remembering:
    """Writes such a file beside its place; `keep` puts it there, `drop` forgets it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        self._path, self._making = path, path.with_name(f"{path.name}.{os.getpid()}.making")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file: BinaryIO = os.fdopen(os.open(self._making, flags, 0o600), "wb", buffering=_CHUNK)
        self._digest = hashlib.sha256()
        self._write(_MAGIC)

    def add(self, raw: bytes, state: State, sha256: bytes, read_at: int) -> None:
        """Keep one file."""
        self._write(_RECORD.pack(len(raw), *state, sha256, read_at) + raw)

    def keep(self) -> None:
        """Put it in the place of the last one."""
        self._file.write(self._digest.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._making.replace(self._path)

    def drop(self) -> None:
        """Leave the last one where it is."""
        self._file.close()
        self._making.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
