"""What every format of packed backups does: tars, Odoo's zips, what click-odoo writes. Their insides are small here."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyrage
import pytest

from tests.archive_support import manifest_json, pack, zip_dir
from tests.formats_support import Text
from verifiers.compressed import DamagedError
from verifiers.sources import BackupItem, Fetched, KeyMissingError, Place, SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.formats_support import Dumps
    from verifiers.sources import BackupSource

ONE, TWO, THREE = "erp-20260301T110000Z", "erp-20260302T110000Z", "erp-20260303T110000Z"
SECRET = b"the host's own secret"
NAME = "ab/ab" + "0" * 38


@dataclass(frozen=True)
class Kind:
    """One way to pack one kind of content. asset: its type. suffix: of the backup's name, empty for a folder."""

    format: str
    asset: str
    suffix: str

    def __str__(self) -> str:
        return f"{self.format}-{self.asset}{self.suffix}"

    @property
    def told(self) -> bool:
        """Whether the end of the file tells if it is whole."""
        return self.suffix in {".tar", ".zip", ""}


KINDS = [
    *(Kind("tar", "postgres", suffix) for suffix in (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.lz4")),
    Kind("tar", "postgres", ".tar.zst.age"),
    *(Kind("tar", "odoo", suffix) for suffix in (".tar", ".tar.gz")),
    *(Kind("tar", "filestore", suffix) for suffix in (".tar", ".tar.zst")),
    Kind("odoo_zip", "odoo", ".zip"),
    Kind("odoo_zip", "odoo", ".zip.age"),
    Kind("click_odoo", "odoo", ".zip"),
    Kind("click_odoo", "odoo", ""),
]
FILES = [kind for kind in KINDS if kind.suffix]
KEY = pyrage.x25519.Identity.generate()


@dataclass
class Shelf:
    """A folder of backups of one kind."""

    kind: Kind
    dumps: Dumps
    root: Path
    key: pyrage.x25519.Identity | None = KEY

    @property
    def folder(self) -> Path:
        return self.root / "backups"

    @property
    def into(self) -> Path:
        return self.root / "work"

    @property
    def source(self) -> BackupSource:
        identity = Text(str(self.key)) if self.key else None
        return open_source(self.kind.asset, Place(self.kind.format, str(self.folder), identity=identity))

    def path(self, backup: str) -> Path:
        return self.folder / f"{backup}{self.kind.suffix}"

    def content(self, backup: str) -> dict[str, bytes]:
        """Return what one backup holds, by path."""
        files = {f"filestore/{NAME}": os.fsencode(backup) * 2000, "filestore/checklist/x": b""}
        if self.kind.asset == "filestore":
            return files
        if self.kind.asset == "postgres":
            return {"erp.dump": self.dumps.path("custom").read_bytes()}
        dump = "dump.sql" if self.kind.suffix.startswith(".zip") else "db.dump"
        data = self.dumps.path("plain" if dump == "dump.sql" else "custom").read_bytes()
        return files | {dump: data, "manifest.json": manifest_json("erp").encode()}

    def put(self, backup: str, more: dict[str, bytes] | None = None, *, without: str = "\n") -> Path:
        """Make a backup; return its path. without: the beginning of the paths that are left out."""
        made = self.root / "made" / backup
        shutil.rmtree(made, ignore_errors=True)
        for name, data in {**self.content(backup), **(more or {})}.items():
            if not name.startswith(without):
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(data)
        path = self.path(backup)
        if not self.kind.suffix:
            shutil.copytree(made, path)
        elif self.kind.format == "tar":
            pack(made.parent, self.root / f"new{self.kind.suffix}", name=f"./{backup}", key=KEY.to_public())
            (self.root / f"new{self.kind.suffix}").rename(path)
        else:
            zip_dir(made, path)
            if path.suffix == ".age":
                path.write_bytes(pyrage.encrypt(path.read_bytes(), [KEY.to_public()]))
        shutil.rmtree(made)
        return path

    def remove(self, backup: str) -> None:
        path = self.path(backup)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def located(self) -> Sequence[BackupItem]:
        return self.source.locate()

    def fetch(self, item: BackupItem, told: list[int] | None = None) -> Fetched:
        return self.source.fetch(item, self.into, (told if told is not None else []).append)


@pytest.fixture
def shelf(request: pytest.FixtureRequest, dumps: Dumps, tmp_path: Path) -> Shelf:
    for name in ("backups", "work", "made", "host"):
        (tmp_path / name).mkdir()
    (tmp_path / "host" / "shadow").write_bytes(SECRET)
    return Shelf(request.param, dumps, tmp_path)


each = pytest.mark.parametrize("shelf", KINDS, indirect=True, ids=str)
each_file = pytest.mark.parametrize("shelf", FILES, indirect=True, ids=str)
each_pair = pytest.mark.parametrize("shelf", [kind for kind in KINDS if kind.asset == "odoo"], indirect=True, ids=str)
one = pytest.mark.parametrize("shelf", [KINDS[0], *(k for k in KINDS if k.format != "tar")], indirect=True, ids=str)


@each
def test_backups_are_found_oldest_first_with_time_and_size(shelf: Shelf) -> None:
    for backup in (TWO, ONE, THREE):
        shelf.put(backup)
    for other in ("notes.txt", f".hidden{shelf.kind.suffix}", f"x{shelf.kind.suffix}.part", "x.md5", ".tar", ".zip"):
        (shelf.folder / other).write_bytes(b"x")
    (shelf.folder / "lost+found").mkdir()
    items = shelf.located()
    assert [item.id for item in items] == [ONE, TWO, THREE]
    assert items[0].taken_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    path = shelf.path(ONE)
    assert items[0].size_bytes == sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
    assert {item.complete for item in items} == {True if shelf.kind.told else None}
    assert shelf.source.format == shelf.kind.format


@each
def test_fetched_backup_is_a_private_copy_where_drills_expect_it(shelf: Shelf) -> None:
    path = shelf.put(ONE)
    [item] = shelf.located()
    told: list[int] = []
    fetched = shelf.fetch(item, told)
    content = shelf.content(ONE)
    dump = next((data for name, data in content.items() if name.endswith((".dump", ".sql"))), None)
    assert (fetched.dump.read_bytes() if fetched.dump else None) == dump
    files = {name.removeprefix("filestore/"): data for name, data in content.items() if name.startswith("filestore/")}
    copied = fetched.filestore.rglob("*") if fetched.filestore else ()
    assert {
        str(file.relative_to(shelf.into / "filestore")): file.read_bytes() for file in copied if file.is_file()
    } == files
    assert fetched.database == ("erp" if shelf.kind.asset == "odoo" else None)
    if shelf.kind.suffix:
        assert fetched.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert shelf.source.digest(item)[0] == fetched.sha256
    assert told == sorted(told)
    assert told[-1] >= sum(map(len, files.values())) + len(dump or b"")
    for file in shelf.into.rglob("*"):
        assert file.lstat().st_mode & 0o7777 == (0o700 if file.is_dir() else 0o600)
    assert {file.name for file in shelf.into.iterdir()} <= {"db.dump", "db.sql", "filestore"}, "the rest is gone"


@each
def test_fetch_never_overwrites_and_changes_nothing(shelf: Shelf) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    before = {path: path.stat().st_mtime_ns for path in shelf.folder.rglob("*")}
    shelf.fetch(item)
    fetched = {path: path.stat().st_mtime_ns for path in shelf.into.rglob("*")}
    with pytest.raises(SourceError):
        shelf.fetch(item)
    assert {path: path.stat().st_mtime_ns for path in fetched} == fetched
    assert {path: path.stat().st_mtime_ns for path in shelf.folder.rglob("*")} == before


@each_file
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.99])
def test_file_that_was_cut_is_damage(shelf: Shelf, keep: float) -> None:
    path = shelf.put(ONE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep) | 1])
    [item] = shelf.located()
    assert item.complete is (False if shelf.kind.told else None)
    assert bool(item.reason) is shelf.kind.told
    with pytest.raises(DamagedError):
        shelf.fetch(item)


@each_file
def test_empty_file_is_listed_as_incomplete(shelf: Shelf) -> None:
    shelf.path(ONE).write_bytes(b"")
    [item] = shelf.located()
    assert (item.complete, item.reason) == (False, "the file is empty (0 bytes)")
    with pytest.raises(DamagedError, match="0 bytes"):
        shelf.fetch(item)


@each
def test_link_out_of_the_folder_is_listed_and_never_read(shelf: Shelf) -> None:
    host = shelf.root / "host"
    shelf.path(ONE).symlink_to(host / "shadow" if shelf.kind.suffix else host)
    [item] = shelf.located()
    assert item.complete is False
    with pytest.raises(SourceError):
        shelf.fetch(item)
    assert SECRET not in b"".join(path.read_bytes() for path in shelf.into.rglob("*") if path.is_file())


@each
@pytest.mark.parametrize("what", ["link", "pipe"])
def test_backup_that_became_something_else_after_the_listing_is_refused(shelf: Shelf, what: str) -> None:
    shelf.put(ONE)
    [item] = shelf.located()
    shelf.remove(ONE)
    if what == "link":
        shelf.path(ONE).symlink_to(shelf.root / "host" / ("shadow" if shelf.kind.suffix else ""))
    else:
        os.mkfifo(shelf.path(ONE))
    with pytest.raises(SourceError):
        shelf.fetch(item)


@each
def test_link_inside_the_folder_is_another_name_and_not_another_backup(shelf: Shelf) -> None:
    shelf.put(ONE)
    shelf.path("latest").symlink_to(shelf.path(ONE).name)
    assert [item.id for item in shelf.located()] == [ONE]


@each
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
        for _ in range(10):
            assert shelf.located()[0].id == ONE
    finally:
        over.set()
        thread.join()


@one
@pytest.mark.parametrize("name", ["ünï cödé", "-rf", "a b\nc", "quote'\"", "100.5", os.fsdecode(b"caf\xe9")])
def test_odd_names_are_names(shelf: Shelf, name: str) -> None:
    shelf.put(f"{name} {ONE}")
    [item] = shelf.located()
    assert item.id == os.fsencode(f"{name} {ONE}").decode("utf-8", "backslashreplace")
    shelf.fetch(item)


@one
def test_missing_folder_is_an_error_not_an_empty_one(shelf: Shelf) -> None:
    assert list(shelf.located()) == []
    shelf.folder.rmdir()
    with pytest.raises(SourceError, match="backups"):
        shelf.located()


@one
def test_item_of_another_folder_is_refused(shelf: Shelf) -> None:
    with pytest.raises(SourceError):
        shelf.fetch(BackupItem("shadow", shelf.root / "host" / "shadow", None, 1, None))


@pytest.mark.parametrize("shelf", [k for k in KINDS if k.suffix.endswith(".age")], indirect=True, ids=str)
@pytest.mark.parametrize("key", [None, pyrage.x25519.Identity.generate()], ids=["none", "another"])
def test_key_that_is_missing_or_does_not_fit_is_told_as_such(shelf: Shelf, key: pyrage.x25519.Identity | None) -> None:
    shelf.put(ONE)
    shelf.key = key
    [item] = shelf.located()
    with pytest.raises(KeyMissingError, match="decrypt"):
        shelf.fetch(item)
    assert shelf.source.digest(item)[1] == item.size_bytes, "which needs no key"


@pytest.mark.parametrize("shelf", [k for k in FILES if not k.suffix.endswith(".age")], indirect=True, ids=str)
def test_two_files_of_one_backup_are_an_error_naming_both(shelf: Shelf) -> None:
    path = shelf.put(ONE)
    shutil.copy(path, f"{path}.age")
    with pytest.raises(SourceError, match="are both backup") as error:
        shelf.located()
    assert f"{path.name}.age" in str(error.value)


# -- what belongs to one content


@each_pair
def test_pair_without_its_filestore_is_incomplete(shelf: Shelf) -> None:
    shelf.put(ONE, without="filestore")
    [item] = shelf.located()
    if shelf.kind.told and shelf.kind.format != "tar":
        assert item.complete is False
        assert "filestore/" in item.reason
    with pytest.raises((DamagedError, SourceError), match="filestore"):
        shelf.fetch(item)


@each_pair
@pytest.mark.parametrize("manifest", [b"{", b"[]", b'{"db_name": 3}', b'{"db_name": "a\\u0000b"}', b"[" * 100_000])
def test_manifest_json_that_is_none_is_damage(shelf: Shelf, manifest: bytes) -> None:
    shelf.put(ONE, {"manifest.json": manifest})
    [item] = shelf.located()
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        shelf.fetch(item)


@pytest.mark.parametrize("shelf", [KINDS[1]], indirect=True, ids=str)
def test_tar_that_holds_no_backup_says_what_it_holds(shelf: Shelf) -> None:
    shelf.put(ONE, {"letter.txt": b"x"}, without="erp")
    with pytest.raises(SourceError, match="does not hold a backup by pg_dump"):
        shelf.fetch(shelf.located()[0])


@pytest.mark.parametrize("shelf", [KINDS[0]], indirect=True, ids=str)
def test_tar_that_pg_dump_wrote_is_told_from_one_that_holds_a_dump(shelf: Shelf) -> None:
    shutil.copy(shelf.dumps.path("tar"), shelf.path(ONE))
    with pytest.raises(SourceError, match="its format is pg_dump"):
        shelf.fetch(shelf.located()[0])


@pytest.mark.parametrize("shelf", [KINDS[0]], indirect=True, ids=str)
@pytest.mark.parametrize("options", [["--format=pax"], ["--format=gnu"], ["--format=ustar"], ["--format=v7"]])
def test_every_dialect_of_tar_is_read(shelf: Shelf, options: list[str], tmp_path: Path) -> None:
    long = "n" * 90
    for name in ("erp.dump", long):
        (tmp_path / "made" / name).write_bytes(shelf.dumps.path("custom").read_bytes() if name == "erp.dump" else b"x")
    argv = ["/bin/tar", *options, "-C", str(tmp_path / "made"), "-cf", str(shelf.path(ONE)), "."]
    subprocess.run(argv, check=True, timeout=60)
    assert shelf.fetch(shelf.located()[0]).dump is not None


@pytest.mark.parametrize("shelf", [KINDS[10]], indirect=True, ids=str)
def test_time_in_the_name_that_odoo_gives_a_download_counts(shelf: Shelf) -> None:
    shelf.put("erp_2026-03-01_11-00-00")
    shelf.put("erp_2026-03-99_11-00-00")
    by_id = {item.id: item.taken_at for item in shelf.located()}
    assert by_id["erp_2026-03-01_11-00-00"] == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert by_id["erp_2026-03-99_11-00-00"] is not None, "the file's time"


@pytest.mark.parametrize("shelf", [KINDS[10]], indirect=True, ids=str)
def test_zip_of_many_files_has_a_directory_of_its_own_kind(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # so it writes the records of a large zip
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    path = shelf.put(ONE)
    assert b"PK\x06\x06" in path.read_bytes()
    [item] = shelf.located()
    assert item.complete is True
    assert shelf.fetch(item).filestore is not None


@pytest.mark.parametrize("shelf", [KINDS[-1]], indirect=True, ids=str)
def test_what_click_odoo_leaves_beside_its_folders_is_listed_for_what_it_lacks(shelf: Shelf) -> None:
    shelf.put(ONE)
    shutil.copy(shelf.dumps.path("custom"), shelf.folder / f"{TWO}.dump")
    shelf.put(THREE)
    (shelf.path(THREE) / "manifest.json").unlink()
    whole, dump, broken = shelf.located()
    assert whole.complete
    assert (dump.complete, broken.complete) == (False, False)
    assert "--format folder" in dump.reason
    assert "manifest.json" in broken.reason
    with pytest.raises(SourceError, match="without the filestore"):
        shelf.fetch(dump)


def test_tarfile_writes_what_gnu_tar_does(tmp_path: Path) -> None:
    """Headers of the attacks are made by tarfile; here, that both are read alike."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_bytes(b"x")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "made", "made")
    pack(tmp_path, tmp_path / "b.tar", name="made")
    with tarfile.open(tmp_path / "a.tar") as one_tar, tarfile.open(tmp_path / "b.tar") as other:
        assert [member.name for member in one_tar] == [member.name for member in other]
