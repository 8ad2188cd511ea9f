"""What every BackupSource does, whatever the format: the same tests on real backups of each."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from verifiers.layout import Layout
from verifiers.sources import BackupItem, Place, SourceError, open_source
from verifiers.sources.copying import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.formats_support import Dumps
    from verifiers.sources import BackupSource, Fetched

SECRET = "the host's own secret"
ONE, TWO, THREE = "erp-20260301T110000Z", "erp-20260302T110000Z", "erp-20260303T110000Z"


@dataclass(frozen=True)
class Kind:
    """One format of one type of asset. suffix: of the dump's name. wrapped: completeness needs a full read."""

    asset: str
    form: str
    suffix: str

    @property
    def wrapped(self) -> bool:
        return "." in self.form

    @property
    def is_folder(self) -> bool:
        return self.form == "directory"


SUFFIXES = {
    "custom": ".dump",
    "directory": "",
    "tar": ".tar",
    "plain": ".sql",
    "plain.gz": ".sql.gz",
    "plain.zst": ".sql.zst",
    "plain.lz4": ".sql.lz4",
    "plain.gz.age": ".sql.gz.age",
    "custom.age": ".dump.age",
}
KINDS = [
    *(Kind("postgres", form, suffix) for form, suffix in SUFFIXES.items()),
    *(Kind("odoo", form, SUFFIXES[form]) for form in ("custom", "directory", "tar", "plain.gz")),
]


@dataclass
class Shelf:
    """A folder of backups of one kind."""

    kind: Kind
    dumps: Dumps
    folder: Path
    into: Path
    secret: Path

    @property
    def source(self) -> BackupSource:
        return open_source(self.kind.asset, Place("pg_dump", str(self.folder)))

    def name(self, backup: str) -> str:
        return backup if self.kind.asset == "odoo" else backup + self.kind.suffix

    def dump(self, backup: str) -> Path:
        """Where the dump of a backup is."""
        path = self.folder / self.name(backup)
        return path / f"db{self.kind.suffix}" if self.kind.asset == "odoo" else path

    def put(self, backup: str) -> Path:
        """Make a backup; return its path."""
        path, dump, made = self.folder / self.name(backup), self.dump(backup), self.dumps.path(self.kind.form)
        if self.kind.asset == "odoo":
            (path / "filestore" / "ab").mkdir(parents=True)
            (path / "filestore" / "ab" / ("ab" + "0" * 38)).write_bytes(b"content")
        (shutil.copytree if made.is_dir() else shutil.copy)(made, dump)
        return path

    def remove(self, backup: str) -> None:
        path = self.folder / self.name(backup)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def located(self) -> Sequence[BackupItem]:
        return self.source.locate()

    def fetch(self, item: BackupItem, told: list[int] | None = None) -> Fetched:
        return self.source.fetch(item, self.into, (told if told is not None else []).append)

    def refuses(self, item: BackupItem) -> bool:
        """Whether fetching fails as it should, and nothing of the host was copied."""
        with pytest.raises(SourceError):
            self.fetch(item)
        copied = b"".join(path.read_bytes() for path in self.into.rglob("*") if path.is_file())
        return SECRET.encode() not in copied


def spelled(kind: Kind) -> str:
    return f"{kind.asset}-{kind.form}"


@pytest.fixture(params=KINDS, ids=spelled)
def shelf(request: pytest.FixtureRequest, dumps: Dumps, tmp_path: Path) -> Shelf:
    for name in ("backups", "work", "host"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "host" / "shadow"
    secret.write_text(SECRET)
    return Shelf(request.param, dumps, tmp_path / "backups", tmp_path / "work", secret)


def test_backups_are_found_oldest_first_with_time_and_size(shelf: Shelf) -> None:
    for backup in (TWO, ONE, THREE):
        shelf.put(backup)
    for other in ("notes.txt", ".hidden.dump", ".20260303T110000Z.partial", "x.dump.part", "x.sql.gz.tmp"):
        (shelf.folder / other).write_bytes(b"x")
    (shelf.folder / "lost+found").mkdir()
    items = shelf.located()
    assert [item.id for item in items] == [ONE, TWO, THREE]
    assert items[0].taken_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    made = shelf.folder / shelf.name(ONE)
    assert items[0].size_bytes == sum(path.stat().st_size for path in [made, *made.rglob("*")] if path.is_file())
    assert shelf.source.format == "pg_dump"


def test_whole_backup_is_told_from_one_that_was_cut_without_reading_it_all(shelf: Shelf) -> None:
    shelf.put(ONE)
    shelf.put(TWO)
    cut = shelf.dump(TWO)
    if shelf.kind.is_folder:
        (cut / "toc.dat").unlink()
    else:
        cut.write_bytes(cut.read_bytes()[: -cut.stat().st_size // 2])
    whole, half = shelf.located()
    if shelf.kind.wrapped:
        assert (whole.complete, half.complete) == (None, None), "only a full read can tell"
    else:
        assert (whole.complete, whole.reason) == (True, "")
        assert half.complete is False
        assert half.reason


def test_empty_dump_is_listed_as_incomplete(shelf: Shelf) -> None:
    shelf.put(ONE)
    dump = shelf.dump(ONE)
    (dump / "toc.dat" if dump.is_dir() else dump).write_bytes(b"")
    [item] = shelf.located()
    assert item.complete is False
    assert "0 bytes" in item.reason


def test_fetched_backup_is_a_private_copy_of_the_same_bytes(shelf: Shelf) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    told: list[int] = []
    fetched = shelf.fetch(item, told)
    original = shelf.dump(ONE)
    assert fetched.dump is not None
    if shelf.kind.is_folder:
        copied = {path.name: path.read_bytes() for path in fetched.dump.iterdir()}
        assert copied == {path.name: path.read_bytes() for path in original.iterdir()}
        by_hand = "LC_ALL=C sha256sum * | sha256sum"
        said = subprocess.run(["/bin/sh", "-c", by_hand], cwd=original, check=True, capture_output=True, text=True)
        assert fetched.sha256 == said.stdout.split()[0]
    else:
        assert fetched.dump.read_bytes() == original.read_bytes()
        assert fetched.sha256 == hashlib.sha256(original.read_bytes()).hexdigest()
    assert shelf.source.digest(item)[0] == fetched.sha256
    assert (fetched.filestore is not None) == (shelf.kind.asset == "odoo")
    assert told == sorted(told)
    assert told[-1] == fetched.bytes == item.size_bytes
    for path in shelf.into.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_fetch_never_overwrites(shelf: Shelf) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    target = shelf.fetch(item).dump
    assert target is not None
    before = {path: path.stat().st_mtime_ns for path in shelf.into.rglob("*")}
    assert shelf.refuses(item)
    assert target.exists()
    assert {path: path.stat().st_mtime_ns for path in shelf.into.rglob("*")} == before


def test_link_inside_the_folder_is_another_name_and_not_another_backup(shelf: Shelf) -> None:
    shelf.put(ONE)
    (shelf.folder / shelf.name("latest")).symlink_to(shelf.name(ONE))
    assert [item.id for item in shelf.located()] == [ONE]


def test_link_out_of_the_folder_is_listed_and_never_read(shelf: Shelf) -> None:
    target = shelf.secret.parent if shelf.kind.is_folder or shelf.kind.asset == "odoo" else shelf.secret
    (shelf.folder / shelf.name(ONE)).symlink_to(target)
    [item] = shelf.located()
    assert item.complete is False
    assert shelf.refuses(item)


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_dump_that_became_something_else_after_the_listing_is_refused(shelf: Shelf, what: str) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    dump = shelf.dump(ONE)
    shutil.rmtree(dump) if dump.is_dir() else dump.unlink()
    if what == "link":
        dump.symlink_to(shelf.secret.parent if shelf.kind.is_folder else shelf.secret)
    else:
        os.mkfifo(dump)
    assert shelf.refuses(item)


@pytest.mark.parametrize(
    "shelf", [kind for kind in KINDS if kind.asset == "odoo" or kind.is_folder], indirect=True, ids=spelled
)
@pytest.mark.parametrize("what", ["link", "linked folder", "pipe"])
def test_links_and_special_files_inside_a_folder_are_refused(shelf: Shelf, what: str) -> None:
    shelf.put(ONE)
    inside = shelf.dump(ONE) if shelf.kind.is_folder else shelf.folder / shelf.name(ONE) / "filestore"
    if what == "pipe":
        os.mkfifo(inside / "9999.dat")
    else:
        (inside / "9999.dat").symlink_to(shelf.secret if what == "link" else shelf.secret.parent)
    [item] = shelf.located()
    assert shelf.refuses(item)


def test_backup_that_vanished_after_the_listing_is_an_error(shelf: Shelf) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    shelf.remove(ONE)
    assert shelf.refuses(item)


def test_backups_that_come_and_go_during_the_listing_cost_the_others_nothing(shelf: Shelf) -> None:
    shelf.put(ONE)
    over = threading.Event()

    def rotate() -> None:
        while not over.is_set():
            shelf.put(TWO)
            shelf.remove(TWO)

    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        for _ in range(15):
            assert shelf.located()[0].id == ONE
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("name", ["ünï cödé", "-rf", "a b\nc", "semi;colon $(x)", "quote'\"", "per%cent", "100.5"])
def test_odd_names_are_names(shelf: Shelf, name: str) -> None:
    backup = f"{name} {ONE}"
    shelf.put(backup)
    [item] = shelf.located()
    assert item.id == backup
    assert shelf.fetch(item).bytes == item.size_bytes


def test_name_that_is_no_utf8_has_an_id_that_can_be_written(shelf: Shelf) -> None:
    shelf.put(os.fsdecode(b"caf\xe9-20260301T110000Z"))
    [item] = shelf.located()
    assert item.id == "caf\\xe9-20260301T110000Z"
    assert shelf.fetch(item).bytes == item.size_bytes


def test_missing_folder_is_an_error_not_an_empty_one(shelf: Shelf) -> None:
    assert list(shelf.located()) == []
    shelf.folder.rmdir()
    with pytest.raises(SourceError, match="backups"):
        shelf.located()


def test_item_of_another_folder_is_refused(shelf: Shelf) -> None:
    assert shelf.refuses(BackupItem("shadow", shelf.secret, None, 1, None))


def test_two_forms_of_one_backup_are_an_error_naming_both(shelf: Shelf) -> None:
    shelf.put(ONE)
    if shelf.kind.asset == "odoo":
        (shelf.folder / ONE / "db.sql.lz4").write_bytes(b"x")
        [item] = shelf.located()
        assert item.complete is False
        said = item.reason
        assert shelf.refuses(item)
    else:
        other = ".dump" if shelf.kind.suffix != ".dump" else ".sql"
        (shelf.folder / (ONE + other)).write_bytes(b"x")
        with pytest.raises(SourceError) as error:
            shelf.located()
        said = str(error.value)
        assert ONE + other in said
    assert f"{shelf.dump(ONE).name}" in said


def test_globals_go_with_the_backup_and_are_none_themselves(shelf: Shelf) -> None:
    path = shelf.put(ONE)
    place = path if shelf.kind.asset == "odoo" else shelf.folder
    (place / "globals.sql").write_bytes(b"of the folder")
    if shelf.kind.asset == "postgres":
        shelf.put(TWO)
        (place / f"{TWO}.globals.sql.gz").write_bytes(b"of its own")
    items = shelf.located()
    assert len(items) == (2 if shelf.kind.asset == "postgres" else 1)
    fetched = shelf.fetch(items[-1])
    assert fetched.globals is not None
    assert fetched.globals[0].read_bytes() == (b"of its own" if len(items) == 2 else b"of the folder")
    assert fetched.globals[0].suffix == (".gz" if len(items) == 2 else ".sql")
    assert fetched.bytes == items[-1].size_bytes
    assert fetched.sha256 == digest_of(items[-1])[0], "the digest is that of the dump alone"


def test_digest_is_of_the_whole_dump(shelf: Shelf) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    before = digest_of(item)
    dump = shelf.dump(ONE)
    if dump.is_dir():
        last = max(dump.iterdir())
        last.rename(last.with_name("zzz.dat"))
        assert item.form.layout is Layout.DIRECTORY
    else:
        with dump.open("ab") as stream:
            stream.write(b"\n")
    assert digest_of(item) != before
