"""The real daemon with a faster clock, in a process of its own: `python -m tests.daemon_child CONFIG BASE SPEED`.

BASE: seconds since the epoch at which the clock begins to run SPEED times as fast; daemons of one test share both.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from guardian import config, telemetry
from guardian.schedule import daemon


def fast(base: float, speed: float) -> datetime:
    """Return the time by the faster clock."""
    return datetime.fromtimestamp(base + (time.time() - base) * speed, UTC)


if __name__ == "__main__":
    path, base, speed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    telemetry.configure(verbose=True)
    options = daemon.Options(clock=lambda: fast(base, speed), sweep_s=0.25, stop_s=20)
    daemon.serve(config.load(Path(path)), say=lambda line: print(line, flush=True), options=options)  # noqa: T201 -- heard
