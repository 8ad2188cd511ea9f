"""Unpack a tar that somebody else made: from a stream, in bounded memory, by strict rules of our own.

Invariant: whatever the archive says, only new folders (0700) and new regular files (0600) come to be, all below one
folder, and no name twice. Nothing is a link: a hard link to an earlier member becomes a copy of it, anything else that
is no file or folder is refused. An archive that does not end as tar ends one is damaged, never a shorter one.
Each header is read by `tarfile`, one block at a time; its extraction is not used, nor is it needed to trust it.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from verifiers.compressed import DamagedError
from verifiers.sources.base import SourceError
from verifiers.sources.copying import new_file
from verifiers.sources.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

BLOCK: Final = 512
ENDING: Final = 2 * BLOCK  # of zeros
_PIECE: Final = 1 << 20
_LONGEST_NAME: Final = 1 << 14
_LARGEST_HEADER: Final = 1 << 20  # extended ones; what exceeds it is no header any program writes
_DEEPEST: Final = 64
_HEADERS: Final = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X"}
_VOLUME_LABEL: Final = b"V"
_REFUSED: Final = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "stored as a sparse file",
    b"D": "part of an incremental archive (tar --listed-incremental)",
    b"M": "a part of several volumes",
}


class _Stream:
    """Bytes of an archive, taken in the order they come."""

    def __init__(self, pieces: Iterable[bytes], name: str) -> None:
        self._pieces, self._name = iter(pieces), name
        self._held = memoryview(b"")
        self.taken = 0

    def some(self, most: int) -> memoryview:
        """Return the next bytes, at most `most`; none at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return self._held
            self._held = memoryview(piece)
        taken, self._held = self._held[:most], self._held[most:]
        self.taken += len(taken)
        return taken

    def chunks(self, count: int, within: str) -> Iterator[memoryview]:
        """Yield exactly `count` bytes in pieces. Raises DamagedError if it ends before."""
        while count:
            taken = self.some(min(count, _PIECE))
            if not taken:
                raise DamagedError(f"{self._name} ends within {within}: it was cut short")
            count -= len(taken)
            yield taken

    def exactly(self, count: int, within: str) -> bytes:
        """Return exactly `count` bytes. Raises DamagedError."""
        return b"".join(self.chunks(count, within))


class _Archive:
    """One archive being unpacked into `target`. written: told what it takes so far, with a block for each member."""

    def __init__(self, stream: _Stream, target: Path, written: Callable[[int], None], name: str) -> None:
        self._stream, self._target, self._written, self._name = stream, target, written, name
        self._folders: set[Path] = {target}
        self.done = 0

    def all(self) -> None:
        extended: dict[str, str] = {}
        first = True
        while (block := self._block()) is not None:
            member = self._header(block, first=first)
            first = False
            if member.type in _HEADERS:
                extended |= self._extension(member)
                continue
            self._member(member, extended)
            extended = {}
        self._nothing_follows()
        if extended:
            raise DamagedError(f"{self._name} is not a whole tar: the last member lacks")

    def _block(self) -> bytes | None:
        """Return the next header, None where the archive ends as it should."""
        block = self._stream.exactly(BLOCK, "a header or lacks its end")
        if any(block):
            return block
        if any(self._stream.exactly(BLOCK, "its end")):
            raise DamagedError(f"{self._name} is not a whole tar: an empty block stands in its middle")
        return None

    def _nothing_follows(self) -> None:
        while taken := self._stream.some(_PIECE):
            if any(taken):
                raise DamagedError(f"{self._name} goes on behind its end: something was written over it or appended")
        if self._stream.taken % BLOCK:
            raise DamagedError(f"{self._name} is not a whole tar: it does not end at the end of a block")

    def _header(self, block: bytes, *, first: bool) -> tarfile.TarInfo:
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            where = "it begins with no header of one" if first else f"a header is damaged ({error})"
            raise DamagedError(f"{self._name} is not a whole tar: {where}") from error
        if member.size < 0:
            raise DamagedError(f"{self._name} is not a whole tar: a header gives a size below zero")
        return member

    def _extension(self, member: tarfile.TarInfo) -> dict[str, str]:
        """Return what a header before the header says: path, linkpath, size. Raises SourceError, DamagedError."""
        long = member.type in {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
        if member.size > (_LONGEST_NAME if long else _LARGEST_HEADER):
            raise SourceError(f"{self._name} holds a name or header of {member.size} bytes, which no file has")
        data = self._stream.exactly(_padded(member.size), "a header")[: member.size]
        if long:
            key = "path" if member.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
            return {key: data.split(b"\0")[0].decode("utf-8", "surrogateescape")}
        found = self._records(data)
        if any(key.startswith("GNU.sparse.") for key in found):
            raise SourceError(f"{self._name} holds a sparse file, which is not unpacked; make it without tar --sparse")
        wanted = {key: value for key, value in found.items() if key in {"path", "linkpath", "size"}}
        if wanted and member.type == tarfile.XGLTYPE:
            raise SourceError(f"{self._name} gives all its members one {min(wanted)}, which no backup needs")
        return wanted

    def _records(self, data: bytes) -> Mapping[str, str]:
        """Return the records of a pax header, each a line `<length> <key>=<value>`."""
        found: dict[str, str] = {}
        while data.rstrip(b"\0"):
            digits, space, _ = data[:20].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            key, equals, value = data[len(digits) + 1 : length].partition(b"=")
            if not space or not equals or length > len(data) or not value.endswith(b"\n"):
                raise DamagedError(f"{self._name} is not a whole tar: an extended header is damaged")
            found[key.decode("utf-8", "surrogateescape")] = value[:-1].decode("utf-8", "surrogateescape")
            data = data[length:]
        return found

    def _member(self, member: tarfile.TarInfo, extended: Mapping[str, str]) -> None:
        name = extended.get("path", member.name)
        size = extended.get("size", "")
        if size and not (size.isascii() and size.isdigit()):
            raise DamagedError(f"{self._name} is not a whole tar: an extended header gives no size")
        length = int(size) if size else member.size
        parts = self._parts(name)
        self._tell(BLOCK)
        if member.type in _REFUSED:
            what = f"{shown(name)}, {_REFUSED[member.type]}"
            raise SourceError(f"{self._name} holds {what}; a backup holds plain files and folders only")
        try:
            if member.isdir():
                self._folder(self._target.joinpath(*parts))
            elif member.islnk():
                self._copy(self._target.joinpath(*self._parts(extended.get("linkpath", member.linkname))), parts, name)
            elif member.isreg():
                self._file(parts, self._stream.chunks(length, shown(name)), name)
                self._stream.exactly(_padded(length) - length, shown(name))
            elif member.type != _VOLUME_LABEL:
                raise SourceError(f"{self._name} holds {shown(name)} of the unknown type {member.type!r}")
        except FileExistsError as error:
            raise SourceError(f"{self._name} holds {shown(name)} twice") from error
        except OSError as error:
            raise SourceError(f"cannot unpack {shown(name)[:200]} of {self._name}: {error.strerror}") from error

    def _parts(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise SourceError(f"{self._name} holds the name {shown(name)[:200]}, which leads out of it")
        if len(parts) > _DEEPEST:
            raise SourceError(f"{self._name} holds folders more than {_DEEPEST} deep")
        return parts

    def _folder(self, place: Path) -> None:
        if place not in self._folders:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folders.add(place)

    def _file(self, parts: list[str], chunks: Iterable[memoryview | bytes], name: str) -> None:
        if not parts:
            raise SourceError(f"{self._name} holds a file without a name ({shown(name)})")
        place = self._target.joinpath(*parts)
        self._folder(place.parent)
        with new_file(place) as sink:
            for chunk in chunks:
                self._tell(len(chunk))
                view = memoryview(chunk)
                while view:
                    view = view[sink.write(view) :]

    def _copy(self, original: Path, parts: list[str], name: str) -> None:
        """Write a hard link's file once more, so that nothing that happens to one happens to the other."""
        if not original.is_file():
            raise SourceError(f"{self._name} holds {shown(name)}, a link to what is no earlier file of it")
        with original.open("rb", buffering=0) as source:
            self._file(parts, iter(lambda: source.read(_PIECE), b""), name)

    def _tell(self, more: int) -> None:
        self.done += more
        self._written(self.done)


def unpack(pieces: Iterable[bytes], target: Path, written: Callable[[int], None], *, name: str) -> int:
    """Unpack a tar into the folder `target`, which must exist; return the bytes it takes.

    pieces: its bytes, decompressed, all of which are read. written: told the bytes before they are written, with a
    block for each member; what it raises ends the work. name: for messages.
    Raises DamagedError where it is not whole, SourceError where it holds what is refused.
    """
    archive = _Archive(_Stream(pieces, name), target, written, name)
    archive.all()
    return archive.done


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
