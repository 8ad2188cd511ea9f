"""Ed25519 keys in files, and how they are named everywhere.

Invariant: a private key file is created 0600 and never overwritten; a key id is the hex SHA-256 of the public key's
SPKI DER.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.durable import make_private_folder, sync_folder
from evidence.errors import EvidenceError, InvalidEvidenceError

if TYPE_CHECKING:
    from pathlib import Path

PublicKey: TypeAlias = Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An Ed25519 private key; its repr shows nothing secret."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._key.public_key()

    @property
    def id(self) -> str:
        """Hex SHA-256 of the public key's SPKI DER."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`: the same each time (RFC 8032)."""
        return self._key.sign(message)

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """Return the key of 32 seed bytes: for test vectors."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))


def generate_key(path: Path) -> PrivateKey:
    """Make an Ed25519 key, write it to `path` as PKCS8 PEM, mode 0600, and return it.

    Raises EvidenceError if `path` exists: a key is never replaced.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    make_private_folder(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise EvidenceError(f"the key {path} exists already; keys are never overwritten: move it away first") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return PrivateKey(key)


def load_key(path: Path) -> PrivateKey:
    """Read an unencrypted Ed25519 key in PEM. Raises EvidenceError naming the file, never its content."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise EvidenceError(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"{path} holds no unencrypted PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"the key {path} is not Ed25519; make one with `guardian init`")
    return PrivateKey(key)


def public_der(key: PublicKey) -> bytes:
    """Return the public key's SPKI DER, 44 bytes (RFC 8410)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: PrivateKey | PublicKey) -> str:
    """Return the hex SHA-256 of the public key's SPKI DER."""
    return hashlib.sha256(public_der(key.public if isinstance(key, PrivateKey) else key)).hexdigest()


def public_from_der(der: bytes, what: str) -> PublicKey:
    """Return the key in `der`. Raises InvalidEvidenceError unless `der` is exactly the SPKI DER of an Ed25519 key."""
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidEvidenceError(f"{what} is not a public key in SPKI DER") from error
    if not isinstance(key, Ed25519PublicKey) or public_der(key) != der:
        raise InvalidEvidenceError(f"{what} is not an Ed25519 public key in SPKI DER")
    return key


def signature_holds(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is `key`'s over `message` (RFC 8032)."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
