"""A cheap look at whether a custom archive ends as a whole one does, for lists of backups.

Invariant: `cut_short` never calls an archive whole that lacks bytes at its end; damage inside the data it does not see,
only `archive.verify_complete` does. It seeks over the pieces of the last data block (of every block where the archive
holds no offsets), and reads none of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from verifiers.postgres.archive import second_contents
from verifiers.postgres.archive_toc import ArchiveError, Reader, open_archive, read_contents

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.postgres.archive_toc import Archive

_BLOCK_DATA, _BLOCK_BLOBS = 1, 3


def cut_short(path: Path) -> str:
    """Return why the file is not a whole archive, or an empty string if it ends where its last data block ends.

    Raises OSError.
    """
    try:
        with open_archive(path) as reader:
            archive = read_contents(reader)
            _walk(reader, archive)
    except ArchiveError as error:
        return str(error)
    return ""


def _walk(reader: Reader, archive: Archive) -> None:
    missing = {entry.dump_id for entry in archive.entries if entry.has_data}
    starts: dict[int, int] = {}
    offsets = {entry.dump_id: entry.offset for entry in archive.entries if entry.has_data}
    known = [offset for offset in offsets.values() if offset is not None]
    if known and len(known) == len(offsets):
        _seek(reader, max(known))
        missing = {dump_id for dump_id, offset in offsets.items() if offset == max(known)}
    while missing:
        start, kind, dump_id = reader.position, reader.byte(), reader.integer()
        starts[dump_id] = start
        if dump_id not in missing:
            raise ArchiveError(f"the data block at byte {start} belongs to no entry ({dump_id}), or comes twice")
        missing.discard(dump_id)
        if kind == _BLOCK_DATA:
            _skip_pieces(reader)
        elif kind == _BLOCK_BLOBS:
            while reader.integer() != 0:  # the large object's oid
                _skip_pieces(reader)
        else:
            raise ArchiveError(f"unknown kind of data block {kind} at byte {start}")
    if reader.position != reader.size:
        if known:
            raise ArchiveError(f"there is something after the last data block, at byte {reader.position}")
        second_contents(reader, archive, starts)


def _skip_pieces(reader: Reader) -> None:
    while length := reader.integer():
        if length < 0:
            raise ArchiveError(f"a piece of {length} bytes at byte {reader.position}; damaged")
        _seek(reader, reader.position + length)


def _seek(reader: Reader, position: int) -> None:
    if position > reader.size:
        raise ArchiveError(f"the file ends at byte {reader.size}, before byte {position} that it must have; it was cut")
    reader.stream.seek(position, os.SEEK_SET)
    reader.position = position
