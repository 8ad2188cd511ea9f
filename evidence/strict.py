"""JSON and base64 read strictly: what two parsers could read differently is refused. No I/O.

Invariant: `parse_canonical` accepts exactly one byte string per value, and `b64decode` exactly one text per byte
string.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, Final, TypeAlias

import orjson

from evidence.errors import EvidenceError, InvalidEvidenceError

Json: TypeAlias = Any  # what a parser returned: nothing is known of it until checked

MAX_DEPTH: Final = 64
_INT64: Final = range(-(2**63), 2**64)


def canonical(value: Json) -> bytes:
    """Return `value` as compact UTF-8 JSON with sorted keys.

    Raises EvidenceError for what JSON cannot hold: NaN, infinities, keys that are no strings, integers outside 64 bits.
    """
    _refuse_unwritable(value, 0)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise EvidenceError(f"this value cannot be written as evidence: {error}") from error


def parse(data: bytes, what: str) -> Json:
    """Return the JSON value in `data`, which need not be in the canonical encoding.

    what: names the thing in errors. Raises InvalidEvidenceError for duplicate keys, NaN, integers outside 64 bits,
    lone surrogates, invalid UTF-8, a byte order mark, or nesting deeper than MAX_DEPTH.
    """
    try:
        value = orjson.loads(data)
        if not _written_back(value, data):
            value = _parse_slowly(data)
    except (ValueError, EvidenceError, RecursionError, TypeError) as error:
        raise InvalidEvidenceError(f"{what} is not strict JSON: {error}") from error
    return value


def parse_canonical(data: bytes, what: str) -> Json:
    """Return the JSON value whose canonical encoding is `data`. Raises InvalidEvidenceError for any other encoding."""
    try:
        value = orjson.loads(data)
        same = _written_back(value, data)
    except (ValueError, EvidenceError, RecursionError, TypeError) as error:
        raise InvalidEvidenceError(f"{what} is not JSON: {error}") from error
    if not same:
        raise InvalidEvidenceError(
            f"{what} is not in the canonical encoding: duplicate or unsorted keys, white space, or escapes"
        )
    return value


def b64encode(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def b64decode(text: object, what: str) -> bytes:
    """Return the bytes whose one base64 text is `text`. Raises InvalidEvidenceError, also for set spare bits."""
    if not isinstance(text, str):
        raise InvalidEvidenceError(f"{what} must be a base64 text, found {type(text).__name__}")
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidEvidenceError(f"{what} is not base64: {error}") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise InvalidEvidenceError(f"{what} is not canonical base64: spare bits are set")
    return data


def _written_back(value: Json, data: bytes) -> bool:
    """Whether `value` is written as `data`: then nothing was dropped, read twice or rounded when it was parsed."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:  # else it cannot be nested deeper
        _refuse_unwritable(value, 0)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == data


def _parse_slowly(data: bytes) -> Json:
    """Parse with the standard library, which sees duplicate keys where orjson keeps the last."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("duplicate key")
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    _refuse_unwritable(value, 0)
    return value


def _refuse_unwritable(value: Json, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EvidenceError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for item in value.values():
            if item.__class__ is not str:
                _refuse_unwritable(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            if item.__class__ is not str:
                _refuse_unwritable(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise EvidenceError(f"{value} is not a JSON number")
    elif isinstance(value, int) and value not in _INT64:
        raise EvidenceError("an integer outside 64 bits: write it as a string")
