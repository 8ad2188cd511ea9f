"""Decisions on disk until they are signed: the file protocol between webhook workers, which write, and the signer.

    <spool>/<worker>/lease           held with flock while the worker lives; its name is a UUIDv7, used once
    <spool>/<worker>/<n>.open        being written: one JSON object a line
    <spool>/<worker>/<n>.jsonl       finished: the signer reads it, signs, removes it
    <spool>/<worker>/<n>.damaged     held a line that is no JSON object; its other lines are signed, the file is kept
    <spool>/<worker>/pending         how many answered decisions exist in the worker's memory only; outlives its death

Invariants: `append` has its lines on disk when it returns, or raises and has none. A line is a decision, or
`{"gap": {"id", "from", "until", "count", "why"}}` for decisions that were answered and not kept. Nothing is removed
before `commit`: a signer that dies in between reads the same lines again, and tells them by their ids. What a dead
worker left (`.open`, `pending`) is read once the kernel has let go of its lease. A last line without an end was never
acknowledged.
I/O: the spool folder only, 0700 with files 0600. No threads here: one writer has one owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
from uuid6 import uuid7

from guardian.errors import GuardianError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FILE_BYTES = 4 * 1024 * 1024
_FILE_AGE_S = 1.0
_READ_BYTES = 256 * 1024 * 1024  # far above what one file can hold: a larger one was not written by `Spool`
_PENDING = struct.Struct("=qqq")  # count, time of the oldest, time of the newest: nanoseconds since 1970
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class SpoolError(GuardianError):
    """The spool cannot be written or read; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Decisions that were answered and not kept. since, until: UTC, inclusive. why: queue, disk, backlog or worker."""

    id: str
    since: datetime
    until: datetime
    count: int
    why: str

    def line(self) -> bytes:
        """Return it as a line of the spool."""
        fields = {"id": self.id, "from": _text(self.since), "until": _text(self.until)}
        return orjson.dumps({"gap": {**fields, "count": self.count, "why": self.why}})


@dataclass(frozen=True, slots=True)
class Batch:
    """What one file holds.

    decisions: lines as `Decision.spooled` made them, in order. damaged: lines that were no JSON objects, but for a torn
    last one.
    """

    path: Path
    decisions: Sequence[bytes]
    gaps: Sequence[Gap]
    damaged: int = 0


class Spool:
    """Writes the files of one worker. Used by one thread at a time."""

    def __init__(self, root: Path, *, file_bytes: int = _FILE_BYTES, file_age_s: float = _FILE_AGE_S) -> None:
        """Make a folder of its own below `root`. file_bytes, file_age_s: when a file is finished and a new one begun.

        Raises SpoolError.
        """
        self.id = str(uuid7())
        self.folder = root / self.id
        self._file_bytes, self._file_age_s = file_bytes, file_age_s
        self._file: int | None = None
        self._number, self._size, self._begun = 0, 0, 0.0
        hidden = root / f".{self.id}"  # seen by the signer only once the lease is held
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            hidden.mkdir(mode=0o700)
            self._lease = os.open(hidden / "lease", _NEW, 0o600)
            fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._pending = _map_pending(hidden / "pending")
            hidden.rename(self.folder)
            _sync_folder(self.folder)
            _sync_folder(root)
        except OSError as error:
            with contextlib.suppress(AttributeError):
                os.close(self._lease)
            shutil.rmtree(hidden, ignore_errors=True)
            raise SpoolError(f"cannot make a spool folder below {root}: {error.strerror}") from error

    def append(self, lines: Sequence[bytes], *, now: float) -> None:
        """Put `lines` (without their newlines) on disk. now: a monotonic clock, in seconds.

        Raises SpoolError if they cannot be written; then none of them stands, and the next call tries afresh.
        """
        try:
            self.finish(now=now)
            if self._file is None:
                self._begin(now)
            self._write(b"".join(part for line in lines for part in (line, b"\n")))
        except OSError as error:
            raise SpoolError(f"cannot write the spool {self.folder}: {error.strerror}") from error

    def finish(self, *, now: float, even_if_young: bool = False) -> None:
        """Hand the current file to the signer if it is large or old enough, or `even_if_young`. Raises OSError."""
        if self._file is None:
            return
        if even_if_young or self._size >= self._file_bytes or now - self._begun >= self._file_age_s:
            self._hand_over()

    def pending(self, count: int, oldest_ns: int, newest_ns: int) -> None:
        """Note how many answered decisions stand nowhere but in memory, and when they were answered."""
        _PENDING.pack_into(self._pending, 0, count, oldest_ns, newest_ns)

    def close(self) -> None:
        """Hand over what there is and let go.

        Raises OSError if the last file cannot be handed over; then the signer reads it as that of a dead worker.
        """
        try:
            self.finish(now=0.0, even_if_young=True)
            if _PENDING.unpack_from(self._pending)[0] == 0:
                (self.folder / "pending").unlink()
        finally:
            self._pending.close()
            os.close(self._lease)

    def _begin(self, now: float) -> None:
        self._number += 1
        self._file = os.open(self.folder / f"{self._number:010d}.open", _NEW, 0o600)
        self._size, self._begun = 0, now
        _sync_folder(self.folder)  # without it a power cut may forget the file, whatever was synced into it

    def _write(self, content: bytes) -> None:
        assert self._file is not None  # noqa: S101 -- append has begun one
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(self._file, left) :]
            os.fdatasync(self._file)
        except OSError:
            # After a failed sync nobody knows what of the file is on disk: cut it back and never write to it again.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            with contextlib.suppress(OSError):
                self._hand_over()
            raise
        self._size += len(content)

    def _hand_over(self) -> None:
        assert self._file is not None  # noqa: S101 -- callers have looked
        handle, self._file = self._file, None
        os.close(handle)
        path = self.folder / f"{self._number:010d}.open"
        if self._size == 0:
            path.unlink()
        else:
            path.rename(path.with_suffix(".jsonl"))
            _sync_folder(self.folder)


def read_batches(root: Path) -> Iterator[Batch]:
    """Yield what can be signed, oldest first for each worker: finished files, and all that dead workers left.

    A missing folder holds nothing. Raises SpoolError if the spool cannot be read.
    """
    try:
        for folder in sorted(_folders(root)):
            dead = _writer_is_dead(folder)
            yield from _batches_of(folder, dead=dead)
            if dead:
                _remove_if_empty(folder)
    except OSError as error:
        raise SpoolError(f"cannot read the spool {root}: {error}") from error


def commit(batch: Batch) -> None:
    """Forget a batch, for it is signed. Doing so twice is harmless. Raises SpoolError."""
    try:
        with contextlib.suppress(FileNotFoundError):
            if batch.damaged:
                batch.path.rename(batch.path.with_suffix(".damaged"))
            else:
                batch.path.unlink()
            _sync_folder(batch.path.parent)
    except OSError as error:
        raise SpoolError(f"cannot remove {batch.path} from the spool: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be signed. oldest: when the oldest file was last written, seconds since 1970, None without any."""

    files: int
    size_bytes: int
    oldest: float | None
    damaged: int


def backlog(root: Path) -> Backlog:
    """Measure what waits in the spool; of files that vanish meanwhile nothing is said."""
    found: list[os.stat_result] = []
    damaged = 0
    for folder in _folders(root):
        for path in folder.glob("*.*"):
            damaged += path.suffix == ".damaged"
            if path.suffix in (".open", ".jsonl"):
                with contextlib.suppress(OSError):
                    found.append(path.stat())
    filled = [stat for stat in found if stat.st_size]
    oldest = min((stat.st_mtime for stat in filled), default=None)
    return Backlog(len(filled), sum(stat.st_size for stat in filled), oldest, damaged)


def _folders(root: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return [path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir()]
    return []


def _writer_is_dead(folder: Path) -> bool:
    try:
        handle = os.open(folder / "lease", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _batches_of(folder: Path, *, dead: bool) -> Iterator[Batch]:
    """`dead` was found out before the files are listed: a worker that ends in between is read the next time."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".jsonl" or (dead and path.suffix == ".open"):
            batch = _read(path)
            if batch.decisions or batch.gaps or batch.damaged:
                yield batch
            else:
                commit(batch)
    if dead and (folder / "pending").exists():
        yield Batch(folder / "pending", (), _lost(folder))


def _read(path: Path) -> Batch:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(handle, "rb") as file:  # noqa: PTH123 -- of a descriptor
        content = file.read(_READ_BYTES + 1)
    if len(content) > _READ_BYTES:
        raise SpoolError(f"{path} is larger than {_READ_BYTES} bytes: it was not written by Guardian; move it away")
    *lines, _torn = content.split(b"\n")
    decisions, gaps, damaged = [], [], 0
    for line in lines:
        try:
            fields = orjson.loads(line)
            if "gap" in fields:
                gaps.append(_gap(fields["gap"]))
            elif isinstance(fields, dict):
                decisions.append(line)
            else:
                damaged += 1
        except (ValueError, TypeError, KeyError):
            damaged += 1
    return Batch(path, tuple(decisions), tuple(gaps), damaged)


def _gap(fields: dict[str, object]) -> Gap:
    since, until = (datetime.fromisoformat(str(fields[name])) for name in ("from", "until"))
    count = fields["count"]
    if not isinstance(count, int):
        raise TypeError("count must be a number")
    return Gap(str(fields["id"]), since, until, count, str(fields["why"]))


def _lost(folder: Path) -> tuple[Gap, ...]:
    """Return the gap that a worker's death made. Its id is the worker's: a second reading makes the same one."""
    content = (folder / "pending").read_bytes()
    if len(content) < _PENDING.size:
        return ()
    count, oldest_ns, newest_ns = _PENDING.unpack_from(content)
    if count <= 0:
        return ()
    since, until = (datetime.fromtimestamp(at / 1e9, UTC) for at in (oldest_ns, newest_ns))
    return (Gap(folder.name, since, until, count, "worker"),)


def _map_pending(path: Path) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # Written, not only extended: a page without a block on a full disk would end the worker with SIGBUS.
        os.pwrite(handle, bytes(_PENDING.size), 0)
        return mmap.mmap(handle, _PENDING.size)
    finally:
        os.close(handle)


def _remove_if_empty(folder: Path) -> None:
    if {path.name for path in folder.iterdir()} <= {"lease"}:
        (folder / "lease").unlink(missing_ok=True)
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
