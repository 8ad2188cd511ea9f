"""How the daemon is, told by its loop and read by whoever asks over HTTP. No I/O but the monotonic clock."""

from __future__ import annotations

import math
import threading
import time
from typing import Final

_TICK_S: Final = 150.0  # a write may wait a minute for SQLite's lock, and another for the log's


class Status:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticked = math.inf  # until the first round: a long log takes its time to be verified
        self._lacking: tuple[str, ...] = ("it has only just begun",)

    def tick(self) -> None:
        """Say that the loop goes round."""
        with self._lock:
            self._ticked = time.monotonic()

    def tell(self, lacking: tuple[str, ...]) -> bool:
        """Say what keeps the daemon from its work, nothing if all is well; return whether that changed."""
        with self._lock:
            changed, self._lacking = lacking != self._lacking, lacking
        return changed

    def alive(self) -> str:
        """Return why the daemon is not alive, empty if it is."""
        with self._lock:
            silent_s = time.monotonic() - self._ticked
        return "" if silent_s < _TICK_S else f"the scheduler's loop has not gone round for {silent_s:.0f} s"

    def lacking(self) -> tuple[str, ...]:
        """Return what keeps the daemon from its work, one reason each."""
        with self._lock:
            return self._lacking
