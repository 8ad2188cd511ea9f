"""Checks on a running restored server: catalogue, identity, constraints, indexes, amcheck, extensions, freshness.

Invariant: every function returns its `Check` and never raises for what it finds; what could not be checked is `error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from verifiers.postgres.manifest import PostgresManifest
    from verifiers.result import Check


def catalog_readable(conninfo: str, *, deadline_s: float = 300) -> Check:
    """`catalog.readable` (restored): every relation's definition can be read and resolved."""
    raise NotImplementedError


def identity(
    conninfo: str,
    *,
    archived_database: str | None,
    expected_database: str | None,
    manifest: PostgresManifest | None = None,
    deadline_s: float = 60,
) -> Check:
    """`identity` (restored): the right database. archived_database: as the archive's header names it."""
    raise NotImplementedError


def freshness(*, taken_at: datetime | None, now: datetime, rpo_s: float | None) -> Check:
    """`freshness` (restored): age of the backup at `now`; against rpo_s where one is declared. Observed: ageSeconds."""
    raise NotImplementedError


def pages(conninfo: str, *, logical: bool, deadline_s: float = 60) -> Check:
    """`pages` (sound): checksum failures. A logical restore writes its own pages: skip with that reason."""
    raise NotImplementedError


def amcheck(
    conninfo: str,
    *,
    heapallindexed: bool = False,
    deadline_s: float = 1800,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """`amcheck` (sound): every B-tree index and every heap. Leaves no extension behind. progress: (relations, of)."""
    raise NotImplementedError


def constraints(conninfo: str, *, deadline_s: float = 1800) -> Check:
    """`constraints` (sound): foreign keys re-verified by SQL, and what is not validated named."""
    raise NotImplementedError


def indexes(conninfo: str, *, deadline_s: float = 60) -> Check:
    """`indexes` (sound): every index valid and ready."""
    raise NotImplementedError


def extensions(
    conninfo: str, *, needed: Sequence[str], manifest: PostgresManifest | None = None, deadline_s: float = 60
) -> Check:
    """`extensions` (sound): all that the archive needs are there, none older than at the source; collation versions."""
    raise NotImplementedError
