"""Backup formats, one file each, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verifiers.sources.base import BackupItem, BackupSource, Fetched, SourceError
from verifiers.sources.odoo import OdooFolders
from verifiers.sources.pg_basebackup import BaseBackups
from verifiers.sources.pg_dump import DumpFiles

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BackupItem", "BackupSource", "Fetched", "SourceError", "open_source"]


def open_source(asset_type: str, format: str, path: Path) -> BackupSource:  # noqa: A002 -- the word of guardian.yaml
    """Return the source for backups of an asset.

    ("postgres", "pg_dump"): a folder of dumps in any format of pg_dump; the id is the name without its suffixes.
    ("postgres", "pg_basebackup"): a folder of folders as pg_basebackup makes them; the id is the folder's name.
    ("odoo", "pg_dump"): a folder of `<UTC stamp>/` folders with a dump `db.*` and `filestore/`; the id is its name.
    Raises SourceError for another combination; the folder itself is first looked at by `locate`.
    """
    if (asset_type, format) == ("postgres", "pg_dump"):
        return DumpFiles(path)
    if (asset_type, format) == ("postgres", "pg_basebackup"):
        return BaseBackups(path)
    if (asset_type, format) == ("odoo", "pg_dump"):
        return OdooFolders(path)
    raise SourceError(
        f"no backup format {format!r} for assets of type {asset_type!r}; known: postgres/pg_dump, "
        "postgres/pg_basebackup, odoo/pg_dump"
    )
