"""Coverage as a calendar: which months and days a page shows, and one cell a slot. Pure; `now` comes in.

Invariant: every slot of the coverage document is one cell, in its own state; a day without a cell had no slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What each state says, the worst first: the sign in its cell and the sentence in the legend.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "absent": ("!", "no record: nobody closed it, and its grace is over"),
    "missed": ("\N{WHITE CIRCLE}", "nobody ran it in time, and the log says so"),
    "failed": ("\N{MULTIPLICATION X}", "ran, and something failed"),
    "error": ("?", "ran, and could not be checked"),
    "skipped": ("\N{EN DASH}", "ran, and nothing applied"),
    "open": ("\N{HORIZONTAL ELLIPSIS}", "due, and still within its grace"),
    "passed": ("\N{CHECK MARK}", "ran, and passed"),
}
_LONGEST: Final = timedelta(days=92)
_YEARS: Final = (2000, 2999)
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """What the page shows: since <= slot < until. month: the month's first day if it is one, else None."""

    since: datetime
    until: datetime
    month: date | None

    @property
    def title(self) -> str:
        """The period in words."""
        if self.month is not None:
            return f"{_MONTHS[self.month.month - 1]} {self.month.year}"
        last = self.until - timedelta(microseconds=1)
        return f"{_date(self.since.date())} to {_date(last.date())}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One slot. record: the index of the record that tells its end, None if there is none."""

    slot: Mapping[str, Any]
    clock: str
    state: str
    record: int | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a job. column: 1 for Monday … 7 for Sunday; named: in words; later: not come yet."""

    number: int
    column: int
    named: str
    later: bool
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class JobMonth:
    """One month of one job."""

    title: str
    days: Sequence[Day]


def period(month: str | None, since: str | None, until: str | None, now: datetime) -> Period:
    """Return what was asked for: a month (`2026-11`), or dates, both included; without, the month of `now`.

    Raises UsageError for what is no month or date, or is longer than 92 days.
    """
    if since or until:
        begin = _day(since, "from") if since else None
        end = (_day(until, "to") if until else now.date()) + timedelta(days=1)
        begin = begin or end - timedelta(days=31)
        if begin >= end:
            raise UsageError("the period runs backwards: `from` must not be after `to`")
        if end - begin > _LONGEST:
            raise UsageError(f"the calendar shows at most {_LONGEST.days} days; choose a shorter period")
        return Period(_midnight(begin), _midnight(end), None)
    first = now.date().replace(day=1)
    if month:
        try:
            first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
        except ValueError as error:
            raise UsageError("month must be a year and a month, such as 2026-11") from error
    _check_year(first)
    return Period(_midnight(first), _midnight(following(first)), first)


def following(month: date, months: int = 1) -> date:
    """Return the first day of a month after, or with -1 before, the one that begins at `month`."""
    index = month.year * 12 + month.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def calendar(job: Mapping[str, Any], shown: Period, now: datetime) -> list[JobMonth]:
    """Return the months of one job of the coverage document, every day of the period in them."""
    by_day: dict[date, list[Cell]] = {}
    for slot in job["slots"]:
        due = datetime.fromisoformat(slot["due"]).astimezone(UTC)
        record = slot["attempts"][-1]["index"] if slot["attempts"] else None
        by_day.setdefault(due.date(), []).append(Cell(slot, f"{due:%H:%M}", slot["state"], record))
    months: dict[tuple[int, int], list[Day]] = {}
    at = shown.since.date()
    while at < shown.until.date():
        day = Day(at.day, at.isoweekday(), f"{at.day} {_MONTHS[at.month - 1]}", at > now.date(), by_day.get(at, ()))
        months.setdefault((at.year, at.month), []).append(day)
        at += timedelta(days=1)
    return [JobMonth(f"{_MONTHS[month - 1]} {year}", days) for (year, month), days in months.items()]


def _day(text: str, name: str) -> date:
    try:
        at = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"`{name}` must be a date such as 2026-11-24") from error
    _check_year(at)
    return at


def _check_year(at: date) -> None:
    if not _YEARS[0] <= at.year <= _YEARS[1]:
        raise UsageError(f"the calendar shows the years {_YEARS[0]} to {_YEARS[1]}")


def _midnight(at: date) -> datetime:
    return datetime(at.year, at.month, at.day, tzinfo=UTC)


def _date(at: date) -> str:
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"
