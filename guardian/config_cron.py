"""Five-field cron expressions: their fields, and whether they can ever fire. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_LONGEST = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression: the local minutes, hours and days at which it is due. Weekdays: 0 is Sunday.

    either_day: both day fields are restricted, so that a day that fits one of them is due, as in cron of old.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def has(self, day: date) -> bool:
        """Tell whether something is due on that day."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        fits = by_day or by_weekday if self.either_day else by_day and by_weekday
        return day.month in self.months and fits


def parse_cron(expression: str) -> Cron:
    """Return the fields. Raises ValueError saying which one is wrong and why, or that it can never fire.

    Fields: minute, hour, day of month, month (1-12, jan-dec), day of week (0-7, both ends Sunday, sun-sat); each a list
    of `*`, values and ranges, with an optional `/step` after `*` or a range.
    """
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{len(fields)} fields where 5 are needed: minute hour day-of-month month day-of-week")
    minutes, hours, days, months, weekdays = (
        frozenset(_field(text, *rule)) for text, rule in zip(fields, _FIELDS, strict=True)
    )
    any_day, any_weekday = fields[2].startswith("*"), fields[4].startswith("*")
    if any_weekday and not any(day <= _LONGEST[month] for month in months for day in days):
        raise ValueError("it never fires: no such day in those months")
    weekdays = frozenset(day % 7 for day in weekdays)
    return Cron(minutes, hours, days, months, weekdays, either_day=not any_day and not any_weekday)


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, high - low + 1, {}) if slash else 1
        start_text, dash, end_text = body.partition("-")
        if body == "*":
            start, end = low, high
        elif dash:
            start, end = (_number(side, name, low, high, names) for side in (start_text, end_text))
            if start > end:
                raise ValueError(f"{name}: the range {body} runs backwards; split it in two")
        else:
            start = end = _number(body, name, low, high, names)
            if slash:
                raise ValueError(f"{name}: a step needs a range or *, such as */{step_text}")
        found.update(range(start, end + 1, step))
    return found


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and low <= int(text) <= high):
        raise ValueError(f"{name}: {text[:20]!r} is not within {low}-{high}")
    return int(text)
