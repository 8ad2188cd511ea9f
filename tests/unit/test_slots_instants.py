"""When a cron expression is due, across every change of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardian.config_cron import parse_cron
from guardian.slots import instants

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
# The local day of a change, with the UTC day around it.
CHANGES = {
    BERLIN: ("2026-03-29", "2026-10-25"),
    NEW_YORK: ("2026-03-08", "2026-11-01"),
    LORD_HOWE: ("2026-10-04", "2026-04-05"),  # forwards and backwards by half an hour
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(cron: str, zone: str, day: str, days: int = 1) -> list[str]:
    """Return what is due from local midnight (exclusive) of `day` on, as `HH:MM` in UTC."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
    end = (datetime.fromisoformat(day) + timedelta(days=days)).replace(tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
    return [f"{instant:%H:%M}" for instant in instants(cron, zone, start, end)]


def test_a_moment_that_the_clock_leaps_over_is_due_when_the_leap_ends() -> None:
    assert due("30 2 * * *", BERLIN, "2026-03-29") == ["01:00"]  # 02:00 +01:00 becomes 03:00 +02:00
    assert due("30 2 * * *", NEW_YORK, "2026-03-08") == ["07:00"]
    assert due("15 2 * * *", LORD_HOWE, "2026-10-04") == ["15:30"]  # 02:00 +10:30 becomes 02:30 +11:00


def test_moments_leapt_over_together_are_due_once() -> None:
    assert due("*/10 2 * * *", BERLIN, "2026-03-29") == ["01:00"]
    assert due("0,15,30,45 2,3 * * *", BERLIN, "2026-03-29") == ["01:00", "01:15", "01:30", "01:45"]


def test_a_moment_that_comes_twice_is_due_the_first_time() -> None:
    assert due("30 2 * * *", BERLIN, "2026-10-25") == ["00:30"]
    assert due("30 1 * * *", NEW_YORK, "2026-11-01") == ["05:30"]
    assert due("45 1 * * *", LORD_HOWE, "2026-04-05") == ["14:45"]


@pytest.mark.parametrize("zone", CHANGES)
def test_an_hourly_job_has_24_moments_on_every_local_day_but_one_leapt_over(zone: str) -> None:
    forwards, backwards = CHANGES[zone]
    # Lord Howe leaps half an hour: 02:00 exists no more, and is due at 02:30; elsewhere 02:00 and 03:00 are one.
    assert len(due("0 * * * *", zone, forwards)) == (24 if zone == LORD_HOWE else 23)
    assert len(due("0 * * * *", zone, backwards)) == 24


@pytest.mark.parametrize("zone", CHANGES)
def test_every_minute_of_a_day_with_a_change_is_due_once(zone: str) -> None:
    """A whole day, minute by minute, against the calendar: each local minute that exists, and the end of the leap."""
    for day in CHANGES[zone]:
        local = ZoneInfo(zone)
        start = datetime.fromisoformat(day).replace(tzinfo=local).astimezone(UTC)
        end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=local).astimezone(UTC)
        seen: set[datetime] = set()
        expected = []
        moment = start
        while moment < end:
            wall = moment.astimezone(local).replace(tzinfo=None)
            if wall not in seen:
                seen.add(wall)
                expected.append(moment)
            moment += timedelta(minutes=1)
        assert list(instants("* * * * *", zone, start - timedelta(seconds=1), end - timedelta(seconds=1))) == expected


def test_an_interval_holds_its_end_and_not_its_beginning() -> None:
    noon, one = utc("2026-06-01T12:00"), utc("2026-06-01T13:00")
    assert list(instants("0 * * * *", "UTC", noon, one)) == [one]
    assert list(instants("0 * * * *", "UTC", noon, noon)) == []


def test_a_clock_that_falls_back_over_midnight_loses_no_moment_to_where_one_looks() -> None:
    """St. John's fell back at 00:01, to 23:01 of the day before: midnight came before a later look at yesterday."""
    zone, start = "America/St_Johns", utc("2010-11-07T01:00")
    end = start + timedelta(hours=5)
    [midnight] = instants("0 0 * * *", zone, start, end)
    assert midnight == utc("2010-11-07T02:30")
    between = midnight + timedelta(minutes=20)  # 23:20 of the day before, for the second time
    assert [*instants("0 0 * * *", zone, start, between), *instants("0 0 * * *", zone, between, end)] == [midnight]


def test_a_day_that_never_was_is_due_when_the_next_begins() -> None:
    """Samoa left out 30 December 2011."""
    start, end = utc("2011-12-29T12:00"), utc("2012-01-01T12:00")
    found = list(instants("0 9 30 12 *", "Pacific/Apia", start, end))
    assert found == [utc("2011-12-30T10:00")]  # midnight of the 31st there


ZONES = st.sampled_from(
    [
        *(BERLIN, NEW_YORK, LORD_HOWE, "UTC", "America/St_Johns", "America/Sao_Paulo", "Africa/Casablanca"),
        *("Pacific/Apia", "Asia/Kathmandu", "Europe/Dublin", "America/Caracas", "Asia/Pyongyang", "Africa/Cairo"),
    ]
)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    kind = draw(st.sampled_from(["*", "step", "value", "list", "range"]))
    first, second = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    match kind:
        case "step":
            return f"*/{draw(st.integers(1, high - low + 1))}"
        case "value":
            return str(first)
        case "list":
            return f"{first},{second}"
        case "range":
            return f"{first}-{second}"
    return "*"


CRONS = st.builds(
    lambda *parts: " ".join(parts),
    fields(0, 59),
    fields(0, 23),
    st.one_of(st.just("*"), fields(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), fields(0, 7)),
)
STARTS = st.integers(0, 20 * 365 * 86400).map(lambda seconds: utc("2009-01-01T00:00") + timedelta(seconds=seconds))


@settings(max_examples=300, deadline=None)
@given(CRONS, ZONES, STARTS, st.integers(0, 5 * 86400), st.floats(0, 1))
@example("0 0 * * *", "America/St_Johns", utc("2010-11-07T01:00"), 5 * 3600, 0.4)
@example("* * * * *", LORD_HOWE, utc("2026-04-04T12:00"), 86400, 0.12)
def test_moments_ascend_lie_inside_fit_the_expression_and_do_not_depend_on_where_one_splits(
    cron: str, zone: str, start: datetime, seconds: int, at: float
) -> None:
    end = start + timedelta(seconds=seconds)
    found = list(instants(cron, zone, start, end))
    assert all(start < moment <= end for moment in found)
    assert all(one < other for one, other in pairwise(found))
    assert all(moment.tzinfo is UTC and not moment.second and not moment.microsecond for moment in found)
    middle = start + timedelta(seconds=seconds * at)
    assert [*instants(cron, zone, start, middle), *instants(cron, zone, middle, end)] == found
    parsed, local = parse_cron(cron), ZoneInfo(zone)
    for moment in found:
        wall = moment.astimezone(local)
        plain = wall.hour in parsed.hours and wall.minute in parsed.minutes and parsed.has(wall.date())
        leapt = wall.utcoffset() != (moment - timedelta(seconds=1)).astimezone(local).utcoffset()
        assert plain or leapt, f"{moment} is neither what the expression says nor the end of a leap"
