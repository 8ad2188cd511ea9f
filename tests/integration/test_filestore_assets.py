"""Drills of plain folders of files: in place and fetched, exact with a manifest, and never more than was checked."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from guardian.model import Assurance
from tests.drill_support import by_id, verdicts
from tests.files_support import Folder
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path).fill()


def test_mirror_with_its_manifest_is_exact_and_verified_in_place(folder: Folder) -> None:
    folder.mirror()
    folder.take_manifest()
    before = {path: path.lstat() for path in folder.backups.rglob("*")}
    drill = folder.drill()
    assert verdicts(drill, "fail") | verdicts(drill, "error") == set()
    result = drill.result
    assert (result.verdict, result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert (result.restored, result.restore_seconds, drill.estimated_rto_s) == (False, None, None)
    assert result.measurements["verifiedInPlace"] == 1
    assert "in place, not restored" in by_id(drill)["archive.complete"].message
    assert (result.measurements["files"], result.measurements["filesRead"]) == (44, 44)
    assert result.backup["id"] == "current"
    assert by_id(drill)["backup.digest"].verdict is Verdict.PASS
    assert by_id(drill)["amcheck"].message == "not a database: a folder of files"
    assert {path: path.lstat() for path in folder.backups.rglob("*")} == before, (
        "nothing is touched, not even read times"
    )


def test_newest_of_stamped_folders_is_drilled(folder: Folder) -> None:
    newest = f"files-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.stamped("20260301T110000Z")
    folder.stamped(newest)
    folder.take_manifest()
    drill = folder.drill()
    assert (drill.result.verdict, drill.result.backup["id"]) == (Verdict.PASS, newest)


def test_digest_in_place_is_that_of_sha256sum(folder: Folder) -> None:
    (folder.live / "back\\slash\nline").write_text("escaped")
    mirror = folder.mirror()
    listed = "find . -type f -printf '%P\\0' | tr / '\\1' | LC_ALL=C sort -z | tr '\\1' /"
    by_hand = f"{listed} | xargs -0 sha256sum | sha256sum"
    said = subprocess.run(["/bin/sh", "-c", by_hand], cwd=mirror, check=True, capture_output=True, text=True)
    assert folder.take_manifest().drill().result.backup["sha256"] == said.stdout.split()[0]


def test_folder_without_a_manifest_claims_no_more_than_that_it_can_be_read(folder: Folder) -> None:
    folder.mirror()
    drill = folder.drill(Assurance.SOUND)
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.ERROR, Assurance.RESTORED)
    assert verdicts(drill, "error") == {"filestore.content"}
    assert "assurance: restored" in by_id(drill)["filestore.content"].message
    assert folder.drill(Assurance.RESTORED).result.verdict is Verdict.PASS


def test_manifest_is_asked_for_at_the_exact_level(folder: Folder) -> None:
    folder.mirror()
    assert "guardian manifest papers" in by_id(folder.drill())["filestore.manifest"].message


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_tar_of_the_folder_is_restored_and_exact(folder: Folder, suffix: str) -> None:
    folder.format = "tar"
    folder.backups.mkdir()
    archive = folder.backups / f"papers-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{suffix}"
    subprocess.run(["/bin/tar", "-caf", archive, "-C", folder.live, "."], check=True)
    folder.take_manifest()
    drill = folder.drill()
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert drill.result.restored
    assert drill.result.restore_seconds is not None
    assert "verifiedInPlace" not in drill.result.measurements
    assert "Permissions are not compared" in by_id(drill)["filestore.manifest"].message
    assert not any(path.is_dir() and path.name != "files_verified" for path in (folder.folder / "sandbox").iterdir())


def test_empty_mount_point_fails(folder: Folder) -> None:
    folder.backups.mkdir()
    drill = folder.drill(Assurance.RESTORED)
    assert verdicts(drill, "fail") == {"archive.complete"}
    assert "mounted" in by_id(drill)["archive.complete"].message


def test_file_that_cannot_be_read_is_an_error_and_the_others_are_still_compared(folder: Folder) -> None:
    mirror = folder.mirror()
    folder.take_manifest()
    (mirror / "empty").unlink()
    os.mkfifo(mirror / "empty")
    drill = folder.drill()
    assert by_id(drill)["archive.complete"].verdict is Verdict.ERROR
    assert "empty, which is a special file" in by_id(drill)["archive.complete"].message
    assert by_id(drill)["filestore.manifest"].observed["missingNames"] == ["empty"]


def test_next_drill_tells_what_is_new_changed_and_gone(folder: Folder) -> None:
    folder.mirror()
    assert "filesChanged" not in folder.drill(Assurance.RESTORED).result.measurements
    (folder.backups / "empty").write_text("no more")
    (folder.backups / "another").write_text("one")
    (folder.backups / "year0.index").unlink()
    measured = folder.drill(Assurance.RESTORED).result.measurements
    assert [measured[f"files{what}"] for what in ("Changed", "New", "Gone")] == [1, 1, 1]


def test_unchanged_files_are_read_within_their_period_and_coverage_is_told(folder: Folder) -> None:
    folder.reverify_s = 30 * 86400
    folder.mirror()
    folder.take_manifest()
    time.sleep(2.1)  # what was written within two seconds of being read is read again
    folder.drill()
    drill = folder.drill()
    assert drill.result.verdict is Verdict.PASS
    measured = drill.result.measurements
    assert measured["filesRead"] < 5, "some seconds of thirty days"
    assert measured["filesRead"] + measured["filesUnchanged"] == 44
    observed = by_id(drill)["archive.complete"].observed
    assert (observed["coveragePercent"], observed["filesNeverVerified"]) == (100.0, 0)
    assert "unchanged since verified, the oldest on " in by_id(drill)["archive.complete"].message
    assert by_id(drill)["backup.digest"].verdict is Verdict.PASS


def test_kept_state_is_private_and_a_damaged_one_means_reading_everything(folder: Folder) -> None:
    folder.reverify_s = 30 * 86400
    folder.mirror()
    folder.drill(Assurance.RESTORED)
    [kept] = (folder.folder / "sandbox" / "files_verified").rglob("*.files")
    assert kept.stat().st_mode & 0o777 == 0o600
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    measured = folder.drill(Assurance.RESTORED).result.measurements
    assert measured["filesRead"] == 44
    assert "filesChanged" not in measured
