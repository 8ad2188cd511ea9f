"""Starting, waiting for and killing sandboxed programs, so that none outlives its purpose.

Invariant: a started program dies with Guardian, whatever kills Guardian, and with `Running.kill`; and nothing else of
the host is ever signalled: a process counts as a sandbox's only by its working folder or its parent.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING

from verifiers.sandbox import SANDBOX_ID, LackingError, LimitError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_POLL_S = 0.02
_KILL_PATIENCE_S = 20
_SANDBOXED = {"postgres", "initdb", "pg_restore", "pg_dump", "pg_amcheck", "psql", "bwrap"}
# What a sandboxed program finds in its environment; nothing of Guardian's own, which may hold secrets.
CLEAN_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC"}  # noqa: S108


class _Launcher(threading.Thread):
    """Forks for everybody. The kernel ties "die with your parent" to the thread that forked, so that has to be one
    that lives as long as the process: a drill may well run in a thread that ends before its server.
    """

    def __init__(self) -> None:
        super().__init__(name="sandbox-launcher", daemon=True)
        self.owner = os.getpid()
        self.jobs: SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = (
            SimpleQueue()
        )

    def run(self) -> None:
        while True:
            job, answer = self.jobs.get()
            try:
                answer.set_result(job())
            except BaseException as error:  # noqa: BLE001 -- carried to the thread that asked
                answer.set_exception(error)


_launcher: _Launcher | None = None
_launcher_lock = threading.Lock()


def _launch(job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    global _launcher  # noqa: PLW0603 -- one a process, made anew after a fork
    with _launcher_lock:
        if _launcher is None or _launcher.owner != os.getpid():
            _launcher = _Launcher()
            _launcher.start()
        launcher = _launcher
    answer: Future[subprocess.Popen[bytes]] = Future()
    launcher.jobs.put((job, answer))
    return answer.result()


class Running:
    """One started program. folder: its box on the host, by which stragglers are known."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def pid(self) -> int:
        """The id of the outermost process on the host."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status; negative for a signal.

        Raises LimitError, having killed it, when timeout_s are over.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LimitError(f"the program had not finished after {timeout_s:.0f} s and was killed") from error

    def kill(self) -> None:
        """Kill it and everything it started, and wait until it is gone. Does nothing if it is."""
        if self._process.poll() is None:
            # What isolates the program dies first and takes the program along a moment later; wait for that too. A
            # handle is used only if its number was still a descendant's after it was opened.
            with contextlib.ExitStack() as handles:
                opened = {pid: handle for pid in descendants(self.pid) if (handle := _handle(pid, handles)) is not None}
                below = set(descendants(self.pid))
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                for handle in (handle for pid, handle in opened.items() if pid in below):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                    ended = select.poll()
                    ended.register(handle, select.POLLIN)
                    ended.poll(_KILL_PATIENCE_S * 1000)
        self._process.wait(_KILL_PATIENCE_S)

    def signal_program(self, number: int, name: str) -> bool:
        """Send a signal to the program called `name` behind whatever isolates it. False if there is none."""
        for pid in [self.pid, *descendants(self.pid)]:
            if _comm(pid) == name:
                # Depth first from the top: the first is the postmaster, the rest are its children.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    return True
        return False


def start(
    command: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Running:
    """Start `command` with a clean environment plus `env`, working in `folder`; what is not given is /dev/null.

    Raises LackingError if it cannot be started.
    """

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(command),
            cwd=folder,
            env={**CLEAN_ENVIRONMENT, **(env or {})},
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=stderr or subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )

    try:
        return Running(_launch(fork), folder)
    except OSError as error:
        raise LackingError(f"cannot start {command[0]}: {error}") from error


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below `pid`, depth first, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in _processes():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold anything; the fields after its last parenthesis are fixed.
            fields = (
                Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
            children.setdefault(int(fields[1]), []).append(entry)

    def below(parent: int) -> Iterator[int]:
        for child in children.get(parent, ()):
            yield child
            yield from below(child)

    return list(below(pid))


def processes_in(folder: Path) -> list[int]:
    """Return the ids of sandboxed programs whose working folder is `folder` or one at most two levels below.

    The folder is known by device and inode, not by name: a process in another mount namespace sees another name. A
    person's shell that happens to stand in there is not meant, so the user or the program has to be a sandbox's too.
    """
    identities = _identities(folder)
    return [pid for pid in _processes() if _works_in(pid, identities)]


def kill_in(folder: Path, patience_s: float = _KILL_PATIENCE_S) -> int:
    """Kill every sandboxed program that works in `folder`, wait until all are gone, and return how many there were.

    Raises SandboxError if some are left after patience_s.
    """
    identities = _identities(folder)
    killed: set[int] = set()
    end = time.monotonic() + patience_s
    while pids := [pid for pid in _processes() if _works_in(pid, identities)]:
        if time.monotonic() > end:
            raise SandboxError(f"processes {pids} working in {folder} could not be ended; end them by hand")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                handle = os.pidfd_open(pid)
                try:
                    # Looked at once more behind the handle: the number may have passed to another process meanwhile.
                    if _works_in(pid, identities):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        killed.add(pid)
                finally:
                    os.close(handle)
        time.sleep(_POLL_S)
    return len(killed)


def _identities(folder: Path) -> set[tuple[int, int]]:
    identities = set()
    for place, folders, _ in os.walk(folder, followlinks=False):
        with contextlib.suppress(OSError):
            status = Path(place).lstat()
            identities.add((status.st_dev, status.st_ino))
        if len(Path(place).relative_to(folder).parts) >= 2:
            folders.clear()  # a server works in box/data; deeper down nobody does
    return identities


def _works_in(pid: int, identities: set[tuple[int, int]]) -> bool:
    try:
        status = Path(f"/proc/{pid}/cwd").stat()
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return False
    if (status.st_dev, status.st_ino) not in identities or pid == os.getpid():
        return False
    return owner == SANDBOX_ID or _comm(pid) in _SANDBOXED


def _processes() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _handle(pid: int, stack: contextlib.ExitStack) -> int | None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, handle)
    return handle


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
