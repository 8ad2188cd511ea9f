"""The drills of a page as a chart: when, how long a recovery would take, and against which objective. Pure.

Invariant: every drill is one mark; a time that is not known is a mark below the scale, never a low one on it. The
seconds' scale is logarithmic, so that seconds of restoring and hours of an objective both show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from guardian.model import Verdict
from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH: Final = 1080
HEIGHT: Final = 330
LEFT, RIGHT, TOP, BOTTOM = 78, 1060, 26, 236  # the plot's frame, user units
UNKNOWN_Y: Final = 266  # where marks without a time stand
_STEPS_S: Final = (0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 365 * 86400)
_TICKS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
                    2 * 86400, 7 * 86400, 14 * 86400, 28 * 86400, 91 * 86400, 364 * 86400)
)  # fmt: skip
_MOST_TICKS: Final = 7
_LABEL_HEIGHT: Final = 18
_ORIGIN: Final = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday: ticks of weeks fall on Mondays


@dataclass(frozen=True, slots=True)
class Mark:
    """One drill. y: its estimated recovery time, or below the scale; restore_y: its restore alone, None if unknown."""

    x: float
    y: float
    restore_y: float | None
    verdict: Verdict
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the scale or an objective, at `at` user units. label_y: where an objective's label stands."""

    at: float
    label: str
    label_y: float = 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws. said: the chart in a sentence, for those who do not see it."""

    marks: Sequence[Mark]
    levels: Sequence[Line]
    times: Sequence[Line]
    objectives: Sequence[Line]
    unknown: int
    said: str


def chart(drills: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return the chart of these DRILLs, oldest or newest first; None if there is none to show."""
    if not drills:
        return None
    moments = [datetime.fromisoformat(drill["finishedOn"]) for drill in drills]
    first, last = min(moments), max(moments)
    margin = max((last - first) * 0.03, timedelta(seconds=10))
    first, last = first - margin, last + margin
    goals = sorted({drill["objectives"]["rtoSeconds"] for drill in drills} - {None, 0})
    measured = [
        drill[name] for drill in drills for name in ("estimatedRtoSeconds", "restoreSeconds") if drill[name] is not None
    ]
    low, high = _bounds([*measured, *goals])

    def x(moment: datetime) -> float:
        return round(LEFT + (moment - first) / (last - first) * (RIGHT - LEFT), 1)

    def y(seconds: float) -> float:
        share = (math.log(max(seconds, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return round(BOTTOM - share * (BOTTOM - TOP), 1)

    marks = [_mark(drill, x(moment), y) for drill, moment in zip(drills, moments, strict=True)]
    return Chart(
        marks=marks,
        levels=[Line(y(step), words.duration(step)) for step in _STEPS_S if low <= step <= high],
        times=_times(first, last, x),
        objectives=_objectives([(y(goal), goal) for goal in goals]),
        unknown=sum(mark.y == UNKNOWN_Y for mark in marks),
        said=_said(drills),
    )


def _mark(drill: Mapping[str, Any], x: float, y: Any) -> Mark:  # noqa: ANN401 -- a function of seconds
    estimate, restore = drill["estimatedRtoSeconds"], drill["restoreSeconds"]
    verdict = Verdict(drill["verdict"])
    told = "no recovery time" if estimate is None else f"recovery in {words.duration(estimate)}, estimated"
    restored = "not restored" if restore is None else f"restored in {words.duration(restore)}"
    return Mark(
        x,
        UNKNOWN_Y if estimate is None else y(estimate),
        None if restore is None else y(restore),
        verdict,
        f"{drill['asset'] or 'drill'}: {verdict.value}, {told}, {restored}",
    )


def _bounds(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the steps of the scale that hold all of `seconds` with some air; at least two decades."""
    positive = [value for value in seconds if value > 0] or [60.0]
    low = max((step for step in _STEPS_S if step <= min(positive)), default=_STEPS_S[0])
    high = max(positive) * 1.8
    return (low, max(high, low * 100))


def _objectives(goals: Sequence[tuple[float, float]]) -> list[Line]:
    """Return lines of (y, seconds), labels above them, or below where two would meet. goals: ascending seconds."""
    lines: list[Line] = []
    for y, seconds in reversed(goals):
        crowded = bool(lines) and y - 7 - lines[-1].label_y < _LABEL_HEIGHT
        lines.append(Line(y, f"objective {words.duration(seconds)}", round(y + 16 if crowded else y - 7, 1)))
    return lines


def _times(first: datetime, last: datetime, x: Any) -> list[Line]:  # noqa: ANN401 -- a function of moments
    step = next((one for one in _TICKS if (last - first) / one <= _MOST_TICKS), _TICKS[-1])
    tick = _ORIGIN + step * (math.floor((first - _ORIGIN) / step) + 1)
    lines = []
    while tick <= last:
        lines.append(Line(x(tick), _tick(tick, step)))
        tick += step
    return lines


def _tick(moment: datetime, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return f"{moment.day} {moment:%b}" + (f" {moment.year}" if step >= timedelta(days=91) else "")
    if step >= timedelta(hours=1):
        return f"{moment.day} {moment:%b}, {moment:%H:%M}"
    return f"{moment:%H:%M}" if step >= timedelta(minutes=1) else f"{moment:%H:%M:%S}"


def _said(drills: Sequence[Mapping[str, Any]]) -> str:
    counts = [(sum(drill["verdict"] == v.value for drill in drills), v.value) for v in Verdict]
    told = words.listed([f"{count} {name}" for count, name in counts if count])
    beyond = sum(drill["rto"] == "beyond" for drill in drills)
    return (
        f"{words.counted(len(drills), 'drill')}: {told}. "
        f"{beyond or 'None'} beyond the recovery time objective. The table below has the numbers."
    )
