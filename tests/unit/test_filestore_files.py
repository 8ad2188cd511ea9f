"""Files on disk: hashed streaming, links refused, contents held against names and manifests."""

from __future__ import annotations

import hashlib
import os
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from verifiers.filestore import FilestoreError, FilestoreManifest, capture, compare, content
from verifiers.result import Assurance, Verdict

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "filestore"
    root.mkdir()
    rng = random.Random(1)
    for size in [0, 1, 100, 5000, 300_000, *range(2, 60)]:
        put(root, rng.randbytes(size))
    return root


def put(root: Path, data: bytes) -> Path:
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    (root / sha1[:2]).mkdir(exist_ok=True)
    path = root / sha1[:2] / sha1
    path.write_bytes(data)
    return path


def some_file(root: Path) -> Path:
    return max((path for path in root.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def test_every_file_that_is_its_name_passes(store: Path) -> None:
    seen: list[int] = []
    check = content(store, seen.append)
    assert (check.id, check.level, check.verdict) == ("filestore.content", Assurance.SOUND, Verdict.PASS)
    assert check.observed["files"] == 63
    assert seen[-1] == check.observed["bytes"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
def test_file_that_is_not_its_name_fails_and_is_named(store: Path, damage: str) -> None:
    path = some_file(store)
    data = path.read_bytes()
    path.write_bytes(
        {"flip": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-1], "empty": b"", "longer": data + b"x"}[damage]
    )
    check = content(store)
    assert check.verdict is Verdict.FAIL
    assert check.observed["wrongNames"] == [str(path.relative_to(store))]


def test_file_in_the_wrong_folder_fails(store: Path) -> None:
    path = some_file(store)
    other = store / ("00" if path.parent.name != "00" else "01")
    other.mkdir(exist_ok=True)
    path.rename(other / path.name)
    assert content(store).verdict is Verdict.FAIL


def test_name_that_is_no_hash_is_not_shown(store: Path) -> None:
    (store / "ab").mkdir(exist_ok=True)
    (store / "ab" / "Mrs Canary.pdf").write_bytes(b"x")
    check = content(store)
    assert check.verdict is Verdict.FAIL
    assert "Canary" not in repr(check)


def test_checklist_of_the_garbage_collector_is_spared_and_strays_are_counted(store: Path) -> None:
    (store / "checklist" / "ab").mkdir(parents=True)
    (store / "checklist" / "ab" / ("ab" + "0" * 38)).touch()
    (store / "upload.tmp").write_bytes(b"half")
    (store / "lost+found").mkdir()
    check = content(store)
    assert check.verdict is Verdict.PASS
    assert check.observed["strays"] == 1
    assert not any(name.startswith("checklist") for name in capture(store).files)


@pytest.mark.parametrize("kind", ["file link", "folder link", "fifo", "link in place of checklist"])
def test_links_and_special_files_are_refused(store: Path, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_bytes(b"secret")
    if kind == "file link":
        (store / "ab").mkdir(exist_ok=True)
        (store / "ab" / "link").symlink_to(secret / "file")
    elif kind == "folder link":
        (store / "ef0").symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(store / "pipe")
    else:
        (store / "checklist").symlink_to(secret)
    with pytest.raises(FilestoreError, match=r"link|special"):
        capture(store)
    assert content(store).verdict is Verdict.ERROR
    assert compare(FilestoreManifest({}), store).verdict is Verdict.ERROR


def test_missing_root_is_an_error_not_an_empty_filestore(tmp_path: Path) -> None:
    with pytest.raises(FilestoreError, match="nowhere"):
        capture(tmp_path / "nowhere")
    assert content(tmp_path / "nowhere").verdict is Verdict.ERROR


def test_manifest_holds_size_and_sha256_of_every_file(store: Path) -> None:
    manifest = capture(store)
    assert len(manifest.files) == 63
    for name, entry in manifest.files.items():
        data = (store / name).read_bytes()
        assert (entry.size, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert FilestoreManifest.from_json(manifest.to_json()) == manifest


def test_manifest_of_chosen_names_leaves_out_the_rest(store: Path) -> None:
    names = sorted(capture(store).files)[:5]
    assert sorted(capture(store, names={*names, "ab/missing"}).files) == names


def test_unchanged_filestore_agrees_with_its_manifest(store: Path) -> None:
    check = compare(capture(store), store)
    assert (check.id, check.level, check.verdict) == ("filestore.manifest", Assurance.EXACT, Verdict.PASS)


def test_further_files_are_counted_and_do_not_fail(store: Path) -> None:
    manifest = capture(store)
    put(store, b"attached while the backup was copied")
    check = compare(manifest, store)
    assert check.verdict is Verdict.PASS
    assert check.observed["extra"] == 1


def test_missing_and_changed_files_fail_with_counts_and_names(store: Path) -> None:
    manifest = capture(store)
    first, second, third = sorted(manifest.files)[:3]
    (store / first).unlink()
    (store / second).unlink()
    (store / third).write_bytes(b"?" * manifest.files[third].size)
    check = compare(manifest, store)
    assert check.verdict is Verdict.FAIL
    assert (check.observed["missing"], check.observed["differing"]) == (2, 1)
    assert check.observed["missingNames"] == [first, second]
    assert check.observed["differingNames"] == [third]


def test_large_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    root = tmp_path / "big"
    root.mkdir()
    with (root / "file").open("wb") as stream:
        stream.truncate(256 << 20)
    tracemalloc.start()
    capture(root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_name_that_is_no_utf8_is_kept_readable(tmp_path: Path) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert list(capture(root).files) == ["caf\\xe9"]
