"""The one backup in a tree that a repository gave back: where it is looked for, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from verifiers.compressed import DamagedError
from verifiers.sources import Place, SourceError, contents
from verifiers.sources.contents import take

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sources import Fetched

PLACE = Place("restic", "/repository")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The folder that a program restored into, beside nothing else of the fetch."""
    root = tmp_path / "into" / ".restored"
    root.mkdir(parents=True)
    return root


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def taken(tree: Path, kind: str = "postgres", place: Place = PLACE) -> Fetched:
    return take(tree, tree.parent, kind, place, lambda _: None, verified="it was verified")


def text(fetched: Fetched) -> str:
    assert fetched.dump is not None
    return fetched.dump.read_text()


def test_search_ends_after_so_many_folders(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MOST", 30)
    for number in range(40):
        (tree / f"folder{number}").mkdir()
    put(tree / "folder39" / "erp.dump")
    with pytest.raises(SourceError, match="no backup was found in the first 30 folders"):
        taken(tree)


def test_search_within_the_budget_finds_a_dump_far_below(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MOST", 30)
    for number in range(10):
        (tree / f"folder{number}").mkdir()
    put(tree / "srv" / "backups" / "erp" / "erp.dump", "far below")
    fetched = taken(tree)
    assert text(fetched) == "far below"
    assert fetched.verified == "it was verified"
    assert sorted(path.name for path in tree.parent.iterdir()) == ["db.dump"], "of the tree nothing stays"


def test_folders_of_a_cluster_are_not_looked_through(tree: Path) -> None:
    put(tree / "cluster" / "PG_VERSION", "18\n")
    put(tree / "cluster" / "base" / "erp.dump", "a file that lies in the cluster")
    with pytest.raises(SourceError, match="does not hold a backup by pg_dump; it holds cluster"):
        taken(tree)


def test_dump_beside_a_cluster_is_found(tree: Path) -> None:
    put(tree / "cluster" / "PG_VERSION", "18\n")
    put(tree / "cluster" / "base" / "erp.dump", "a file that lies in the cluster")
    put(tree / "nightly" / "deep" / "erp.dump", "the dump")
    assert text(taken(tree)) == "the dump"


def test_dump_that_is_a_link_is_refused(tree: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.dump", "of another")
    (tree / "nightly").mkdir()
    (tree / "nightly" / "erp.dump").symlink_to(outside)
    with pytest.raises(DamagedError, match="is a symbolic link, which is not followed"):
        taken(tree)
    assert not (tree.parent / "db.dump").exists()


def test_folder_that_is_a_link_is_not_followed(tree: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "erp.dump", "of another")
    (tree / "nightly").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="does not hold a backup by pg_dump; it holds nightly"):
        taken(tree)


@pytest.mark.parametrize("link", ["filestore", "filestore/ab"])
def test_pair_whose_files_are_links_is_refused(tree: Path, tmp_path: Path, link: str) -> None:
    put(tmp_path / "elsewhere" / "file", "of another")
    put(tree / "20260301T110000Z" / "db.dump", "PGDMP")
    at = tree / "20260301T110000Z" / link
    at.parent.mkdir(exist_ok=True)
    at.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError) as caught:
        taken(tree, "odoo")
    assert "is a symbolic link" in str(caught.value.__cause__)


def test_files_with_a_link_among_them_are_refused(tree: Path) -> None:
    put(tree / "srv" / "files" / "paper")
    (tree / "srv" / "files" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="link"):
        taken(tree, "filestore", Place("restic", "/repository", filestore="/srv/files"))


def test_newest_of_several_backups_in_a_folder_is_taken(tree: Path) -> None:
    for day in (2, 3, 1):
        put(tree / "nightly" / f"erp-2026030{day}T110000Z.dump", f"of day {day}")
    fetched = taken(tree)
    assert text(fetched) == "of day 3"
    assert fetched.taken_at is not None
    assert fetched.taken_at.day == 3


def test_backup_nearest_to_the_top_is_taken(tree: Path) -> None:
    put(tree / "a" / "older" / "erp-20260309T110000Z.dump", "deeper")
    put(tree / "b" / "erp-20260301T110000Z.dump", "nearer")
    assert text(taken(tree)) == "nearer"


def test_dump_that_is_the_tree_itself_is_found(tree: Path) -> None:
    put(tree / "erp.dump", "at the top")
    assert text(taken(tree)) == "at the top"


def test_directory_dump_that_is_the_tree_itself_is_found(tree: Path) -> None:
    put(tree / "toc.dat", "PGDMP")
    put(tree / "1.dat.gz")
    fetched = taken(tree)
    assert fetched.dump is not None
    assert {path.name for path in fetched.dump.iterdir()} == {"toc.dat", "1.dat.gz"}


def test_pair_that_is_the_tree_itself_is_found(tree: Path) -> None:
    put(tree / "db.dump", "the pair's")
    put(tree / "filestore" / "ab" / "abcd")
    fetched = taken(tree, "odoo")
    assert text(fetched) == "the pair's"
    assert fetched.filestore is not None
    assert (fetched.filestore / "ab" / "abcd").is_file()


def test_cluster_that_is_the_tree_itself_is_found_and_its_keeper_has_not_the_say(tree: Path) -> None:
    for name in ("PG_VERSION", "backup_label", "backup_manifest", "global/pg_control"):
        put(tree / name)
    fetched = taken(tree, place=Place("restic", "/repository", holds="pg_basebackup"))
    assert fetched.dump == tree.parent / "cluster"
    assert (tree.parent / "cluster" / "global" / "pg_control").is_file()
    assert fetched.verified == "", "a cluster's own manifest tells whether it is whole"


def test_tree_without_a_backup_is_refused_with_what_is_there(tree: Path) -> None:
    put(tree / "notes.txt")
    with pytest.raises(SourceError, match=r"does not hold an Odoo pair .*; it holds notes\.txt"):
        taken(tree, "odoo")
