"""Attachments as files named by the SHA-256 of what they hold.

Invariant: an object is its 32-byte salt followed by the content, stored under the SHA-256 of the whole; so when an
object is purged, the digest that stays in the log tells nobody what it was. What is read back is verified first.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evidence.durable import make_private_folder, sync_folder, write_file
from evidence.errors import EvidenceError, InvalidEvidenceError

if TYPE_CHECKING:
    from pathlib import Path

SALT_BYTES: Final = 32
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A stored object. salted_digest: hex SHA-256 of salt and content; size: bytes of the content alone."""

    salted_digest: str
    size: int


class Objects:
    """The folder of objects: <folder>/<first two digits>/<digest>."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes, *, salt: bytes | None = None) -> Attachment:
        """Store `content` durably and return its name. salt: 32 bytes, fresh random ones when None."""
        salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
        if len(salt) != SALT_BYTES:
            raise EvidenceError(f"a salt must have {SALT_BYTES} bytes")
        stored = salt + content
        digest = hashlib.sha256(stored).hexdigest()
        path = self._path(digest)
        try:
            if not path.exists():
                make_private_folder(path.parent)
                write_file(path, stored)
                sync_folder(self.folder)
        except OSError as error:
            raise EvidenceError(f"cannot store an attachment in {self.folder}: {error.strerror}") from error
        return Attachment(digest, len(content))

    def get(self, digest: str) -> bytes:
        """Return the content without its salt. Raises InvalidEvidenceError if the object is missing or differs."""
        return self.get_salted(digest)[SALT_BYTES:]

    def get_salted(self, digest: str) -> bytes:
        """Return the whole object, verified: what a pack carries."""
        try:
            stored = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise InvalidEvidenceError(f"the attachment {digest} is missing from {self.folder}") from error
        except OSError as error:
            raise EvidenceError(f"cannot read the attachment {digest}: {error.strerror}") from error
        if len(stored) < SALT_BYTES or hashlib.sha256(stored).hexdigest() != digest:
            raise InvalidEvidenceError(f"the attachment {digest} was changed: its SHA-256 differs")
        return stored

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidEvidenceError(f"{digest!r} is no SHA-256 in lower-case hex")
        return self.folder / digest[:2] / digest
