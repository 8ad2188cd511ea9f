"""One signed document a backup: what was true in the database and the filestore when it was taken.

Invariant: `to_json` gives canonical bytes (orjson, sorted keys), and `from_json` accepts nothing but them: a duplicate
key, an unknown field or another spelling of the same value is refused. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from verifiers.filestore import FilestoreError, FilestoreManifest
from verifiers.postgres.manifest_shape import Fields, ManifestError, PostgresManifest, RestorePoint
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["SCHEMA", "Manifest", "ManifestError", "RestorePoint", "digest_check"]

SCHEMA = "guardian/manifest/v1"
_SHA256 = r"[0-9a-f]{64}"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Manifest:
    """taken_at: RFC 3339 UTC. backup_id, dump_sha256 and dump_size are None for a manifest taken without a backup.

    postgres: None for a filestore without a database. recovery: where in the write-ahead log the content is true, for
    the copy of a cluster; None for backups that hold one moment.
    """

    asset: str
    backup_id: str | None
    taken_at: str
    dump_sha256: str | None
    dump_size: int | None
    postgres: PostgresManifest | None
    filestore: FilestoreManifest | None
    recovery: RestorePoint | None = None

    def __post_init__(self) -> None:
        if self.postgres is None and self.filestore is None:
            raise ManifestError("manifest: neither postgres nor filestore is there, so it tells nothing")
        if self.recovery is not None and (self.postgres is None or self.backup_id is None):
            raise ManifestError("manifest: recovery is there without postgres or without a backup")

    @classmethod
    def of(
        cls,
        asset: str,
        backup: tuple[str, str, int] | None,
        taken_at: datetime,
        postgres: PostgresManifest | None,
        filestore: FilestoreManifest | None,
        recovery: RestorePoint | None = None,
    ) -> Manifest:
        """Join the parts. backup: id, and digest and bytes as its source tells them. taken_at: aware."""
        text = taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        identity, sha256, size = backup or (None, None, None)
        return cls(asset, identity, text, sha256, size, postgres, filestore, recovery)

    def backup_json(self) -> dict[str, Any] | None:
        """Return `{id, sha256, sizeBytes}` of the backup, or None."""
        if self.backup_id is None:
            return None
        return {"id": self.backup_id, "sha256": self.dump_sha256, "sizeBytes": self.dump_size}

    def to_json(self) -> bytes:
        """Return the canonical bytes."""
        value = {
            "schema": SCHEMA,
            "asset": self.asset,
            "backupId": self.backup_id,
            "takenAt": self.taken_at,
            "backup": None if self.backup_id is None else {"dumpSha256": self.dump_sha256, "dumpSize": self.dump_size},
            "postgres": None if self.postgres is None else self.postgres.to_json(),
            "filestore": None if self.filestore is None else self.filestore.to_json(),
            "recovery": None if self.recovery is None else self.recovery.to_json(),
        }
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read canonical bytes. Raises ManifestError naming the field."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ManifestError(f"manifest: no JSON: {error}") from error
        # Whatever JSON leaves open (duplicate keys, order, spaces, escapes) makes the bytes differ when written again.
        if orjson.dumps(value, option=orjson.OPT_SORT_KEYS) != data:
            raise ManifestError("manifest: not in canonical form: a key twice, or keys out of order, or other spacing")
        root = Fields(value, "manifest")
        root.text("schema", re.escape(SCHEMA))
        backup_id, digest, size = root.text_or_none("backupId"), None, None
        backup = root.take("backup")
        if (backup is None) != (backup_id is None):
            raise ManifestError("manifest: backup and backupId must both be there or both be null")
        if backup is not None:
            fields = Fields(backup, "manifest.backup")
            digest, size = fields.text("dumpSha256", _SHA256), fields.number("dumpSize")
            fields.done()
        filestore = root.take("filestore")
        try:
            files = None if filestore is None else FilestoreManifest.from_json(filestore)
        except FilestoreError as error:
            raise ManifestError(str(error)) from error
        postgres, recovery = root.take("postgres"), root.take("recovery")
        manifest = cls(
            asset=root.text("asset"),
            backup_id=backup_id,
            taken_at=root.text("takenAt", _TIME.pattern),
            dump_sha256=digest,
            dump_size=size,
            postgres=None if postgres is None else PostgresManifest.from_json(postgres),
            filestore=files,
            recovery=None if recovery is None else RestorePoint.from_json(recovery),
        )
        root.done()
        return manifest


def digest_check(manifest: Manifest | None, sha256: str) -> Check:
    """Return `backup.digest` (restored): the backup is the one of the manifest; skip without a manifest."""
    if manifest is None or manifest.dump_sha256 is None:
        message = "No manifest was taken with this backup, so its digest is not known; `guardian manifest` adds it."
        return Check("backup.digest", Assurance.RESTORED, Verdict.SKIP, None, {"sha256": sha256}, message)
    same = manifest.dump_sha256 == sha256
    message = (
        "The backup is the one that the manifest was taken with."
        if same
        else "The backup is not the one that the manifest was taken with: it was changed or replaced since."
    )
    return Check(
        "backup.digest",
        Assurance.RESTORED,
        Verdict.PASS if same else Verdict.FAIL,
        {"sha256": manifest.dump_sha256},
        {"sha256": sha256},
        message,
    )
