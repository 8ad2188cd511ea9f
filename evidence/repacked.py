"""A pack whose zip another program wrote, read only to find out which member is at fault.

Invariant: nothing read here is ever accepted: `verify_pack` has refused the zip already, and only asks whom to blame.
Unpacks no more than a small multiple of the file, so that a bomb costs nothing.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from evidence.packfile import MAX_READ, BadMemberError, refuse_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_TIMES = 20  # unpacked against packed; JSON and HTML stay well below
_SPARE_BYTES = 1 << 20
_PIECE = 1 << 20


class RepackedMembers:
    """Members by name, as `verify_pack.Members`. Raises BadMemberError for what no pack may have."""

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, 2)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise BadMemberError("(zip)", f"is not a zip: {error}") from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            refuse_name(info.filename)
            if info.filename in self._infos:
                raise BadMemberError(info.filename, "is in the zip twice")
            self._infos[info.filename] = info
        if sum(info.file_size for info in self._infos.values()) > _MOST_TIMES * size + _SPARE_BYTES:
            raise BadMemberError("(zip)", "unpacks to far more than its size")

    def names(self) -> list[str]:
        """Return the names of all members, in order."""
        return sorted(self._infos)

    def size(self, name: str) -> int:
        """Return a member's size in bytes, as the zip states it."""
        return self._infos[name].file_size

    def read(self, name: str) -> bytes:
        """Return a member's bytes, at most MAX_READ."""
        if self.size(name) > MAX_READ:
            raise BadMemberError(name, f"has {self.size(name)} bytes; at most {MAX_READ} are allowed")
        return b"".join(self._pieces(name))

    def sha256(self, name: str) -> str:
        """Return a member's hex SHA-256."""
        digest = hashlib.sha256()
        for piece in self._pieces(name):
            digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(self._infos[name]) as member:
                while piece := member.read(_PIECE):
                    yield piece
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
        ) as error:
            raise BadMemberError(name, f"is damaged in the zip: {error}") from error
