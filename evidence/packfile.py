"""The zip of a pack, whose bytes are fully determined by its members.

Invariant: every member is stored plainly, dated 1980-01-01, in order of names, with nothing before, between or after.
So two packs with the same members are the same file with every zlib, a compression bomb cannot exist, and no byte can
hide. Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

from evidence.errors import EvidenceError, InvalidEvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX: Final = "index.dsse.json"
MAX_PACK: Final = 2**32 - 2  # so that no offset needs a ZIP64 field
MAX_READ: Final = 64 * 1024 * 1024  # members read whole: index, records, entries, proofs, keyrings
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
_MEMBER: Final = re.compile(
    rf"checkpoint|coverage\.json|README\.md|verify\.py|index\.dsse\.json|keyring/{_NUMBER}\.dsse\.json"
    rf"|records/{_NUMBER}\.dsse\.json|(?:entries|proofs)/{_NUMBER}\.json|attachments/[0-9a-f]{{64}}"
    r"|views(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){1,8}"
)
_ANY_FILE: Final = 0o100644 << 16  # external attributes: a regular file
_DATE: Final = 0x21  # 1980-01-01


class BadMemberError(InvalidEvidenceError):
    """A member of a pack is not acceptable. member: its name, or `(zip)` for the file itself."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(f"{member}: {message}")
        self.member, self.message = member, message


def refuse_name(name: str) -> None:
    """Raise BadMemberError unless a pack may have a member of this name."""
    if not _MEMBER.fullmatch(name):
        raise BadMemberError(name, "no member of a pack may have this name")


def _header(name: str, crc: int, size: int) -> bytes:
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, _DATE, crc, size, size, len(name), 0) + name.encode("ascii")


def _directory(members: list[tuple[str, int, int, int]], start: int) -> bytes:
    """Return the end of the zip for members (name, crc, size, offset)."""
    listed = bytearray()
    for name, crc, size, offset in members:
        listed += b"PK\1\2" + struct.pack(
            "<6H3L5H2L", 0x314, 20, 0, 0, 0, _DATE, crc, size, size, len(name), *[0] * 4, _ANY_FILE, offset
        )
        listed += name.encode("ascii")
    count, end = len(members), bytearray()
    if count >= 0xFFFF:  # only the count outgrows its field; sizes and offsets do not
        end += b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, len(listed), start)
        end += b"PK\6\7" + struct.pack("<LQL", 0, start + len(listed), 1)
    shown = min(count, 0xFFFF)
    end += b"PK\5\6" + struct.pack("<4H2LH", 0, 0, shown, shown, len(listed), start, 0)
    return bytes(listed + end)


class PackWriter:
    """Writes members in the order given, which must be that of their names."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self._members: list[tuple[str, int, int, int]] = []

    def add(self, name: str, content: bytes) -> None:
        """Write one member. Raises EvidenceError if the pack would grow too large."""
        refuse_name(name)
        if self._members and name <= self._members[-1][0]:
            raise EvidenceError(f"the member {name} is out of order")
        crc = zlib.crc32(content)
        header = _header(name, crc, len(content))
        if self._at + len(header) + len(content) > MAX_PACK - 2**20:
            raise EvidenceError(f"a pack holds at most {MAX_PACK} bytes; export a selection of records instead")
        self._members.append((name, crc, len(content), self._at))
        self._file.write(header)
        self._file.write(content)
        self._at += len(header) + len(content)

    def finish(self) -> None:
        """Write the end of the zip."""
        self._file.write(_directory(self._members, self._at))


class PackReader:
    """Reads a pack. Opening it checks every byte outside the members, and each member's CRC.

    Raises BadMemberError naming the member.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: dict[str, tuple[int, int]] = {}
        total = file.seek(0, 2)
        if total > MAX_PACK:
            raise BadMemberError("(zip)", f"has {total} bytes; at most {MAX_PACK} are allowed")
        listed: list[tuple[str, int, int, int]] = []
        at = 0
        while (found := self._member(at, total)) is not None:
            name, crc, size = found
            if listed and name <= listed[-1][0]:
                raise BadMemberError("(zip)", f"is not as Guardian writes it: {name} is in it twice or out of order")
            listed.append((name, crc, size, at))
            end = at + 30 + len(name) + size
            self._members[name] = (end - size, size)
            at = end
        file.seek(at)
        expected = _directory(listed, at)
        if file.read(len(expected) + 1) != expected:
            raise BadMemberError("(zip)", "is no pack, is cut short, or holds bytes that belong to no member")
        for name, crc, _, _ in listed:
            computed = 0
            for chunk in self._chunks(name):
                computed = zlib.crc32(chunk, computed)
            if computed != crc:
                raise BadMemberError(name, "is damaged: its checksum in the zip differs")

    def _member(self, at: int, total: int) -> tuple[str, int, int] | None:
        """Return (name, crc, size) of the member whose header stands at `at`, None if none does."""
        self._file.seek(at)
        head = self._file.read(30)
        if len(head) < 30 or not head.startswith(b"PK\3\4"):
            return None
        crc, size, _, length, _ = struct.unpack("<3L2H", head[14:])
        raw = self._file.read(length)
        name = raw.decode("ascii", "replace")
        refuse_name(name)
        if head + raw != _header(name, crc, size):
            raise BadMemberError(
                "(zip)",
                f"is not as Guardian writes it: {name} must be stored plainly, with the one header that a pack may"
                " have; ask for the pack as it was exported",
            )
        if at + 30 + length + size > total:
            raise BadMemberError(name, "is cut short")
        return name, crc, size

    def _chunks(self, name: str) -> Iterator[bytes]:
        start, left = self._members[name]
        while left:
            self._file.seek(start)
            chunk = self._file.read(min(left, 2**20))
            if not chunk:
                raise BadMemberError(name, "is cut short")
            start, left = start + len(chunk), left - len(chunk)
            yield chunk

    def names(self) -> list[str]:
        """Return the names of all members, in order."""
        return list(self._members)

    def size(self, name: str) -> int:
        """Return a member's size in bytes."""
        return self._members[name][1]

    def read(self, name: str) -> bytes:
        """Return a member's bytes, at most MAX_READ."""
        if self.size(name) > MAX_READ:
            raise BadMemberError(name, f"has {self.size(name)} bytes; at most {MAX_READ} are allowed")
        return b"".join(self._chunks(name))

    def sha256(self, name: str) -> str:
        """Return a member's hex SHA-256, without holding it in memory."""
        digest = hashlib.sha256()
        for chunk in self._chunks(name):
            digest.update(chunk)
        return digest.hexdigest()
