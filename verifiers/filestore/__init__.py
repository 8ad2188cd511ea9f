"""What was in a filestore, and whether it still is after a restore.

Invariant: streaming, bounded memory; links and special files are refused, never followed. An Odoo filestore is
`<2 hex>/<sha1>`, and `checklist/` (the garbage collector's to-do list) is spared.
"""

from __future__ import annotations

from verifiers.filestore.manifest import FileEntry, FilestoreManifest, capture, capture_plain, compare, states
from verifiers.filestore.measures import Measures
from verifiers.filestore.odoo import bijection, content, examine, names_in_snapshot
from verifiers.filestore.reading import FilestoreError

__all__ = [
    "FileEntry",
    "FilestoreError",
    "FilestoreManifest",
    "Measures",
    "bijection",
    "capture",
    "capture_plain",
    "compare",
    "content",
    "examine",
    "names_in_snapshot",
    "states",
]
