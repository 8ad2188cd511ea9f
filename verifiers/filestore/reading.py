"""The files below a root, read once each: streaming, in threads, never through a link.

Invariant: a folder is open while its files are opened, each relative to it and without following links. Files come in
the order of the bytes of their names, folders among them. Memory is bounded by the names of one path of folders, a
window of open files and one buffer a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from verifiers.errors import VerifierError
from verifiers.filestore.entropy import SAMPLE_BYTES, looks_encrypted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

_SMALL: Final = 1 << 17  # read where it is found: to hand it to a thread would cost more than its hash
_BUFFER: Final = 1 << 18  # of a thread; small enough to stay in the processor's cache between two hashes
_WINDOW: Final = 64  # files opened ahead: the kernel fetches them all while the first is hashed
_TOLD: Final = 1 << 22  # bytes between two words on the progress
_THREADS: Final = min(4, os.cpu_count() or 1)  # hashlib releases the GIL; beyond a few, the disk is the limit
# NONBLOCK: opening a FIFO that took a file's place must not wait for a writer.
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SHA1_NAME: Final = re.compile(rb"(?:^|/)[0-9a-f]{40}\Z")


class FilestoreError(VerifierError):
    """A filestore cannot be read, or a manifest of one is malformed."""


class Problem(NamedTuple):
    """What is no file that can be read. damage: whether the disk could not give it back; else it is ours to mend."""

    path: str
    reason: str
    damage: bool = False


class State(NamedTuple):
    """What the file system says of a file. mode: permission bits."""

    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


class Known(NamedTuple):
    """Digests that need no reading, and when they were read, in ns since 1970."""

    digests: tuple[bytes, ...]
    read_at: int


class File(NamedTuple):
    """One regular file. raw: its path relative to the root. digests: one for each algorithm asked for.

    known: None for one that was read now. steady: whether its state was the same before and after. encrypted: whether
    its beginning looks encrypted; None where that was not looked at, or is too short to tell.
    """

    raw: bytes
    state: State
    digests: tuple[bytes, ...]
    known: Known | None = None
    steady: bool = True
    encrypted: bool | None = None

    @property
    def path(self) -> str:
        """The path with `/`; bytes that are no UTF-8 are written as hex escapes."""
        return printable(self.raw)


def printable(raw: bytes) -> str:
    """Return a path as text that can be written anywhere."""
    return raw.decode("utf-8", "backslashreplace")


def read_tree(
    root: Path,
    algorithms: Sequence[str],
    *,
    spare: frozenset[bytes] = frozenset(),
    wanted: Callable[[str], bool] | None = None,
    known: Callable[[bytes, State], Known | None] | None = None,
    entropy: bool = False,
    named: bool = False,
    private: bool = False,
    problem: Callable[[Problem], object] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[File]:
    """Yield every regular file below root, read to its end.

    algorithms: names of hashlib. spare: top folders left out. wanted: asked for each path.
    known: asked for each file, in order; what it gives is not read. entropy: look whether files seem encrypted.
    named: also the SHA-1, after the others, of a file whose name could be one.
    private: the tree is ours; make its files 0600 and its folders 0700.
    problem: takes what cannot be read, which is then left out; without it the first raises FilestoreError.
    progress: called with the bytes done so far, ending with all of them.
    """
    reader = _Reader(algorithms, entropy=entropy, named=named, private=private)
    take = problem or _refuse
    walk = _Walk(spare, wanted, take, known, private=private)
    waiting: deque[File | Problem | Future[File | Problem]] = deque()
    done = told = futures = 0
    ended = False
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="filestore") as pool:
        found = walk.batches(root)
        try:
            while not ended or waiting:
                batch = next(found, None) if not ended else None
                ended = ended or batch is None
                while batch:
                    raw, descriptor, state, before = batch.popleft()
                    if before is not None:
                        waiting.append(File(raw, state, before.digests, before))
                    elif state.size > _SMALL:
                        waiting.append(pool.submit(reader.large, raw, descriptor, state))
                        futures += 1
                    else:
                        waiting.append(reader.small(raw, descriptor, state))
                while waiting and (ended or futures > 2 * _THREADS or not isinstance(waiting[0], Future)):
                    item = waiting.popleft()
                    if isinstance(item, Future):
                        item = item.result()
                        futures -= 1
                    if isinstance(item, Problem):
                        take(item)
                        continue
                    done += item.state.size
                    if progress and done - told >= _TOLD:
                        told = done
                        progress(done)
                    yield item
        finally:
            found.close()
    if progress:
        progress(done)


_Opened = tuple[bytes, int, State, Known | None]


class _Walk:
    """Opens files, a window of them at a time, in order."""

    def __init__(
        self,
        spare: frozenset[bytes],
        wanted: Callable[[str], bool] | None,
        problem: Callable[[Problem], object],
        known: Callable[[bytes, State], Known | None] | None,
        *,
        private: bool,
    ) -> None:
        self._spare, self._wanted, self._problem, self._known, self._private = spare, wanted, problem, known, private
        self._batch: deque[_Opened] = deque()
        self._quiet = os.O_NOATIME

    def batches(self, root: Path) -> Generator[deque[_Opened]]:
        """Yield windows of open files; whoever takes one closes what it takes out of it."""
        try:
            try:
                descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise FilestoreError(f"cannot read the filestore: {root}: {error.strerror or error}") from error
            yield from self._folder(descriptor, b"")
            yield self._batch
        finally:
            while self._batch:
                _, descriptor, _, before = self._batch.popleft()
                if before is None:
                    os.close(descriptor)

    def _folder(self, folder: int, below: bytes) -> Generator[deque[_Opened]]:
        try:
            if self._private:
                os.fchmod(folder, 0o700)
            try:
                with os.scandir(folder) as listing:
                    entries = sorted([(os.fsencode(entry.name), entry) for entry in listing])
            except OSError as error:
                self._problem(_unreadable(below or b".", error))
                return
            for name, entry in entries:
                raw = below + name
                if entry.is_file(follow_symlinks=False):
                    if self._wanted is not None and not self._wanted(printable(raw)):
                        continue
                    self._file(folder, name, raw)
                    if len(self._batch) >= _WINDOW:
                        yield self._batch
                elif entry.is_dir(follow_symlinks=False):
                    if below or name not in self._spare:
                        yield from self._below(folder, name, raw)
                else:
                    self._problem(_special(raw, link=entry.is_symlink()))
        finally:
            os.close(folder)

    def _below(self, folder: int, name: bytes, raw: bytes) -> Generator[deque[_Opened]]:
        try:
            if self._private:
                os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            self._problem(_unreadable(raw, error))
            return
        yield from self._folder(child, raw + b"/")

    def _file(self, folder: int, name: bytes, raw: bytes) -> None:
        try:
            if self._known is not None:
                state = _state(os.stat(name, dir_fd=folder, follow_symlinks=False))
                before = self._known(raw, state)
                if before is not None:
                    self._batch.append((raw, -1, state, before))
                    return
            descriptor = self._open(folder, name)
        except OSError as error:
            self._problem(_special(raw, link=True) if error.errno == errno.ELOOP else _unreadable(raw, error))
            return
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            self._problem(_special(raw, link=False))
            return
        state = _state(status)
        if state.size:
            # Small files are fetched while others are hashed; of large ones the kernel reads further ahead.
            advice = os.POSIX_FADV_WILLNEED if state.size <= _SMALL else os.POSIX_FADV_SEQUENTIAL
            os.posix_fadvise(descriptor, 0, 0, advice)
        self._batch.append((raw, descriptor, state, None))

    def _open(self, folder: int, name: bytes) -> int:
        """Open a file without touching its access time, where it is ours."""
        try:
            return os.open(name, _OPEN | self._quiet, dir_fd=folder)
        except PermissionError:
            if self._private:  # a tool may have given it back with a mode that even its owner cannot read
                os.chmod(name, 0o600, dir_fd=folder, follow_symlinks=False)
            elif not self._quiet:
                raise
            self._quiet = 0
            return os.open(name, _OPEN, dir_fd=folder)


class _Reader:
    """Reads open files and closes them; used by several threads."""

    def __init__(self, algorithms: Sequence[str], *, entropy: bool, named: bool, private: bool) -> None:
        self._usual = [_maker(name) for name in algorithms]
        self._with_sha1 = [*self._usual, _maker("sha1")] if named else self._usual
        self._entropy, self._private = entropy, private
        self._mine = threading.local()

    def small(self, raw: bytes, descriptor: int, state: State) -> File | Problem:
        """Read what fits one buffer."""
        try:
            data = os.read(descriptor, state.size + 1)
            if len(data) != state.size:
                return self.large(raw, os.dup(descriptor), state, rewind=True)
            if self._private:
                os.fchmod(descriptor, 0o600)
        except OSError as error:
            return _unreadable(raw, error)
        finally:
            os.close(descriptor)
        digests = tuple([make(data).digest() for make in self._makers(raw)])
        return File(raw, state, digests, None, True, looks_encrypted(data) if self._entropy else None)

    def large(self, raw: bytes, descriptor: int, state: State, *, rewind: bool = False) -> File | Problem:
        """Read to the end, whatever its size has become meanwhile."""
        try:
            if rewind:
                os.lseek(descriptor, 0, os.SEEK_SET)
            hashes = [make(b"") for make in self._makers(raw)]
            view = self._buffer()
            size, encrypted = 0, None
            while count := os.readv(descriptor, [view]):
                part = view[:count]
                if size == 0 and self._entropy:
                    encrypted = looks_encrypted(part[:SAMPLE_BYTES])
                size += count
                for each in hashes:
                    each.update(part)
            after = _state(os.fstat(descriptor))
            if self._private:
                os.fchmod(descriptor, 0o600)
        except OSError as error:
            return _unreadable(raw, error)
        finally:
            os.close(descriptor)
        steady = after == state and size == state.size
        return File(raw, after._replace(size=size), tuple(each.digest() for each in hashes), None, steady, encrypted)

    def _makers(self, raw: bytes) -> list[Callable[[bytes], hashlib._Hash]]:
        return self._with_sha1 if SHA1_NAME.search(raw) else self._usual

    def _buffer(self) -> memoryview:
        view: memoryview | None = getattr(self._mine, "view", None)
        if view is None:
            view = self._mine.view = memoryview(bytearray(_BUFFER))
        return view


def _maker(name: str) -> Callable[[bytes], hashlib._Hash]:
    named = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}[name]
    return lambda data: named(data, usedforsecurity=False)


def _state(status: os.stat_result) -> State:
    return State(
        status.st_size,
        stat.S_IMODE(status.st_mode),
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def _special(raw: bytes, *, link: bool) -> Problem:
    kind = "symbolic link" if link else "special file"
    return Problem(printable(raw), f"is a {kind}; a filestore holds plain files and folders only")


def _unreadable(raw: bytes, error: OSError) -> Problem:
    return Problem(printable(raw), f"cannot be read: {error.strerror or error}", error.errno == errno.EIO)


def _refuse(problem: Problem) -> None:
    raise FilestoreError(f"{problem.path} {problem.reason}")
