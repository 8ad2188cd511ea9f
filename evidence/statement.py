"""in-toto statements (Statement v1): what a record says, before it is signed. No I/O.

Invariant: every record's statement has a predicate type of PREDICATES, at least one subject with a SHA-256, and a
predicate with `recordId` (UUIDv7) and `environment`. Keyrings and a pack's index are statements too, but never records.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uuid6

from evidence.errors import InvalidEvidenceError
from evidence.strict import canonical, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
KINDS: Final = (
    "policy-evaluation",
    "restore-drill",
    "source-manifest",
    "schedule",
    "missed-slot",
    "waiver",
    "admission-decision",
    "admission-gap",
    "attestation",
    "key-event",
    "log-succession",
    "retention-event",
    "access-event",
)
KEY_EVENT: Final = "key-event"
PREDICATES: Final = {kind: f"https://guardian.dev/evidence/{kind}/v1" for kind in KINDS}
KEYRING: Final = "https://guardian.dev/evidence/keyring/v1"
PACK_INDEX: Final = "https://guardian.dev/evidence/pack-index/v1"
_KIND_OF: Final = {uri: kind for kind, uri in PREDICATES.items()}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RECORD_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed record statement. value: the whole JSON object; kind: the name behind the predicate type."""

    kind: str
    record_id: str
    environment: str
    value: Mapping[str, Any]

    @property
    def predicate(self) -> Mapping[str, Any]:
        """The predicate, with at least recordId and environment."""
        predicate: Mapping[str, Any] = self.value["predicate"]
        return predicate

    @property
    def subject(self) -> str:
        """The name of the first subject."""
        name: str = self.value["subject"][0]["name"]
        return name


def new_record_id() -> str:
    """Return a fresh UUIDv7. The order of records is the log's, never this id's."""
    return str(uuid6.uuid7())


def new_nonce() -> str:
    """Return 32 random bytes in hex, which make two equal statements differ."""
    return secrets.token_hex(32)


def digest_of_text(text: str) -> str:
    """Return the hex SHA-256 of `text` in UTF-8, for a subject that is only a name."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def build(predicate_type: str, subjects: Sequence[Mapping[str, Any]], predicate: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a record's statement.

    predicate_type: a kind (`restore-drill`) or its URI. subjects: `{"name": ..., "digest": {"sha256": hex}}`.
    Raises EvidenceError if the result would not be accepted by `parse_statement`.
    """
    payload = encode(PREDICATES.get(predicate_type, predicate_type), subjects, predicate)
    parse_statement(payload)
    return payload


def encode(predicate_type: str, subjects: Sequence[Mapping[str, Any]], predicate: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of any in-toto statement."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": dict(predicate),
            "predicateType": predicate_type,
            "subject": [dict(subject) for subject in subjects],
        }
    )


def open_statement(payload: bytes, what: str) -> dict[str, Any]:
    """Return a statement of any predicate type. Raises InvalidEvidenceError unless its outer shape is in-toto's."""
    value = parse(payload, what)
    if not isinstance(value, dict) or value.keys() != {"_type", "predicate", "predicateType", "subject"}:
        raise InvalidEvidenceError(f"{what} must have exactly _type, predicate, predicateType and subject")
    if value["_type"] != STATEMENT_TYPE:
        raise InvalidEvidenceError(f"unknown statement type {value['_type']!r}; expected {STATEMENT_TYPE}")
    if not isinstance(value["predicate"], dict):
        raise InvalidEvidenceError(f"the predicate of {what} must be an object")
    check_subjects(value["subject"])
    return value


def parse_statement(payload: bytes) -> Statement:
    """Return the statement in a record's payload. Raises InvalidEvidenceError saying what is wrong."""
    value = open_statement(payload, "the statement")
    kind = _KIND_OF.get(value["predicateType"]) if isinstance(value["predicateType"], str) else None
    if kind is None:
        raise InvalidEvidenceError(f"unknown predicate type {value['predicateType']!r}")
    predicate = value["predicate"]
    record_id, environment = predicate.get("recordId"), predicate.get("environment")
    if not isinstance(record_id, str) or not _RECORD_ID.fullmatch(record_id):
        raise InvalidEvidenceError(f"recordId must be a UUIDv7 in lower case, found {record_id!r}")
    if not isinstance(environment, str) or not environment:
        raise InvalidEvidenceError("the predicate must name its environment")
    return Statement(kind, record_id, environment, value)


def check_subjects(subjects: object) -> None:
    """Raise InvalidEvidenceError unless `subjects` is a non-empty list of names with a SHA-256 each."""
    if not isinstance(subjects, list) or not subjects:
        raise InvalidEvidenceError("the statement must have at least one subject")
    for subject in subjects:
        digest = subject.get("digest") if isinstance(subject, dict) else None
        if not isinstance(digest, dict) or not isinstance(subject.get("name"), str):
            raise InvalidEvidenceError("a subject must have a name and a digest")
        sha256 = digest.get("sha256")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise InvalidEvidenceError(
                f"the subject {subject['name']!r} must have a sha256 of 64 lower-case hex digits"
            )


def refuse_foreign(statement: Statement, environment: str) -> None:
    """Raise EvidenceError if the statement is of another environment than the log's."""
    if statement.environment != environment:
        raise InvalidEvidenceError(
            f"the record {statement.record_id} is of environment {statement.environment!r}, the log of {environment!r}"
        )
