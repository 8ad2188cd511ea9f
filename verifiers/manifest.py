"""One signed document a backup: what was true in the database and the filestore when it was taken.

Invariant: `to_json` gives canonical bytes (orjson, sorted keys), and `from_json` accepts nothing but them: a duplicate
key, an unknown field or another spelling of the same value is refused. Reads the dump file to hash it, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.filestore import FilestoreManifest
    from verifiers.postgres.manifest import PostgresManifest
    from verifiers.result import Check
    from verifiers.sources import BackupItem

SCHEMA = "guardian/manifest/v1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """taken_at: RFC 3339 UTC. backup_id, dump_sha256 and dump_size are None for a manifest taken without a backup."""

    asset: str
    backup_id: str | None
    taken_at: str
    dump_sha256: str | None
    dump_size: int | None
    postgres: PostgresManifest
    filestore: FilestoreManifest | None

    @classmethod
    def of(
        cls,
        asset: str,
        item: BackupItem | None,
        taken_at: datetime,
        postgres: PostgresManifest,
        filestore: FilestoreManifest | None,
    ) -> Manifest:
        """Join the parts; hashes the backup's dump file. Raises VerifierError if that cannot be read."""
        raise NotImplementedError

    def backup_json(self) -> dict[str, Any] | None:
        """Return `{id, sha256, sizeBytes}` of the backup, or None."""
        raise NotImplementedError

    def to_json(self) -> bytes:
        """Return the canonical bytes."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read canonical bytes. Raises ManifestError naming the field."""
        raise NotImplementedError


def digest_check(manifest: Manifest | None, sha256: str) -> Check:
    """Return `backup.digest` (restored): the dump is the one the manifest was taken with; skip without a manifest."""
    raise NotImplementedError
