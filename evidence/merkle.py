"""The Merkle tree of RFC 6962 over log entries: hashes, proofs and their verification. No I/O.

Invariant: a leaf is hashed with the prefix 0x00 and a node with 0x01, so that neither can pass for the other. A proof
is accepted only with exactly the length its index and size demand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evidence.errors import InvalidEvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry). Source: RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right). Source: RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _fold(peaks: Sequence[bytes]) -> bytes:
    """Return the root over subtree hashes given left to right, each larger than the next."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The complete subtrees of a tree of `size` leaves, left to right: all that an append needs, O(log n).

    peaks: one 32-byte hash for each bit set in `size`, largest subtree first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaves: Sequence[bytes]) -> CompactRange:
        """Return the range after appending these leaf hashes."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            current, bits = leaf, size
            while bits & 1:  # each trailing 1 is a complete subtree as large as the current one
                current = node_hash(peaks.pop(), current)
                bits >>= 1
            peaks.append(current)
            size += 1
        return CompactRange(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the tree's root, MTH of RFC 6962 section 2.1."""
        return _fold(self.peaks)

    def to_bytes(self) -> bytes:
        """Return the peaks joined; the size tells how many there are."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> CompactRange:
        """Parse `to_bytes`. Raises InvalidEvidenceError if the number of peaks is not what `size` demands."""
        if size < 0 or len(data) != size.bit_count() * HASH_BYTES:
            raise InvalidEvidenceError(
                f"the head of the log is damaged: {len(data)} bytes of tree state for {size} records"
            )
        return cls(size, tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))


class Tree:
    """All hashes of complete subtrees, for roots and proofs at any size. 64 bytes a leaf in memory."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash; complete subtrees are hashed at once, one on average."""
        index, level, current = self.size, 0, leaf
        self._levels[0] += leaf
        while index & 1:
            current = node_hash(self._node(level, index - 1), current)
            index >>= 1
            level += 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += current

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """Return the joined hashes of the complete subtrees start..stop-1 of 2**level leaves each.

        Raises IndexError if the tree has fewer.
        """
        found = self._levels[level][start * HASH_BYTES : stop * HASH_BYTES] if level < len(self._levels) else b""
        if start < 0 or len(found) != (stop - start) * HASH_BYTES:
            raise IndexError(f"no subtrees {start}..{stop - 1} at level {level} of a log of {self.size}")
        return bytes(found)

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves. Raises IndexError if there are fewer."""
        self._need(size)
        return self._range(0, size)

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of leaf `index` in the tree of the first `size` leaves, bottom first.

        Raises IndexError unless 0 <= index < size <= self.size. Source: RFC 6962 section 2.1.1.
        """
        self._need(size)
        if not 0 <= index < size:
            raise IndexError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency_path(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the first `old` leaves begin the first `new`.

        Empty when old is 0 or equal to new. Raises IndexError unless 0 <= old <= new <= self.size.
        Source: RFC 6962 section 2.1.2.
        """
        self._need(new)
        if not 0 <= old <= new:
            raise IndexError(f"no tree of {old} in a tree of {new}")
        if old in (0, new):
            return []
        path: list[bytes] = []
        start, stop, whole = 0, new, True
        while old != stop:
            middle = start + _split(stop - start)
            if old <= middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._range(start, stop))
        return path[::-1]

    def _need(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise IndexError(f"no tree of {size} in a log of {self.size}")

    def _node(self, level: int, index: int) -> bytes:
        at = index * HASH_BYTES
        return bytes(self._levels[level][at : at + HASH_BYTES])

    def _range(self, start: int, stop: int) -> bytes:
        """Return MTH of leaves start..stop-1, where start is a multiple of a power of two not below stop - start."""
        return _fold([self._node(level, at >> level) for level, at in _complete(start, stop)])


def _complete(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield (level, first leaf) of the complete subtrees that make up start..stop-1, largest first."""
    while start < stop:
        level = (stop - start).bit_length() - 1
        yield level, start
        start += 1 << level


def _split(size: int) -> int:
    """Return the largest power of two below size (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that this audit path leads to; the caller compares it with a trusted one.

    leaf: leaf hash. path: bottom first. Raises InvalidEvidenceError if the path's length is wrong for index and size.
    Source: RFC 9162 section 2.1.3.2, which verifies the proofs of RFC 6962.
    """
    if not 0 <= index < size:
        raise InvalidEvidenceError(f"there is no record {index} in a log of {size}")
    if any(len(one) != HASH_BYTES for one in path):
        raise InvalidEvidenceError(f"a hash of a proof must have {HASH_BYTES} bytes")
    inner = (
        index ^ (size - 1)
    ).bit_length()  # below this the path has one hash a level, above one for each bit of index
    if len(path) != inner + (index >> inner).bit_count():
        raise InvalidEvidenceError(
            f"the inclusion proof of record {index} has {len(path)} hashes, which is the wrong number"
        )
    current = leaf
    for level, sibling in enumerate(path):
        right_child = level >= inner or (index >> level) & 1
        current = node_hash(sibling, current) if right_child else node_hash(current, sibling)
    return current


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise InvalidEvidenceError unless `path` proves that the tree of `old` leaves begins the tree of `new`.

    Source: RFC 9162 section 2.1.4.2.
    """
    wrong = InvalidEvidenceError(f"the log of {new} records does not continue the log of {old}")
    if not 0 <= old <= new:
        raise wrong
    if old in (0, new):
        if path or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise wrong
        return
    hashes = list(path) if old.bit_count() > 1 else [old_root, *path]  # a complete old tree is a node of the new one
    if not hashes or any(len(one) != HASH_BYTES for one in hashes):
        raise wrong
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise wrong
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise wrong
