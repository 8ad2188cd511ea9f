"""What every repository of backups does, whatever the format: the same tests on real ones, by the real programs."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.shelves import CASES, Case, Content, Shelf
from tests.shelves.base import ONE, OTHER_PASSPHRASE, PASSPHRASE, SECRET, THREE, TWO, moment
from tests.tools.apt import need, why_not
from verifiers.compressed import DamagedError
from verifiers.sources import BackupItem, KeyMissingError, SourceError, program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.formats_support import Dumps
    from verifiers.sources import Fetched

# One case of each format: what does not depend on what is kept.
FIRST = [case for place, case in enumerate(CASES) if case.format not in {other.format for other in CASES[:place]}]
WITH_PROGRAM = [case for case in FIRST if case.programs]


def opened(request: pytest.FixtureRequest, case: Case, dumps: Dumps, tmp_path: Path) -> Shelf:
    """Return the empty repository of a case; skip where its programs cannot be had."""
    if reason := why_not(case.programs):
        pytest.skip(reason)
    need(case.programs)
    for name in ("repository", "source", "host", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "host" / "shadow").write_text(SECRET)
    shelf = case.open(
        request, tmp_path / "repository", Content(case.kind, dumps, tmp_path / "source", tmp_path / "host")
    )
    shelf.make()
    return shelf


@pytest.fixture
def shelf(request: pytest.FixtureRequest, dumps: Dumps, tmp_path: Path) -> Shelf:
    return opened(request, request.param, dumps, tmp_path)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "work"


each_format = pytest.mark.parametrize("shelf", FIRST, indirect=True, ids=str)
each_content = pytest.mark.parametrize("shelf", CASES, indirect=True, ids=str)
each_program = pytest.mark.parametrize("shelf", WITH_PROGRAM, indirect=True, ids=str)


def fetch(shelf: Shelf, item: BackupItem, into: Path, told: list[int] | None = None) -> Fetched:
    return shelf.source().fetch(item, into, (told if told is not None else []).append)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by path, links not followed."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            found[str(path.relative_to(folder))] = b"(no file)" if not path.is_file() else path.read_bytes()
    return found


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of everything below a folder."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@each_format
def test_backups_are_found_oldest_first_with_their_time(shelf: Shelf) -> None:
    began = time.time()
    for backup in (TWO, THREE, ONE) if shelf.chooses_time else (ONE, TWO, THREE):
        shelf.put(backup)
    items = shelf.source().locate()
    times = [item.taken_at for item in items]
    if shelf.chooses_time:
        assert times == [moment(backup) for backup in (ONE, TWO, THREE)]
    else:
        assert times == sorted(times, key=lambda at: at.timestamp() if at else 0)
        assert all(at is not None and began - 2 <= at.timestamp() <= time.time() + 2 for at in times)
    assert [item.complete for item in items] in ([True] * 3, [None] * 3)
    ids = [item.id for item in items]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[!-~]+", identity) for identity in ids), "an id is typed after --backup"
    assert [item.id for item in shelf.source().locate()] == ids, "and is the same the next time"
    assert shelf.source().format == shelf.format


@each_content
def test_fetched_backup_is_a_private_copy_of_the_same_bytes_where_drills_expect_it(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    shelf.put(TWO)
    older, newer = shelf.source().locate()
    told: list[int] = []
    fetched = fetch(shelf, older, into, told)
    found, expected = files_below(into), shelf.expected(ONE)
    assert {path: found.get(path) for path in expected} == expected
    if shelf.whole:
        assert found.keys() == expected.keys(), "and nothing else is left there"
    kind = shelf.content.kind
    where = {"cluster": into / "cluster", "files": None}.get(kind, into / "db.dump")
    assert fetched.dump == where
    assert fetched.filestore == (into / "filestore" if kind in {"files", "pair"} else None)
    assert (fetched.globals is not None) == ("globals.sql" in expected)
    for path in into.rglob("*"):
        status = path.lstat()
        assert status.st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
        assert status.st_uid == os.geteuid(), path
    assert told == sorted(told)
    assert told[-1] == fetched.bytes == sum(len(data) for data in found.values())
    if kind == "dump" and shelf.whole:
        assert fetched.sha256 == hashlib.sha256(expected["db.dump"]).hexdigest()
    assert shelf.source().digest(older) == (fetched.sha256, shelf.source().digest(older)[1])
    assert newer.id != older.id


@each_format
def test_reading_changes_nothing_in_the_repository(shelf: Shelf, into: Path, tmp_path: Path) -> None:
    shelf.put(ONE)
    before = state(shelf.folder), state(shelf.content.folder)
    [item] = shelf.source().locate()
    fetch(shelf, item, into)
    assert (state(shelf.folder), state(shelf.content.folder)) == before
    assert {path.name for path in tmp_path.iterdir()} == {"repository", "source", "host", "work"}


@each_format
def test_fetch_never_overwrites(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    [item] = shelf.source().locate()
    fetch(shelf, item, into)
    before = state(into)
    with pytest.raises(SourceError):
        fetch(shelf, item, into)
    assert state(into) == before


@each_format
def test_empty_repository_has_no_backups(shelf: Shelf) -> None:
    assert list(shelf.source().locate()) == []


@each_format
def test_missing_repository_is_an_error_that_names_it(shelf: Shelf) -> None:
    shelf.destroy()
    with pytest.raises(SourceError) as error:
        shelf.source().locate()
    assert str(shelf.folder) in str(error.value)
    assert not isinstance(error.value, KeyMissingError)


@each_format
@pytest.mark.parametrize("given", [OTHER_PASSPHRASE, None, "", "x"])
def test_passphrase_that_does_not_open_is_a_missing_key_and_never_told(shelf: Shelf, into: Path, given: str) -> None:
    if not shelf.encrypted:
        return
    shelf.put(ONE)
    [item] = shelf.source().locate()
    for attempt in (shelf.source(given).locate, lambda: shelf.source(given).fetch(item, into, lambda _: None)):
        with pytest.raises(KeyMissingError) as error:
            attempt()
        assert "passphrase" in str(error.value)
        assert "decrypt" in str(error.value), "what to write in guardian.yaml"
        assert PASSPHRASE not in str(error.value)
        assert OTHER_PASSPHRASE not in str(error.value)


@each_format
def test_backup_that_vanished_after_the_listing_is_an_error(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    shelf.put(TWO)
    item = shelf.source().locate()[0]
    shelf.remove(ONE)
    with pytest.raises(SourceError):
        fetch(shelf, item, into)
    assert not [path for path in into.rglob("*") if path.is_file()]


@each_format
def test_item_of_another_repository_is_refused(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    with pytest.raises(SourceError):
        fetch(shelf, BackupItem("shadow", shelf.content.host / "shadow", None, 1, None), into)


@each_format
def test_damaged_repository_is_the_fault_of_the_backup(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    [item] = shelf.source().locate()
    shelf.damage()
    with pytest.raises(DamagedError) as error:
        fetch(shelf, item, into)
    assert len(str(error.value)) < 1500


@each_content
def test_link_out_of_a_backup_is_refused_and_never_read(shelf: Shelf, into: Path) -> None:
    if not shelf.links:
        return
    shelf.put(ONE, link=True)
    [item] = shelf.source().locate()
    with pytest.raises((SourceError, DamagedError), match=r"link|does not hold"):
        fetch(shelf, item, into)
    copied = b"".join(path.read_bytes() for path in into.rglob("*") if path.is_file() and not path.is_symlink())
    assert SECRET.encode() not in copied
    assert (shelf.content.host / "shadow").read_text() == SECRET


@each_program
def test_missing_program_is_an_error_that_names_its_package(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "_PATH", str(tmp_path))
    with pytest.raises(SourceError) as error:
        shelf.source().locate()
    assert any(package in str(error.value) for package in shelf.programs.values())
    assert "apt-get install" in str(error.value)


@each_program
def test_program_that_hangs_is_ended_at_its_deadline_with_all_it_started(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf.put(ONE)
    left = tmp_path / "host" / "left"
    for name in shelf.programs:
        fake = tmp_path / "host" / name
        fake.write_text(f"#!/bin/sh\n/bin/sleep 60 &\necho $! >> {left}\nwait\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "host"))
    began = time.monotonic()
    with pytest.raises(SourceError, match="did not end within"):
        shelf.impatient(0.5).locate()
    assert time.monotonic() - began < 20
    time.sleep(0.1)
    assert not [pid for pid in left.read_text().split() if _runs(int(pid))]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@each_format
def test_what_fetching_raises_through_progress_ends_it(shelf: Shelf, into: Path) -> None:
    shelf.put(ONE)
    [item] = shelf.source().locate()

    class DeadlineError(Exception):
        pass

    def enough(_done: int) -> None:
        raise DeadlineError

    with pytest.raises(DeadlineError):
        shelf.source().fetch(item, into, enough)


def test_every_format_is_on_a_shelf_once_and_says_what_it_keeps() -> None:
    names: Sequence[str] = [str(case) for case in CASES]
    assert len(set(names)) == len(names)
