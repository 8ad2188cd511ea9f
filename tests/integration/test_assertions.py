"""The user's own SQL on restored data: held against what it must give, and never repeated beyond a number."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from evidence.strict import canonical
from verifiers.postgres.assertions import Assertion, assertions
from verifiers.result import Check, Verdict

SECRET = "Ada Lovelace"


@pytest.fixture
def database(postgres_url: str) -> str:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2), buyer text, paid boolean)")
        connection.execute("INSERT INTO orders SELECT n, n * 1.5, %s, n < 90 FROM generate_series(1, 100) n", (SECRET,))
    return postgres_url


def judged(database: str, *asserted: Assertion) -> Check:
    return assertions(database, asserted, deadline_s=20)


@pytest.mark.parametrize(
    ("assertion", "told"),
    [
        (Assertion("rows", "SELECT count(*) > 99 FROM orders"), True),
        (Assertion("none", "SELECT exists(SELECT 1 FROM orders WHERE total < 0)", expect=False), False),
        (Assertion("count", "SELECT count(*) FROM orders", expect=100), 100),
        (Assertion("sum", "SELECT sum(total) FROM orders", expect=7575), 7575),
        (Assertion("mean", "SELECT avg(total) FROM orders", None, 75, 76.5), 75.75),
        (Assertion("least", "SELECT max(total) FROM orders", None, 150), 150),
        (Assertion("buyer", "SELECT max(buyer) FROM orders", expect=SECRET), True),
    ],
    ids=lambda value: value.name if isinstance(value, Assertion) else "",
)
def test_assertion_that_holds_passes_and_tells_a_number_or_a_boolean(
    database: str, assertion: Assertion, told: Any
) -> None:
    check = judged(database, assertion)
    assert (check.verdict, check.observed) == (Verdict.PASS, {assertion.name: told})


@pytest.mark.parametrize(
    "assertion",
    [
        Assertion("rows", "SELECT count(*) > 100 FROM orders"),
        Assertion("count", "SELECT count(*) FROM orders", expect=101),
        Assertion("high", "SELECT max(total) FROM orders", None, 0, 149.99),
        Assertion("low", "SELECT max(total) FROM orders", None, 150.01),
        Assertion("buyer", "SELECT max(buyer) FROM orders", expect="Grace Hopper"),
    ],
    ids=lambda one: one.name,
)
def test_assertion_that_does_not_hold_fails_by_name_and_repeats_no_text_of_a_row(
    database: str, assertion: Assertion
) -> None:
    check = judged(database, Assertion("fine", "SELECT true"), assertion)
    assert check.verdict is Verdict.FAIL
    assert assertion.name in check.message
    assert SECRET not in f"{check.message}{check.observed}"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT NULL::boolean", "NULL"),
        ("SELECT paid FROM orders", "more than one row"),
        ("SELECT true WHERE false", "no row"),
        ("SELECT true, false", "2 columns"),
        ("SELECT count(*) FROM orders", "no boolean"),
        ("SELECT count(*) FROM invoices", "42P01"),
        ("SELECT buyer::int > 0 FROM orders LIMIT 1", "22P02"),
        ("DELETE FROM orders RETURNING true", "25006"),
        ("BEGIN", "0 columns"),
        ("SELECT pg_sleep(60) IS NOT NULL", "57014"),
        ("SELECT true; SELECT true", "42601"),
    ],
)
def test_assertion_without_an_answer_is_an_error_never_a_pass(database: str, query: str, why: str) -> None:
    check = assertions(database, [Assertion("asked", query)], deadline_s=1.0)
    assert check.verdict is Verdict.ERROR
    assert why in check.message
    assert SECRET not in check.message


def test_assertion_changes_nothing(database: str) -> None:
    judged(database, Assertion("write", "INSERT INTO orders VALUES (101, 1, 'x', true) RETURNING true"))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (100,)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT 'NaN'::numeric", None),
        ("SELECT 'Infinity'::numeric", None),
        ("SELECT 'NaN'::float8", None),
        ("SELECT '-Infinity'::float8", None),
        ("SELECT 10::numeric ^ 400", None),
        ("SELECT 10::numeric ^ 30", 1e30),
        ("SELECT 9223372036854775807::numeric", 9223372036854775807),
        ("SELECT 0.5::float8", 0.5),
    ],
)
def test_number_of_any_size_and_kind_can_be_recorded(database: str, query: str, told: float | None) -> None:
    check = judged(database, Assertion("size", query, None, least=0))
    assert check.verdict is (Verdict.ERROR if told is None else Verdict.PASS)
    assert check.observed == {"size": told}
    canonical({"expected": check.expected, "observed": check.observed, "message": check.message})
