"""Checkpoints are C2SP signed notes in one encoding."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence import checkpoint
from evidence.errors import EvidenceError, InvalidEvidenceError
from tests.evidence_support import LOG_KEY, ORIGIN, OTHER_KEY

NOTE = checkpoint.sign(ORIGIN, 7, bytes(range(32)), LOG_KEY)


def test_the_key_id_is_that_of_the_reference_implementation() -> None:
    # The example of golang.org/x/mod/sumdb/note, which signed-note describes.
    raw = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    signed = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    key.verify(signed[4:], text.encode())
    assert checkpoint.note_key_id("PeterNeumann", key) == signed[:4] == bytes.fromhex("c74f20a3")


def test_a_checkpoint_reads_back_and_holds() -> None:
    lines = NOTE.decode().split("\n")
    assert lines[:2] == [ORIGIN, "7"]
    parsed = checkpoint.parse(NOTE)
    assert (parsed.origin, parsed.size, parsed.root) == (ORIGIN, 7, bytes(range(32)))
    parsed.verify(LOG_KEY.public)
    assert checkpoint.sign(ORIGIN, 7, bytes(range(32)), LOG_KEY) == NOTE


def test_another_key_does_not_verify_it() -> None:
    with pytest.raises(InvalidEvidenceError, match="another key"):
        checkpoint.parse(NOTE).verify(OTHER_KEY.public)


def test_no_byte_of_a_checkpoint_can_change() -> None:
    for at in range(len(NOTE)):
        for bit in range(8):
            changed = bytearray(NOTE)
            changed[at] ^= 1 << bit
            with pytest.raises(InvalidEvidenceError):
                checkpoint.parse(bytes(changed)).verify(LOG_KEY.public)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + NOTE.splitlines(keepends=True)[-1],
        NOTE.replace(b"\n7\n", b"\n07\n"),
        NOTE.replace(b"\n7\n", b"\n+7\n"),
        NOTE.replace(b"\n7\n", b"\n-7\n"),
        NOTE.replace(b"\n", b"\r\n"),
        NOTE.replace(b"\n\n", b"\nan extension line\n\n"),
        NOTE.replace(ORIGIN.encode(), b"production"),
        NOTE.replace(f"— {ORIGIN}".encode(), b"\xe2\x80\x94 guardian/other/0a1b2c3d"),
        NOTE.replace("—".encode(), b"-"),
        b"\xff" + NOTE,
        b"x" * 5000,
    ],
)
def test_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEvidenceError):
        checkpoint.parse(data)


def test_origins_name_their_environment_and_are_unique() -> None:
    origin = checkpoint.new_origin("plant-1.eu")
    assert checkpoint.environment_of(origin) == "plant-1.eu"
    assert origin != checkpoint.new_origin("plant-1.eu")
    for wrong in ("production", "guardian/a b/0a1b2c3d", "guardian//0a1b2c3d", "guardian/a/0A1B2C3D", f"{ORIGIN}\n"):
        with pytest.raises(EvidenceError):
            checkpoint.environment_of(wrong)
    with pytest.raises(EvidenceError):
        checkpoint.new_origin("a b")
