"""Who may see which records, and what was asked of them: scopes and filters, parsed. No I/O.

Invariant: a record is shown only if `Scope.allows` says so of its verified statement; a filter narrows, never widens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from evidence.statement import KEY_EVENT, KINDS
from guardian.errors import GuardianError, UsageError
from guardian.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_LIMIT: Final = 200
MAX_NAME: Final = 500
VERDICTS: Final = ("pass", "fail", "error", "skip")
RESULTS: Final = {"pass": "PASSED", "fail": "FAILED", "error": "ERROR", "skip": "SKIPPED", "missed": "MISSED"}


class NotFoundError(GuardianError):
    """There is no such thing, or the caller may not know of it: both read alike."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may read.

    services: records whose one service is among these, and key-events; None for all. since, until: records that
    finished at or after `since` and before `until`, RFC 3339; None for open.
    """

    services: frozenset[str] | None = None
    since: str | None = None
    until: str | None = None

    @property
    def from_time(self) -> str | None:
        """`since` as records write times. Raises UsageError if it is none."""
        return instant(self.since, "since")

    @property
    def to_time(self) -> str | None:
        """`until` as records write times. Raises UsageError if it is none."""
        return instant(self.until, "until")

    def allows(self, row: Mapping[str, Any]) -> bool:
        """Whether a record may be seen. row: made of its verified statement."""
        if self.services is not None and row["service"] not in self.services and row["kind"] != KEY_EVENT:
            return False
        return within(row["time"], self.from_time, self.to_time)

    def has_service(self, name: str | None) -> bool:
        """Whether what is known of one service may be seen."""
        return self.services is None or name in self.services


@dataclass(frozen=True, slots=True)
class Filter:
    """What was asked for; None for anything. since, until: as records write times, since <= time < until."""

    kind: str | None = None
    service: str | None = None
    control: str | None = None
    asset: str | None = None
    verdict: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def result(self) -> str | None:
        """The result that records must have: only where no control is asked for."""
        return RESULTS[self.verdict] if self.verdict and self.control is None else None

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """Whether a record is asked for, as far as its row tells: controls are not judged here."""
        return (
            self.kind in (None, row["kind"])
            and self.asset in (None, row["asset"])
            and (self.control is not None or self.service in (None, row["service"]))
            and self.result in (None, row["result"])
            and within(row["time"], self.since, self.until)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page: at most `limit` records beyond the log index `cursor`, in the order asked for."""

    limit: int
    cursor: int | None
    newest_first: bool


def parse_filter(
    *,
    kind: str | None = None,
    service: str | None = None,
    control: str | None = None,
    asset: str | None = None,
    verdict: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Filter:
    """Return the filter. Raises UsageError naming what is known for a value that never can match."""
    for name, value in (("service", service), ("control", control), ("asset", asset)):
        if value is not None and not (value.isprintable() and 0 < len(value) <= MAX_NAME):
            raise UsageError(f"{name} must be a name of 1 to {MAX_NAME} printable characters")
    if kind is not None:
        _known("kind", kind, KINDS)
    if verdict is not None:
        _known("verdict", verdict, VERDICTS if control is not None else tuple(RESULTS))
    return Filter(kind, service, control, asset, verdict, instant(since, "since"), instant(until, "until"))


def parse_page(*, limit: int, cursor: int | None, newest_first: bool) -> Page:
    """Return the page. Raises UsageError for a limit outside 1..MAX_LIMIT or a cursor that is no log index."""
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError(f"limit must be from 1 to {MAX_LIMIT}, found {limit}")
    if cursor is not None and not 0 <= cursor < 1 << 62:
        raise UsageError(f"cursor must be the index of a record, as `next` of the page before, found {cursor}")
    return Page(limit, cursor, newest_first)


def instant(text: str | None, what: str) -> str | None:
    """Return a moment as records write it, RFC 3339 in UTC with milliseconds; a date alone is its midnight in UTC.

    Raises UsageError if it is no moment.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{what} must be a moment such as 2026-11-24T02:00:00Z or a date, found {text!r}") from error
    if moment.tzinfo is None:
        if moment.time() != datetime.min.time():
            raise UsageError(f"{what} must say its offset from UTC, such as 2026-11-24T02:00:00Z, found {text!r}")
        moment = moment.replace(tzinfo=UTC)
    try:
        return rfc3339(moment)
    except OverflowError as error:
        raise UsageError(f"{what} must be a moment such as 2026-11-24T02:00:00Z, found {text!r}") from error


def within(time: str, since: str | None, until: str | None) -> bool:
    """Whether since <= time < until, all as records write times."""
    return (since is None or time >= since) and (until is None or time < until)


def _known(what: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value in names:
        return
    near = get_close_matches(value, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"unknown {what} {value!r}; {hint}there are: {', '.join(names)}")
