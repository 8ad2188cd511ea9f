"""Every record that Guardian makes fits the published schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jsonschema
import pytest

from evidence import dsse, keyring, statement
from guardian import records
from tests.evidence_support import make_keyring

SCHEMA = json.loads(resources.files("guardian.schemas").joinpath("record.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
RUN = records.Run(statement.new_record_id(), "drill", NOW, NOW, "ops@host")
BEACON = {"origin": "guardian/production/0a1b2c3d", "size": 3, "root": "A" * 43 + "="}
CONTEXT = records.Context("production", "0.1.0", "host", BEACON)
ATTACHMENT = records.AttachmentRef("manifest", "application/json", 12, "ab" * 32)


def a_key_event() -> bytes:
    envelope = make_keyring()
    digest = statement.digest_of_text(envelope.decode())
    return records.key_event(RUN, CONTEXT, json.loads(envelope), version=1, digest=digest)


def a_manifest() -> bytes:
    backup = {"id": "nightly", "sha256": "cd" * 32, "sizeBytes": 7}
    return records.source_manifest(
        RUN, CONTEXT, asset="erp", service="plant", backup=backup, measurements={"rows": 5}, attachments=[ATTACHMENT]
    )


def an_unfinished_drill() -> bytes:
    return records.unfinished_drill(RUN, CONTEXT, asset="erp", service="plant", reason="killed")


@pytest.mark.parametrize("make", [a_key_event, a_manifest, an_unfinished_drill])
def test_records_fit_the_schema(make: Any) -> None:
    value = json.loads(make())
    VALIDATOR.validate(value)
    assert statement.parse_statement(json.dumps(value).encode()).environment == "production"


@pytest.mark.parametrize(
    "change",
    [
        {"recordId": "1"},
        {"nonce": "x"},
        {"result": "OK"},
        {"beacon": {"origin": "x", "size": 0, "root": ""}},
        {"attachments": [{"name": "x"}]},
        {"assurance": "proved"},
    ],
)
def test_the_schema_refuses_what_is_no_record(change: dict[str, Any]) -> None:
    value = json.loads(a_manifest())
    value["predicate"] |= change
    assert not VALIDATOR.is_valid(value)


def test_the_schema_lists_exactly_the_predicate_types_of_the_format() -> None:
    assert SCHEMA["properties"]["predicateType"]["enum"] == list(statement.PREDICATES.values())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_key_event_signed_is_what_the_log_takes_as_its_keyring() -> None:
    predicate = statement.parse_statement(a_key_event()).predicate
    assert keyring.envelope_of(predicate) == make_keyring()
    assert dsse.open_envelope(keyring.envelope_of(predicate)).signatures
