from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import merkle, tiles
from evidence.errors import InvalidEvidenceError
from evidence.tiles import Tile

if TYPE_CHECKING:
    from collections.abc import Iterable


class Source:
    """A log of small entries."""

    def __init__(self, size: int) -> None:
        self.tree = merkle.Tree()
        self.all = [b"entry %d" % at for at in range(size)]
        for entry in self.all:
            self.tree.append(merkle.leaf_hash(entry))

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        return self.tree.hashes(level, start, stop)

    def entries(self, start: int, stop: int) -> Iterable[bytes]:
        return self.all[start:stop]


def hashes_of(content: bytes) -> list[bytes]:
    return [content[at : at + 32] for at in range(0, len(content), 32)]


def root_of(leaves: list[bytes]) -> bytes:
    return merkle.CompactRange().append(leaves).root()


def test_the_index_of_the_specification_is_written_as_it_says() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(None, 0, 17).path == "tile/entries/000.p/17"


def test_the_tiles_of_the_tree_of_the_specification_are_those_it_counts() -> None:
    found = tiles.tiles_of(70_000)
    hashes = [tile for tile in found if tile.level is not None]
    assert [
        (
            level,
            sum(tile.full for tile in hashes if tile.level == level),
            [t.width for t in hashes if t.level == level and not t.full],
        )
        for level in range(4)
    ] == [(0, 273, [112]), (1, 1, [17]), (2, 0, [1]), (3, 0, [])]
    assert [(tile.level, tile.width) for tile in tiles.tiles_of(256)] == [(None, 256), (0, 256), (1, 1)]


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/000.p/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/entries/000/",
        "tile/entry/000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/\u0661\u0661\u0661",
        "tile/0/" + "x999/" * 40 + "999",
        "",
    ],
)
def test_a_path_that_is_not_the_one_spelling_names_nothing(path: str) -> None:
    assert tiles.parse_path(path) is None


@given(st.none() | st.integers(0, 63), st.integers(0, 10**15), st.integers(1, 256))
def test_a_path_names_the_tile_it_was_written_for(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


@given(st.integers(0, 700), st.data())
def test_a_tile_holds_the_hashes_of_full_tiles_below_and_the_entries_hash_to_the_leaves(
    size: int, data: st.DataObject
) -> None:
    source = Source(size)
    for tile in tiles.tiles_of(size):
        content = tiles.render(tile, size, source)
        assert content is not None
        if tile.level == 0:
            bundle = tiles.render(Tile(None, tile.index, tile.width), size, source)
            assert bundle == tiles.bundle(source.entries(tile.index * 256, tile.index * 256 + tile.width))
            assert hashes_of(content) == [merkle.leaf_hash(entry) for entry in unbundled(bundle)]
        elif tile.level is not None:
            below = [
                tiles.render(Tile(tile.level - 1, tile.index * 256 + at), size, source) for at in range(tile.width)
            ]
            assert hashes_of(content) == [root_of(hashes_of(full or b"")) for full in below]
    if size:
        older = data.draw(st.integers(1, size))  # a tile of an older checkpoint is the beginning of the newer one
        for tile in tiles.tiles_of(older):
            now = Tile(tile.level, tile.index, tiles.width_at(tile, size))
            assert (tiles.render(now, size, source) or b"").startswith(tiles.render(tile, size, source) or b"?")


def unbundled(bundle: bytes) -> list[bytes]:
    found = []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        found.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return found


def test_nothing_wider_than_the_signed_tree_is_served() -> None:
    source = Source(300)
    assert tiles.render(Tile(0, 1, 44), 300, source) is not None
    for tile in (Tile(0, 1, 45), Tile(0, 1), Tile(0, 2, 1), Tile(1, 0, 2), Tile(1, 0), Tile(2, 0, 1), Tile(63, 0, 1)):
        assert tiles.render(tile, 300, source) is None
    assert tiles.render(Tile(0, 1, 44), 299, source) is None


def test_an_entry_too_long_for_a_bundle_is_refused() -> None:
    assert len(tiles.bundle([b"x" * 65535])) == 65537
    with pytest.raises(InvalidEvidenceError, match="does not fit"):
        tiles.bundle([b"x" * 65536])


def test_hashes_that_a_tree_does_not_have_are_refused() -> None:
    tree = Source(5).tree
    assert len(tree.hashes(1, 0, 2)) == 64
    for level, start, stop in ((0, 0, 6), (1, 0, 3), (9, 0, 1), (0, -1, 2)):
        with pytest.raises(IndexError):
            tree.hashes(level, start, stop)
