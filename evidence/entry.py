"""Log entries: the small RFC 8785 objects whose hashes are the leaves. No I/O.

Invariant: `parse_entry` is the whole grammar of an entry, so an entry has one encoding and no second reading.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import rfc8785

from evidence import dsse, statement
from evidence.errors import InvalidEvidenceError

_ENTRY: Final = re.compile(
    rb'\{"envelopeSha256":"([0-9a-f]{64})","kind":"([a-z]+(?:-[a-z]+)*)","recordId":"([0-9a-f-]{36})","v":1\}'
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry. envelope_sha256: hex."""

    envelope_sha256: str
    kind: str
    record_id: str


def entry_of(envelope: bytes, record: statement.Statement) -> bytes:
    """Return the entry of a record."""
    return rfc8785.dumps(
        {
            "v": 1,
            "kind": record.kind,
            "recordId": record.record_id,
            "envelopeSha256": hashlib.sha256(envelope).hexdigest(),
        }
    )


def parse_entry(data: bytes) -> Entry:
    """Return the entry in `data`. Raises InvalidEvidenceError unless it is its one encoding."""
    match = _ENTRY.fullmatch(data)
    if match is None:
        raise InvalidEvidenceError("the entry is not a canonical log entry of version 1")
    digest, kind, record_id = (group.decode("ascii") for group in match.groups())
    return Entry(digest, kind, record_id)


def open_record(entry: bytes, envelope: bytes) -> tuple[dsse.Envelope, statement.Statement]:
    """Return the parsed record if `entry` is its entry; its signatures are not verified yet.

    Raises InvalidEvidenceError if entry and envelope do not belong together.
    """
    parsed = parse_entry(entry)
    if hashlib.sha256(envelope).hexdigest() != parsed.envelope_sha256:
        raise InvalidEvidenceError("the envelope is not the one its log entry names: its SHA-256 differs")
    opened = dsse.open_envelope(envelope)
    record = statement.parse_statement(opened.payload)
    if (record.kind, record.record_id) != (parsed.kind, parsed.record_id):
        raise InvalidEvidenceError("kind or recordId of the record are not those of its log entry")
    return opened, record
