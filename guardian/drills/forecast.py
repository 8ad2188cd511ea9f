"""How long a restore should take, from how long earlier ones of other sizes took: a straight line, with its error.

Invariant: no forecast from fewer than three drills, and none without an error. No I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.drills.history import PastDrill
    from verifiers.result import Scope

FEWEST: Final = 3
_SLOWER: Final = 1.5
_LEAST_ERROR: Final = 0.05  # of the forecast: three drills of one size do not prove that the next takes as long
_T: Final = (12.7, 4.3, 3.2, 2.8, 2.6, 2.4, 2.4, 2.3, 2.3, 2.2)  # Student's t for 95 %, by degrees of freedom from 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds that a restore should take, give or take error_s (95 %); from so many drills."""

    seconds: float
    error_s: float
    drills: int

    def slower(self, measured_s: float) -> float | None:
        """Return how many times longer than forecast it took, None unless by half and beyond the error."""
        beyond = measured_s > self.seconds + self.error_s and measured_s > _SLOWER * self.seconds
        return round(measured_s / self.seconds, 2) if beyond and self.seconds > 0 else None


def forecast(history: Sequence[PastDrill], job: str, scope: Scope, size_bytes: float) -> Forecast | None:
    """Return the forecast for a backup of so many bytes; None where fewer than three green drills tell."""
    points = [
        (float(past.measurements["backupBytes"]), past.restore_s)
        for past in history
        if past.passed and past.scope is scope and past.job in {job, None}
        if past.restore_s is not None and "backupBytes" in past.measurements
    ]
    return line_through(points, size_bytes)


def line_through(points: Sequence[tuple[float, float]], size: float) -> Forecast | None:
    """Return what a straight line through (size, seconds) says of `size`, by least squares.

    A line that falls is not believed: more data never restores faster. Then, and where all sizes are one, the mean.
    """
    count = len(points)
    if count < FEWEST:
        return None
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread > 0 else 0.0
    flat = slope <= 0
    slope = 0.0 if flat else slope
    seconds = max(0.0, mean_y + slope * (size - mean_x))
    freedom = count - 1 if flat else count - 2
    variance = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points) / freedom
    far = 0.0 if flat else (size - mean_x) ** 2 / spread
    error = _T[min(freedom, len(_T)) - 1] * math.sqrt(variance * (1 + 1 / count + far))
    return Forecast(seconds, max(error, _LEAST_ERROR * seconds), count)
