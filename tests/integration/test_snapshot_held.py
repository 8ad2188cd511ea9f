"""The exporting session: what it holds still, what it leaves alone, and when it gives up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.restore_support import KEY
from verifiers.postgres.manifest import ManifestError, capture
from verifiers.postgres.snapshot import SequenceState, exported_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def session(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE SEQUENCE s")
        yield connection


def test_rows_written_after_the_snapshot_are_not_in_the_manifest(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    with exported_snapshot(postgres_url) as snapshot:
        session.execute("INSERT INTO t VALUES (2); CREATE TABLE later (v int)")
        manifest = capture(postgres_url, snapshot=snapshot, key=KEY)
    assert {name: table.rows for name, table in manifest.tables.items()} == {"public.t": 1}
    assert manifest.lsn == snapshot.lsn
    assert capture(postgres_url, key=KEY).tables["public.t"].rows == 2


def test_sequences_are_read_before_the_snapshot_so_that_no_dump_is_behind_them(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute("SELECT setval('s', 41)")
    with exported_snapshot(postgres_url) as snapshot:
        session.execute("SELECT nextval('s')")
        manifest = capture(postgres_url, snapshot=snapshot, key=KEY)
    assert manifest.sequences == {"public.s": SequenceState(41, True, 1, False)}


def test_value_set_and_not_yet_handed_out_is_kept(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("SELECT setval('s', 500, false)")
    assert capture(postgres_url, key=KEY).sequences == {"public.s": SequenceState(500, False, 1, False)}


@pytest.mark.parametrize(
    "statement", ["TRUNCATE t", "DROP TABLE t", "ALTER TABLE t ALTER v TYPE bigint", "VACUUM FULL t"]
)
def test_table_replaced_after_the_snapshot_is_refused_and_not_taken_for_empty(
    session: psycopg.Connection[Any], postgres_url: str, statement: str
) -> None:
    with exported_snapshot(postgres_url) as snapshot:
        session.execute("SET lock_timeout = '5s'")
        session.execute(statement.encode())  # nobody is kept waiting by the snapshot alone
        with pytest.raises(ManifestError, match=r"truncated or rewritten|dropped"):
            capture(postgres_url, snapshot=snapshot, key=KEY)


def test_nobody_who_reads_or_writes_waits_for_a_capture(session: psycopg.Connection[Any], postgres_url: str) -> None:
    session.execute("INSERT INTO t SELECT generate_series(1, 200000)")
    session.execute("SET lock_timeout = '2s'")
    written: list[int] = []

    def write(done: int, _: int) -> None:
        written.append(done)
        session.execute("INSERT INTO t VALUES (2); UPDATE t SET v = 3 WHERE v = 77; DELETE FROM t WHERE v = 78")

    assert capture(postgres_url, key=KEY, progress=write, split_blocks=100).tables["public.t"].rows == 200001
    assert len(written) > 5


def test_table_that_stays_locked_ends_the_capture_with_the_reason(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    session.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(ManifestError, match="altered"):
        capture(postgres_url, key=KEY, lock_timeout_s=0.2)
    session.execute("ROLLBACK")
    assert capture(postgres_url, key=KEY, lock_timeout_s=0.2).rows == 1


def test_user_who_waits_to_alter_a_table_keeps_no_capture_from_ending(
    session: psycopg.Connection[Any], postgres_url: str
) -> None:
    """The worst order: an ALTER TABLE queues behind the first session, so that no further one gets the table."""
    session.execute("INSERT INTO t SELECT generate_series(1, 50000)")
    threads: list[threading.Thread] = []

    def alter() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE t ADD w int")

    def start(*_: int) -> None:
        if not threads:
            threads.append(threading.Thread(target=alter))
            threads[0].start()

    with exported_snapshot(postgres_url) as snapshot:
        manifest = capture(postgres_url, snapshot=snapshot, key=KEY, progress=start, split_blocks=10, workers=4)
    threads[0].join()
    assert manifest.tables["public.t"].rows == 50001


def test_snapshot_that_is_over_cannot_be_captured(postgres_url: str) -> None:
    with exported_snapshot(postgres_url) as snapshot:
        pass
    with pytest.raises(ManifestError, match="could not be captured"):
        capture(postgres_url, snapshot=snapshot, key=KEY)


def test_holding_it_leaves_no_session_behind(session: psycopg.Connection[Any], postgres_url: str) -> None:
    with exported_snapshot(postgres_url) as snapshot:
        capture(postgres_url, snapshot=snapshot, key=KEY)
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    # A server process outlives its closed connection by a moment.
    deadline = time.monotonic() + 30
    while (left := session.execute(query).fetchone()) != (0,):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
