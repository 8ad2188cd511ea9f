"""Files that are named by a SHA-1, with sizes: about 30 bytes a file, found again by their name. No I/O.

Invariant: names are added in their order, which is that of a walk through `<2 hex>/<sha1>`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH: Final = 20
_PREFIXES: Final = 1 << 16


class HashedFiles:
    """Add all, then look up."""

    def __init__(self) -> None:
        self._keys = bytearray()
        self._sizes = array("Q")
        self._seen = bytearray()
        self._starts = array("Q", [0])  # by the first two bytes: where their names begin

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, key: bytes, size: int) -> None:
        """Add a file. key: 20 bytes, above the last one. Raises ValueError."""
        if len(key) != _WIDTH or (self._keys and bytes(self._keys[-_WIDTH:]) >= key):
            raise ValueError("names of files come in their order")
        self._reach(key[0] << 8 | key[1])
        self._keys += key
        self._sizes.append(size)
        self._seen.append(0)

    def see(self, key: bytes) -> int | None:
        """Mark a file as named by a row; return its size, None if there is none."""
        prefix = key[0] << 8 | key[1]
        self._reach(_PREFIXES)
        low, high = self._starts[prefix], self._starts[prefix + 1]
        while low < high:
            middle = (low + high) // 2
            here = self._keys[middle * _WIDTH : (middle + 1) * _WIDTH]
            if here == key:
                self._seen[middle] = 1
                return self._sizes[middle]
            low, high = (middle + 1, high) if here < key else (low, middle)
        return None

    def unseen(self) -> Iterator[bytes]:
        """Yield the names of files that were not marked, in order."""
        place = self._seen.find(0)
        while place >= 0:
            yield bytes(self._keys[place * _WIDTH : (place + 1) * _WIDTH])
            place = self._seen.find(0, place + 1)

    def _reach(self, prefix: int) -> None:
        lacking = prefix + 1 - len(self._starts)
        if lacking > 0:
            self._starts.extend([len(self._sizes)] * lacking)
