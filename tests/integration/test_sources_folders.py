"""Folders of backups: what is there, oldest first, and copied without ever leaving the folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.restore_support import database, dump
from verifiers.sources import BackupItem, Place, SourceError, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.server import SandboxServer

SECRET = "the host's own secret"


@pytest.fixture(scope="module")
def archive(postgres_server: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with database(postgres_server, "one") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT generate_series(1, 10000) v")
        return dump(postgres_server, url, tmp_path_factory.mktemp("archive") / "db.dump")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "shadow").write_text(SECRET)
    return tmp_path / "host" / "shadow"


def nothing(_: int) -> None:
    """Take no notice."""


def pair(folder: Path, name: str, archive: Path | None, *, filestore: bool = True) -> Path:
    place = folder / name
    place.mkdir()
    if archive:
        shutil.copy(archive, place / "db.dump")
    if filestore:
        (place / "filestore" / "ab").mkdir(parents=True)
        (place / "filestore" / "ab" / ("ab" + "0" * 38)).write_bytes(b"content")
    return place


def dumps(folder: Path) -> list[BackupItem]:
    return list(open_source("postgres", Place("pg_dump", str(folder))).locate())


def pairs(folder: Path) -> list[BackupItem]:
    return list(open_source("odoo", Place("pg_dump", str(folder))).locate())


def test_dumps_are_found_oldest_first_with_time_and_size(folder: Path, archive: Path) -> None:
    for name in ("erp-20260302T110000Z.dump", "erp-20260301T110000Z.dump", "notes.txt", ".hidden.dump", "x.dump.part"):
        shutil.copy(archive, folder / name)
    first, second = dumps(folder)
    assert [first.id, second.id] == ["erp-20260301T110000Z", "erp-20260302T110000Z"]
    assert first.taken_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert first.size_bytes == archive.stat().st_size
    assert first.complete is not False
    assert first.reason == ""


def test_time_of_a_dump_without_a_stamp_is_that_of_its_header(folder: Path, archive: Path) -> None:
    shutil.copy(archive, folder / "nightly.dump")
    os.utime(folder / "nightly.dump", (archive.stat().st_mtime + 90_000,) * 2)
    [item] = dumps(folder)
    assert item.taken_at is not None
    assert abs(item.taken_at - datetime.fromtimestamp(archive.stat().st_mtime, UTC)) < timedelta(minutes=2)


def test_header_from_another_time_zone_that_cannot_be_gives_way_to_the_files_time(folder: Path, archive: Path) -> None:
    shutil.copy(archive, folder / "nightly.dump")
    hours_before = archive.stat().st_mtime - 5 * 3600
    os.utime(folder / "nightly.dump", (hours_before,) * 2)
    [item] = dumps(folder)
    assert item.taken_at == datetime.fromtimestamp(hours_before, UTC)


@pytest.mark.parametrize("content", [b"", b"PG", b"not an archive at all"])
def test_dump_that_cannot_be_whole_is_listed_with_the_reason(folder: Path, content: bytes) -> None:
    (folder / "x.dump").write_bytes(content)
    [item] = dumps(folder)
    assert item.complete is False
    assert item.reason


def test_missing_folder_is_an_error_not_an_empty_one(folder: Path) -> None:
    for kind in ("postgres", "odoo"):
        with pytest.raises(SourceError, match="nowhere"):
            open_source(kind, Place("pg_dump", str(folder / "nowhere"))).locate()


def test_unknown_format_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(SourceError, match="tarball"):
        open_source("postgres", Place("tarball", str(folder)))


def test_fetched_dump_is_the_same_bytes_with_their_digest(folder: Path, into: Path, archive: Path) -> None:
    shutil.copy(archive, folder / "x.dump")
    [item] = dumps(folder)
    seen: list[int] = []
    fetched = open_source("postgres", Place("pg_dump", str(folder))).fetch(item, into, seen.append)
    assert fetched.dump is not None
    assert fetched.dump.read_bytes() == archive.read_bytes()
    assert fetched.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (fetched.filestore, fetched.bytes, seen[-1]) == (None, item.size_bytes, item.size_bytes)
    assert fetched.dump.stat().st_mode & 0o777 == 0o600
    assert fetched.dump.stat().st_ino != (folder / "x.dump").stat().st_ino


def test_fetch_never_overwrites(folder: Path, into: Path, archive: Path) -> None:
    shutil.copy(archive, folder / "x.dump")
    [item] = dumps(folder)
    (into / "db.dump").write_bytes(b"here already")
    with pytest.raises(SourceError):
        open_source("postgres", Place("pg_dump", str(folder))).fetch(item, into, nothing)
    assert (into / "db.dump").read_bytes() == b"here already"


def test_link_inside_the_folder_is_another_name_and_not_another_backup(folder: Path, archive: Path) -> None:
    shutil.copy(archive, folder / "x.dump")
    (folder / "latest.dump").symlink_to("x.dump")
    assert [item.id for item in dumps(folder)] == ["x"]


def test_link_out_of_the_folder_is_listed_and_never_read(folder: Path, into: Path, secret: Path) -> None:
    (folder / "x.dump").symlink_to(secret)
    [item] = dumps(folder)
    assert item.complete is False
    with pytest.raises(SourceError):
        open_source("postgres", Place("pg_dump", str(folder))).fetch(item, into, nothing)
    assert list(into.iterdir()) == []


def test_file_that_became_a_link_or_a_pipe_after_the_listing_is_refused(
    folder: Path, into: Path, archive: Path, secret: Path
) -> None:
    shutil.copy(archive, folder / "x.dump")
    [item] = dumps(folder)
    item.path.unlink()
    item.path.symlink_to(secret)
    with pytest.raises(SourceError):
        open_source("postgres", Place("pg_dump", str(folder))).fetch(item, into, nothing)
    item.path.unlink()
    os.mkfifo(item.path)
    with pytest.raises(SourceError):
        open_source("postgres", Place("pg_dump", str(folder))).fetch(item, into, nothing)


def test_item_of_another_folder_is_refused(folder: Path, into: Path, secret: Path) -> None:
    item = BackupItem("shadow", secret, None, 1, None)
    for kind in ("postgres", "odoo"):
        with pytest.raises(SourceError, match="not"):
            open_source(kind, Place("pg_dump", str(folder))).fetch(item, into, nothing)


def test_pairs_are_found_with_the_size_of_both_halves(folder: Path, archive: Path) -> None:
    pair(folder, "20260302T110000Z", archive)
    pair(folder, "20260301T110000Z", archive)
    (folder / ".20260303T110000Z.partial").mkdir()
    (folder / "lost+found").mkdir()
    (folder / "readme").write_text("x")
    first, second = pairs(folder)
    assert [first.id, second.id] == ["20260301T110000Z", "20260302T110000Z"]
    assert first.size_bytes == archive.stat().st_size + len(b"content")
    assert first.complete is not False


@pytest.mark.parametrize("half", ["db.dump", "filestore"])
def test_pair_without_one_half_is_listed_as_incomplete(folder: Path, archive: Path, half: str) -> None:
    pair(folder, "20260301T110000Z", None if half == "db.dump" else archive, filestore=half == "db.dump")
    [item] = pairs(folder)
    assert item.complete is False
    assert half in item.reason
    assert item.taken_at == datetime(2026, 3, 1, 11, tzinfo=UTC)


def test_fetched_pair_is_whole_and_private(folder: Path, into: Path, archive: Path) -> None:
    place = pair(folder, "20260301T110000Z", archive)
    (place / "filestore" / "empty").mkdir()
    [item] = pairs(folder)
    fetched = open_source("odoo", Place("pg_dump", str(folder))).fetch(item, into, nothing)
    assert fetched.filestore is not None
    assert (fetched.filestore / "ab" / ("ab" + "0" * 38)).read_bytes() == b"content"
    assert (fetched.filestore / "empty").is_dir()
    assert fetched.bytes == item.size_bytes
    assert fetched.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert {path.stat().st_mode & 0o077 for path in into.rglob("*")} == {0}


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "filestore", "dump"])
def test_links_and_special_files_in_a_pair_are_refused(
    folder: Path, into: Path, archive: Path, secret: Path, what: str
) -> None:
    place = pair(folder, "20260301T110000Z", archive)
    match what:
        case "file":
            (place / "filestore" / "ab" / "link").symlink_to(secret)
        case "folder":
            (place / "filestore" / "cd").symlink_to(secret.parent)
        case "pipe":
            os.mkfifo(place / "filestore" / "pipe")
        case "filestore":
            shutil.rmtree(place / "filestore")
            (place / "filestore").symlink_to(secret.parent)
        case _:
            (place / "db.dump").unlink()
            (place / "db.dump").symlink_to(secret)
    [item] = pairs(folder)
    with pytest.raises(SourceError):
        open_source("odoo", Place("pg_dump", str(folder))).fetch(item, into, nothing)
    assert SECRET not in "".join(path.read_text(errors="replace") for path in into.rglob("*") if path.is_file())
