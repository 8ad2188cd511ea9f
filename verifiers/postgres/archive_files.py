"""Whether a dump in directory or tar format is whole: every file that its contents promise, to its end, and no other.

Invariant: what `toc.dat` and `blobs*.toc` name is there and ends as pg_dump ends it, and nothing else is there.
Memory is bounded by a few buffers, whatever the sizes and compression ratios.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from verifiers.compressed import SUFFIXES, DamagedError, Unpacker
from verifiers.layout import Layout
from verifiers.postgres.archive_members import TOC, open_members, read_toc
from verifiers.postgres.archive_toc import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from verifiers.postgres.archive_members import Members
    from verifiers.postgres.archive_toc import Archive, Entry

_COPY_END = b"\\.\n\n\n"  # what pg_dump writes after the last row of a COPY
_INSERT_END = b"\n\n"  # the same after the last INSERT
_LARGE_OBJECT = re.compile(rb"(\d+) (blob_\d+\.dat)")
_LISTS_BY_ENTRY = (1, 16, 0)  # pg_dump 17
_LISTED_BYTES = 64 << 20  # longest list of large objects that is believed
_SCRIPT = "restore.sql"  # of a tar: for a person; pg_restore does not read it, nor is it read here


def verify_files(path: Path, layout: Layout, progress: Callable[[int], None]) -> tuple[dict[str, int | str], str]:
    """Read everything. Return (observed, message). progress: called with the bytes read.

    Raises ArchiveError for what is damaged, or OSError.
    """
    members = open_members(path, layout)
    archive = read_toc(members)
    reading = _Reading(members, archive, progress)
    expected = {TOC} | ({_SCRIPT} if layout is Layout.TAR else set())
    missing: list[str] = []
    for entry in archive.entries:
        for name, label, ending in reading.files(entry):
            if name in expected:
                raise ArchiveError(f"{name} belongs to two entries, one is {label}")
            expected.add(name)
            if name not in members.sizes:
                missing.append(f"{name} ({label})")
                continue
            reading.to_the_end(name, label, ending)
    if missing:
        raise ArchiveError(f"{len(missing)} files are missing: {', '.join(missing[:5])}")
    extra = sorted(set(members.sizes) - expected)
    if extra:
        raise ArchiveError(f"{len(extra)} files belong to nothing in {TOC}: {', '.join(map(repr, extra[:5]))}")
    observed: dict[str, int | str] = {
        "bytes": sum(members.sizes.values()),
        "files": len(members.sizes),
        "entries": len(archive.entries),
        "compression": archive.header.compression,
        "read": "decompressed",
        "dataBytes": reading.unpacked,
    }
    return (
        observed,
        f"All {len(members.sizes)} files of the {layout} format were read to their end and none is missing.",
    )


def look_at_files(members: Members) -> Archive:
    """Return the contents, having seen that every file they name is there and not empty, without reading them.

    Raises ArchiveError, or OSError.
    """
    archive = read_toc(members)
    for entry in archive.entries:
        name = _file_of(entry, archive)
        if name and not members.sizes.get(name):
            what = "is empty (0 bytes)" if name in members.sizes else "is missing"
            raise ArchiveError(f"{name} with the data of {entry.label} {what}")
    return archive


class _Reading:
    """One pass over all members. unpacked: bytes of data so far."""

    def __init__(self, members: Members, archive: Archive, progress: Callable[[int], None]) -> None:
        self._members, self._archive, self._progress = members, archive, progress
        self._compression = archive.header.compression if members.layout is Layout.DIRECTORY else "none"
        self._done = 0
        self.unpacked = 0

    def files(self, entry: Entry) -> Iterator[tuple[str, str, bytes]]:
        """Yield (name, label, how it must end) for every file of an entry."""
        name = _file_of(entry, self._archive)
        if name is None:
            return
        if entry.desc != "BLOBS":
            yield name, entry.label, _COPY_END if entry.has_copy else _INSERT_END
            return
        yield name, entry.label, b""
        if name not in self._members.sizes:
            return
        if not 0 < self._members.sizes[name] <= _LISTED_BYTES:
            raise ArchiveError(f"{name}, the list of {entry.label}, has {self._members.sizes[name]} bytes")
        lines = b"".join(self._members.chunks(name)).split(b"\n")
        if lines.pop():
            raise ArchiveError(f"{name}, the list of {entry.label}, ends in the middle of a line; it was cut")
        for line in lines:
            found = _LARGE_OBJECT.fullmatch(line)
            if found is None:
                raise ArchiveError(f"{name}, the list of {entry.label}, has a line that is none of it")
            yield found[2].decode() + _suffix(self._archive), f"large object {found[1].decode()}", b""

    def to_the_end(self, name: str, label: str, ending: bytes) -> None:
        """Read one file; raise ArchiveError if it is damaged or ends otherwise."""
        plain = name.endswith(".toc")
        unpacker = Unpacker("none" if plain else self._compression)
        tail = b""
        try:
            for data in self._members.chunks(name):
                for piece in unpacker.feed(data):
                    self.unpacked += 0 if plain else len(piece)
                    tail = (tail + piece[-len(_COPY_END) :])[-len(_COPY_END) :]
                self._done += len(data)
                self._progress(self._done)
            unpacker.close()
        except DamagedError as error:
            raise ArchiveError(f"{name} with the data of {label}: {error}") from error
        if not tail.endswith(ending):
            raise ArchiveError(f"{name}: the rows of {label} stop without their end mark; it was cut")


def _file_of(entry: Entry, archive: Archive) -> str | None:
    """Return the name of the file with an entry's data, or of the list of its large objects; None if it has none."""
    if entry.file is None or entry.desc != "BLOBS":
        return entry.file and entry.file + _suffix(archive)
    if archive.layout is Layout.DIRECTORY:
        return entry.file
    # A tar's contents give another name than the one that the list has.
    return f"blobs_{entry.dump_id}.toc" if archive.header.version >= _LISTS_BY_ENTRY else "blobs.toc"


def _suffix(archive: Archive) -> str:
    """Return what pg_dump appends to the names of data files; a tar's are never compressed."""
    if archive.layout is Layout.TAR:
        return ""
    return next((suffix for suffix, kind in SUFFIXES.items() if kind == archive.header.compression), "")
