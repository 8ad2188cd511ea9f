"""The files of a dump in directory or tar format, by name: how large they are and what is in them.

Invariant: a tar that lacks any block at its end, or whose headers do not hold together, is an error, though pg_restore
reads what it finds. Memory is bounded: contents come in pieces.
Format: tarCreateHeader of PostgreSQL (ustar headers of plain files, then two empty blocks).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from verifiers.layout import Layout
from verifiers.postgres.archive_toc import Archive, ArchiveError, Header, Reader, read_contents, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from verifiers.postgres.outreach import Outreach

TOC = "toc.dat"
_BLOCK = 512
_PIECE = 1 << 20
_NAME, _SIZE, _CHECKSUM, _TYPE = slice(0, 100), slice(124, 136), slice(148, 156), 156
_BINARY_SIZE = 0x80  # first bit of a size that is no octal text: above 8 GiB


class Members(Protocol):
    """The files of one dump."""

    @property
    def layout(self) -> Layout:
        """Which of the two formats it is."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes by name."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's content. Raises ArchiveError if it is shorter than it was, or OSError."""
        ...

    def reader(self, name: str) -> Reader:
        """Return a reader of a member for the table of contents. It closes with the members."""
        ...


class DirectoryMembers:
    """The files of a folder."""

    layout: Layout = Layout.DIRECTORY

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sizes: dict[str, int] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    raise ArchiveError(f"{entry.name!r} is no plain file; pg_dump writes nothing else into its folder")
                self.sizes[entry.name] = status.st_size

    def chunks(self, name: str) -> Iterator[bytes]:
        """See Members."""
        with (self._path / name).open("rb", buffering=0) as stream:
            while data := stream.read(_PIECE):
                yield data

    def reader(self, name: str) -> Reader:
        """See Members."""
        return Reader((self._path / name).open("rb", buffering=_PIECE), self.sizes[name])


class TarMembers:
    """The members of a tar, found by its headers; reading starts where their content is."""

    layout: Layout = Layout.TAR

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        size = path.stat().st_size
        if size == 0:
            raise ArchiveError(f"{path.name} is empty (0 bytes)")
        with path.open("rb", buffering=_BLOCK) as stream:
            position = 0
            while block := _header(stream.read(_BLOCK), position):
                name, length = block
                if name in self.sizes:
                    raise ArchiveError(f"the tar holds {name!r} twice")
                self._starts[name], self.sizes[name] = position + _BLOCK, length
                position += _BLOCK + -(-length // _BLOCK) * _BLOCK
                if position > size:
                    raise ArchiveError(f"the tar ends at byte {size}, inside {name!r}; it was cut")
                stream.seek(position)
            if size - position < 2 * _BLOCK:
                raise ArchiveError(f"the tar ends at byte {size} without its two empty blocks; it was cut")
            stream.seek(position)
            while rest := stream.read(_PIECE):
                if rest.strip(b"\0"):
                    raise ArchiveError(f"there is something after the end of the tar, at byte {position} or later")

    def chunks(self, name: str) -> Iterator[bytes]:
        """See Members."""
        left = self.sizes[name]
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(self._starts[name])
            while left:
                data = stream.read(min(left, _PIECE))
                if not data:
                    raise ArchiveError(f"the tar ended inside {name!r} while it was read")
                left -= len(data)
                yield data

    def reader(self, name: str) -> Reader:
        """See Members."""
        stream = self._path.open("rb", buffering=_PIECE)
        stream.seek(self._starts[name])
        return Reader(stream, self.sizes[name])


def open_members(path: Path, layout: Layout) -> Members:
    """Return the members of a dump in either format. Raises ArchiveError or OSError."""
    return DirectoryMembers(path) if layout is Layout.DIRECTORY else TarMembers(path)


def read_toc(members: Members, outreach: Outreach | None = None) -> Archive:
    """Return header, contents and needs. outreach: takes every statement. Raises ArchiveError, or OSError."""
    reader = _toc(members)
    with reader.stream:
        archive = read_contents(reader, members.layout, outreach)
        if reader.position != reader.size:
            raise ArchiveError(f"{TOC} goes on after its last entry, at byte {reader.position}")
        return archive


def read_toc_header(members: Members) -> Header:
    """Return the header alone. Raises ArchiveError, or OSError."""
    reader = _toc(members)
    with reader.stream:
        return read_head(reader, files=True)


def _toc(members: Members) -> Reader:
    if not members.sizes.get(TOC):
        what = "is empty (0 bytes)" if TOC in members.sizes else "is missing: pg_dump did not come to its end"
        raise ArchiveError(f"{TOC} {what}")
    return members.reader(TOC)


def _header(block: bytes, position: int) -> tuple[str, int] | None:
    """Return (name, size) of a member, or None for an empty block, which ends a tar."""
    if len(block) < _BLOCK:
        raise ArchiveError(f"the tar ends at byte {position + len(block)}, where a header must be; it was cut")
    if not block.strip(b"\0"):
        return None
    blank = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    if _octal(block[_CHECKSUM], position) != sum(blank):
        raise ArchiveError(f"the header at byte {position} is damaged, or this is no tar")
    if block[_TYPE : _TYPE + 1] not in {b"0", b"\0"}:
        raise ArchiveError(f"the member at byte {position} is no plain file; pg_dump writes nothing else into its tar")
    raw = block[_SIZE]
    size = int.from_bytes(raw[1:], "big") if raw[0] & _BINARY_SIZE else _octal(raw, position)
    return block[_NAME].partition(b"\0")[0].decode("utf-8", "backslashreplace"), size


def _octal(field: bytes, position: int) -> int:
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise ArchiveError(f"the header at byte {position} is damaged, or this is no tar")
    return int(text, 8)
