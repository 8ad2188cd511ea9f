"""What is said of a service is never better than the worst thing known of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.model import Slot
from guardian.usecases.reading import Reading, Scope
from guardian.usecases.reading_services import next_slots, worst
from tests.reading_support import START, TESTED, TRANSPORT, Writer, environment

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

ALL = Scope()
ERP = "erp-plant1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return environment(tmp_path)


def told(settings: Settings) -> dict[str, Any]:
    with Reading(settings) as reading:
        entry = reading.service(ALL, ERP)
        assert entry == reading.services(ALL)["services"][0]
        return entry


def test_without_a_scan_it_is_skipped_with_the_reason_even_if_a_drill_passed(settings: Settings) -> None:
    writer = Writer(settings)
    assert told(settings)["verdict"] == "skip"
    writer.drill()
    entry = told(settings)
    assert (entry["verdict"], entry["reason"]) == ("skip", "no scan has judged it yet")
    assert entry["assets"][0]["drill"]["verdict"] == "pass"
    writer.drill(verdict="fail")
    assert told(settings)["verdict"] == "fail"


def test_with_all_controls_and_the_newest_drill_passed_it_passes(settings: Settings) -> None:
    writer = Writer(settings)
    writer.drill(verdict="fail")
    writer.scan({TRANSPORT: {ERP: ["pass", "skip"], "secret-plant2": ["fail", "error"], None: ["fail"]}})
    writer.drill()
    entry = told(settings)
    assert (entry["verdict"], entry["reason"]) == ("pass", None)
    [control] = entry["controls"]
    assert control["counts"] == {"pass": 1, "fail": 0, "error": 0, "skip": 1}


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [(["pass", "fail", "error"], "fail"), (["pass", "error"], "error"), (["skip", "pass"], "pass"), (["skip"], "skip")],
)
def test_one_resource_decides_for_the_worse(settings: Settings, verdicts: list[str], verdict: str) -> None:
    Writer(settings).scan({TRANSPORT: {ERP: verdicts}, TESTED: {ERP: ["skip"]}})
    entry = told(settings)
    assert entry["verdict"] == verdict
    assert {one["control"]: one["verdict"] for one in entry["controls"]} == {TRANSPORT: verdict, TESTED: "skip"}


def test_a_waived_fail_is_counted_but_does_not_fail_the_service(settings: Settings) -> None:
    Writer(settings).scan({TRANSPORT: {ERP: ["fail"]}}, waived=True)
    entry = told(settings)
    assert entry["controls"][0]["counts"]["fail"] == 1
    assert entry["verdict"] == "pass"


def test_a_newest_scan_that_judged_nothing_is_an_error_and_the_last_that_did_is_shown(settings: Settings) -> None:
    writer = Writer(settings)
    index = writer.scan({TRANSPORT: {ERP: ["pass"]}})
    for _ in range(25):  # more than one page of them
        writer.unfinished_scan("daemon lost: no sign of life")
    entry = told(settings)
    assert (entry["verdict"], entry["reason"]) == (
        "error",
        "the newest scan did not finish: daemon lost: no sign of life",
    )
    assert entry["controls"][0]["record"] == index
    writer.scan({TRANSPORT: {ERP: ["pass"]}})
    assert told(settings)["verdict"] == "pass"


def test_a_collector_that_could_not_be_read_whole_is_an_error_for_the_services_it_matches(settings: Settings) -> None:
    writer = Writer(settings)
    writer.scan({TRANSPORT: {ERP: ["pass"]}}, partial=["secret-db"])
    assert told(settings)["verdict"] == "pass"
    writer.scan({TRANSPORT: {ERP: ["pass"]}}, partial=["erp-db"])
    entry = told(settings)
    assert (entry["verdict"], entry["reason"]) == ("error", "could not be read whole: erp-db")


def test_findings_that_cannot_be_read_are_an_error_not_a_pass(settings: Settings) -> None:
    writer = Writer(settings)
    index = writer.scan({TRANSPORT: {ERP: ["pass"]}}, attach=False)
    entry = told(settings)
    assert (entry["verdict"], entry["controls"]) == ("error", [])
    assert entry["reason"] == f"record {index} does not say which service its verdicts are of"
    index = writer.scan({TRANSPORT: {ERP: ["pass"]}})
    for path in settings.storage.objects.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes() + b"x")
    entry = told(settings)
    assert (entry["verdict"], entry["reason"]) == ("error", f"the findings of record {index} cannot be read")


def test_a_slot_missed_after_the_newest_drill_is_an_error_until_a_drill_comes(settings: Settings) -> None:
    writer = Writer(settings)
    writer.scan({TRANSPORT: {ERP: ["pass"]}})
    writer.drill()
    assert told(settings)["verdict"] == "pass"
    writer.missed("secret-asset")
    assert told(settings)["verdict"] == "pass"
    writer.missed()
    entry = told(settings)
    assert entry["verdict"] == "error"
    assert entry["reason"].startswith("the slot drill:erp@2026-11-01T00:")
    writer.drill()
    assert told(settings)["verdict"] == "pass"


def test_a_killed_drill_is_an_error_with_its_reason(settings: Settings) -> None:
    writer = Writer(settings)
    writer.scan({TRANSPORT: {ERP: ["pass"]}})
    writer.drill()
    writer.killed_drill()
    entry = told(settings)
    drill = entry["assets"][0]["drill"]
    assert (entry["verdict"], drill["verdict"], drill["reason"]) == ("error", "error", "killed: it ended")
    assert (drill["rto"], drill["rpo"], drill["backup"], drill["restoreSeconds"]) == ("unknown", "unknown", None, None)


def test_times_are_held_against_the_objectives_recorded_with_the_drill(settings: Settings) -> None:
    writer = Writer(settings)
    slot = Slot("drill:erp", START)
    writer.drill(restore_s=14400.0, rpo_s=900.0, slot=slot)
    writer.drill(restore_s=14400.5, rpo_s=900.5)
    writer.drill(rpo_s=None)
    writer.drill("secret-asset")
    with Reading(settings) as reading:
        drills = reading.drills(ALL, newest_first=False)["drills"]
        only = reading.drills(ALL, asset="erp", limit=1)
    assert [(drill["rto"], drill["rpo"]) for drill in drills] == [
        ("within", "within"),
        ("beyond", "beyond"),
        ("within", "unknown"),
        ("undeclared", "undeclared"),
    ]
    assert drills[0]["slot"] == slot.id
    assert drills[0]["phases"] == [{"name": "restore", "seconds": 14400.0}]
    assert (only["drills"][0]["index"], only["next"]) == (3, 3)


def test_the_next_three_slots_of_each_job_are_told_across_a_change_of_the_clock(settings: Settings) -> None:
    now = datetime(2026, 10, 24, 12, 30, tzinfo=UTC)  # the clock goes back in Berlin the night after
    slots = next_slots(settings.schedules, {"erp"}, now)
    assert [slot["due"] for slot in slots if slot["job"] == "drill:erp"] == [
        "2026-10-25T02:00:00Z",
        "2026-10-26T02:00:00Z",
        "2026-10-27T02:00:00Z",
    ]
    assert [slot["due"] for slot in slots if slot["job"] == "scan"] == [
        "2026-10-24T13:00:00Z",
        "2026-10-24T14:00:00Z",
        "2026-10-24T15:00:00Z",
    ]
    assert {slot["job"] for slot in slots} == {"scan", "drill:erp"}


def test_slots_of_several_schedules_of_one_job_are_one_row_of_instants(tmp_path: Path) -> None:
    environment(tmp_path)
    path = tmp_path / "guardian.yaml"
    text = path.read_text(encoding="utf-8")
    more = '- {job: scan, cron: "*/30 * * * *", timeZone: UTC, grace: 30m}\n'
    path.write_text(text.replace("sandbox:", f"{more}sandbox:", 1), encoding="utf-8")
    slots = next_slots(config.load(path).schedules, set(), datetime(2026, 11, 1, tzinfo=UTC))
    due = [datetime.fromisoformat(slot["due"]) for slot in slots]
    assert due == [START + timedelta(minutes=30 * number) for number in (1, 2, 3)]


def test_the_worst_of_nothing_is_skip() -> None:
    assert [worst(found) for found in ((), ("skip", "pass"), ("pass", "error"), ("error", "fail"))] == [
        "skip",
        "pass",
        "error",
        "fail",
    ]


def test_controls_are_the_catalogue_with_modes_and_the_last_counts(settings: Settings) -> None:
    index = Writer(settings).scan({TESTED: {ERP: ["pass"], None: ["error", "error"]}})
    with Reading(settings) as reading:
        controls = {one["id"]: one for one in reading.controls(ALL)["controls"]}
    tested = controls[TESTED]
    assert tested["last"] == {
        "record": index,
        "recordId": tested["last"]["recordId"],
        "time": "2026-11-01T00:01:00.000Z",
        "counts": {"pass": 1, "fail": 0, "error": 2, "skip": 0},
    }
    assert set(tested["modes"]) == {"critical", "standard", "low"}
    assert tested["frameworks"]["iso-27001-2022"]
    assert controls["backup.fresh"]["last"] is None
