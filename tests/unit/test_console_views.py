"""What the console works out before it shows it: headlines, charts, calendars, and where a login leads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.api.console import covering, posture, timeline
from guardian.api.console.pages import HOME, return_path
from guardian.errors import UsageError
from guardian.model import Verdict

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def drill(**changes: Any) -> dict[str, Any]:
    return {
        "index": 5, "asset": "erp", "verdict": "pass", "assurance": "sound", "requiredAssurance": "sound",
        "restoreSeconds": 60.0, "estimatedRtoSeconds": 1260.0, "rpoSeconds": 600.0, "rto": "within",
        "objectives": {"rtoSeconds": 14400, "rpoSeconds": 86400}, "finishedOn": "2026-11-23T03:10:00.000Z",
    } | changes  # fmt: skip


def service(verdict: str = "pass", controls: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    asset = {"name": "erp", "type": "postgres", "requiredAssurance": "sound", "backups": [], "drill": drill()}
    listed = [{"control": f"postgres.c{n}", "verdict": v} for n, v in enumerate(controls or ["pass"])]
    return {"name": "s", "verdict": verdict, "controls": listed, "assets": [asset], "reason": None,
            "objectives": {"rtoSeconds": 14400, "rpoSeconds": 86400}} | changes  # fmt: skip


def seen(**changes: Any) -> posture.ServiceView:
    return posture.service_view(service(**changes))


def test_a_service_is_good_only_if_verdict_controls_drills_and_objectives_are() -> None:
    asset = service()["assets"][0]
    assert seen().verdict is Verdict.PASS
    assert seen(verdict="error").verdict is Verdict.ERROR
    assert seen(controls=["pass", "fail"]).verdict is Verdict.FAIL
    assert seen(controls=["pass", "error"]).verdict is Verdict.ERROR
    assert seen(assets=[asset | {"drill": None}]).verdict is Verdict.ERROR
    assert seen(assets=[asset | {"drill": drill(verdict="fail")}]).verdict is Verdict.FAIL
    assert seen(assets=[asset | {"drill": drill(estimatedRtoSeconds=14401)}]).verdict is Verdict.FAIL
    assert seen(assets=[asset | {"drill": drill(rpoSeconds=86401)}]).verdict is Verdict.FAIL
    assert seen(reason="a collector failed").verdict is Verdict.ERROR
    assert posture.service_view(service() | {"controls": []}).verdict is Verdict.ERROR


@given(st.lists(st.sampled_from(["pass", "fail", "error", "skip"]), max_size=4))
def test_the_headline_is_never_better_than_any_service(verdicts: list[str]) -> None:
    views = [seen(verdict=verdict, controls=[verdict]) for verdict in verdicts]
    found = posture.headline(views).verdict
    assert found is (
        Verdict.FAIL if "fail" in verdicts else Verdict.PASS if set(verdicts) == {"pass"} else Verdict.ERROR
    )


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e8)), min_size=1, max_size=30))
def test_every_drill_is_one_mark_in_the_frame_and_an_unknown_time_stands_below_the_scale(
    times: list[float | None],
) -> None:
    drills = [
        drill(estimatedRtoSeconds=t, restoreSeconds=t, finishedOn=(NOW + timedelta(hours=n)).isoformat())
        for n, t in enumerate(times)
    ]
    chart = timeline.chart(drills)
    assert chart is not None
    assert len(chart.marks) == len(drills)
    for mark, time in zip(chart.marks, times, strict=True):
        assert timeline.LEFT <= mark.x <= timeline.RIGHT
        if time is None:
            assert mark.y == timeline.UNKNOWN_Y > timeline.BOTTOM
        else:
            assert timeline.TOP <= mark.y <= timeline.BOTTOM
    assert len(chart.times) <= 8
    assert chart.unknown == times.count(None)


@given(st.lists(st.datetimes(datetime(2026, 10, 1), datetime(2026, 11, 30, 23)), max_size=40))  # noqa: DTZ001 -- made aware below
def test_every_slot_of_the_period_is_one_cell_on_its_day(dues: list[datetime]) -> None:
    shown = covering.period(None, "2026-10-01", "2026-11-30", NOW)
    slots = [{"due": due.replace(tzinfo=UTC).isoformat(), "state": "passed", "attempts": []} for due in dues]
    days = [day for month in covering.calendar({"slots": slots}, shown, NOW) for day in month.days]
    assert len(days) == 61
    assert sum(len(day.cells) for day in days) == len(slots)
    assert all(datetime.fromisoformat(c.slot["due"]).day == day.number for day in days for c in day.cells)


@pytest.mark.parametrize(
    ("month", "since", "until"),
    [("2026-13", None, None), ("x", None, None), ("0001-01", None, None), ("9999-12", None, None),
     (None, "2026-11-02", "2026-11-01"), (None, "2026-01-01", "2026-11-01"), (None, "soon", None),
     (None, None, "9999-12-31"), (None, "0001-01-01", None)],
)  # fmt: skip
def test_a_period_that_is_none_is_refused(month: str | None, since: str | None, until: str | None) -> None:
    with pytest.raises(UsageError):
        covering.period(month, since, until, NOW)


@given(st.text(alphabet="/\\.:console?=&%a@\r\n\t evil", max_size=40))
def test_a_login_leads_to_this_console_or_home(text: str) -> None:
    found = return_path(text)
    assert found == HOME or (found == text and found.startswith("/console"))
    assert "//" not in found.partition("?")[0]
    assert not set(found) & set("\\\r\n\t ")
