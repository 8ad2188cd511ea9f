"""Nothing that two parsers could read differently gets in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import strict
from evidence.errors import EvidenceError, InvalidEvidenceError

AMBIGUOUS = {
    "duplicate key": b'{"a":1,"a":2}',
    "duplicate key once unescaped": b'{"a":1,"\\u0061":1}',
    "duplicate key, equal values": b'{"a":1,"a":1}',
    "duplicate key deep inside": b'{"b":[{"a":1,"a":1}]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "a number that overflows": b'{"a":1e999}',
    "an integer of 65 bits": b'{"a":18446744073709551616}',
    "a negative integer of 65 bits": b'{"a":-9223372036854775809}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "invalid UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "control character": b'{"a":"\x01"}',
    "two values": b'{"a":1}{"a":1}',
    "trailing comma": b'{"a":1,}',
    "comment": b'{"a":1}//',
    "nothing": b"",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "too deep": b"[" * 70 + b"]" * 70,
    "far too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEvidenceError):
        strict.parse(data, "it")
    with pytest.raises(InvalidEvidenceError):
        strict.parse_canonical(data, "it")


@pytest.mark.parametrize("data", [b'{"b":1,"a":2}', b'{ "a":1}', b'{"a":1}\n', b'{"a":"\\u0061"}', b'{"a":1.50}'])
def test_other_encodings_parse_but_are_not_canonical(data: bytes) -> None:
    assert strict.parse(data, "it") == json.loads(data)
    with pytest.raises(InvalidEvidenceError, match="canonical"):
        strict.parse_canonical(data, "it")


numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_what_is_written_reads_back_the_same(value: object) -> None:
    data = strict.canonical(value)
    assert strict.parse(data, "it") == strict.parse_canonical(data, "it") == value


@given(values)
def test_whatever_the_standard_library_writes_is_read_alike(value: object) -> None:
    assert strict.parse(json.dumps(value).encode(), "it") == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**64, -(2**63) - 1, {1: 2}, object(), {"a": [float("nan")]}]
)
def test_what_json_cannot_hold_is_not_written(value: object) -> None:
    with pytest.raises(EvidenceError):
        strict.canonical(value)


@given(st.binary())
def test_base64_reads_back(data: bytes) -> None:
    assert strict.b64decode(strict.b64encode(data), "it") == data


@pytest.mark.parametrize(
    "text",
    ["YQ", "YR==", "YWI", "YWJ=", "YQ==\n", " YQ==", "YQ=\n=", "Y Q==", "YQ===", "_-8=", "YQ==YQ==", "é", 7, None],
)
def test_base64_with_another_spelling_is_refused(text: object) -> None:
    with pytest.raises(InvalidEvidenceError):
        strict.b64decode(text, "it")
