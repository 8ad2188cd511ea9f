"""Unpack a zip as Odoo makes it: by strict rules of our own, in memory bounded by its list of members.

Invariant: only new folders (0700) and new regular files (0600) come to be, all below one folder, and no name twice;
what is not asked for is not unpacked. Each member has the length and the CRC that the zip's directory gives for it, or
the zip is damaged. Nothing is opened with a zip's own passwords.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from verifiers.compressed import DamagedError
from verifiers.sources.base import SourceError
from verifiers.sources.copying import new_file
from verifiers.sources.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PIECE: Final = 1 << 20
_BLOCK: Final = 512  # what a member takes besides its bytes, in `written`
_ENCRYPTED: Final = 0x1
_RATIO: Final = 1_100  # deflate packs 1032 bytes into one at best
_DEEPEST: Final = 16
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_END, _END_BYTES = b"PK\x05\x06", 22
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_END64, _END64_BYTES = b"PK\x06\x06", 56
_UNSAID: Final = 0xFFFFFFFF
_LARGEST_DIRECTORY: Final = 1 << 30  # of about ten million files


class _NoEndError(Exception):
    """There is no end of a zip."""


def unpack(path: Path, target: Path, wanted: Callable[[str], bool], written: Callable[[int], None]) -> list[str]:
    """Unpack the members that are wanted into the folder `target`, which must exist; return all members' names.

    wanted: takes a member's name. written: told the bytes before they are written, with a block for each member; what
    it raises ends the work.
    Raises DamagedError where the zip is not whole, SourceError where it holds what is refused.
    """
    try:
        with path.open("rb") as file:
            _directory(file.fileno())
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_bomb(members, path)
            names = {_checked(member) for member in members}
            if len(names) != len(members):
                raise SourceError("it holds a name twice")
            done = 0
            for member in members:
                if wanted(member.filename):
                    done = _take(archive, member, target, done, written)
            return [member.filename for member in members]
    except _NoEndError as error:
        raise DamagedError(f"it is not a whole zip: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError) as error:
        raise DamagedError(f"it is not a whole zip: {error}") from error
    except UnicodeError as error:
        raise SourceError("it holds a name that is not the UTF-8 it says it is") from error
    except NotImplementedError as error:
        raise SourceError(f"it cannot be unpacked: {error}") from error


def look(path: Path, name: bytes) -> tuple[bool, str]:
    """Return whether the zip ends as one does, with the reason; and where it does, "" if `name` is in its directory.

    Reads its directory only, in pieces. Raises OSError.
    """
    with path.open("rb") as file:
        try:
            start, size = _directory(file.fileno())
        except _NoEndError as error:
            return False, f"{error}: it was cut short, or is still being written"
        before = b""
        while size > 0:
            piece = os.pread(file.fileno(), min(_PIECE, size), start)
            if not piece:
                break
            if name in before + piece:
                return True, ""
            before, start, size = piece[-len(name) :], start + len(piece), size - len(piece)
    return True, name.decode()


def _directory(file: int) -> tuple[int, int]:
    """Return where the zip's directory begins and its size. Raises _NoEndError, OSError, or SourceError."""
    size = os.fstat(file).st_size
    tail_at = max(0, size - _END_BYTES - 0xFFFF)
    tail = os.pread(file, size - tail_at, tail_at)
    at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        raise _NoEndError("it has no end")
    length, start, comment = struct.unpack_from("<LLH", tail, at + 12)
    if at + _END_BYTES + comment != len(tail):
        raise _NoEndError("something follows its end")
    end = tail_at + at
    locator = os.pread(file, _LOCATOR_BYTES, max(0, end - _LOCATOR_BYTES))
    if locator[:4] == _LOCATOR or _UNSAID in (length, start):
        place = struct.unpack_from("<Q", locator, 8)[0] if locator[:4] == _LOCATOR else size
        record = os.pread(file, _END64_BYTES, place) if place < size else b""
        if record[:4] != _END64 or len(record) < _END64_BYTES:
            raise _NoEndError("it has no end")
        length, start = struct.unpack_from("<QQ", record, 40)
        end = place
    if start + length != end:
        raise _NoEndError("its directory is not where its end says")
    if length > _LARGEST_DIRECTORY:
        raise SourceError(f"its directory takes {length / 2**30:.1f} GiB, which no backup's does")
    return start, length


def _refuse_bomb(members: list[zipfile.ZipInfo], path: Path) -> None:
    size = path.stat().st_size
    if sum(member.compress_size for member in members) > size:
        raise SourceError("its members overlap, which no program writes")
    unpacked = sum(member.file_size for member in members)
    if unpacked > _RATIO * size:
        raise SourceError(f"it says it unpacks {size} bytes to {unpacked}, which no such zip does")


def _checked(member: zipfile.ZipInfo) -> str:
    """Return the name of a member, as a path. Raises SourceError for what is refused."""
    name = member.orig_filename
    parts = name.split("/")
    what = shown(name)[:200]
    if "\0" in name or "\\" in name or name.startswith("/") or {"", ".", ".."} & set(parts[:-1]) or parts[-1] == "..":
        raise SourceError(f"it holds the name {what!r}, which leads out of it")
    if len(parts) > _DEEPEST or max(len(os.fsencode(part)) for part in parts) > 255:
        raise SourceError(f"it holds the name {what!r}, which is too long")
    if member.flag_bits & _ENCRYPTED:
        raise SourceError(f"{what} is encrypted with a zip's password, which Guardian does not open; encrypt with age")
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise SourceError(f"{what} is a link or special file; a backup holds plain files and folders only")
    if member.compress_type not in _METHODS:
        raise SourceError(f"{what} is compressed by method {member.compress_type}, which Odoo does not use")
    return name.rstrip("/")


def _take(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, done: int, written: Callable[[int], None]
) -> int:
    place = target.joinpath(*(part for part in member.filename.split("/") if part))
    what = shown(member.filename)
    done += _BLOCK
    written(done)
    try:
        if member.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            return done
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        length = 0
        with archive.open(member) as source, new_file(place) as sink:
            while piece := source.read(_PIECE):
                length += len(piece)
                done += len(piece)
                written(done)
                view = memoryview(piece)
                while view:
                    view = view[sink.write(view) :]
    except FileExistsError as error:
        raise SourceError(f"it holds {what} twice, as a file and as a folder") from error
    except OSError as error:
        raise SourceError(f"cannot unpack {what}: {error.strerror}") from error
    if length != member.file_size:
        raise DamagedError(f"it is not a whole zip: {what} has {length} bytes instead of {member.file_size}")
    return done
