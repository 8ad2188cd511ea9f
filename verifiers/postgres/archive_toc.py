"""Reader of what begins a custom archive and is the `toc.dat` of a directory or tar: what it holds and what it needs.

Invariant: reads with bounded memory and trusts no length in the file. Whether the data are whole tells `archive`.
Format: pg_backup_archiver.c (ReadHead, ReadToc), pg_backup_custom.c and pg_backup_directory.c of PostgreSQL, archive
versions 1.12 to 1.16.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from verifiers.errors import VerifierError
from verifiers.layout import Layout
from verifiers.postgres.archive_needs import Needs, NeedsCollector, encoding_of
from verifiers.postgres.encodings import codec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from verifiers.postgres.outreach import Outreach

_MAGIC = b"PGDMP"
_CUSTOM = 1
_FILES = 3  # written by pg_dump for both tar and directory
_OLDEST, _NEWEST = (1, 12, 0), (1, 16, 255)
_COMPRESSION = ("none", "gzip", "lz4", "zstd")  # of 1.15; before, a zlib level
_NO_DATA, _POSITION_UNKNOWN, _POSITION_KNOWN = 3, 1, 2
_STRING_LIMIT = 256 << 20  # longest function body or view that is believed, bytes
_ENTRY_BYTES = 60  # less than the smallest entry: bounds the number of entries by the size of the file


class ArchiveError(VerifierError):
    """The backup is not what pg_dump writes, or it is damaged; the message names the byte, line or file."""


@dataclass(frozen=True, slots=True)
class Header:
    """First bytes of an archive. created_at: the dumping machine's local wall clock, without a zone (naive)."""

    version: tuple[int, int, int]
    compression: str
    created_at: datetime | None
    database: str | None
    server_version: str | None
    dump_version: str | None
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table of contents. offset: of its data block, None if it has none or it is unknown.

    file: of a directory or tar, the name of the file with its data, without a suffix of compression.
    """

    dump_id: int
    desc: str
    tag: str
    namespace: str | None
    owner: str | None
    tablespace: str | None
    access_method: str | None
    has_data: bool
    has_copy: bool
    offset: int | None
    file: str | None = None

    @property
    def label(self) -> str:
        """`TABLE DATA public.sale_order`, for messages."""
        return f"{self.desc} {self.namespace + '.' if self.namespace else ''}{self.tag}"


@dataclass(frozen=True, slots=True)
class Archive:
    """Header, contents and needs of one dump. data_start: byte after the table of contents.

    layout: in which output format of pg_dump it is. A plain one has no table of contents: its entries are the relations
    that its statements make.
    """

    header: Header
    entries: Sequence[Entry]
    needs: Needs
    data_start: int
    layout: Layout = Layout.CUSTOM


def read_header(path: Path) -> Header:
    """Return the header. Raises ArchiveError, or OSError."""
    with open_archive(path) as reader:
        return read_head(reader)


def read_archive(path: Path, outreach: Outreach | None = None) -> Archive:
    """Return header, table of contents and needs, without reading the data. Raises ArchiveError, or OSError."""
    with open_archive(path) as reader:
        return read_contents(reader, outreach=outreach)


class Reader:
    """The archiver's integers and strings over a stream.

    size: of the file, which bounds every length in it. codec: Python's name of the strings' encoding, which the first
    entry tells.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size
        self.position = 0
        self.int_size, self.offset_size = 4, 8
        self.codec = "utf-8"

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes. Raises ArchiveError at the end of the file."""
        if count > self.size - self.position:
            raise ArchiveError(
                f"the file ends at byte {self.size}, in the middle of something that begins at byte {self.position} "
                f"and takes {count} bytes; it was cut"
            )
        data = self.stream.read(count)
        if len(data) != count:
            raise ArchiveError(f"the file ended at byte {self.position + len(data)} while it was read")
        self.position += count
        return data

    def byte(self) -> int:
        """Return one byte."""
        return self.take(1)[0]

    def integer(self) -> int:
        """Return a signed integer: one byte sign, then int_size bytes, least first."""
        data = self.take(1 + self.int_size)
        value = int.from_bytes(data[1:], "little")
        sign = data[0]
        if sign == 0:
            return value
        if sign > 1 or value == 0:  # there is no minus zero
            raise ArchiveError(f"byte {self.position - len(data)} is no sign of a number ({sign}); damaged")
        return -value

    def string(self) -> str | None:
        """Return a string, or None for the archive's null."""
        length = self.integer()
        if length < 0:
            return None
        if length > _STRING_LIMIT:
            raise ArchiveError(f"a string at byte {self.position} claims {length} bytes; damaged")
        # A byte that is no letter of the encoding is kept as \xe9, so that two such names stay two.
        return self.take(length).decode(self.codec, "backslashreplace")

    def offset(self) -> tuple[int, int]:
        """Return (state, position) of a data block."""
        data = self.take(1 + self.offset_size)
        return data[0], int.from_bytes(data[1:], "little")


@contextmanager
def open_archive(path: Path) -> Iterator[Reader]:
    """Open a file for reading as an archive. Raises ArchiveError if it is no regular file or empty, or OSError."""
    if not path.is_file():
        raise ArchiveError(f"{path.name} is not a file")
    size = path.stat().st_size
    if size == 0:
        raise ArchiveError(f"{path.name} is empty (0 bytes)")
    with path.open("rb", buffering=1 << 20) as stream:
        yield Reader(stream, size)


def read_head(reader: Reader, *, files: bool = False) -> Header:
    """Return the header, leaving the reader at the first entry. files: of a `toc.dat`, not of a custom archive."""
    magic = reader.take(min(len(_MAGIC), reader.size))
    if magic != _MAGIC:
        raise ArchiveError(f"it begins with {magic[:5].hex()}, not with PGDMP: no archive of `pg_dump -Fc`")
    version = (reader.byte(), reader.byte(), reader.byte())
    if not _OLDEST <= version <= _NEWEST:
        text = ".".join(map(str, version))
        raise ArchiveError(f"archive version {text} is not among those known here, 1.12 to 1.16; update Guardian")
    reader.int_size, reader.offset_size = reader.byte(), reader.byte()
    if reader.int_size not in {4, 8} or reader.offset_size not in {4, 8}:
        raise ArchiveError(f"integers of {reader.int_size} and offsets of {reader.offset_size} bytes; damaged")
    archive_format = reader.byte()
    if archive_format != (_FILES if files else _CUSTOM):
        raise ArchiveError(
            f"archive format {archive_format} is not the {'directory or tar' if files else 'custom'} one, which its "
            "name promises"
        )
    if version >= (1, 15, 0):
        method = reader.byte()
        if method >= len(_COMPRESSION):
            raise ArchiveError(f"unknown compression {method} at byte {reader.position - 1}")
        compression = _COMPRESSION[method]
    else:
        compression = "none" if reader.integer() == 0 else "gzip"
    clock = [reader.integer() for _ in range(7)]
    database, server_version, dump_version = reader.string(), reader.string(), reader.string()
    count = reader.integer()
    if not 0 <= count <= reader.size // _ENTRY_BYTES + 1:
        raise ArchiveError(f"{count} entries are more than {reader.size} bytes can hold; damaged or cut")
    return Header(version, compression, _clock(clock), database, server_version, dump_version, count)


def read_contents(reader: Reader, layout: Layout = Layout.CUSTOM, outreach: Outreach | None = None) -> Archive:
    """Return header, contents and needs, leaving the reader at the first data block.

    outreach: takes every statement.
    """
    files = layout is not Layout.CUSTOM
    header = read_head(reader, files=files)
    needs = NeedsCollector(header.server_version)
    entries = []
    for _ in range(header.entries):
        entry, definition = read_entry(reader, header.version, files=files)
        needs.add(entry.desc, entry.tag, entry.owner, entry.tablespace, entry.access_method, definition)
        if outreach is not None and not entry.desc.startswith("DATABASE"):  # restored only with --create
            outreach.definition(entry.desc, entry.label, definition)
        entries.append(entry)
    return Archive(header, entries, needs.result(), reader.position, layout)


def read_entry(reader: Reader, version: tuple[int, int, int], *, files: bool = False) -> tuple[Entry, str]:
    """Return one entry of the table of contents and the statements it brings. files: of a `toc.dat`."""
    dump_id = reader.integer()
    reader.integer()  # whether pg_dump had a dumper for it: also true of some that wrote no data
    reader.string()  # catalogue table oid
    reader.string()  # oid
    tag, desc = reader.string(), reader.string()
    reader.integer()  # section
    definition = reader.string()
    reader.string()  # drop statement
    copy = reader.string()
    namespace, tablespace = reader.string(), reader.string()
    access_method = reader.string() if version >= (1, 14, 0) else None
    if version >= (1, 16, 0):
        reader.integer()  # relkind
    owner = reader.string()
    reader.string()  # with oids
    while reader.string() is not None:  # dependencies
        pass
    file = (reader.string() or None) if files else None
    state, offset = (_POSITION_UNKNOWN if file else _NO_DATA, 0) if files else reader.offset()
    if state not in {_NO_DATA, _POSITION_UNKNOWN, _POSITION_KNOWN} or desc is None:
        raise ArchiveError(f"the table of contents is damaged before byte {reader.position}")
    if desc == "ENCODING":
        reader.codec = codec_of(encoding_of(definition or "") or "")
    entry = Entry(
        dump_id=dump_id,
        desc=desc,
        tag=tag or "",
        namespace=namespace or None,
        owner=owner or None,
        tablespace=tablespace or None,
        access_method=access_method or None,
        has_data=state != _NO_DATA,
        has_copy=bool(copy),
        offset=offset if state == _POSITION_KNOWN else None,
        file=file,
    )
    return entry, (definition or "") + (copy or "")


def _clock(parts: Sequence[int]) -> datetime | None:
    second, minute, hour, day, month, year, _daylight_saving = parts
    try:
        return datetime(year + 1900, month + 1, day, hour, minute, min(second, 59))  # noqa: DTZ001 -- it has no zone
    except (ValueError, OverflowError):
        return None
