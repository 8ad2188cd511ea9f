"""A real `guardian api` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ANSWERS = "guardian api answers "
_DEADLINE_S = 60.0


@contextlib.contextmanager
def serving(config: Path) -> Iterator[str]:
    """Yield the URL of `guardian api` on this configuration."""
    command = [sys.executable, "-m", "guardian", "api", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        kill = threading.Timer(_DEADLINE_S, process.kill)
        kill.start()
        try:
            said = []
            for line in process.stderr or ():
                said.append(line)
                if _ANSWERS in line:
                    break
            else:
                pytest.fail(f"guardian api did not begin: {''.join(said)}")
            kill.cancel()
            drain = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
            drain.start()
            yield said[-1].partition(_ANSWERS)[2].split()[0]
        finally:
            kill.cancel()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
