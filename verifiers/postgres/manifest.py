"""The content manifest of one database: what was true in it, as counts, hashes and digests; never a row.

Invariant: two captures of databases with equal content give equal manifests, whatever the server's major version,
physical order or OIDs; and any change of one value changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verifiers.postgres.snapshot import ExportedSnapshot, SequenceState
    from verifiers.result import Check


class ManifestError(VerifierError):
    """A manifest is malformed, or could not be captured."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """Rows and content hash of one table (or materialized view).

    hash: sum of 64-bit row hashes, in decimal; None when keyed. keyed: hex HMAC-SHA-256 instead, for fewer than 100
    rows. sample: hex HMAC-SHA-256 over SHA-256 of a keyed choice of rows. Without a key, keyed and sample are None.
    """

    rows: int
    hash: str | None
    keyed: str | None
    sample: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database this is. system_identifier: None without the privilege to read it; dbuuid: Odoo's, else None."""

    database: str
    system_identifier: str | None
    encoding: str
    collate: str
    ctype: str
    locale_provider: str
    dbuuid: str | None
    server_version: int


@dataclass(frozen=True, slots=True)
class LargeObjects:
    """Count and content hash of all large objects; hash None where the capturing role may not read them."""

    count: int
    bytes: int | None
    hash: str | None


@dataclass(frozen=True, slots=True)
class PostgresManifest:
    """Everything captured of one database. Names are quoted and qualified, as SQL would write them.

    method: how rows were hashed (`record`, or `text` before PostgreSQL 14). key_id: tells two keys apart, None without key.
    excluded: tables not hashed, with the reason. catalog: object -> hex digest of its normalised definition.
    """

    method: str
    key_id: str | None
    taken_at: str
    lsn: str
    identity: Identity
    tables: Mapping[str, TableContent]
    excluded: Mapping[str, str]
    materialized_views: Mapping[str, TableContent | None]
    sequences: Mapping[str, SequenceState]
    large_objects: LargeObjects
    extensions: Mapping[str, str]
    collations: Mapping[str, str | None]
    roles: Sequence[str]
    catalog: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all hashed tables."""
        return sum(table.rows for table in self.tables.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that goes into the joint manifest."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: object) -> PostgresManifest:
        """Read the JSON value back. Raises ManifestError naming the field that is missing, unknown or of a wrong type."""
        raise NotImplementedError


def capture(
    conninfo: str,
    *,
    snapshot: ExportedSnapshot | None = None,
    key: bytes | None,
    method: str | None = None,
    workers: int = 2,
    deadline_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PostgresManifest:
    """Capture the manifest of a live or restored database.

    snapshot: the object that `exported_snapshot` yields, still held; None opens one for the time of the capture.
    key: 32 bytes, for small tables and the sample. method: that of the manifest to compare with (None: the best).
    progress: called as (bytes hashed, bytes in total). Raises ManifestError, also when deadline_s is over.
    """
    raise NotImplementedError


def compare(expected: PostgresManifest, observed: PostgresManifest) -> list[Check]:
    """Return catalog.diff, content.rows, content.hashes, sequences, large-objects and materialized-views, in this order.

    All have level exact. `identity` and `extensions` are in `verifiers.postgres.checks`.
    """
    raise NotImplementedError
