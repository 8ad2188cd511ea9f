"""Copy a backup out of its folder: streaming, hashed on the way, and never through a link.

Invariant: every file is opened relative to the open folder it was listed in and without following links, so that
nothing outside the backup is read even if names are swapped meanwhile. Copies are new files, 0600, in folders 0700.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from io import FileIO
from typing import TYPE_CHECKING

from verifiers.sources.base import SourceError
from verifiers.sums import sum_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from verifiers.sources.base import BackupItem

_BUFFER = 1 << 20
_LARGE = 16 << 20  # bytes of a file from which on a thread that hashes pays


class Copier:
    """Copies files and folders, counting bytes over all of them. progress: called with the bytes copied so far.

    A target of None reads and hashes without copying. move: files are hashed and then moved, for folders of our own on
    the same disk. passed_over: told the path of each symbolic link; those it is true of are not copied, all others
    are refused. unpacked: told the target of each file; what it returns is given the file's bytes in pieces, each valid
    until the next, instead of their being copied; None for a file to copy.
    """

    def __init__(
        self,
        progress: Callable[[int], None],
        *,
        move: bool = False,
        passed_over: Callable[[bytes], bool] = lambda _: False,
        unpacked: Callable[[Path], Callable[[Iterator[memoryview]], None] | None] = lambda _: None,
    ) -> None:
        self.bytes = 0
        self._progress = progress
        self._move = move
        self._views = [memoryview(bytearray(_BUFFER)) for _ in range(2)]  # for all files: most are far smaller
        self._passed_over = passed_over
        self._unpacked = unpacked

    def file(self, source: Path, target: Path | None) -> str:
        """Copy one file and return its hex SHA-256. Raises SourceError if it is no regular file or cannot be read."""
        with _errors(source.name), folder_fd(source.parent) as folder:
            return self._copy(folder, source.name, target)

    def tree(self, source: Path, target: Path | None) -> str:
        """Copy a folder of folders and regular files, and return its digest. Raises SourceError on anything else in it.

        The digest of a folder without folders is that of `LC_ALL=C sha256sum * | sha256sum` in it.
        """
        digest = hashlib.sha256()
        with _errors(source.name), folder_fd(source) as folder:
            self._tree(folder, target, source.name, digest.update, b"")
        return digest.hexdigest()

    def _tree(
        self, folder: int, target: Path | None, label: str, hashed: Callable[[bytes], None], below: bytes
    ) -> None:
        if target is not None:
            target.mkdir(mode=0o700)
        with os.scandir(folder) as listing:
            names = sorted((entry.name for entry in listing), key=os.fsencode)
        for name in names:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            place = target / name if target is not None else None
            path = below + os.fsencode(name)
            if stat.S_ISDIR(mode):
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                try:
                    self._tree(child, place, f"{label}/{name}", hashed, path + b"/")
                finally:
                    os.close(child)
            elif stat.S_ISREG(mode):
                hashed(sum_line(self._copy(folder, name, place), path))
            elif not stat.S_ISLNK(mode) or not self._passed_over(path):
                kind = "symbolic link" if stat.S_ISLNK(mode) else "special file"
                raise SourceError(f"{label}/{name} is a {kind}; a backup holds plain files and folders only")

    def _copy(self, folder: int, name: str, target: Path | None) -> str:
        digest = hashlib.sha256()
        # O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(source, "rb", buffering=0) as reader:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise SourceError(f"{name} is not a regular file")
            if target is not None and (unpack := self._unpacked(target)) is not None:
                unpack(self._pieces(reader, digest.update))
                return digest.hexdigest()
            copying = target is not None and not self._move
            with new_file(target) if target is not None and copying else nullcontext() as writer:
                for view in self._pieces(reader, digest.update):
                    while writer is not None and view:
                        view = view[writer.write(view) :]  # noqa: PLW2901 -- the rest of it
        if target is not None and not copying:
            if target.exists():
                raise SourceError(f"{target.name} is there twice")
            os.rename(name, target, src_dir_fd=folder)
            target.chmod(0o600)
            os.chown(target, os.geteuid(), os.getegid())  # a repository gives back the owner it had at the source
        return digest.hexdigest()

    def _pieces(self, reader: FileIO, hashed: Callable[[memoryview], None]) -> Iterator[memoryview]:
        large = os.fstat(reader.fileno()).st_size >= _LARGE
        for view in _hashed_beside(reader, self._views, hashed) if large else _hashed(reader, self._views[0], hashed):
            yield view
            self.bytes += len(view)
            self._progress(self.bytes)


def _hashed(reader: FileIO, buffer: memoryview, hashed: Callable[[memoryview], None]) -> Iterator[memoryview]:
    while count := reader.readinto(buffer):
        hashed(buffer[:count])
        yield buffer[:count]


def _hashed_beside(
    reader: FileIO, buffers: list[memoryview], hashed: Callable[[memoryview], None]
) -> Iterator[memoryview]:
    """As `_hashed`, with another thread that hashes a piece while it is copied or unpacked here."""
    os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)  # the system reads ahead twice as far
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:
        pending: list[Future[None] | None] = [None] * len(buffers)
        for turn in itertools.cycle(range(len(buffers))):
            if (before := pending[turn]) is not None:
                before.result()  # nothing is read over what is not hashed yet
            if not (count := reader.readinto(buffers[turn])):
                return
            view = buffers[turn][:count]
            pending[turn] = pool.submit(hashed, view)
            yield view


def new_file(path: Path) -> FileIO:
    """Open a file for writing that was not there before, 0600."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return FileIO(os.open(path, flags, 0o600), "wb")


@contextmanager
def folder_fd(path: Path) -> Iterator[int]:
    """Open a folder for use as `dir_fd`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def digest_of(item: BackupItem) -> tuple[str, int]:
    """Return (hex SHA-256, bytes) of a backup's dump, as `fetch` would take them. Raises SourceError."""
    copier = Copier(lambda _: None)
    if item.form.layout.folder:
        return copier.tree(item.dump or item.path, None), copier.bytes
    return copier.file(item.dump or item.path, None), copier.bytes


def tree_size(path: Path) -> int:
    """Return the bytes of all regular files below a folder, without following links."""
    total = 0
    for _, _, names, folder in os.fwalk(path, follow_symlinks=False):
        for name in names:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


@contextmanager
def _errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # ENOSPC and the like are about the work folder, yet the same drill ends with it; the text tells which.
        raise SourceError(f"cannot copy {name}: {error.strerror or error}") from error
