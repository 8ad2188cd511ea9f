"""What the demo does to backups, so that a drill has something to find: each fault is silent in PostgreSQL's own tools.

Invariant: deterministic, in place, and only ever on a backup that the demo itself has made.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from guardian.errors import GuardianError
from verifiers.postgres.archive import read_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOST_FILES = 3
KEPT_FRACTION = 0.6
_BLOCK_DATA = b"\x01"
_AMOUNT = re.compile(rb"-?[1-9][0-9]*\.[0-9]*[1-9]")


class FaultError(GuardianError):
    """A fault could not be planted: the backup is not what the demo makes."""


@dataclass(frozen=True, slots=True)
class AlteredDigit:
    """Where one digit was changed. row: number of the row in the table's data, from 1; offset: byte in the archive."""

    table: str
    column: str
    row: int
    offset: int


def alter_digit(archive: Path, *, table: str = "account_move_line", column: str = "balance") -> AlteredDigit:
    """Change the last decimal of the first amount of `column` in an uncompressed custom archive, in place.

    The amount keeps its length, sign and scale, and stays unlike zero, so that no key, check or type refuses it.
    Raises FaultError if the table's data is not there uncompressed.
    """
    contents = read_archive(archive)
    entry = next((e for e in contents.entries if e.desc == "TABLE DATA" and e.tag == table), None)
    if entry is None or entry.offset is None:
        raise FaultError(f"{archive} holds no data of a table {table}; it must be a pg_dump -Fc file written to disk")
    with archive.open("r+b") as file:
        index = _column_index(file.read(contents.data_start), table, column)
        file.seek(entry.offset)
        for number, (row, offsets) in enumerate(_rows(file), start=1):
            fields = row.split(b"\t")
            if index >= len(fields) or not _AMOUNT.fullmatch(fields[index]):
                continue
            place = offsets[sum(len(field) + 1 for field in fields[:index]) + len(fields[index]) - 1]
            file.seek(place)
            digit = int(file.read(1))
            file.seek(place)
            file.write(str(digit % 9 + 1).encode())  # 1..9, never the digit it was, never 0
            file.flush()
            os.fsync(file.fileno())
            return AlteredDigit(table, column, number, place)
    raise FaultError(f"{archive} has no amount in {table}.{column} to change; take it with --compress=0")


def lose_files(backup: Path, count: int = LOST_FILES) -> list[str]:
    """Remove `count` files, spread evenly, from the filestore of an Odoo backup folder. Returns their names."""
    filestore = backup / "filestore"
    names = sorted(str(path.relative_to(filestore)) for path in filestore.rglob("*") if path.is_file())
    if len(names) < count:
        raise FaultError(f"{filestore} has {len(names)} files, of which {count} cannot be lost")
    lost = [names[(2 * number + 1) * len(names) // (2 * count)] for number in range(count)]
    for name in lost:
        (filestore / name).unlink()
    return lost


def truncate_archive(backup: Path, keep_fraction: float = KEPT_FRACTION) -> int:
    """Cut the dump of a backup folder after `keep_fraction` of its bytes, as a full disk does. Returns the new size.

    The table of contents stands at the front: `pg_restore --list` still succeeds on what remains.
    """
    archive = backup / "db.dump"
    size = int(archive.stat().st_size * keep_fraction)
    os.truncate(archive, size)
    return size


def _column_index(toc: bytes, table: str, column: str) -> int:
    found = re.search(rb"COPY [^ ]*\.?" + re.escape(table.encode()) + rb" \(([^)]*)\) FROM stdin", toc)
    columns = [name.strip().strip(b'"') for name in found[1].split(b",")] if found else []
    if column.encode() not in columns:
        raise FaultError(f"no column {column} in the dumped table {table}")
    return columns.index(column.encode())


def _rows(file: BinaryIO) -> Iterator[tuple[bytes, list[int]]]:
    """Yield each row of the data block at the file's position, with the place of each of its bytes in the file.

    A block is a type byte, the entry's id, then chunks of a length and that many bytes, until a length of 0. Integers
    are a sign byte and four bytes, least significant first. A row may straddle chunks.
    """
    if file.read(1) != _BLOCK_DATA:
        raise FaultError("no data block where the table of contents says there is one")
    _integer(file)
    row, places = bytearray(), list[int]()
    while (length := _integer(file)) > 0:
        start = file.tell()
        chunk = file.read(length)
        following = file.tell()
        for number, byte in enumerate(chunk):
            if byte == 0x0A:
                yield bytes(row), places
                row, places = bytearray(), []
            else:
                row.append(byte)
                places.append(start + number)
        file.seek(following)


def _integer(file: BinaryIO) -> int:
    raw = file.read(5)
    if len(raw) != 5:
        raise FaultError("the archive ends inside a data block")
    return int.from_bytes(raw[1:], "little") * (-1 if raw[0] else 1)
