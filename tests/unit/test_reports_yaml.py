"""YAML that is printed means the same to every reader of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from guardian.reports.as_yaml import documents

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["off", "No", "y", "1_0", "12:30", "0x1F", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@settings(deadline=None)
@given(value=VALUES)
def test_what_is_printed_is_read_back_by_readers_of_yaml_1_1_and_1_2(version: tuple[int, int], value: object) -> None:
    reader = YAML(typ="safe", pure=True)
    reader.version = version
    assert list(reader.load_all(documents([{"value": value}, {"second": 1}]))) == [{"value": value}, {"second": 1}]


def test_keys_keep_their_order_and_plain_words_no_quotes() -> None:
    assert documents([{"one": "word", "and": "off"}]) == '---\none: word\nand: "off"\n'
