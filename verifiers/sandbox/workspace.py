"""One folder a run, with a lease: what a dead run leaves behind is known, killed and removed.

Invariant: a sweep touches nothing but folders that a run made here: named by a run id (a UUIDv7), with a lease inside
that tells the same id, and that nobody holds. A folder whose run is over is gone or reported.
The lease is a lock of the kernel's, so it ends with the process that holds it, however that ends.

<root>/<run id>/    0700    lease    JSON: runId, pid, and what the caller told (asset, startedOn)
                            the rest is the server's, see `server.py`
<root>/.<run id>/   while it is made and at the end of its removal: with a lease or empty, and nothing else in it
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from verifiers.sandbox import SandboxError
from verifiers.sandbox.process import kill_in
from verifiers.sandbox.providers import closed_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from verifiers.sandbox.providers import Provider

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LEASE = "lease"
_LEASE_BYTES = 1 << 16
_ALIVE_OR_NO_LEASE = {errno.EWOULDBLOCK, errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO}
_TOLD_OF = "toldOf"  # in the lease of a run that told itself that its folder could not be removed
_SHARED_ROOT = Path("/var/tmp")  # noqa: S108 -- only a folder of root's own below it is used
_ELSEWHERE = "guardian-"
_ATTEMPTS = 5  # a folder below _SHARED_ROOT goes with its last run, perhaps just when the next one begins
_FLOOR_BYTES = 128 << 20  # the disk is never filled further than this, whatever the quota


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a dead run left. info: as told when it began, plus pid; empty if it died before it could say."""

    run_id: str
    info: Mapping[str, Any]
    path: Path
    size_bytes: int


class Workspace:
    """A context manager: the folder exists inside the `with`, and is gone after, whatever is in it."""

    def __init__(self, folder: Path, lease: int) -> None:
        self.folder = folder
        self._lease = lease

    @classmethod
    def create(cls, root: Path, run_id: str, info: Mapping[str, Any], provider: Provider | None = None) -> Workspace:
        """Make `<root>/<run_id>/` and take its lease. info: JSON values kept with it, without secrets.

        provider: with `none` as root, a root that the unprivileged user cannot enter is replaced by one of root's own
        below /var/tmp, which `leftovers` and `sweep` of the same root look at too.
        Raises SandboxError if it cannot be made, or the run id is taken or no UUIDv7 in lower case.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise SandboxError(f"run id {run_id!r} cannot name a folder; use a UUIDv7 in lower case")
        told = json.dumps({"runId": run_id, "pid": os.getpid(), **info}).encode()
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
                place = root
                if provider is not None and provider.name == "none" and provider.user is not None:
                    place = root if closed_to(provider.user, root) is None else _make_elsewhere(root)
                return cls(*_leased(place, run_id, told))
            except FileNotFoundError:
                if not attempts_left:
                    raise SandboxError(f"cannot make {root / run_id}: its folder keeps being removed") from None
            except OSError as error:
                raise SandboxError(f"cannot make the sandbox folder {root / run_id}: {error.strerror}") from error
        raise AssertionError("unreachable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what still runs in the folder and remove it. Idempotent.

        Raises SandboxError if it cannot: then a sweep removes what is left, without telling of it once more.
        """
        try:
            _remove(self.folder)
        except SandboxError:
            self._note_told()
            raise
        finally:
            if self._lease >= 0:
                os.close(self._lease)
                self._lease = -1
                _tidy(self.folder.parent)

    def _note_told(self) -> None:
        with contextlib.suppress(OSError):
            told = {**_told(os.pread(self._lease, _LEASE_BYTES, 0)), _TOLD_OF: True}
            os.ftruncate(self._lease, 0)
            os.pwrite(self._lease, json.dumps(told).encode(), 0)


def refuse_overlap(root: Path, others: Mapping[str, Path]) -> None:
    """Raise SandboxError if `root` is one of these folders, lies in one or holds one. others: by what they are."""
    place = root.resolve()
    for what, other in others.items():
        there = other.resolve()
        if place == there or place in there.parents or there in place.parents:
            how = "is" if place == there else "holds" if place in there.parents else "lies in"
            raise SandboxError(
                f"sandbox.folder {root} {how} {what} ({other}); drills make and remove folders there: set "
                "sandbox.folder to a folder of its own"
            )


def leftovers(root: Path) -> list[Leftover]:
    """Return what dead runs left in `root`, sorted by run id. Changes nothing."""
    found: list[Leftover] = []
    for each in _roots(root):
        with _dead(each) as dead:
            found += dead
    return found


def sweep(root: Path, before_removal: Callable[[Leftover], None] | None = None) -> list[Leftover]:
    """Kill what dead runs left running in `root`, remove their folders, and return what there was.

    before_removal: called for each while its folder is still there, so that what it does happens at least once, not at
    most once; not for a run whose own `close` raised. Raises SandboxError if something cannot be removed.
    """
    swept: list[Leftover] = []
    for each in _roots(root):
        with _dead(each) as dead:
            for leftover in dead:
                kill_in(leftover.path / "box")
                if before_removal is not None and not leftover.info.get(_TOLD_OF):
                    before_removal(leftover)
                _remove(leftover.path)
                swept.append(leftover)
        _tidy(each)
    return swept


def size_of(folder: Path) -> int:
    """Return the bytes that a folder occupies on disk, by blocks; what vanishes meanwhile does not count."""
    total = 0
    folders = [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


class Watch(threading.Thread):
    """Watches a folder's size and a run's time, and calls `stop` once when either is used up.

    breach: then says which, for a person: `disk quota of 5.0 GiB used up`. stop: called in the watching thread, and
    so is seen, with the bytes of the folder at each look.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quota_bytes: int,
        deadline_s: float,
        stop: Callable[[], None],
        seen: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        super().__init__(name="sandbox-watch", daemon=True)
        self._seen = seen
        self.breach: str | None = None
        self._folder, self._quota_bytes, self._stop_run = folder, quota_bytes, stop
        self._deadline_s, self._end = deadline_s, time.monotonic() + deadline_s
        self._over = threading.Event()

    def close(self) -> None:
        """Stop watching. Does nothing if it was not started."""
        self._over.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Look until it is over."""
        pause_s = 0.0
        while not self._over.wait(pause_s):
            began = time.monotonic()
            self.breach = self._look()
            if self.breach is not None:
                self._stop_run()
                return
            # A folder of a million files takes seconds to look through; never spend more than a tenth of the time so.
            pause_s = max(0.25, 9 * (time.monotonic() - began))

    def _look(self) -> str | None:
        if time.monotonic() > self._end:
            return f"the deadline of {self._deadline_s:.0f} s passed"
        used = size_of(self._folder)
        self._seen(used)
        if used > self._quota_bytes:
            return f"the disk quota of {self._quota_bytes / 2**30:.2f} GiB was used up"
        if shutil.disk_usage(self._folder).free < _FLOOR_BYTES:
            return f"the disk of {self._folder} is full"
        return None


def _roots(root: Path) -> Iterator[Path]:
    for each in (root, _elsewhere(root)):
        if each.is_dir() and (each == root or _is_own(each)):
            yield each


def _elsewhere(root: Path) -> Path:
    return _SHARED_ROOT / f"{_ELSEWHERE}{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}"


def _make_elsewhere(root: Path) -> Path:
    folder = _elsewhere(root)
    folder.mkdir(mode=0o711, exist_ok=True)
    if not _is_own(folder):
        raise SandboxError(f"{folder} is not a folder of root's own; remove it, or set sandbox.folder elsewhere")
    folder.chmod(0o711)
    return folder


def _tidy(root: Path) -> None:
    """Remove a folder of `_make_elsewhere` when the last run in it is over."""
    if root.parent == _SHARED_ROOT and root.name.startswith(_ELSEWHERE):
        with contextlib.suppress(OSError):  # not empty, or gone already
            root.rmdir()


def _leased(root: Path, run_id: str, told: bytes) -> tuple[Path, int]:
    """Make the folder under its dotted name and rename it when its lease is written: a run's folder always has one."""
    with _exclusive(root):
        folder = root.resolve() / run_id
        making = folder.with_name(f".{run_id}")
        if os.path.lexists(folder):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
        making.mkdir(mode=0o700)
        lease = -1
        try:
            lease = os.open(making / _LEASE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.dup(lease), "wb") as file:
                file.write(told)
            os.fsync(lease)
            making.rename(folder)
        except BaseException:
            if lease >= 0:
                os.close(lease)
            shutil.rmtree(making, ignore_errors=True)
            raise
    return folder, lease


def _is_own(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


@contextlib.contextmanager
def _exclusive(root: Path) -> Iterator[int]:
    """Hold the root's own lock: without it, a folder just made but not yet leased would look dead."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _dead(root: Path) -> Iterator[list[Leftover]]:
    """Find the dead runs of one root, and hold their leases for as long: so two sweeps never meet in one folder."""
    found: list[Leftover] = []
    with contextlib.ExitStack() as leases:
        with _exclusive(root), os.scandir(root) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                run_id = entry.name.removeprefix(".")
                # A link is nobody's run; it is neither followed nor removed.
                if not _RUN_ID.fullmatch(run_id) or not entry.is_dir(follow_symlinks=False):
                    continue
                path = Path(entry.path)
                try:
                    info = _dead_run(path, run_id, leases)
                except OSError as error:
                    raise SandboxError(f"cannot look at the sandbox folder {path}: {error.strerror}") from error
                if info is not None:
                    found.append(Leftover(run_id, info, path, size_of(path)))
        yield found


def _dead_run(path: Path, run_id: str, leases: contextlib.ExitStack) -> Mapping[str, Any] | None:
    """Take the lease of a dead run and return what it tells; None for a run that is alive, or a folder of no run."""
    unfinished = path.name != run_id
    inside = {each.name for each in path.iterdir()} if unfinished else {_LEASE}
    if not inside <= {_LEASE}:
        return None
    # An empty one died before it made its lease, or just after removing it: the folder is locked instead.
    target, kind = (path / _LEASE, os.O_RDWR | os.O_NONBLOCK) if inside else (path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        descriptor = os.open(target, kind | os.O_NOFOLLOW | os.O_CLOEXEC)
        leases.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _ALIVE_OR_NO_LEASE:
            return None
        raise
    if not inside:
        return {}
    data = os.pread(descriptor, _LEASE_BYTES, 0) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"{}"
    told = _told(data)
    return told if told.get("runId") == run_id or (unfinished and not data) else None


def _told(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _remove(folder: Path) -> None:
    """Remove a run's folder, the lease last: until then, what is left of it is known as a leftover."""
    if not folder.exists():
        return
    if (folder / "box").exists():
        kill_in(folder / "box")
    try:
        # A server's folder may hold folders without write permission, which only root could empty as they are. Nothing
        # runs there any more that could swap a folder for a link meanwhile.
        for _, folders, _, descriptor in os.fwalk(folder, follow_symlinks=False):
            for name in folders:
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                    os.chmod(name, 0o700, dir_fd=descriptor)
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != _LEASE:
                Path(entry.path).unlink()
        with _exclusive(folder.parent):  # so that no sweep sees it without its lease
            if not folder.name.startswith("."):
                folder = folder.rename(folder.with_name(f".{folder.name}"))
            (folder / _LEASE).unlink(missing_ok=True)
            folder.rmdir()
    except OSError as error:
        raise SandboxError(f"cannot remove {error.filename}: {error.strerror}; remove {folder} by hand") from error
