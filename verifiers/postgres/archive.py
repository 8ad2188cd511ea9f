"""pg_dump custom archives: what they say (`archive_toc`), what they need, and whether they are whole.

Invariant: a file cut at any byte fails, also at the boundary of two blocks, where `pg_restore -l` sees nothing.
Memory is bounded by a few buffers, whatever the lengths and compression ratios in the file.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isal import isal_zlib

from verifiers.compressed import InflateError
from verifiers.postgres.archive_needs import Needs
from verifiers.postgres.archive_toc import (
    Archive,
    ArchiveError,
    Entry,
    Header,
    Reader,
    open_archive,
    read_archive,
    read_contents,
    read_entry,
    read_header,
)
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

__all__ = ["Archive", "ArchiveError", "Entry", "Header", "Needs", "read_archive", "read_header", "verify_complete"]

_BLOCK_DATA, _BLOCK_BLOBS = 1, 3
_OID_RANGE = re.compile(r"(\d+)(?:\.\.(\d+))?")
_PIECE = 1 << 20
_COPY_END = b"\\.\n\n\n"  # what pg_dump writes after the last row of a COPY


@dataclass(slots=True)
class _Progress:
    report: Callable[[int], None]
    next: int = 0

    def at(self, position: int) -> None:
        self.next = position + _PIECE
        self.report(position)


def verify_complete(path: Path, progress: Callable[[int], None] | None = None) -> Check:
    """Read every data block to its end and return the check `archive.complete`.

    progress: called with the bytes read. Observed: bytes, blocks, and how deep the data was read: `decompressed` (gzip,
    none) or `structure` (lz4, zstd: lengths of the blocks only).
    """
    started = time.monotonic()
    try:
        observed, message = _read_all(path, _Progress(progress or (lambda _: None)))
        verdict = Verdict.PASS
    except ArchiveError as error:
        verdict, observed = Verdict.FAIL, None
        message = f"The archive is not whole: {error}. Take a new backup; this one cannot be restored completely."
    except OSError as error:
        verdict, observed = Verdict.ERROR, None
        message = f"The archive could not be read: {error.strerror or error}."
    return Check(
        "archive.complete",
        Assurance.RESTORED,
        verdict,
        expected="every data block of the table of contents, to its end",
        observed=observed,
        message=message,
        duration_s=time.monotonic() - started,
    )


def _read_all(path: Path, progress: _Progress) -> tuple[dict[str, int | str], str]:
    with open_archive(path) as reader:
        archive = read_contents(reader)
        missing = {entry.dump_id: entry for entry in archive.entries if entry.has_data}
        objects = {entry.tag for entry in archive.entries if entry.desc == "BLOB"}
        compression = archive.header.compression
        raw_bytes = 0
        starts: dict[int, int] = {}
        while reader.position < reader.size:
            if not missing:
                second_contents(reader, archive, starts)
                break
            start, kind, dump_id = reader.position, reader.byte(), reader.integer()
            entry = missing.pop(dump_id, None)
            if entry is None:
                raise ArchiveError(f"the data block at byte {start} belongs to no entry ({dump_id}), or comes twice")
            if entry.offset not in {None, start}:
                raise ArchiveError(
                    f"the data of {entry.label} begin at byte {start}, not at {entry.offset} as promised"
                )
            starts[dump_id] = start
            try:
                raw_bytes += _block(reader, kind, entry, objects, compression, progress)
            except ArchiveError as error:
                raise ArchiveError(f"in the data of {entry.label}: {error}") from error
        if missing:
            some = ", ".join(entry.label for entry in list(missing.values())[:5])
            raise ArchiveError(
                f"the file ends at byte {reader.size} without the data of {len(missing)} entries: {some}"
            )
        blocks = sum(entry.has_data for entry in archive.entries)
        deep = compression in {"none", "gzip"}
        observed: dict[str, int | str] = {
            "bytes": reader.size,
            "blocks": blocks,
            "entries": len(archive.entries),
            "compression": compression,
            "read": "decompressed" if deep else "structure",
        }
        if deep:
            observed["dataBytes"] = raw_bytes
    said = "and decompressed" if compression == "gzip" else "" if deep else f"without decompressing {compression}"
    return observed, f"All {blocks} data blocks were read to their end {said}".rstrip() + "."


def second_contents(reader: Reader, archive: Archive, starts: Mapping[int, int]) -> None:
    """Read the table of contents that stands after the data, to the end of the file.

    pg_dump 16 and newer, writing to a redirected standard output, appends the table with the offsets filled in where
    older ones overwrote the first.
    """
    where = reader.position
    if reader.integer() != len(archive.entries):
        raise ArchiveError(f"there is something after the last data block, at byte {where}")
    for first in archive.entries:
        second, _ = read_entry(reader, archive.header.version)
        if replace(second, offset=first.offset) != first or second.offset not in {None, starts.get(first.dump_id)}:
            raise ArchiveError(
                f"the second table of contents, at byte {where}, differs from the first at {first.label}"
            )
    if reader.position != reader.size:
        raise ArchiveError(f"there is something after the second table of contents, at byte {reader.position}")


def _block(
    reader: Reader, kind: int, entry: Entry, objects: Collection[str], compression: str, progress: _Progress
) -> int:
    if kind == _BLOCK_DATA:
        return _stream(reader, compression, progress, _COPY_END if entry.has_copy else b"")
    if kind != _BLOCK_BLOBS:
        raise ArchiveError(f"unknown kind of data block {kind} before byte {reader.position}")
    size = 0
    while oid := reader.integer() & 0xFFFFFFFF:  # written as a signed number
        if not _belongs(oid, entry, objects):
            raise ArchiveError(f"there is a large object {oid} before byte {reader.position} that nothing announces")
        size += _stream(reader, compression, progress, b"")
    return size


def _belongs(oid: int, entry: Entry, objects: Collection[str]) -> bool:
    """Whether a large object is one that the contents announce: by entries of its own, or by the range in the tag."""
    span = _OID_RANGE.fullmatch(entry.tag)
    if span is None:
        return str(oid) in objects or not objects
    return int(span[1]) <= oid <= int(span[2] or span[1])


def _stream(reader: Reader, compression: str, progress: _Progress, ending: bytes) -> int:
    """Read pieces up to the empty one; return how many bytes they hold when unpacked (0 where they are not)."""
    kinds: dict[str, type[_Plain]] = {"none": _Plain, "gzip": _Gzip}
    sink = kinds.get(compression, _Opaque)()
    feed = sink.feed
    while length := reader.integer():
        if length < 0:
            raise ArchiveError(f"a piece of {length} bytes at byte {reader.position}; damaged")
        while length > _PIECE:
            sink.feed(reader.take(_PIECE))
            length -= _PIECE
            progress.at(reader.position)
        feed(reader.take(length))  # an uncompressed archive has a piece for each row, so this is the path to keep short
        if reader.position >= progress.next:
            progress.at(reader.position)
    sink.close()
    if ending and sink.tail is not None and not sink.tail.endswith(ending):
        raise ArchiveError(f"the rows stop before byte {reader.position} without their end mark")
    return sink.size


class _Plain:
    """Uncompressed: counted as it is. tail: the last bytes, None where they cannot be known."""

    def __init__(self) -> None:
        self.size = 0
        self.tail: bytes | None = b""

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        self.tail = data if len(data) >= len(_COPY_END) else ((self.tail or b"") + data)[-2 * len(_COPY_END) :]

    def close(self) -> None:
        """Raise ArchiveError if what was fed is not complete in itself."""


class _Opaque(_Plain):
    """lz4 and zstd: not unpacked here, so nothing is said of what is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.tail = None

    def feed(self, data: bytes) -> None:
        """Take no notice."""


class _Gzip(_Plain):
    """A zlib stream: its checksum is verified at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._inflate = isal_zlib.decompressobj()

    def feed(self, data: bytes) -> None:
        try:
            while data:
                if self._inflate.eof:
                    raise ArchiveError("compressed data go on after their end")
                super().feed(self._inflate.decompress(data, _PIECE))
                data = self._inflate.unconsumed_tail or self._inflate.unused_data
        except InflateError as error:
            raise ArchiveError(f"compressed data are damaged ({error})") from error

    def close(self) -> None:
        # Draining needs no loop without input: everything fed was inflated until the input was used up.
        while not self._inflate.eof:
            rest = self._inflate.decompress(b"", _PIECE)
            if not rest:
                raise ArchiveError("compressed data end too early")
            super().feed(rest)
