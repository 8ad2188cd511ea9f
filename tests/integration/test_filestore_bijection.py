"""Rows of ir_attachment against files: every way in which they can part, and none where they belong together."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from verifiers.filestore import FilestoreError, bijection, names_in_snapshot
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = """
    CREATE TABLE ir_attachment (id serial PRIMARY KEY, name varchar, store_fname varchar, checksum varchar(40),
        file_size integer, db_datas bytea)
"""


class Pair:
    """A database with attachments and its filestore."""

    def __init__(self, url: str, root: Path, connection: psycopg.Connection[Any]) -> None:
        self.url, self.root, self.connection = url, root, connection

    def attach(self, data: bytes) -> str:
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        (self.root / sha1[:2]).mkdir(exist_ok=True)
        (self.root / sha1[:2] / sha1).write_bytes(data)
        self.row(f"{sha1[:2]}/{sha1}", sha1, len(data))
        return f"{sha1[:2]}/{sha1}"

    def row(self, name: str | None, checksum: str | None, size: int | None, data: bytes | None = None) -> None:
        query = "INSERT INTO ir_attachment (store_fname, checksum, file_size, db_datas) VALUES (%s, %s, %s, %s)"
        self.connection.execute(query, (name, checksum, size, data))

    def change(self, statement: str, *values: object) -> None:
        self.connection.execute(statement.encode(), values)

    def look(self) -> Any:
        return bijection(self.url, self.root)


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[Pair]:
    root = tmp_path / "filestore"
    root.mkdir()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLE)
        pair = Pair(postgres_url, root, connection)
        rng = random.Random(2)
        for size in range(1, 40):
            pair.attach(rng.randbytes(size))
        pair.row(None, "0" * 40, 5, b"small")  # kept in the database
        pair.row(None, None, None)  # a link, with no content
        yield pair


def test_pair_that_belongs_together_passes(pair: Pair) -> None:
    check = pair.look()
    assert (check.id, check.level, check.verdict) == ("filestore.bijection", Assurance.SOUND, Verdict.PASS)
    assert (check.observed["rows"], check.observed["files"]) == (39, 39)


def test_two_rows_may_share_a_file(pair: Pair) -> None:
    name = pair.attach(b"twice")
    pair.row(name, name[3:], 5)
    assert pair.look().verdict is Verdict.PASS


def test_rows_without_their_files_fail_and_are_counted(pair: Pair) -> None:
    lost = sorted(path for path in pair.root.rglob("*") if path.is_file())[:25]
    for path in lost:
        path.unlink()
    check = pair.look()
    assert check.verdict is Verdict.FAIL
    assert check.observed["rowsWithoutFile"] == 25
    assert check.observed["rowsWithoutFileNames"] == [str(path.relative_to(pair.root)) for path in lost[:20]]
    assert "25 rows without their file" in check.message


def test_file_without_a_row_fails(pair: Pair) -> None:
    name = pair.attach(b"row to be lost")
    pair.change("DELETE FROM ir_attachment WHERE store_fname = %s", name)
    check = pair.look()
    assert check.verdict is Verdict.FAIL
    assert check.observed["filesWithoutRowNames"] == [name]


def test_file_that_waits_for_odoos_garbage_collector_needs_no_row(pair: Pair) -> None:
    name = pair.attach(b"row deleted a minute ago")
    pair.change("DELETE FROM ir_attachment WHERE store_fname = %s", name)
    (pair.root / "checklist" / name[:2]).mkdir(parents=True)
    (pair.root / "checklist" / name).touch()
    check = pair.look()
    assert check.verdict is Verdict.PASS
    assert check.observed["awaitingCollection"] == 1


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE ir_attachment SET file_size = file_size + 1 WHERE store_fname = %s", "sizeDiffers"),
        ("UPDATE ir_attachment SET checksum = repeat('0', 40) WHERE store_fname = %s", "checksumDiffers"),
        ("UPDATE ir_attachment SET db_datas = 'twice' WHERE store_fname = %s", "contentTwice"),
    ],
)
def test_row_that_disagrees_with_its_file_fails(pair: Pair, statement: str, kind: str) -> None:
    name = pair.attach(b"the file")
    pair.change(statement, name)
    check = pair.look()
    assert check.verdict is Verdict.FAIL
    assert check.observed[f"{kind}Names"] == [name]
    assert sum(check.observed[each] for each in check.expected) == 1


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "Mrs Canary", "ab/Mrs Canary", ""])
def test_name_that_is_no_hash_is_not_followed_and_not_shown(pair: Pair, name: str) -> None:
    pair.row(name, "0" * 40, 1)
    check = pair.look()
    assert check.verdict is Verdict.FAIL
    assert check.observed["rowsWithoutFile"] == 1
    assert "Canary" not in repr(check)
    assert "passwd" not in repr(check)


@pytest.mark.parametrize("statement", ["DROP TABLE ir_attachment", "ALTER TABLE ir_attachment DROP COLUMN file_size"])
def test_attachments_in_another_shape_could_not_be_checked(pair: Pair, statement: str) -> None:
    pair.change(statement)
    check = pair.look()
    assert check.verdict is Verdict.ERROR
    assert "ir_attachment lacks" in check.message


def test_unreachable_database_or_filestore_could_not_be_checked(pair: Pair) -> None:
    assert bijection(psycopg.conninfo.make_conninfo(pair.url, dbname="nowhere"), pair.root).verdict is Verdict.ERROR
    assert bijection(pair.url, pair.root / "nowhere").verdict is Verdict.ERROR


def test_names_are_those_of_the_snapshot_whatever_happened_since(pair: Pair) -> None:
    with exported_snapshot(pair.url) as snapshot:
        pair.attach(b"later")
        assert len(names_in_snapshot(pair.url, snapshot.id)) == 39
    assert len(names_in_snapshot(pair.url, None)) == 40
    with pytest.raises(FilestoreError, match="SQLSTATE"):
        names_in_snapshot(pair.url, "00000000-00000000-1'; DROP TABLE ir_attachment; --")
    assert pair.look().verdict is Verdict.PASS
