"""Backup formats, one file each, behind one protocol."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.sources.barman import BarmanCatalogue, BarmanLog
from verifiers.sources.base import BackupItem, BackupSource, Fetched, KeyMissingError, LogArchive, Place, SourceError
from verifiers.sources.borg import Borg
from verifiers.sources.click_odoo import ClickOdoo
from verifiers.sources.directory import FileFolders
from verifiers.sources.odoo import OdooFolders
from verifiers.sources.odoo_zip import OdooZips
from verifiers.sources.pg_basebackup import BaseBackups
from verifiers.sources.pg_dump import DumpFiles
from verifiers.sources.pgbackrest import PgBackRest, PgBackRestLog
from verifiers.sources.restic import Restic
from verifiers.sources.s3 import S3Prefix
from verifiers.sources.tar import TarFiles
from verifiers.sources.wal_archive import WalArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "FORMATS",
    "BackupItem",
    "BackupSource",
    "Fetched",
    "KeyMissingError",
    "LogArchive",
    "Place",
    "SourceError",
    "open_archive",
    "open_source",
]

# By type of asset and format: what opens it.
FORMATS: Mapping[tuple[str, str], Callable[[Place], BackupSource]] = {
    ("postgres", "pg_dump"): DumpFiles,
    ("postgres", "pg_basebackup"): BaseBackups,
    ("odoo", "pg_dump"): OdooFolders,
    ("postgres", "tar"): partial(TarFiles, "postgres"),
    ("odoo", "tar"): partial(TarFiles, "odoo"),
    ("filestore", "directory"): FileFolders,
    ("filestore", "tar"): partial(TarFiles, "filestore"),
    ("odoo", "odoo_zip"): OdooZips,
    ("odoo", "click_odoo"): ClickOdoo,
    ("postgres", "restic"): partial(Restic, "postgres"),
    ("odoo", "restic"): partial(Restic, "odoo"),
    ("filestore", "restic"): partial(Restic, "filestore"),
    ("postgres", "borg"): partial(Borg, "postgres"),
    ("odoo", "borg"): partial(Borg, "odoo"),
    ("filestore", "borg"): partial(Borg, "filestore"),
    ("postgres", "s3"): partial(S3Prefix, "postgres"),
    ("odoo", "s3"): partial(S3Prefix, "odoo"),
    ("filestore", "s3"): partial(S3Prefix, "filestore"),
    ("postgres", "pgbackrest"): PgBackRest,
    ("postgres", "barman"): BarmanCatalogue,
}


def open_source(asset_type: str, place: Place) -> BackupSource:
    """Return the source for backups of an asset; the place itself is first looked at by `locate`.

    Raises SourceError for a format that backups of this type of asset do not have.
    """
    opened = FORMATS.get((asset_type, place.format))
    if opened is None:
        known = ", ".join(form for kind, form in FORMATS if kind == asset_type)
        raise SourceError(f"no backup format {place.format!r} for assets of type {asset_type!r}; known: {known}")
    return opened(place)


def open_archive(place: Place, backup_id: str | None = None) -> LogArchive | None:
    """Return the archived write-ahead log that belongs to a place, None without one.

    backup_id: of the backup that is to be recovered by it, for repositories that keep the log of several clusters.
    Raises SourceError, KeyMissingError.
    """
    match place.format:
        case "pgbackrest":
            return PgBackRestLog.of(place, backup_id)
        case "barman":
            return BarmanLog.of(place)
        case _:
            return WalArchive.look(Path(place.wal)) if place.wal is not None else None
