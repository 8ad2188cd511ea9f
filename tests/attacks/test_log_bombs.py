"""Archives of write-ahead log that somebody else filled: what unpacks to more than a segment never fills a disk."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from verifiers.compressed import DamagedError
from verifiers.postgres.physical import Segment
from verifiers.sources.barman import BarmanLog
from verifiers.sources.wal_archive import WalArchive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.sources import LogArchive

SEGMENT_BYTES = 16 << 20
NAME = "000000010000000000000002"


def plain(folder: Path) -> LogArchive:
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(bytes(4 * SEGMENT_BYTES), 1))
    return WalArchive.look(folder)


def barman(folder: Path) -> LogArchive:
    place = folder / "wals" / NAME[:16]
    place.mkdir(parents=True)
    (place / NAME).write_bytes(gzip.compress(bytes(4 * SEGMENT_BYTES), 1))
    return BarmanLog(folder)


@pytest.mark.parametrize("archive", [plain, barman])
def test_segment_that_unpacks_to_more_than_one_is_damaged_and_writes_no_more(
    archive: Callable[[Path], LogArchive], tmp_path: Path
) -> None:
    there, into = tmp_path / "archive", tmp_path / "into"
    there.mkdir()
    into.mkdir()
    with pytest.raises(DamagedError, match=f"{NAME} unpacks to more than the {SEGMENT_BYTES} bytes of one"):
        archive(there).fetch(into, Segment.parse(NAME, SEGMENT_BYTES), SEGMENT_BYTES, lambda _: None)
    assert sum(path.stat().st_size for path in into.iterdir()) <= SEGMENT_BYTES + (1 << 20)
