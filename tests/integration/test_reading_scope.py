"""A caller limited to services or to a period learns nothing of the others, whatever is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.usecases.reading import NotFoundError, Reading, Scope
from tests.reading_support import START, TESTED, TRANSPORT, Writer, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guardian.settings import Settings

ALL = Scope()
ERP = Scope(frozenset({"erp-plant1"}))
LATE = Scope(None, "2026-11-01T00:12:00Z")
EARLY = Scope(None, None, "2026-11-01T00:05:00Z")
HIDDEN = ("secret-plant2", "secret-asset", "secret-db", "hidden")

Ask = "Callable[[Reading, Scope], Any]"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = environment(tmp_path_factory.mktemp("filled"))
    Writer(settings).some_of_all()
    return settings


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An environment whose records are those of erp-plant1 alone, in the same order."""
    settings = environment(tmp_path_factory.mktemp("without"))
    writer = Writer(settings)
    writer.scan({TRANSPORT: {"erp-plant1": ["pass", "pass"]}})
    writer.drill()
    writer.decision()
    writer.missed()
    writer.unfinished_scan("job ended")
    writer.killed_drill()
    writer.drill("erp", "error")
    writer.scan({TRANSPORT: {"erp-plant1": ["pass", "skip"]}, TESTED: {"erp-plant1": ["fail"]}})
    writer.drill()
    return settings


ASKED: dict[str, Any] = {
    "records": lambda reading, scope: reading.records(scope),
    "oldest": lambda reading, scope: reading.records(scope, newest_first=False, limit=3),
    "by hidden service": lambda reading, scope: reading.records(scope, service="secret-plant2"),
    "by hidden asset": lambda reading, scope: reading.records(scope, asset="secret-asset"),
    "by control": lambda reading, scope: reading.records(scope, control=TRANSPORT),
    "by control and hidden service": lambda reading, scope: reading.records(
        scope, control=TESTED, service="secret-plant2"
    ),
    "by verdict": lambda reading, scope: reading.records(scope, verdict="fail"),
    "services": lambda reading, scope: reading.services(scope),
    "controls": lambda reading, scope: reading.controls(scope),
    "drills": lambda reading, scope: reading.drills(scope),
    "drills of hidden asset": lambda reading, scope: reading.drills(scope, asset="secret-asset"),
    "coverage": lambda reading, scope: reading.coverage(scope, since=START, until=datetime.now(UTC)),
}


@pytest.mark.parametrize("asked", ASKED)
def test_no_answer_names_what_belongs_to_another_service(filled: Settings, asked: str) -> None:
    ask: Callable[[Reading, Scope], Any] = ASKED[asked]
    with Reading(filled) as reading:
        answer = orjson.dumps(ask(reading, ERP)).decode()
        told = orjson.dumps(ask(reading, ALL)).decode()
        others = ask(reading, Scope(frozenset({"nobody"})))
    for word in HIDDEN:
        assert word not in answer
        assert word not in orjson.dumps(others).decode()
    if asked in {"records", "services", "drills", "by hidden service"}:
        assert "secret" in told  # else the above would prove nothing


def test_records_are_those_of_its_service_and_key_events_only(filled: Settings) -> None:
    with Reading(filled) as reading:
        mine = reading.records(ERP, newest_first=False)["records"]
        assert [row["index"] for row in mine] == [0, 2, 4, 7, 11, 13, 16]
        assert {(row["service"], row["kind"]) for row in mine if row["service"] != "erp-plant1"} == {
            (None, "key-event")
        }
        nobody = reading.records(Scope(frozenset()))["records"]
        assert [row["kind"] for row in nobody] == ["key-event"]


@pytest.mark.parametrize("asked", ["by hidden service", "by hidden asset", "by control and hidden service"])
def test_what_belongs_to_others_is_answered_like_what_does_not_exist(filled: Settings, asked: str) -> None:
    ask: Callable[[Reading, Scope], Any] = ASKED[asked]
    with Reading(filled) as reading:
        answer = ask(reading, ERP)
        assert answer["records"] == []
        assert answer["next"] is None
        nothing = reading.records(ERP, service="never-heard-of")
        assert answer == nothing


def test_no_cursor_points_at_a_record_of_another_service(filled: Settings) -> None:
    with Reading(filled) as reading:
        cursor, seen = None, []
        while True:
            page = reading.records(ERP, limit=1, cursor=cursor)
            assert page["next"] in (None, page["records"][-1]["index"])
            seen.append(page["records"][-1]["index"])
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == [16, 13, 11, 7, 4, 2, 0]


def test_a_record_of_another_service_is_not_found_in_the_words_of_one_that_is_not_there(filled: Settings) -> None:
    with Reading(filled) as reading:
        rows = {row["index"]: row["recordId"] for row in reading.records(ALL)["records"]}
        mine = {row["index"] for row in reading.records(ERP)["records"]}
        for index, record_id in rows.items():
            for named in (index, str(index), record_id):
                if index in mine:
                    assert reading.record(ERP, named)["record"]["index"] == index
                else:
                    with pytest.raises(NotFoundError) as refused:
                        reading.record(ERP, named)
                    assert str(refused.value) == f"there is no record {str(named)!r}"
        with pytest.raises(NotFoundError, match="there is no record '99'"):
            reading.record(ERP, 99)
        got = reading.record(ERP, 4)
        assert (got["previous"], got["next"]) == (2, 7)


def test_another_service_is_not_found_in_the_words_of_one_that_is_not_declared(filled: Settings) -> None:
    with Reading(filled) as reading:
        assert [service["name"] for service in reading.services(ERP)["services"]] == ["erp-plant1"]
        for name in ("secret-plant2", "never-heard-of"):
            with pytest.raises(NotFoundError) as refused:
                reading.service(ERP, name)
            assert str(refused.value) == f"there is no service {name!r}"


def test_counts_of_a_limited_caller_are_those_of_an_environment_without_the_others(
    filled: Settings, without: Settings
) -> None:
    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: bare(one) for name, one in value.items() if name not in {"index", "recordId", "record"} | TIMES
            }
        return [bare(one) for one in value] if isinstance(value, list) else value

    with Reading(filled) as reading, Reading(without) as alone:
        assert bare(reading.service(ERP, "erp-plant1")) == bare(alone.service(ALL, "erp-plant1"))
        seen = {one["id"]: bare(one["last"]) for one in reading.controls(ERP)["controls"]}
        assert seen == {one["id"]: bare(one["last"]) for one in alone.controls(ALL)["controls"]}
        assert seen[TESTED] == {"counts": {"pass": 0, "fail": 1, "error": 0, "skip": 0}}
        everything = {one["id"]: bare(one["last"]) for one in reading.controls(ALL)["controls"]}
        assert everything[TESTED] == {"counts": {"pass": 11, "fail": 1, "error": 0, "skip": 0}}


TIMES = {"time", "startedOn", "finishedOn"}


def test_a_scan_is_counted_for_a_limited_caller_but_not_named(filled: Settings) -> None:
    with Reading(filled) as reading:
        [control, _] = reading.service(ERP, "erp-plant1")["controls"]
        assert (control["record"], control["recordId"]) == (None, None)
        [control, _] = reading.service(ALL, "erp-plant1")["controls"]
        assert control["record"] == 15
        last = {one["id"]: one["last"] for one in reading.controls(ERP)["controls"]}[TESTED]
        assert (last["record"], last["recordId"]) == (None, None)


def test_why_a_scan_failed_is_not_told_to_a_limited_caller(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    writer = Writer(settings)
    writer.unfinished_scan("secret-plant2 fell over")
    with Reading(settings) as reading:
        assert "secret-plant2 fell over" in reading.service(ALL, "erp-plant1")["reason"]
        mine = reading.service(ERP, "erp-plant1")
        assert mine["reason"] == "the newest scan did not finish: it judged nothing"
        assert mine["verdict"] == "error"


def test_a_period_hides_what_is_outside_of_it(filled: Settings) -> None:
    with Reading(filled) as reading:
        # The keyring was logged when the test ran, later than all that the records say of themselves.
        assert [row["index"] for row in reading.records(LATE)["records"]] == [16, 15, 14, 13, 12, 0]
        assert [row["index"] for row in reading.records(EARLY)["records"]] == [4, 3, 2, 1]
        for index in (1, 11, 5):
            with pytest.raises(NotFoundError):
                reading.record(LATE, index)
        assert reading.record(LATE, 12)["previous"] == 0
        assert [drill["index"] for drill in reading.drills(LATE)["drills"]] == [16, 14, 13, 12]
        both = Scope(frozenset({"erp-plant1"}), "2026-11-01T00:12:00Z", "2026-11-01T00:16:00Z")
        assert [row["index"] for row in reading.records(both)["records"]] == [13]
        wider = reading.records(both, since="2026-01-01", until="2027-01-01")["records"]
        assert [row["index"] for row in wider] == [13]  # a filter never widens


def test_services_and_controls_of_a_period_are_as_they_stood_in_it(filled: Settings) -> None:
    with Reading(filled) as reading:
        then = reading.service(EARLY, "erp-plant1")
        assert [(control["control"], control["record"]) for control in then["controls"]] == [(TRANSPORT, 1)]
        assert then["assets"][0]["drill"]["index"] == 2
        assert then["verdict"] == "pass"
        last = {one["id"]: one["last"] for one in reading.controls(EARLY)["controls"]}
        assert last[TESTED] is None
        before = reading.service(Scope(None, None, "2026-10-01"), "erp-plant1")
        assert (before["verdict"], before["controls"]) == ("skip", [])
        assert before["assets"][0]["drill"] is None


def test_coverage_is_narrowed_to_the_period_and_never_runs_backwards(filled: Settings) -> None:
    with Reading(filled) as reading:
        scope = Scope(None, "2026-11-05", "2026-11-06")
        document = reading.coverage(scope, since=START, until=datetime.now(UTC))
        assert (document["from"], document["to"]) == ("2026-11-05T00:00:00.000Z", "2026-11-06T00:00:00.000Z")
        outside = reading.coverage(
            scope, since=datetime(2026, 11, 10, tzinfo=UTC), until=datetime(2026, 11, 11, tzinfo=UTC)
        )
        assert outside["jobs"] == []
