"""The demo's folder: made anew over an earlier demo, and nothing of anybody else's touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardian.errors import UsageError
from guardian.usecases.demo import MARKER, prepare

if TYPE_CHECKING:
    from pathlib import Path


def test_earlier_demo_is_replaced(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "demo")
    (folder / "backups").mkdir()
    (folder / "backups" / "old.dump").write_text("old")
    (folder / "link").symlink_to(tmp_path)
    assert prepare(folder) == folder
    assert [entry.name for entry in folder.iterdir()] == [MARKER]
    assert tmp_path.is_dir()


def test_empty_folder_is_used(tmp_path: Path) -> None:
    assert prepare(tmp_path).joinpath(MARKER).is_file()


def test_folder_of_somebody_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        prepare(tmp_path)
    assert (tmp_path / "work.txt").read_text() == "mine"


def test_file_or_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="not a folder"):
            prepare(tmp_path / name)
