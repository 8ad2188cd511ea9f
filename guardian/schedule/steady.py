"""Whether the clock that slots go by can be believed: it is held against one that nobody can set.

Invariant: a clock that jumped is not acted on until it has stayed where it is for SETTLED_S; so one that jumps ahead
and comes back makes no slot due, and calls none missed. Pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

JUMP_S: Final = 120.0  # more than clocks are slewed by, and than a busy machine is late between two looks
SETTLED_S: Final = 60.0


class Steady:
    """Looks at the clock once a round."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._doubted_since: float | None = None

    def holds(self, now: datetime, monotonic_s: float) -> bool:
        """Tell whether `now` may be acted on. monotonic_s: seconds of a clock that is never set."""
        if self._last is not None:
            wall, mono = self._last
            jump = now - wall - timedelta(seconds=monotonic_s - mono)
            self._last = (now, monotonic_s)
            if abs(jump.total_seconds()) > JUMP_S:
                self._doubted_since = monotonic_s
                return False
        self._last = (now, monotonic_s)
        if self._doubted_since is not None and monotonic_s - self._doubted_since < SETTLED_S:
            return False
        self._doubted_since = None
        return True
