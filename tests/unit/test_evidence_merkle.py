"""The tree against certificate-transparency's reference roots, RFC 6962's own recursion, and liars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import merkle
from evidence.errors import InvalidEvidenceError

REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def recursive_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def tree_of(size: int) -> tuple[merkle.Tree, list[bytes]]:
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(size)]
    tree = merkle.Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree, leaves


def test_roots_are_those_of_the_certificate_transparency_reference() -> None:
    compact, tree = merkle.CompactRange(), merkle.Tree()
    for entry, root in zip(REFERENCE_LEAVES, REFERENCE_ROOTS, strict=True):
        compact = compact.append([merkle.leaf_hash(entry)])
        tree.append(merkle.leaf_hash(entry))
        assert compact.root().hex() == root
        assert tree.root(tree.size).hex() == root


def test_every_root_proof_and_consistency_up_to_40_records_holds() -> None:
    tree, leaves = tree_of(40)
    for size in range(41):
        root = recursive_root(leaves[:size])
        assert tree.root(size) == merkle.CompactRange().append(leaves[:size]).root() == root
        for index in range(size):
            path = tree.inclusion_path(index, size)
            assert merkle.root_from_inclusion(leaves[index], index, size, path) == root
        for old in range(size + 1):
            path = tree.consistency_path(old, size)
            merkle.verify_consistency(old, size, recursive_root(leaves[:old]), root, path)


@given(st.integers(1, 5000), st.data())
def test_proofs_of_any_size_hold_and_their_neighbours_do_not(size: int, data: st.DataObject) -> None:
    tree, leaves = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion_path(index, size)
    root = tree.root(size)
    assert merkle.root_from_inclusion(leaves[index], index, size, path) == root
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        assert lies(leaves[index], other, size, path, root)
        assert lies(leaves[other], index, size, path, root)


def lies(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return merkle.root_from_inclusion(leaf, index, size, path) != root
    except InvalidEvidenceError:
        return True


def test_a_proof_with_the_wrong_length_is_refused() -> None:
    tree, leaves = tree_of(7)
    path = tree.inclusion_path(6, 7)
    for wrong in (path[:-1], [*path, bytes(32)], [], [path[0][:31], *path[1:]]):
        with pytest.raises(InvalidEvidenceError):
            merkle.root_from_inclusion(leaves[6], 6, 7, wrong)
    for index, size in ((7, 7), (-1, 7), (0, 0)):
        with pytest.raises(InvalidEvidenceError):
            merkle.root_from_inclusion(leaves[6], index, size, path)


def test_an_altered_consistency_proof_is_refused() -> None:
    tree, _ = tree_of(13)
    for old in range(1, 13):
        old_root, new_root = tree.root(old), tree.root(13)
        path = tree.consistency_path(old, 13)
        forged = [
            (old_root, new_root, path[:-1]),
            (old_root, new_root, [*path, bytes(32)]),
            (bytes(32), new_root, path),
            (old_root, bytes(32), path),
            *((old_root, new_root, [*path[:at], bytes(32), *path[at + 1 :]]) for at in range(len(path))),
        ]
        for first, second, one in forged:
            with pytest.raises(InvalidEvidenceError, match="does not continue"):
                merkle.verify_consistency(old, 13, first, second, one)
    with pytest.raises(InvalidEvidenceError):
        merkle.verify_consistency(5, 5, tree.root(5), tree.root(6), [])
    with pytest.raises(InvalidEvidenceError):
        merkle.verify_consistency(0, 5, tree.root(1), tree.root(5), [])


def test_damaged_tree_state_is_refused() -> None:
    with pytest.raises(InvalidEvidenceError, match="damaged"):
        merkle.CompactRange.from_bytes(3, bytes(32))
    compact = merkle.CompactRange().append(tree_of(11)[1])
    assert merkle.CompactRange.from_bytes(11, compact.to_bytes()) == compact


def test_a_node_never_passes_for_a_leaf() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_asking_beyond_the_tree_is_an_index_error() -> None:
    tree, _ = tree_of(3)
    for ask in (
        lambda: tree.root(4),
        lambda: tree.inclusion_path(3, 3),
        lambda: tree.inclusion_path(0, 4),
        lambda: tree.consistency_path(3, 2),
    ):
        with pytest.raises(IndexError):
            ask()
