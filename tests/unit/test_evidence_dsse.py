"""An envelope has one encoding, known keys in order, and a signature that says exactly its payload and type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence import dsse
from evidence.errors import EvidenceError, InvalidEvidenceError
from tests.evidence_support import OTHER_KEY, RECORD_KEY

PAYLOAD = b'{"hello":"world"}'


def changed(**change: Any) -> bytes:
    return json.dumps(
        json.loads(dsse.sign(PAYLOAD, RECORD_KEY)) | change, sort_keys=True, separators=(",", ":")
    ).encode()


def test_the_pre_authentication_encoding_is_that_of_the_protocol() -> None:
    # the example of the DSSE protocol document
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_a_signed_envelope_opens_and_holds() -> None:
    opened = dsse.open_envelope(dsse.sign(PAYLOAD, [RECORD_KEY, OTHER_KEY]))
    assert opened.payload == PAYLOAD
    keys = {key.id: key.public for key in (RECORD_KEY, OTHER_KEY)}
    assert [one.key_id for one in opened.signatures] == sorted(keys)
    assert all(opened.signed_by(one, keys[one.key_id]) for one in opened.signatures)
    assert not opened.signed_by(opened.signatures[0], keys[opened.signatures[1].key_id])


def test_signing_is_deterministic_and_signatures_can_be_added_elsewhere() -> None:
    assert dsse.add_signature(dsse.sign(PAYLOAD, OTHER_KEY), RECORD_KEY) == dsse.sign(PAYLOAD, [RECORD_KEY, OTHER_KEY])


def test_one_key_signs_once() -> None:
    with pytest.raises(EvidenceError):
        dsse.sign(PAYLOAD, [RECORD_KEY, RECORD_KEY])
    with pytest.raises(EvidenceError):
        dsse.add_signature(dsse.sign(PAYLOAD, RECORD_KEY), RECORD_KEY)
    with pytest.raises(EvidenceError):
        dsse.sign(PAYLOAD, [])


SIGNATURE = json.loads(dsse.sign(PAYLOAD, RECORD_KEY))["signatures"][0]
OTHER = json.loads(dsse.sign(PAYLOAD, OTHER_KEY))["signatures"][0]
ORDERED = sorted([SIGNATURE, OTHER], key=lambda one: one["keyid"])

REFUSED = {
    "unknown payload type": changed(payloadType="application/json"),
    "payload type with another case": changed(payloadType="application/vnd.in-toto+JSON"),
    "no signature": changed(signatures=[]),
    "signatures no list": changed(signatures={}),
    "duplicate key id": changed(signatures=[SIGNATURE, SIGNATURE]),
    "key ids out of order": changed(signatures=ORDERED[::-1]),
    "17 signatures": changed(signatures=[{**SIGNATURE, "keyid": f"{at:064x}"} for at in range(17)]),
    "an empty key id": changed(signatures=[{**SIGNATURE, "keyid": ""}]),
    "a key id in upper case": changed(signatures=[{**SIGNATURE, "keyid": SIGNATURE["keyid"].upper()}]),
    "a signature of 63 bytes": changed(signatures=[{**SIGNATURE, "sig": "A" * 84}]),
    "a signature with more members": changed(signatures=[{**SIGNATURE, "cert": ""}]),
    "url-safe base64": changed(payload="_-8="),
    "payload with spare bits": changed(payload="YR=="),
    "payload without padding": changed(payload="YQ"),
    "payload null": changed(payload=None),
    "one more member": changed(extra=1),
    "no object": b"[]",
    "white space": dsse.sign(PAYLOAD, RECORD_KEY).replace(b":", b": ", 1),
    "a newline": dsse.sign(PAYLOAD, RECORD_KEY) + b"\n",
    "an escaped letter": dsse.sign(PAYLOAD, RECORD_KEY).replace(b'"payload"', b'"p\\u0061yload"', 1),
    "an escaped slash": dsse.sign(PAYLOAD, RECORD_KEY).replace(b"application/vnd", b"application\\/vnd", 1),
    "duplicate payload": dsse.sign(PAYLOAD, RECORD_KEY).replace(b'{"payload"', b'{"payload":"","payload"', 1),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_an_envelope_that_could_be_read_otherwise_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEvidenceError):
        dsse.open_envelope(data)


def test_an_envelope_beyond_the_size_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InvalidEvidenceError, match="at most"):
        dsse.open_envelope(b"x" * (dsse.MAX_BYTES + 1))
