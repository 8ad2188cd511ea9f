"""The wrapped backup of an Odoo pair, taken while a writer writes, and the demo's faults in it, with the real tools."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.usecases import demo_estate as estate
from guardian.usecases import demo_faults as faults
from guardian.usecases.demo_writer import Writer
from guardian.usecases.odoo_backup import BackupError, backup_odoo_pair
from verifiers.postgres.archive import read_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

_NAME = "backup_source"
_BACK = "backup_restored"


@pytest.fixture
def source(postgres_server: SandboxServer, tmp_path: Path) -> Iterator[Path]:
    """The filestore of a small estate in the database `backup_source`."""
    estate.build(postgres_server.conninfo(), [_NAME], tmp_path / "source", scale=0.05)
    yield tmp_path / "source" / _NAME
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        for name in (_NAME, _BACK):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE {estate.OWNER}")


@contextmanager
def _snapshot(server: SandboxServer) -> Iterator[tuple[str, set[tuple[object, ...]]]]:
    """Hold an exported snapshot; yield its id and the attachments that it sees."""
    with psycopg.connect(server.conninfo(_NAME)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        rows = connection.execute("SELECT store_fname, checksum, file_size FROM ir_attachment WHERE store_fname <> ''")
        yield row[0], set(rows.fetchall())


def _run(server: SandboxServer, source: Path, target: Path, snapshot: str, *options: str) -> Path:
    """Run the demo's backup command as `guardian manifest` does; return the new backup's folder."""
    target.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "guardian.usecases.demo_backup", "--filestore", str(source)]
    command += ["--pg-dump", str(server.programs.program("pg_dump")), *options]
    subprocess.run(command, env={**os.environ, **_variables(server, snapshot, target)}, check=True, timeout=120)
    [backup] = target.iterdir()
    return backup


def _variables(server: SandboxServer, snapshot: str, target: Path) -> dict[str, str]:
    parts = psycopg.conninfo.conninfo_to_dict(server.url(_NAME))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "password": "PGPASSWORD"}
    given = {names[key]: str(value) for key, value in parts.items() if key in names}
    return {**given, "GUARDIAN_SNAPSHOT": snapshot, "GUARDIAN_BACKUP_DIR": str(target)}


def _restore(server: SandboxServer, dump: Path) -> subprocess.CompletedProcess[bytes]:
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {_BACK} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {_BACK} TEMPLATE template0")
    command = [
        str(server.programs.program("pg_restore")),
        f"--dbname={server.url(_BACK)}",
        "--exit-on-error",
        str(dump),
    ]
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


def _rows(server: SandboxServer, database: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(server.conninfo(database)) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for (name,) in tables}


def _files(backup: Path) -> dict[str, int]:
    root = backup / "filestore"
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def test_backup_taken_while_writing_holds_exactly_the_files_its_snapshot_names(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    with Writer(postgres_server.conninfo(_NAME), source, pause_s=0.001) as writer:
        assert writer.wait_for_first(60)
        with _snapshot(postgres_server) as (snapshot, seen):
            while writer.by_kind.get("attachments added", 0) < 5:  # files the snapshot does not know
                assert not writer.failed
            backup = _run(postgres_server, source, tmp_path / "backups", snapshot)
    assert _files(backup) == {name: size for name, _, size in seen}
    assert len(list(source.rglob("*"))) > len(seen)
    restored = _restore(postgres_server, backup / "db.dump")
    assert restored.returncode == 0, restored.stderr
    with psycopg.connect(postgres_server.conninfo(_BACK)) as connection:
        rows = connection.execute("SELECT store_fname, checksum, file_size FROM ir_attachment WHERE store_fname <> ''")
        assert set(rows.fetchall()) == seen


def test_backup_shares_no_file_with_its_source_and_is_private(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    with _snapshot(postgres_server) as (snapshot, _):
        backup = _run(postgres_server, source, tmp_path / "backups", snapshot)
    inodes = {path.stat().st_ino for path in source.rglob("*")}
    for path in [backup, *backup.rglob("*")]:
        assert path.stat().st_ino not in inodes
        assert path.stat().st_mode & 0o077 == 0


def test_garbage_collector_waits_and_users_do_not_while_files_are_copied(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    """A pg_dump that never ends stands for a long copy: the lock is held from before the dump until the last file."""
    slow = tmp_path / "pg_dump"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    (tmp_path / "backups").mkdir()
    with _snapshot(postgres_server) as (snapshot, _), psycopg.connect(postgres_server.conninfo(_NAME)) as odoo:
        command = [sys.executable, "-m", "guardian.usecases.odoo_backup", "--filestore", str(source)]
        environment = {**os.environ, **_variables(postgres_server, snapshot, tmp_path / "backups")}
        with subprocess.Popen([*command, "--pg-dump", str(slow)], env=environment) as running:
            held = (
                "SELECT count(*) FROM pg_locks WHERE relation = 'ir_attachment'::regclass AND mode = 'RowExclusiveLock'"
            )
            while odoo.execute(held).fetchone() == (0,):
                assert running.poll() is None
            odoo.execute("INSERT INTO ir_attachment (name, type) VALUES ('while it runs', 'url')")
            odoo.commit()
            odoo.execute("SET LOCAL lock_timeout TO '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                odoo.execute("LOCK ir_attachment IN SHARE MODE")  # what Odoo's collector does first
            odoo.rollback()
            running.terminate()


def test_failed_dump_leaves_nothing_and_says_what_pg_dump_said(
    postgres_server: SandboxServer, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "pg_dump"
    broken.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    broken.chmod(0o755)
    target = tmp_path / "backups"
    target.mkdir()
    with _snapshot(postgres_server) as (snapshot, _):
        for name, value in _variables(postgres_server, snapshot, target).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(BackupError, match="exited 1: no space left"):
            backup_odoo_pair(
                snapshot=snapshot, filestore=source, backup_dir=target, now=datetime.now(UTC), pg_dump=str(broken)
            )
    assert list(target.iterdir()) == []


def test_names_that_lead_out_of_the_filestore_are_not_followed_and_missing_files_are_told(
    postgres_server: SandboxServer, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("not yours")
    target = tmp_path / "backups"
    target.mkdir()
    with psycopg.connect(postgres_server.conninfo(_NAME)) as connection:
        for name in ("../../secret", f"{tmp_path}/secret", "s3://bucket/key"):
            connection.execute(
                "INSERT INTO ir_attachment (name, type, store_fname) VALUES ('a', 'binary', %s)", (name,)
            )
    victim = next(path for path in sorted(source.rglob("*")) if path.is_file())
    victim.unlink()
    with _snapshot(postgres_server) as (snapshot, _):
        for name, value in _variables(postgres_server, snapshot, target).items():
            monkeypatch.setenv(name, value)
        done = backup_odoo_pair(
            snapshot=snapshot,
            filestore=source,
            backup_dir=target,
            now=datetime.now(UTC),
            pg_dump=str(postgres_server.programs.program("pg_dump")),
        )
    assert done.elsewhere == 3
    assert list(done.missing) == [str(victim.relative_to(source))]
    assert "secret" not in {path.name for path in done.folder.rglob("*")}


def test_altered_digit_restores_without_a_word_and_changes_one_amount_of_one_row(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    with _snapshot(postgres_server) as (snapshot, _):
        good = _run(postgres_server, source, tmp_path / "good", snapshot)
        bad = _run(postgres_server, source, tmp_path / "bad", snapshot, "--alter-digit")
    assert (good / "db.dump").stat().st_size == (bad / "db.dump").stat().st_size
    assert _restore(postgres_server, good / "db.dump").returncode == 0
    right = _rows(postgres_server, _BACK)
    restored = _restore(postgres_server, bad / "db.dump")
    assert (restored.returncode, restored.stderr) == (0, b"")
    wrong = _rows(postgres_server, _BACK)
    assert {table for table in right if right[table] != wrong[table]} == {"account_move_line"}
    changed = [
        (before, after)
        for old, new in zip(right["account_move_line"], wrong["account_move_line"], strict=True)
        for before, after in zip(old, new, strict=True)
        if before != after
    ]
    assert len(changed) == 1
    before, after = (str(value) for value in changed[0])
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_digit_is_found_also_where_a_row_straddles_two_pieces_of_the_data(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    """The data of a dump comes in pieces that end anywhere; here in the middle of the amount that is changed."""
    with _snapshot(postgres_server) as (snapshot, _):
        backup = _run(postgres_server, source, tmp_path / "backups", snapshot)
    whole = backup / "db.dump"
    altered = tmp_path / "altered.dump"
    altered.write_bytes(whole.read_bytes())
    where = faults.alter_digit(altered)
    data = whole.read_bytes()
    archive = read_archive(whole)
    start = next(e.offset for e in archive.entries if e.tag == where.table and e.desc == "TABLE DATA")
    assert start is not None
    piece = start + 6  # after the block's type and id; a piece is a sign byte, a length of four bytes, and its data
    while where.offset >= piece + 5 + (length := int.from_bytes(data[piece + 1 : piece + 5], "little")):
        piece += 5 + length
    cut = where.offset - piece - 5
    split = data[:piece] + b"\0" + cut.to_bytes(4, "little") + data[piece + 5 : piece + 5 + cut]
    split += b"\0" + (length - cut).to_bytes(4, "little") + data[piece + 5 + cut :]
    pieces = tmp_path / "pieces.dump"
    pieces.write_bytes(split)
    found = faults.alter_digit(pieces)
    assert (found.table, found.column, found.row) == (where.table, where.column, where.row)
    assert found.offset == where.offset + 5
    assert pieces.read_bytes()[found.offset] == altered.read_bytes()[where.offset]


def test_compressed_dump_cannot_be_altered_and_says_so(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    with _snapshot(postgres_server) as (snapshot, _):
        backup = _run(postgres_server, source, tmp_path / "backups", snapshot, "--compress=6")
    with pytest.raises(faults.FaultError, match="--compress=0"):
        faults.alter_digit(backup / "db.dump")


def test_lost_files_are_always_the_same_and_truncated_archive_still_lists(
    postgres_server: SandboxServer, source: Path, tmp_path: Path
) -> None:
    with _snapshot(postgres_server) as (snapshot, _):
        one = _run(postgres_server, source, tmp_path / "one", snapshot)
        two = _run(postgres_server, source, tmp_path / "two", snapshot)
    before = _files(one)
    lost = faults.lose_files(one)
    assert lost == faults.lose_files(two)
    assert len(lost) == faults.LOST_FILES == len(before) - len(_files(one))
    assert set(before) - set(_files(one)) == set(lost)
    size = (one / "db.dump").stat().st_size
    assert faults.truncate_archive(one) == (one / "db.dump").stat().st_size < size
    listing = [str(postgres_server.programs.program("pg_restore")), "--list", str(one / "db.dump")]
    assert subprocess.run(listing, capture_output=True, timeout=60, check=False).returncode == 0
    assert _restore(postgres_server, one / "db.dump").returncode != 0
