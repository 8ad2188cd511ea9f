"""Keeps one opa for the process that started this one, and leaves nothing behind however that process ends.

Run as a program of its own: `python -I -S opa_keeper.py FOLDER OPA ARGUMENT...`. It starts opa in FOLDER and waits
until opa ends, or until its own standard input does, which the kernel sees to when the other process is gone; then it
kills opa, removes FOLDER and writes the end of opa's log to standard output. Should this process be killed itself, the
kernel kills opa. Only the standard library: it starts in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_BYTES: Final = 4096  # fits into a pipe that nobody reads yet
_SET_PDEATHSIG: Final = 1  # prctl(2)


def main(arguments: Sequence[str]) -> int:
    """Keep opa. Returns the exit code, which nobody reads."""
    folder, command = Path(arguments[0]), arguments[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o077)
    keeper = os.getpid()

    def bind() -> None:
        with contextlib.suppress(AttributeError, OSError):  # another system than Linux
            ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)

    try:
        opa = subprocess.Popen(
            command,
            cwd=folder,
            env={"HOME": str(folder), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=bind,  # noqa: PLW1509 -- this process has one thread
        )
        try:
            log = _keep(opa)
        finally:
            opa.kill()
            opa.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os.write(1, log)
    return 0


def _keep(opa: subprocess.Popen[bytes]) -> bytes:
    """Wait for the end of standard input, or of opa. Returns the end of what opa wrote."""
    complaints = opa.stdout.fileno() if opa.stdout else -1
    log = b""
    while True:
        ready, _, _ = select.select([0, complaints], [], [])
        if 0 in ready and not os.read(0, 4096):
            return log
        if complaints in ready:
            text = os.read(complaints, 4096)
            if not text:
                return log
            log = (log + text)[-LOG_BYTES:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
