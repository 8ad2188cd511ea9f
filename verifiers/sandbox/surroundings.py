"""Why bubblewrap cannot isolate here, and what to choose then: asked of the kernel, never guessed.

Invariant: what is said to be refused was tried a moment ago with `unshare` and refused. Runs short programs and reads
/proc, and the traces that container engines leave; changes nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEADLINE_S = 10
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
# What bubblewrap needs, in the order in which they are asked for; each alone.
_USER = ("--user", "--map-root-user")
_NEEDS: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    ("user namespaces", _USER, ("true",)),
    ("a mount of /proc", (*_USER, "--pid", "--fork", "--mount-proc"), ("true",)),
    ("a host name of its own", (*_USER, "--uts"), ("hostname", "sandbox")),
)
# Run by root, bubblewrap is given no user namespace: root outside would be root inside.
_NEEDS_OF_ROOT: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    ("namespaces to root", ("--mount", "--pid", "--fork", "--mount-proc"), ("true",)),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around this process.

    container: the engine that runs it as far as it can be told, None outside of containers. refused: what bubblewrap
    needs and the kernel refused, in words; why: what explains it, as far as /proc tells. root: this is user 0.
    """

    container: str | None
    refused: tuple[str, ...]
    why: str
    root: bool = False

    def summary(self) -> str:
        """Return one sentence: where this is and what is refused."""
        where = f"this container ({self.container})" if self.container else "this machine"
        if not self.refused:
            return f"{where} allows user namespaces"
        reason = f" ({self.why})" if self.why else ""
        return f"{where} refuses {' and '.join(self.refused)}{reason}, so no restore can be isolated here"

    def remedy(self) -> str:
        """Return the ways out, the best first."""
        none = (
            "or, knowing that a restored backup then runs with all that Guardian can read here, set sandbox.provider: "
            "none and accept each asset by name in sandbox.acceptNone"
        )
        if self.root and self.container:
            return f"run as a user other than root, as the image does by itself; {none}"
        if self.container is None:
            return f"{_MACHINE}; {none}"
        return f"{_CONTAINER}; or run drills on a machine that allows it, and scans here; {none}"


_MACHINE = (
    "allow unprivileged user namespaces (sysctl user.max_user_namespaces above 0; where they exist, "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0)"
)
_CONTAINER = (
    "start the container with the seccomp profile deploy/image/seccomp.json and a /proc that is not masked (podman: "
    "--security-opt seccomp=FILE --security-opt unmask=ALL; docs/image.md)"
)


def look(*, root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Surroundings:
    """Look around. root: where /proc and the traces of engines are read, for tests."""
    needs = _NEEDS_OF_ROOT if os.geteuid() == 0 else _NEEDS
    refused = [what for what, options, program in needs if not _allowed(options, program)]
    if _NEEDS[0][0] in refused:
        refused = refused[:1]  # all the others need it
    where = container(root=root, environ=os.environ if environ is None else environ)
    return Surroundings(where, tuple(refused), why(root) if refused else "", root=needs is _NEEDS_OF_ROOT)


def container(*, root: Path, environ: Mapping[str, str]) -> str | None:
    """Name the engine whose traces are here: kubernetes, docker, podman, or what `container` says; None without any."""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    told = environ.get("container", "")  # systemd's convention, which podman and lxc keep
    return told if re.fullmatch(r"[a-z][a-z0-9-]{0,31}", told) else None


def _allowed(options: Sequence[str], program: Sequence[str]) -> bool:
    """Try it. What cannot be tried for want of a program is not called refused."""
    unshare = shutil.which("unshare", path=_PATH)
    if unshare is None or shutil.which(program[0], path=_PATH) is None:
        return True
    try:
        done = subprocess.run(
            [unshare, *options, "--", *program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE_S,
            env={"LC_ALL": "C", "PATH": _PATH},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def why(root: Path) -> str:
    """Say which limits of the kernel are set that explain a refusal."""
    reasons = []
    if _read(root / "proc/sys/user/max_user_namespaces") == "0":
        reasons.append("user.max_user_namespaces is 0")
    if _read(root / "proc/sys/kernel/unprivileged_userns_clone") == "0":
        reasons.append("kernel.unprivileged_userns_clone is 0")
    if _read(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        reasons.append("kernel.apparmor_restrict_unprivileged_userns is 1")
    if re.search(r"^Seccomp:\s*2$", _read(root / "proc/self/status"), re.MULTILINE):
        reasons.append("a seccomp filter is in force")
    if _masked(_read(root / "proc/self/mountinfo")):
        reasons.append("parts of /proc are masked")
    return ", ".join(reasons)


def _masked(mountinfo: str) -> bool:
    """Say whether something is mounted over parts of /proc, as engines do to hide them."""
    return any(len(fields) > 4 and fields[4].startswith("/proc/") for fields in map(str.split, mountinfo.splitlines()))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
