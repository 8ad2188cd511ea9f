from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.config_cron import parse_cron


@pytest.mark.parametrize(
    "expression",
    ["* * * * *", "*/15 0-6 1,15 jan-mar MON-fri", "0 3 29 2 *", "59 23 31 12 7", "0 0 31 2 mon", "0-59/7 * * * sun"],
)
def test_right_expressions_are_accepted(expression: str) -> None:
    parse_cron(expression)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "0 fields where 5"),
        ("* * * *", "4 fields where 5"),
        ("@daily", "1 fields where 5"),
        ("60 * * * *", "minute: '60' is not within 0-59"),
        ("* 24 * * *", "hour: '24'"),
        ("* * 0 * *", "day of month: '0'"),
        ("* * * 13 *", "month: '13'"),
        ("* * * * 8", "day of week: '8'"),
        ("* * * mon *", "month: 'mon'"),
        ("5-1 * * * *", "runs backwards"),
        ("*/0 * * * *", "minute: '0'"),
        ("5/2 * * * *", "a step needs a range"),
        ("1,,2 * * * *", "minute: ''"),
        ("-1 * * * *", "minute: ''"),
        ("\u0661 * * * *", "minute:"),
        ("0 0 31 feb,apr *", "never fires"),
    ],
)
def test_wrong_expressions_are_refused_with_the_field(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        parse_cron(expression)


@given(st.text(max_size=40))
def test_any_text_is_accepted_or_refused_but_never_crashes(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_cron(text)
