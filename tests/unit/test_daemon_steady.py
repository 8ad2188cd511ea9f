"""A clock that jumps is not acted on before it has stayed where it went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from guardian.schedule.steady import SETTLED_S, Steady

START = datetime(2026, 3, 2, tzinfo=UTC)


def looks(*moments: tuple[float, float]) -> list[bool]:
    """Look at (seconds by the wall, seconds by the monotonic clock), and return what was believed."""
    steady = Steady()
    return [steady.holds(START + timedelta(seconds=wall), mono) for wall, mono in moments]


def test_clock_that_goes_with_time_holds() -> None:
    assert looks((0, 0), (5, 5), (11, 10), (900, 899)) == [True] * 4


def test_clock_that_jumps_ahead_and_comes_back_is_believed_in_neither_place_at_once() -> None:
    day = 86_400
    assert looks((0, 0), (10 * day, 5), (10, 10), (15, 15)) == [True, False, False, False]
    after = 10 + SETTLED_S
    assert looks((0, 0), (10 * day, 5), (10, 10), (after, after))[-1]


def test_jump_that_stays_is_believed_after_a_while() -> None:
    ahead = 7200.0
    settled = 5 + SETTLED_S
    assert looks((0, 0), (ahead + 5, 5), (ahead + 30, 30), (ahead + settled, settled)) == [True, False, False, True]


def test_first_look_holds_whatever_time_passed_while_no_daemon_was_alive() -> None:
    assert looks((10**8, 3)) == [True]
