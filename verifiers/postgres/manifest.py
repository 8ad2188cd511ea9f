"""The content manifest of one database: what was true in it, as counts, hashes and digests; never a row.

Invariant: two captures of databases with equal content give equal manifests, whatever the server's major version,
physical order or object identifiers; and any change of one value changes them.
"""

from __future__ import annotations

from verifiers.postgres.capture import capture
from verifiers.postgres.compare import compare
from verifiers.postgres.manifest_shape import Identity, LargeObjects, ManifestError, PostgresManifest, TableContent

__all__ = ["Identity", "LargeObjects", "ManifestError", "PostgresManifest", "TableContent", "capture", "compare"]
