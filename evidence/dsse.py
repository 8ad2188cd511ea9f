"""DSSE envelopes with Ed25519 (github.com/secure-systems-lab/dsse, protocol v1.0.2). No I/O.

Invariant: an Envelope exists only if its bytes are the one canonical encoding, its payload type is ours, and it carries
between 1 and MAX_SIGNATURES signatures with distinct key ids in ascending order. Whether they hold is the caller's to
ask with `signed_by`.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.keys import PrivateKey, PublicKey, signature_holds
from evidence.strict import b64decode, b64encode

if TYPE_CHECKING:
    from collections.abc import Sequence

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_SIGNATURES: Final = 16
MAX_BYTES: Final = 16 * 1024 * 1024
SIGNATURE_BYTES: Final = 64
_KEY_ID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope. key_id: hex SHA-256 of the signer's SPKI DER; value: 64 bytes."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope; its signatures are not verified yet."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @property
    def signed_bytes(self) -> bytes:
        """What every signature is over."""
        return pae(self.payload_type, self.payload)

    def signed_by(self, signature: Signature, key: PublicKey) -> bool:
        """Whether `signature` over this envelope is `key`'s."""
        return signature_holds(key, signature.value, self.signed_bytes)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: lengths are in bytes, decimal.

    Source: DSSE protocol, "Signature Definition".
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey | Sequence[PrivateKey]) -> bytes:
    """Return the canonical envelope of `payload` (an in-toto statement) signed by every key given, each once."""
    keys = [key] if isinstance(key, PrivateKey) else list(key)
    message = pae(PAYLOAD_TYPE, payload)
    return _encode(payload, [Signature(one.id, one.sign(message)) for one in keys])


def add_signature(envelope: bytes, key: PrivateKey) -> bytes:
    """Return `envelope` with one more signature, for roots that sign in different places."""
    opened = open_envelope(envelope)
    return _encode(opened.payload, [*opened.signatures, Signature(key.id, key.sign(opened.signed_bytes))])


def open_envelope(data: bytes) -> Envelope:
    """Parse an envelope strictly. Raises InvalidEvidenceError saying what is wrong; verifies no signature."""
    if len(data) > MAX_BYTES:
        raise InvalidEvidenceError(f"the envelope has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        value = orjson.loads(data)  # strict enough here: the last check compares every byte
    except ValueError as error:
        raise InvalidEvidenceError(f"the envelope is not JSON: {error}") from error
    if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
        raise InvalidEvidenceError("the envelope must have exactly payload, payloadType and signatures")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise InvalidEvidenceError(f"unknown payload type {value['payloadType']!r}; expected {PAYLOAD_TYPE}")
    payload = b64decode(value["payload"], "the payload")
    signatures = value["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise InvalidEvidenceError(f"the envelope must carry 1 to {MAX_SIGNATURES} signatures")
    parsed = [_signature(one) for one in signatures]
    if any(a.key_id >= b.key_id for a, b in itertools.pairwise(parsed)):
        raise InvalidEvidenceError("the key ids of the signatures must be distinct and ascending")
    if _encode(payload, parsed) != data:
        raise InvalidEvidenceError("the envelope is not in its one canonical encoding")
    return Envelope(payload, PAYLOAD_TYPE, tuple(parsed))


def _signature(value: object) -> Signature:
    if not isinstance(value, dict) or value.keys() != {"keyid", "sig"}:
        raise InvalidEvidenceError("a signature must have exactly keyid and sig")
    if not isinstance(value["keyid"], str) or not _KEY_ID.fullmatch(value["keyid"]):
        raise InvalidEvidenceError("a keyid must be 64 lower-case hex digits")
    signature = b64decode(value["sig"], "a signature")
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidEvidenceError(f"a signature must have {SIGNATURE_BYTES} bytes, found {len(signature)}")
    return Signature(value["keyid"], signature)


def _encode(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    ordered = sorted(signatures, key=lambda one: one.key_id)
    if len({one.key_id for one in ordered}) != len(ordered) or not ordered:
        raise EvidenceError("an envelope needs at least one signature, and each key signs once")
    listed = ",".join(f'{{"keyid":"{one.key_id}","sig":"{b64encode(one.value)}"}}' for one in ordered)
    return (f'{{"payload":"{b64encode(payload)}","payloadType":"{PAYLOAD_TYPE}","signatures":[{listed}]}}').encode(
        "ascii"
    )
