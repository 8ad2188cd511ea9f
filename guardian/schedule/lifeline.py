"""A child's tie to the daemon: when the pipe on its standard input closes, it ends as by SIGTERM.

Invariant: one SIGTERM, whether the daemon asks for the end or dies: the kernel closes the pipe of a dead process, and a
second signal would disturb the clearing up that the first began. I/O: standard input, a signal to this process.
"""

from __future__ import annotations

import os
import signal
import threading


def hold(descriptor: int = 0) -> None:
    """Watch the pipe in a thread until it closes."""
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass  # as good as closed
    os.kill(os.getpid(), signal.SIGTERM)
