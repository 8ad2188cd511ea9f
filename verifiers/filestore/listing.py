"""The files below a root, and their hashes: streaming, in threads, never through a link.

Invariant: a folder is open while its files are read, and files are opened relative to it without following links.
Memory is bounded by the largest single folder's names and one buffer a thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_BUFFER = 1 << 18
_THREADS = min(4, os.cpu_count() or 1)  # hashlib releases the GIL; beyond a few, the disk is the limit


class FilestoreError(VerifierError):
    """A filestore cannot be read, or a manifest of one is malformed."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the walk. path: relative to the root, `` for the root itself. sizes: bytes by file name."""

    path: str
    descriptor: int
    sizes: dict[str, int]

    def name(self, file: str) -> str:
        """Return a file's path relative to the root, with `/`; bytes that are no UTF-8 are written as hex escapes."""
        full = f"{self.path}/{file}" if self.path else file
        return os.fsencode(full).decode("utf-8", "backslashreplace")


def walk(root: Path, *, spare: frozenset[str] = frozenset()) -> Iterator[Folder]:
    """Yield every folder below root with its regular files, in order of names. spare: top folders left out.

    Raises FilestoreError on a symbolic link, a device, a socket or a FIFO, and where a folder cannot be read.
    """
    try:
        with os.scandir(root):
            pass  # os.fwalk would ask onerror only for what lies below
        for path, folders, files, descriptor in os.fwalk(root, onerror=_fail, follow_symlinks=False):
            relative = os.path.relpath(path, root)
            relative = "" if relative == "." else relative
            folders.sort()
            for name in folders:  # fwalk lists a link to a folder as a folder, and then does not enter it
                _refuse_special(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode, f"{relative}/{name}")
            if not relative:
                folders[:] = [name for name in folders if name not in spare]
            sizes = {}
            for name in sorted(files):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                _refuse_special(status.st_mode, f"{relative}/{name}")
                sizes[name] = status.st_size
            yield Folder(relative, descriptor, sizes)
    except OSError as error:
        raise FilestoreError(f"cannot read the filestore: {error.filename}: {error.strerror or error}") from error


def digests(
    root: Path,
    algorithms: Sequence[str],
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    spare: frozenset[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield (path, size, hex digests) of every wanted file, in order of the walk. size is what was read.

    algorithms: names of hashlib. progress: called with the bytes hashed so far.
    """
    done = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="filestore") as pool:
        for folder in walk(root, spare=spare):
            names = [file for file in folder.sizes if wanted(folder.name(file))]

            def read(file: str, descriptor: int = folder.descriptor) -> tuple[int, tuple[str, ...]]:
                return _digest(descriptor, file, algorithms)

            for file, (size, found) in zip(names, pool.map(read, names), strict=True):
                done += size
                if progress:
                    progress(done)
                yield folder.name(file), size, found


def _digest(folder: int, file: str, algorithms: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    hashes = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb", buffering=0) as reader:
        _refuse_special(os.fstat(descriptor).st_mode, file)
        size = 0
        while data := reader.read(_BUFFER):
            size += len(data)
            for each in hashes:
                each.update(data)
    return size, tuple(each.hexdigest() for each in hashes)


def _refuse_special(mode: int, name: str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "symbolic link" if stat.S_ISLNK(mode) else "special file"
        raise FilestoreError(f"{name.lstrip('/')} is a {kind}; a filestore holds plain files and folders only")


def _fail(error: OSError) -> None:
    raise error
