"""The index follows the log by itself: without keys, in bounded steps, whoever else does so at the same time."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from evidence.errors import LogRolledBackError
from guardian.store import index
from guardian.store.database import Database
from guardian.usecases import indexing, proven
from guardian.usecases.ledger import Ledger, database_url
from guardian.usecases.reading import Reading, Scope
from tests.reading_support import TRANSPORT, Writer, environment
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

ALL = Scope()


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "sqlite":
        return environment(tmp_path)
    monkeypatch.setenv("READING_URL", request.getfixturevalue("postgres_url"))
    return environment(tmp_path, database='"env:READING_URL"')


def indexed(settings: Settings) -> dict[str, list[Any]]:
    with Database(settings) as database, database.reading() as session:
        records, verdicts = index.rows(session, 0, 1000)
    return {
        "records": sorted(records.values()),
        "verdicts": sorted(one for found in verdicts.values() for one in found),
    }


def reach(settings: Settings) -> int:
    with Database(settings) as database, database.reading() as session:
        return index.reach(session)


def test_verdicts_are_counted_by_control_verdict_and_service(settings: Settings) -> None:
    writer = Writer(settings)
    whole = writer.scan({TRANSPORT: {"erp-plant1": ["pass", "pass"], "secret-plant2": ["fail"], None: ["skip"]}})
    bare = writer.scan({TRANSPORT: {"erp-plant1": ["pass"], "secret-plant2": ["pass", "error"]}}, attach=False)
    decision = writer.decision("erp-plant1", TRANSPORT, "fail")
    with Reading(settings) as reading:
        reading.records(ALL)
    assert [tuple(one) for one in indexed(settings)["verdicts"]] == [
        (whole, TRANSPORT, "fail", "secret-plant2", 1),
        (whole, TRANSPORT, "pass", "erp-plant1", 2),
        (whole, TRANSPORT, "skip", "", 1),
        (bare, TRANSPORT, "error", "", 1),  # without attachments nobody knows of which service
        (bare, TRANSPORT, "pass", "", 2),
        (decision, TRANSPORT, "fail", "erp-plant1", 1),
    ]


def test_nothing_of_the_signing_keys_is_needed_to_read_and_to_index(settings: Settings) -> None:
    Writer(settings).some_of_all()
    shutil.rmtree(settings.keys.record.path.parent)
    with Reading(settings) as reading:
        assert len(reading.records(ALL, kind="restore-drill")["records"]) == 7
        assert reading.record(ALL, 3)["proof"]["treeSize"] == 17
        assert reading.services(ALL)["services"][0]["verdict"] == "fail"
    assert reach(settings) == 17


def test_an_index_made_step_by_step_is_the_one_made_at_once(settings: Settings) -> None:
    writer = Writer(settings)
    for step in (writer.some_of_all, writer.drill, writer.decision):
        step()
        with Reading(settings) as reading:
            reading.records(ALL)
    step_by_step = indexed(settings)
    assert len(step_by_step["records"]) == 19
    assert indexing.reindex(settings, progress=lambda _done, _total: None) == 19
    assert indexed(settings) == step_by_step


def test_each_call_adds_a_bounded_number_of_records_and_says_how_many_are_lacking(settings: Settings) -> None:
    Writer(settings).some_of_all()
    with Ledger(settings, writable=False) as ledger, Database(settings) as database:
        known = proven.proven(database_url(settings), ledger.root)
        known.grow(ledger.log)
        reached: list[int] = []
        while not reached or reached[-1] < 17:
            reached.append(indexing.follow(ledger.log, known, database, most=5))
    assert reached == [5, 10, 15, 17]


def test_an_index_that_is_behind_tells_so_and_finds_records_by_id_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(settings)
    writer.some_of_all()
    monkeypatch.setattr(indexing.follow, "__kwdefaults__", {"most": 5})
    with Reading(settings) as reading:
        page = reading.records(ALL, kind="restore-drill")
        assert ([row["index"] for row in page["records"]], page["size"], page["behind"]) == ([3, 2], 17, 12)
        newest = writer.appended[-1]
        assert reading.record(ALL, newest[1])["record"]["index"] == newest[0]
        assert len(reading.records(ALL)["records"]) == 17  # what is not searched needs no index


def test_many_readers_at_once_index_each_record_once(settings: Settings) -> None:
    Writer(settings).some_of_all()
    found: list[Any] = []

    def read() -> None:
        try:
            with Reading(settings) as reading:
                found.append(len(reading.records(ALL)["records"]))
                reading.records(ALL, kind="restore-drill")
        except BaseException as error:
            found.append(error)
            raise

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [17] * 8
    with Reading(settings) as reading:
        reading.records(ALL)
    assert [record.idx for record in indexed(settings)["records"]] == list(range(17))


def test_two_processes_that_index_the_same_records_leave_one_row_each(settings: Settings) -> None:
    Writer(settings).some_of_all()
    with Ledger(settings, writable=False) as ledger, Database(settings) as database:
        knowns = [proven.Proven(ledger.root), proven.Proven(ledger.root)]
        for known in knowns:
            known.grow(ledger.log)
        rows = [
            [indexing.rows_of(ledger.log, row, known.verified(row)) for row in ledger.log.rows()] for known in knowns
        ]
        database.migrate()
        for found in rows:
            indexing.write(database, found)
    assert [record.idx for record in indexed(settings)["records"]] == list(range(17))


def test_a_log_put_back_to_an_older_state_is_refused_by_whoever_saw_the_newer(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    writer = Writer(settings)
    writer.drill()
    state = tmp_path / ".guardian"
    with Reading(settings) as reading:
        reading.records(ALL)
    shutil.copytree(state, tmp_path / "old")
    writer.drill()
    with Reading(settings) as reading:
        assert reading.records(ALL)["size"] == 3
    shutil.rmtree(state)
    shutil.move(tmp_path / "old", state)
    with Reading(settings) as reading, pytest.raises(LogRolledBackError, match="had 3 records a moment ago"):
        reading.records(ALL)


def test_an_environment_that_nobody_read_yet_verifies_without_an_index(settings: Settings) -> None:
    Writer(settings).drill()
    result = guardian("evidence", "verify", "--config", str(settings.path))
    assert result.code == 0, result.stderr


def test_the_command_reindexes_and_verify_exits_1_for_an_index_that_lies(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    Writer(settings).some_of_all()
    config = ("--config", str(settings.path))
    done = guardian("evidence", "reindex", "--format", "json", *config)
    assert (done.code, orjson.loads(done.stdout)) == (0, {"records": 17})
    with Database(settings) as database, database.writing() as session:
        index.remove(session, [5])
    lying = guardian("evidence", "verify", "--format", "json", *config)
    assert lying.code == 1
    assert orjson.loads(lying.stdout)["problems"] == [
        {"member": "index", "message": "row 5 is missing; `guardian evidence reindex` adds it"}
    ]
    assert guardian("evidence", "reindex", *config).code == 0
    assert guardian("evidence", "verify", *config).code == 0
