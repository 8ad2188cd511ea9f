"""Faults of plain folders of files, and of the filestore in an Odoo folder: each turns the drill red and is named."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.drills.history import PastDrill
from guardian.model import Assurance
from tests.drill_support import Estate, by_id
from tests.files_support import Folder
from verifiers.filestore.reading import read_tree
from verifiers.filestore.remembered import Remembered, Remembering
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

PAPER = "year1/paper 21.txt"
BY_MANIFEST = {"filestore.manifest", "backup.digest"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path).fill()


@pytest.fixture
def estate(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Estate:
    database = str(psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"])
    made = Estate(postgres_server, database, tmp_path, sandbox_provider.name)
    made.fill()
    return made


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "says"),
    [(lambda root: (root / PAPER).unlink(), "1 are missing"), (lambda root: (root / "x").touch(), "1 too many")],
    ids=["missing", "extra"],
)
def test_26_file_missing_or_extra(folder: Folder, caught: Caught, damage: Callable[[Path], None], says: str) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    damage(mirror)
    caught(26, "files", folder.drill(), by="filestore.manifest", says=says, beyond=BY_MANIFEST)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (flipped, "1 have other content"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "1 have another size"),
        (lambda path: path.write_bytes(b""), "1 have another size"),
    ],
    ids=["changed", "cut", "zero"],
)
def test_29_file_of_other_content(folder: Folder, caught: Caught, damage: Callable[[Path], None], says: str) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    damage(mirror / PAPER)
    drill = folder.drill()
    caught(29, "files", drill, by="filestore.manifest", says=says, beyond={*BY_MANIFEST, "filestore.content"})
    assert by_id(drill)["filestore.manifest"].observed["differingNames"] == [PAPER]
    assert "1 do not hold what the manifest says" in by_id(drill)["filestore.content"].message


def test_29_other_permissions(folder: Folder, caught: Caught) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    (mirror / PAPER).chmod(0o4777)
    caught(29, "files", folder.drill(), by="filestore.manifest", says="1 have other permissions")


def test_29_link_in_a_files_place_is_not_followed(folder: Folder, caught: Caught) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    (mirror / PAPER).unlink()
    (mirror / PAPER).symlink_to(folder.live / PAPER)
    drill = folder.drill()
    caught(29, "files", drill, by="filestore.manifest", says="1 are missing")
    assert "is a symbolic link" in by_id(drill)["archive.complete"].message


def test_29_bits_that_rot_without_a_write_are_caught_without_a_manifest(folder: Folder, caught: Caught) -> None:
    """Nobody can set the time of an inode's change, so what was kept is made to expect the file as it now is."""
    mirror = folder.mirror()
    folder.drill(Assurance.RESTORED)
    [kept] = (folder.folder / "sandbox" / "files_verified").rglob("*.files")
    before = Remembered.look(kept)
    assert before is not None
    digests = {file.raw: file.digests[0] for file in before.files()}
    flipped(mirror / PAPER)
    writing = Remembering(kept)
    later = int((datetime.now(UTC) + timedelta(seconds=3)).timestamp() * 1e9)
    for file in read_tree(mirror, ["sha256"]):
        writing.add(file.raw, file.state, digests[file.raw], later)
    writing.keep()
    drill = folder.drill(Assurance.SOUND)
    caught(29, "files", drill, by="filestore.content", says="1 hold other bytes than before though nobody wrote")
    assert by_id(drill)["filestore.content"].observed["rottenNames"] == [PAPER]


def test_29_store_whose_names_are_hashes_needs_no_manifest(tmp_path: Path, caught: Caught) -> None:
    folder = Folder(tmp_path)
    for number in range(20):
        name = (hashlib.sha1 if number % 2 else hashlib.sha256)(b"%d" % number).hexdigest()
        (folder.live / name[:2]).mkdir(parents=True, exist_ok=True)
        (folder.live / name[:2] / name).write_bytes(b"%d" % number)
    mirror = folder.mirror()
    drill = folder.drill(Assurance.SOUND)
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.SOUND)
    flipped(next(path for path in mirror.rglob("*") if path.is_file()))
    caught(29, "files", folder.drill(Assurance.SOUND), by="filestore.content", says="1 do not hold what their names")


def test_30_mirror_of_another_day(folder: Folder, caught: Caught) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    (folder.live / "new").write_text("since then")
    (folder.live / PAPER).write_text("rewritten")
    folder.mirror()
    assert (mirror / "new").exists()
    drill = folder.drill()
    says = "1 have another size, 1 too many"
    caught(30, "files", drill, by="filestore.manifest", says=says, beyond={*BY_MANIFEST, "filestore.content"})
    assert "changed or replaced since" in by_id(drill)["backup.digest"].message


def test_39_source_encrypted_before_the_backup_with_a_right_manifest(folder: Folder, caught: Caught) -> None:
    """Backup and manifest are taken of what ransomware left: they agree, and only the history can tell."""
    folder.mirror()
    healthy = folder.take_manifest().drill()
    assert healthy.result.verdict is Verdict.PASS
    for path in folder.live.rglob("*"):
        if path.is_file():
            path.write_bytes(os.urandom(max(path.stat().st_size, 4096)))
    folder.mirror()
    folder.take_manifest()
    folder.history = [
        PastDrill(
            "1",
            healthy.finished_on,
            "current",
            Verdict.PASS,
            healthy.started_on - timedelta(days=1),
            "nightly",
            measurements=healthy.result.measurements,
        )
    ]
    drill = folder.drill()
    assert by_id(drill)["filestore.manifest"].verdict is Verdict.PASS
    assert drill.result.verdict is Verdict.FAIL
    message = by_id(drill)["anomaly"].message
    caught.told(39, "files", by="anomaly", message=message, says="100% of the files look encrypted")
    assert "44 of 44 files changed since the last green drill" in message
    assert drill.result.measurements["filesHighEntropy"] == drill.result.measurements["files"]


def test_28_row_without_its_file_in_an_odoo_folder(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    next(path for path in (estate.dump.parent / "filestore").rglob("*") if path.is_file()).unlink()
    caught(28, "odoo", estate.drill(), by="filestore.bijection", says="1 rows without", beyond=BY_MANIFEST)


def test_29_file_of_other_content_in_an_odoo_folder(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    flipped(next(path for path in (estate.dump.parent / "filestore").rglob("*") if path.is_file()))
    caught(29, "odoo", estate.drill(), by="filestore.content", says="1 of 20 files do not", beyond=BY_MANIFEST)


def test_30_filestore_newer_than_the_database_in_an_odoo_folder(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    name = hashlib.sha1(b"newer", usedforsecurity=False).hexdigest()
    path = estate.dump.parent / "filestore" / name[:2] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"newer")
    caught(30, "odoo", estate.drill(), by="filestore.bijection", says="1 files without a row")
