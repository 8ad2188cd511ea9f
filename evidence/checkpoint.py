"""Checkpoints: the signed head of a log as a C2SP tlog-checkpoint, a signed note. No I/O.

Invariant: a Checkpoint exists only if its bytes are the one encoding of origin, size, root and one signature by the log
(no extension lines; witnesses' cosignatures come with a later format version). Sources: c2sp.org/tlog-checkpoint,
c2sp.org/signed-note.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.keys import PrivateKey, PublicKey, signature_holds
from evidence.merkle import HASH_BYTES
from evidence.strict import b64decode, b64encode

MAX_BYTES: Final = 4096
_ORIGIN: Final = re.compile(r"guardian/([A-Za-z0-9][A-Za-z0-9._-]{0,62})/[0-9a-f]{8}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ED25519: Final = b"\x01"  # signature type byte of signed-note
_DASH: Final = "\N{EM DASH}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A parsed checkpoint. root: 32 bytes; note_key: the signer's 4-byte note key id; signature: not verified yet."""

    origin: str
    size: int
    root: bytes
    note_key: bytes
    signature: bytes

    def verify(self, key: PublicKey) -> None:
        """Raise InvalidEvidenceError unless `key` signed this checkpoint."""
        if self.note_key != note_key_id(self.origin, key):
            raise InvalidEvidenceError("the checkpoint is signed by another key than this log key")
        if not signature_holds(key, self.signature, _text(self.origin, self.size, self.root)):
            raise InvalidEvidenceError("the signature of the checkpoint does not hold")


def new_origin(environment: str) -> str:
    """Return a fresh, unique name for an environment's log: guardian/<environment>/<8 random hex digits>."""
    origin = f"guardian/{environment}/{secrets.token_hex(4)}"
    environment_of(origin)
    return origin


def environment_of(origin: str) -> str:
    """Return the environment that `origin` names. Raises EvidenceError if it is not guardian/<environment>/<8 hex>."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise EvidenceError(f"{origin!r} is no log origin: expected guardian/<environment>/<8 hex digits>")
    return match.group(1)


def note_key_id(name: str, key: PublicKey) -> bytes:
    """Return SHA-256(name || 0x0A || 0x01 || public key)[:4]. Source: c2sp.org/signed-note, "Ed25519 signatures"."""
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


def sign(origin: str, size: int, root: bytes, key: PrivateKey) -> bytes:
    """Return the checkpoint of a committed head. Ed25519 is deterministic: one head and key give one checkpoint."""
    environment_of(origin)
    signature = key.sign(_text(origin, size, root))
    return _encode(Checkpoint(origin, size, root, note_key_id(origin, key.public), signature))


def parse(data: bytes) -> Checkpoint:
    """Parse a checkpoint strictly. Raises InvalidEvidenceError; verifies no signature."""
    if len(data) > MAX_BYTES:
        raise InvalidEvidenceError(f"the checkpoint has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidEvidenceError("the checkpoint is not UTF-8") from error
    if len(lines) != 6 or lines[3] or lines[5]:
        raise InvalidEvidenceError("a checkpoint must be origin, size, root, an empty line and one signature line")
    origin, size, root, signed = lines[0], lines[1], b64decode(lines[2], "the checkpoint's root"), lines[4]
    if not _ORIGIN.fullmatch(origin):
        raise InvalidEvidenceError(f"the checkpoint's origin {origin!r} is not guardian/<environment>/<8 hex digits>")
    if not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
        raise InvalidEvidenceError("the checkpoint's size or root is not well formed")
    start = f"{_DASH} {origin} "
    if not signed.startswith(start):
        raise InvalidEvidenceError("the checkpoint must be signed under the name of its origin")
    signature = b64decode(signed[len(start) :], "the checkpoint's signature")
    checkpoint = Checkpoint(origin, int(size), root, signature[:4], signature[4:])
    if len(signature) != 68 or _encode(checkpoint) != data:
        raise InvalidEvidenceError("the checkpoint is not in its one encoding")
    return checkpoint


def _text(origin: str, size: int, root: bytes) -> bytes:
    return f"{origin}\n{size}\n{b64encode(root)}\n".encode()


def _encode(checkpoint: Checkpoint) -> bytes:
    text = _text(checkpoint.origin, checkpoint.size, checkpoint.root)
    signed = b64encode(checkpoint.note_key + checkpoint.signature)
    return text + f"\n{_DASH} {checkpoint.origin} {signed}\n".encode()
