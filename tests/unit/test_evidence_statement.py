"""Record statements say what kind they are, whose, and of what; anything less is no record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence import dsse, entry, statement
from evidence.errors import EvidenceError, InvalidEvidenceError
from tests.evidence_support import record

SUBJECT = {"name": "backup:erp/1", "digest": {"sha256": "0" * 64}}
PREDICATE = {"recordId": "01a20822-e550-7d3d-9041-7a3be3eabedb", "environment": "production"}


def raw(**change: Any) -> bytes:
    value = {
        "_type": statement.STATEMENT_TYPE,
        "predicateType": statement.PREDICATES["restore-drill"],
        "subject": [SUBJECT],
        "predicate": PREDICATE,
    }
    return json.dumps(value | change).encode()


def test_a_built_statement_reads_back() -> None:
    payload = statement.build("restore-drill", [SUBJECT], {**PREDICATE, "seconds": 0.00001, "text": "née ✓"})
    parsed = statement.parse_statement(payload)
    assert (parsed.kind, parsed.record_id, parsed.environment) == ("restore-drill", PREDICATE["recordId"], "production")
    assert (parsed.subject, parsed.predicate["seconds"], parsed.predicate["text"]) == ("backup:erp/1", 0.00001, "née ✓")


def test_a_kind_may_be_given_by_its_uri() -> None:
    uri = statement.PREDICATES["waiver"]
    assert statement.parse_statement(statement.build(uri, [SUBJECT], PREDICATE)).kind == "waiver"


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicateType": statement.PACK_INDEX},
        {"predicateType": statement.KEYRING},
        {"predicateType": ["x"]},
        {"subject": []},
        {"subject": [{"name": "x"}]},
        {"subject": [{"name": "x", "digest": {"sha1": "0" * 40}}]},
        {"subject": [{"name": "x", "digest": {"sha256": "0" * 63}}]},
        {"subject": [{"name": 1, "digest": {"sha256": "0" * 64}}]},
        {"subject": ["x"]},
        {"predicate": []},
        {"predicate": {**PREDICATE, "recordId": "01A20822-E550-7D3D-9041-7A3BE3EABEDB"}},
        {"predicate": {**PREDICATE, "recordId": "01a20822-e550-4d3d-9041-7a3be3eabedb"}},
        {"predicate": {"environment": "production"}},
        {"predicate": {**PREDICATE, "environment": ""}},
        {"more": 1},
    ],
)
def test_a_statement_that_is_no_record_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvidenceError):
        statement.parse_statement(raw(**change))


def test_a_statement_that_would_be_refused_is_never_built() -> None:
    with pytest.raises(EvidenceError):
        statement.build("restore-drill", [], PREDICATE)
    with pytest.raises(EvidenceError):
        statement.build("restored-drill", [SUBJECT], PREDICATE)
    with pytest.raises(EvidenceError, match="not a JSON number"):
        statement.build("restore-drill", [SUBJECT], {**PREDICATE, "seconds": float("nan")})


def test_record_ids_are_uuid7_and_distinct() -> None:
    ids = {statement.new_record_id() for _ in range(1000)}
    assert len(ids) == 1000
    for one in ids:
        statement.build("restore-drill", [SUBJECT], {**PREDICATE, "recordId": one})


def test_an_entry_is_rfc8785_and_binds_kind_id_and_envelope() -> None:
    envelope = record()
    parsed = statement.parse_statement(dsse.open_envelope(envelope).payload)
    data = entry.entry_of(envelope, parsed)
    assert json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() == data
    assert entry.open_record(data, envelope)[1] == parsed
    with pytest.raises(InvalidEvidenceError, match="SHA-256 differs"):
        entry.open_record(data, record())
    for old, new in ((b'"kind":"restore-drill"', b'"kind":"waiver"'), (b'"v":1', b'"v":2'), (b'"v":1', b'"v":1.0')):
        with pytest.raises(InvalidEvidenceError):
            entry.open_record(data.replace(old, new), envelope)
    for other in (
        data + b"\n",
        b" " + data,
        data.replace(b'{"env', b'{"v":1,"env'),
        data.replace(b"kind", b"\\u006bind"),
    ):
        with pytest.raises(InvalidEvidenceError, match="canonical"):
            entry.parse_entry(other)
