"""The log as C2SP tlog-tiles: paths and contents of tiles and entry bundles. No I/O.

Invariant: a path has one spelling, and what it names never changes once it is served: a tile is rendered only as wide
as the signed tree makes it. Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from evidence.errors import InvalidEvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 256
HEIGHT: Final = 8  # levels of the tree in one tile
MAX_ENTRY_BYTES: Final = 65535
_MAX_INDEX: Final = 1 << 56  # beyond any log; keeps the arithmetic small
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9]|[1-5][0-9]|6[0-3])/(?P<n>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<w>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class Source(Protocol):
    """Where a log's hashes and entries come from."""

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """Return the joined hashes of the complete subtrees start..stop-1 of 2**level leaves each."""
        ...

    def entries(self, start: int, stop: int) -> Iterable[bytes]:
        """Return the entries start..stop-1."""
        ...


@dataclass(frozen=True, slots=True)
class Tile:
    """What a path names. level: None for an entry bundle; width: 1..256, full at 256."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def full(self) -> bool:
        """Whether it is as wide as a tile gets."""
        return self.width == WIDTH

    @property
    def path(self) -> str:
        """The path, such as `tile/0/x001/234.p/17`."""
        name = "entries" if self.level is None else str(self.level)
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        return f"tile/{name}/{number}" + ("" if self.full else f".p/{self.width}")


def parse_path(path: str) -> Tile | None:
    """Return the tile that `path` names, None if it names none."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level = None if match["level"] == "entries" else int(match["level"])
    index = int(match["n"].replace("x", "").replace("/", ""))
    width = int(match["w"]) if match["w"] else WIDTH
    if index >= _MAX_INDEX or (match["w"] and width >= WIDTH):
        return None
    tile = Tile(level, index, width)
    return tile if tile.path == path else None  # x000/001 would be a second spelling of 001


def width_at(tile: Tile, size: int) -> int:
    """Return how many hashes or entries that tile has in a tree of `size` leaves: 0..256."""
    complete = size >> (HEIGHT * (tile.level or 0))
    return max(0, min(WIDTH, complete - tile.index * WIDTH))


def tiles_of(size: int) -> list[Tile]:
    """Return all tiles and entry bundles of a tree of `size` leaves, which a log of that checkpoint must serve."""
    found = [Tile(None, at // WIDTH, min(WIDTH, size - at)) for at in range(0, size, WIDTH)]
    level = 0
    while count := size >> (HEIGHT * level):
        found += [Tile(level, at // WIDTH, min(WIDTH, count - at)) for at in range(0, count, WIDTH)]
        level += 1
    return found


def render(tile: Tile, size: int, source: Source) -> bytes | None:
    """Return the tile's content, None unless a tree of `size` leaves makes it that wide.

    Raises InvalidEvidenceError if an entry is too long for a bundle.
    """
    if width_at(tile, size) < tile.width:
        return None
    start = tile.index * WIDTH
    if tile.level is None:
        return bundle(source.entries(start, start + tile.width))
    return source.hashes(HEIGHT * tile.level, start, start + tile.width)


def bundle(entries: Iterable[bytes]) -> bytes:
    """Return entries each after its length, two bytes, big-endian."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise InvalidEvidenceError(f"an entry of {len(entry)} bytes does not fit into an entry bundle")
        parts.append(len(entry).to_bytes(2, "big") + entry)
    return b"".join(parts)
