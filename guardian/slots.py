"""When a job is due: cron expressions in a time zone become instants. Pure.

Across changes of the clock every due moment has exactly one instant: one that the clock leaps over is due when the leap
ends, together with the others leapt over; one that comes twice is due the first time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from guardian.config_cron import parse_cron

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def instants(cron: str, time_zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the instants with after < instant <= until, ascending, each once, in UTC.

    cron: five fields, in the local time of `time_zone` (IANA). after, until: aware.
    Raises ValueError for a cron expression that is none, ZoneInfoNotFoundError for a zone.
    """
    fields, zone = parse_cron(cron), ZoneInfo(time_zone)
    times = [(hour, minute) for hour in sorted(fields.hours) for minute in sorted(fields.minutes)]
    day = after.astimezone(zone).date() - _DAY
    # A day further: a clock that falls back over midnight shows the day before again, after tomorrow's first moments.
    last = until.astimezone(zone).date() + _DAY
    newest = after
    while day <= last:
        if fields.has(day):
            for hour, minute in times:
                instant = _instant(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))
                if instant > until:
                    return  # local order is that of the instants
                if newest < instant:  # equal ones were leapt over together
                    newest = instant
                    yield instant
        day += _DAY


def _instant(local: datetime) -> datetime:
    """Return when `local`, with fold 0, happens: the first time, or at the end of the leap over it."""
    instant = local.astimezone(UTC)
    if instant.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # Leapt over: with fold 1 it is read by the offset after the leap, which gives an instant before it.
    before, behind = local.replace(fold=1).astimezone(UTC), instant
    old = before.astimezone(local.tzinfo).utcoffset()
    while behind - before > _SECOND:
        middle = before + (behind - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(local.tzinfo).utcoffset() == old:
            before = middle
        else:
            behind = middle
    return behind
