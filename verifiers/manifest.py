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
from verifiers.postgres.manifest_shape import Fields, ManifestError, PostgresManifest
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["SCHEMA", "Manifest", "ManifestError", "digest_check"]

SCHEMA = "guardian/manifest/v1"
_SHA256 = r"[0-9a-f]{64}"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")


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
        backup: tuple[str, str, int] | None,
        taken_at: datetime,
        postgres: PostgresManifest,
        filestore: FilestoreManifest | None,
    ) -> Manifest:
        """Join the parts. backup: id, and digest and bytes as its source tells them. taken_at: aware."""
        text = taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        identity, sha256, size = backup or (None, None, None)
        return cls(asset, identity, text, sha256, size, postgres, filestore)

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
            "postgres": self.postgres.to_json(),
            "filestore": None if self.filestore is None else self.filestore.to_json(),
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
        manifest = cls(
            asset=root.text("asset"),
            backup_id=backup_id,
            taken_at=root.text("takenAt", _TIME.pattern),
            dump_sha256=digest,
            dump_size=size,
            postgres=PostgresManifest.from_json(root.take("postgres")),
            filestore=files,
        )
        root.done()
        return manifest


def digest_check(manifest: Manifest | None, sha256: str) -> Check:
    """Return `backup.digest` (restored): the dump is the one the manifest was taken with; skip without a manifest."""
    if manifest is None or manifest.dump_sha256 is None:
        message = "No manifest was taken with this backup, so its digest is not known; `guardian manifest` adds it."
        return Check("backup.digest", Assurance.RESTORED, Verdict.SKIP, None, {"sha256": sha256}, message)
    same = manifest.dump_sha256 == sha256
    message = (
        "The dump is the file that the manifest was taken with."
        if same
        else "The dump is not the file that the manifest was taken with: it was changed or replaced since."
    )
    return Check(
        "backup.digest",
        Assurance.RESTORED,
        Verdict.PASS if same else Verdict.FAIL,
        {"sha256": manifest.dump_sha256},
        {"sha256": sha256},
        message,
    )
