"""One contract for the log on every database: what is appended stays, in order, once, and under a signed head."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from evidence import checkpoint, dsse, entry, merkle, statement, store
from evidence.errors import EvidenceError, InvalidEvidenceError, LogRolledBackError
from evidence.strict import b64encode
from evidence.verify import verified_records, verify_log
from tests.evidence_support import LOG_KEY, ORIGIN, ROOT, Place, key_event, record, sqlite_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evidence.log import Log

CHILD = Path(__file__).parent.parent / "evidence_child.py"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return sqlite_place(tmp_path)
    return Place(request.getfixturevalue("postgres_url"), tmp_path / "state" / "objects")


@pytest.fixture
def log(place: Place) -> Iterator[Log]:
    with place.open() as opened:
        yield opened


def test_a_new_log_is_empty_and_has_no_checkpoint(log: Log) -> None:
    assert (log.size, log.checkpoint(), log.beacon(), list(log.entries())) == (0, None, None, [])
    assert log.append([]) == []


def test_what_is_appended_is_read_back_to_the_byte_also_after_reopening(place: Place) -> None:
    envelopes = [key_event(), *(record(note=f"größe {number}") for number in range(5))]
    with place.open() as log:
        assert [one.index for one in log.append(envelopes[:1])] == [0]
        assert [one.index for one in log.append(envelopes[1:])] == [1, 2, 3, 4, 5]
    with place.open(writable=False) as log:
        assert [log.envelope(index) for index in range(6)] == envelopes
        assert [row.envelope for row in log.rows(2, 4)] == envelopes[2:4]
        assert len(list(log.entries(1))) == 5
        with pytest.raises(InvalidEvidenceError, match="record 6 is missing"):
            log.envelope(6)


def test_the_checkpoint_covers_every_append_and_every_proof_leads_to_it(log: Log) -> None:
    log.append([key_event()])
    for number in range(1, 20):
        log.append([record()])
        note = checkpoint.parse(log.checkpoint() or b"")
        note.verify(LOG_KEY.public)
        assert note.size == log.size == number + 1
        assert log.beacon() == {"origin": ORIGIN, "size": note.size, "root": b64encode(note.root)}
        for index, data in enumerate(log.entries()):
            path = log.inclusion_proof(index, log.size)
            assert merkle.root_from_inclusion(merkle.leaf_hash(data), index, log.size, path) == note.root
        merkle.verify_consistency(
            number, number + 1, log.root(number), note.root, log.consistency_proof(number, number + 1)
        )


def test_a_failing_batch_writes_nothing(log: Log) -> None:
    log.append([key_event()])
    good = record()
    for bad, why in (
        (b"{}", "exactly payload"),
        (record(environment="staging"), "environment 'staging'"),
        (good, "in it already"),
    ):
        with pytest.raises(EvidenceError, match=why):
            log.append([good, bad])
        assert log.size == 1
    log.append([good])
    with pytest.raises(EvidenceError, match="in it already"):
        log.append([good])
    assert [one.index for one in log.append([record()])] == [2]


def test_the_first_record_must_be_the_keyring(log: Log) -> None:
    with pytest.raises(EvidenceError, match="keyring"):
        log.append([record()])
    assert log.size == 0


def test_a_log_opened_for_reading_does_not_write(place: Place) -> None:
    with pytest.raises(EvidenceError, match="no evidence log"):
        place.open(writable=False)
    place.fill()
    with place.open(writable=False) as log:
        assert verify_log(log, ROOT).ok
        with pytest.raises(EvidenceError, match="reading only"):
            log.append([record()])
        with pytest.raises(EvidenceError):
            log._store.append(lambda head: ([(b"entry", b"envelope")], head.peaks))
        assert log.size == 4


def test_another_origin_is_refused(place: Place) -> None:
    place.fill()
    for writable in (True, False):
        with pytest.raises(EvidenceError, match="another log was put in its place"):
            place.open(origin="guardian/production/ffffffff", writable=writable)


def test_another_format_is_refused(place: Place) -> None:
    place.fill()
    execute(place, "UPDATE log_head SET format = 2")
    with pytest.raises(EvidenceError, match="format 2"):
        place.open()


def test_an_emptied_database_is_refused(place: Place) -> None:
    place.fill()
    execute(place, "DELETE FROM log_head")
    with pytest.raises(EvidenceError, match="no log head"):
        place.open(writable=False)
    with pytest.raises(LogRolledBackError, match="0 records"):
        place.open()  # makes a new head, and sees that it is too small


def test_a_healthy_log_verifies_and_lists_its_records(place: Place) -> None:
    place.fill(6)
    with place.open(writable=False) as log:
        report = verify_log(log, ROOT)
        assert (report.problems, report.size, report.records, report.complete) == ((), 6, 6, True)
        assert [one.kind for one in verified_records(log, ROOT)][:2] == ["key-event", "restore-drill"]


def test_a_log_longer_than_one_read_verifies(place: Place) -> None:
    with place.open() as log:
        log.append([key_event()])
        log.append([record() for _ in range(1200)])
        assert verify_log(log, ROOT).records == 1201


def test_attachments_read_back_without_their_salt_and_are_salted_freshly(log: Log) -> None:
    one, other = log.put_object(b"content"), log.put_object(b"content")
    assert one.salted_digest != other.salted_digest
    assert (log.get_object(one.salted_digest), one.size) == (b"content", 7)
    with pytest.raises(InvalidEvidenceError, match="missing"):
        log.get_object("0" * 64)
    with pytest.raises(InvalidEvidenceError, match="no SHA-256"):
        log.get_object("../../etc/passwd")


def test_what_a_crash_left_without_checkpoint_is_signed_at_the_next_opening(place: Place) -> None:
    place.fill(3)
    with closing(store.open_store(place.database, origin=ORIGIN, create=True)) as raw:
        with place.open(writable=False) as log:
            range_of = log.head()
        envelope = record()
        data = entry_of(envelope)
        raw.append(lambda _: ([(data, envelope)], range_of.append([merkle.leaf_hash(data)]).to_bytes()))
    with place.open(writable=False) as log:
        assert "3 of 4 records" in str(verify_log(log, ROOT).problems)
    with place.open() as log:
        assert checkpoint.parse(log.checkpoint() or b"").size == 4
        assert verify_log(log, ROOT).ok


def entry_of(envelope: bytes) -> bytes:
    return entry.entry_of(envelope, statement.parse_statement(dsse.open_envelope(envelope).payload))


def test_two_processes_appending_at_once_leave_one_right_log(place: Place) -> None:
    with place.open() as log:
        log.append([key_event()])
    children = [spawn(place, 150) for _ in range(3)]
    indexes = [int(line) for child in children for line in child.communicate(timeout=120)[0].split()]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert sorted(indexes) == list(range(1, 451))
    with place.open(writable=False) as log:
        report = verify_log(log, ROOT)
        assert (report.problems, report.records) == ((), 451)
        assert checkpoint.parse(log.checkpoint() or b"").size == 451


def test_a_killed_process_loses_nothing_that_it_acknowledged(place: Place) -> None:
    with place.open() as log:
        log.append([key_event()])
    last = 0
    for lines in (1, 17, 40, 3, 120):
        child = spawn(place, 100_000)
        assert child.stdout is not None
        for _ in range(lines):
            last = int(child.stdout.readline())
        child.kill()  # SIGKILL, in the middle of whatever it does now
        rest, _ = child.communicate(timeout=60)
        acknowledged = [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        last = max([last, *acknowledged])
        with place.open() as log:
            assert log.size > last
            report = verify_log(log, ROOT)
            assert (report.problems, report.records) == ((), log.size)


def spawn(place: Place, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), place.database, str(place.objects), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHILD.parent.parent)


def execute(place: Place, sql: str) -> None:
    """Run SQL behind the log's back."""
    if place.database.startswith("postgresql"):
        with psycopg.connect(place.database) as postgres:
            postgres.execute(sql.encode())
    else:
        with closing(sqlite3.connect(place.database)) as sqlite, sqlite:
            sqlite.execute(sql)


def test_files_of_a_sqlite_log_are_nobody_elses_to_read(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    place.fill()
    for path in (tmp_path / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
