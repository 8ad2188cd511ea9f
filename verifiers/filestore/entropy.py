"""Whether a file's beginning looks encrypted: all bytes equally often, and no format that explains it. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

SAMPLE_BYTES: Final = 1 << 16  # what is looked at of a file
_COUNTED: Final = 4096  # the last of them are counted; of fewer, even random bytes do not show 7.9 bits
_LIMIT_BITS: Final = 7.9
_BITS: Final = [count * math.log2(count or 1) for count in range(_COUNTED + 1)]
_GLANCE: Final = 1024  # of so many random bytes about 251 values are there; of text a hundred
_GLANCE_VALUES: Final = 235
# Formats that are compressed, or encrypted by their owner, and say so in their first bytes.
_KNOWN: Final = (
    b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf\x27\x1c", b"PK\x03\x04",
    b"PK\x05\x06", b"Rar!", b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"%PDF", b"OggS", b"ID3", b"\xff\xfb",
    b"\xff\xf3", b"\xff\xf1", b"fLaC", b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV", b"wOFF",
    b"wOF2", b"age-encryption.org/", b"Salted__", b"-----BEGIN", b"\x00\x00\x00\x0cjP", b"II*\x00", b"MM\x00*",
    b"PGDMP", b"\xca\xfe\xba\xbe", b"\x7fELF", b"BORG_SEG", b"\x5d\x00\x00", b"LZIP", b"MSCF", b"SQLite format 3",
)  # fmt: skip
_AT_4: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free")  # MP4, MOV, HEIC


def looks_encrypted(head: bytes | memoryview) -> bool | None:
    """Tell of the first bytes of a file, 64 KiB where it has them; None where they are too few to tell.

    Shannon's entropy over single bytes beyond 7.9 bits, and no beginning of a known compressed format.
    """
    if len(head) < _COUNTED:
        return None
    if len(set(head[:_GLANCE])) < _GLANCE_VALUES:
        return False
    first = bytes(head[:32])
    if first.startswith(_KNOWN) or first[4:8] in _AT_4:
        return False
    counts = Counter(head[:SAMPLE_BYTES][-_COUNTED:])
    return math.log2(_COUNTED) - sum([_BITS[count] for count in counts.values()]) / _COUNTED > _LIMIT_BITS
