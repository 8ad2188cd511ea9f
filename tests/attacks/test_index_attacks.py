"""The index edited by whoever can write to the database: what is read stays what was signed."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from evidence.errors import EvidenceError
from guardian.settings import Secret
from guardian.usecases import proven
from guardian.usecases.indexing import reindex
from guardian.usecases.reading import NotFoundError, Reading, Scope
from guardian.usecases.verify import verify_live
from tests.reading_support import TRANSPORT, Writer, environment

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

ALL = Scope()
FAILED = 3  # a failed drill in the fixture


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A log of every kind of record with its index; this process then remembers nothing of it, like a new one."""
    if request.param == "sqlite":
        made = environment(tmp_path)
    else:
        monkeypatch.setenv("READING_URL", request.getfixturevalue("postgres_url"))
        made = environment(tmp_path, database='"env:READING_URL"')
    Writer(made).some_of_all()
    with Reading(made) as reading:
        reading.records(ALL)
    proven.forget_all()
    return made


def edit(settings: Settings, statement: str) -> None:
    if isinstance(settings.storage.database, Secret):
        with psycopg.connect(settings.storage.database.read(), autocommit=True) as server:
            server.execute(statement.encode())
        return
    with contextlib.closing(sqlite3.connect(str(settings.storage.database))) as file, file:
        file.execute(statement)


def found(settings: Settings, **wanted: Any) -> list[tuple[int, str]]:
    with Reading(settings) as reading:
        return [(row["index"], row["result"]) for row in reading.records(ALL, **wanted)["records"]]


def blamed(settings: Settings) -> list[str]:
    return [message for member, message in verify_live(settings).problems if member == "index"]


def rebuild(settings: Settings) -> None:
    assert reindex(settings, progress=lambda _done, _total: None) == 17


INVENTED_ROW = """
INSERT INTO index_record (idx, record_id, kind, subject, result, time, envelope_sha256)
VALUES (99, 'x', 'restore-drill', 'backup:erp/1', 'PASSED', '2026-11-01T00:00:00.000Z', '00')
"""
INVENTED_VERDICT = """
INSERT INTO index_verdict (idx, control, verdict, service, count)
VALUES (2, 'postgres.transport', 'fail', 'erp-plant1', 1)
"""
EDITS = {
    "a failed drill turned passed": (
        "UPDATE index_record SET result = 'PASSED' WHERE idx = 3",
        "row 3 differs from its record: result is 'PASSED', the record says 'FAILED'",
    ),
    "another time": ("UPDATE index_record SET time = '2020-01-01T00:00:00.000Z' WHERE idx = 3", "row 3 differs"),
    "another service": ("UPDATE index_record SET service = 'erp-plant1' WHERE idx = 3", "row 3 differs"),
    "another digest": ("UPDATE index_record SET envelope_sha256 = '00' WHERE idx = 3", "row 3 differs"),
    "another record id": ("UPDATE index_record SET record_id = 'x' WHERE idx = 3", "row 3 differs"),
    "a row removed": ("DELETE FROM index_record WHERE idx = 3", "row 3 is missing"),
    "a row for a record that is not there": (INVENTED_ROW, "row 99 is of no record"),
    "a verdict's count": ("UPDATE index_verdict SET count = 1 WHERE idx = 1 AND verdict = 'fail'", "row 1 differs"),
    "a verdict removed": ("DELETE FROM index_verdict WHERE idx = 4", "row 4 differs"),
    "a verdict added": (INVENTED_VERDICT, "row 2 differs"),
}


@pytest.mark.parametrize("attack", EDITS)
def test_an_edited_index_is_named_by_verify_and_mended_by_reindex(settings: Settings, attack: str) -> None:
    assert blamed(settings) == []
    statement, problem = EDITS[attack]
    edit(settings, statement)
    [told] = blamed(settings)
    assert told.startswith(problem)
    assert "guardian evidence reindex" in told
    rebuild(settings)
    assert blamed(settings) == []
    assert verify_live(settings).ok


@pytest.mark.parametrize("attack", EDITS)
def test_an_edited_index_never_changes_what_a_served_record_says(settings: Settings, attack: str) -> None:
    edit(settings, EDITS[attack][0])
    with Reading(settings) as reading:
        served = {row["index"]: row for row in reading.records(ALL)["records"]}
        assert sorted(served) == list(range(17))
        assert (served[FAILED]["result"], served[FAILED]["service"]) == ("FAILED", "secret-plant2")
        for wanted in ({"kind": "restore-drill"}, {"verdict": "pass"}, {"asset": "erp"}, {"service": "erp-plant1"}):
            for row in reading.records(ALL, **wanted)["records"]:  # type: ignore[arg-type] # one filter at a time
                assert row == served[row["index"]]
        assert reading.record(ALL, FAILED)["record"]["result"] == "FAILED"
        drills = {drill["index"]: drill["verdict"] for drill in reading.drills(ALL)["drills"]}
        assert drills.get(FAILED, "fail") == "fail"


def test_a_failed_record_turned_passed_is_mended_by_the_search_that_meets_it(settings: Settings) -> None:
    edit(settings, EDITS["a failed drill turned passed"][0])
    assert (FAILED, "FAILED") not in found(settings, kind="restore-drill", verdict="pass")
    assert (FAILED, "FAILED") in found(settings, kind="restore-drill", verdict="fail")
    assert blamed(settings) == []


def test_a_removed_row_comes_back_when_a_process_begins_to_read(settings: Settings) -> None:
    edit(settings, "DELETE FROM index_record WHERE idx IN (3, 4, 9)")
    assert (FAILED, "FAILED") in found(settings, verdict="fail")
    assert blamed(settings) == []


def test_a_record_moved_into_a_callers_service_is_not_shown_to_him(settings: Settings) -> None:
    edit(settings, "UPDATE index_record SET service = 'erp-plant1'")
    with Reading(settings) as reading:
        mine = reading.records(Scope(frozenset({"erp-plant1"})))["records"]
        assert {row["service"] for row in mine} == {"erp-plant1", None}
        assert {row["kind"] for row in mine if row["service"] is None} == {"key-event"}
        with pytest.raises(NotFoundError):
            reading.record(Scope(frozenset({"erp-plant1"})), FAILED)


def test_a_record_id_that_the_index_gives_to_another_record_finds_the_right_one_or_none(settings: Settings) -> None:
    with Reading(settings) as reading:
        ids = {row["index"]: row["recordId"] for row in reading.records(ALL)["records"]}
    edit(settings, "UPDATE index_record SET record_id = 'x' WHERE idx = 3")
    edit(settings, f"UPDATE index_record SET record_id = '{ids[FAILED]}' WHERE idx = 2")
    with Reading(settings) as reading:
        for index in (FAILED, 2):
            with contextlib.suppress(NotFoundError):
                assert reading.record(ALL, ids[index])["record"]["index"] == index
    rebuild(settings)
    with Reading(settings) as reading:
        assert reading.record(ALL, ids[FAILED])["record"]["index"] == FAILED


def test_an_invented_verdict_finds_no_record_that_did_not_come_to_it(settings: Settings) -> None:
    edit(settings, INVENTED_VERDICT)
    assert found(settings, control=TRANSPORT, verdict="fail") == [(15, "FAILED"), (4, "FAILED"), (1, "FAILED")]
    assert blamed(settings) == []


def test_an_index_that_is_lost_is_made_anew_from_the_log(settings: Settings) -> None:
    before = found(settings, kind="restore-drill")
    edit(settings, "DELETE FROM index_record")
    edit(settings, "DELETE FROM index_verdict")
    assert blamed(settings) == []  # behind is no lie
    assert found(settings, kind="restore-drill") == before
    rebuild(settings)
    assert found(settings, control=TRANSPORT, verdict="fail") == [(15, "FAILED"), (4, "FAILED"), (1, "FAILED")]


def test_a_row_of_a_record_to_come_does_not_stand_in_for_it(settings: Settings) -> None:
    edit(settings, INVENTED_ROW.replace("99", "17"))
    index = Writer(settings, minute=60).drill("erp", "fail")
    assert index == 17
    assert (17, "FAILED") in found(settings, kind="restore-drill")
    assert blamed(settings) == []


@pytest.mark.parametrize("column", ["envelope", "entry"])
def test_a_record_edited_in_the_log_is_refused_not_served(settings: Settings, column: str) -> None:
    value = "(SELECT envelope FROM log_entry WHERE idx = 2)" if column == "envelope" else "CAST('x' AS {})"
    blob = "bytea" if isinstance(settings.storage.database, Secret) else "blob"
    edit(settings, f"UPDATE log_entry SET {column} = {value.format(blob)} WHERE idx = 3")
    with Reading(settings) as reading, pytest.raises(EvidenceError):
        reading.record(ALL, FAILED)
    with Reading(settings) as reading, pytest.raises(EvidenceError):
        reading.records(ALL)


def test_two_records_put_in_each_others_place_are_refused_by_a_process_that_read_the_log_before(
    settings: Settings,
) -> None:
    with Reading(settings) as reading:
        reading.records(ALL, limit=1)
    for old, new in ((2, 1000), (3, 2), (1000, 3)):
        edit(settings, f"UPDATE log_entry SET idx = {new} WHERE idx = {old}")
    with Reading(settings) as reading:
        for index in (2, 3):
            with pytest.raises(EvidenceError, match="its entry is not the one that was logged there"):
                reading.record(ALL, index)
