"""Capture what is true at the source, with the backup command inside the same snapshot, and sign it into the log.

Invariant: a manifest is logged only if the command succeeded and left exactly one new backup.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from guardian.errors import ConfigError, UsageError
from guardian.records import source_manifest
from guardian.redact import parse_key
from guardian.settings import PostgresCollector
from guardian.usecases.backup_command import BackupCommandError, Shelf
from guardian.usecases.backup_lock import taking_backup
from guardian.usecases.ledger import Appended, Ledger, new_run
from verifiers import filestore
from verifiers.manifest import Manifest
from verifiers.postgres.manifest import capture
from verifiers.postgres.quiesce import QuiesceError, check_can_quiesce, quiesced
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardian.model import Asset, BackupJob, Patience
    from guardian.settings import Settings
    from verifiers.filestore import FilestoreManifest
    from verifiers.manifest import RestorePoint
    from verifiers.postgres.manifest import PostgresManifest

__all__ = ["BackupCommandError", "Captured", "manifest", "source_conninfo"]


@dataclass(frozen=True, slots=True)
class _Content:
    """What was captured. measurements: of how it was."""

    postgres: PostgresManifest | None
    files: FilestoreManifest | None
    point: RestorePoint | None = None
    measurements: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """A logged manifest. backup_id: None when taken without a backup. measurements: as its record has them."""

    asset: str
    backup_id: str | None
    tables: int
    rows: int
    files: int | None
    seconds: float
    record: Appended
    measurements: Mapping[str, float | int]


def manifest(
    settings: Settings,
    asset_name: str,
    command: Sequence[str],
    *,
    job_name: str | None,
    progress: Callable[[str], None],
) -> Captured:
    """Run `command` (empty: none) and capture the content manifest of the asset's live source in one snapshot.

    job_name: which backup job the command serves; may be None where the asset has one only.
    The command gets GUARDIAN_SNAPSHOT, GUARDIAN_BACKUP_DIR and libpq variables; it is run without a shell.
    Raises BackupCommandError when it fails or leaves no new backup or several.
    """
    started_on = datetime.now(UTC)
    asset = settings.assets().get(asset_name)
    if asset is None:
        raise UsageError(
            f"no asset {asset_name!r} in {settings.path}; there are: {', '.join(settings.assets()) or 'none'}"
        )
    conninfo = None if asset.type == "filestore" else source_conninfo(settings, asset)
    if conninfo is None and asset.source.filestore is None:
        raise UsageError(f"asset {asset.name!r} in {settings.path} has no `source: {{filestore: FOLDER}}`; add it")
    job = _job(asset, job_name) if command else None
    with Ledger(settings, writable=True) as ledger, taking_backup(settings, asset.name, started_on):
        context = ledger.context()
        shelf = Shelf.look(asset, job) if job else None
        content = _Source(asset, conninfo, parse_key(settings.keys.redaction), shelf, command).captured(progress)
        item = shelf.new() if shelf else None
        progress("signing")
        backup = (item.id, *open_source(asset.type, job.place).digest(item)) if item and job else None
        document = Manifest.of(asset.name, backup, started_on, content.postgres, content.files, content.point)
        data = document.to_json()
        measurements = {
            "tables": len(content.postgres.tables) if content.postgres else 0,
            "rows": content.postgres.rows if content.postgres else 0,
            "seconds": round((datetime.now(UTC) - started_on).total_seconds(), 3),
            **content.measurements,
        }
        if content.files is not None:
            measurements["files"] = len(content.files.files)
        statement = source_manifest(
            new_run("manifest", started_on),
            context,
            asset=asset.name,
            service=asset.service,
            backup=document.backup_json(),
            measurements=measurements,
            attachments=[ledger.attach("manifest.json", "application/json", data)],
        )
        [record] = ledger.append([statement])
    return Captured(
        asset.name,
        item.id if item else None,
        int(measurements["tables"]),
        int(measurements["rows"]),
        None if content.files is None else len(content.files.files),
        (datetime.now(UTC) - started_on).total_seconds(),
        record,
        measurements,
    )


def source_conninfo(settings: Settings, asset: Asset) -> str:
    """Return the connection string of the asset's database. Raises UsageError where the asset declares no source."""
    collector = next((c for c in settings.collectors if c.name == asset.source.postgres), None)
    if not isinstance(collector, PostgresCollector) or asset.source.database is None:
        raise UsageError(
            f"asset {asset.name!r} in {settings.path} has no `source: {{postgres: COLLECTOR, database: NAME}}`; add it"
        )
    try:
        return make_conninfo(collector.dsn.read(), dbname=asset.source.database)
    except psycopg.ProgrammingError:
        # Its message repeats what it could not parse, which may be the password.
        message = (
            f"{collector.dsn.where}the DSN of collector {collector.name!r} is malformed; write it as postgresql://…"
        )
        raise ConfigError(message) from None


def _job(asset: Asset, job_name: str | None) -> BackupJob:
    jobs = {job.name: job for job in asset.backups}
    name = next(iter(jobs)) if job_name is None and len(jobs) == 1 else job_name
    if name not in jobs:
        raise UsageError(f"asset {asset.name!r} has the backup jobs {', '.join(jobs) or '(none)'}; name one with --job")
    job = jobs[name]
    if job.physical and job.quiesce is None:  # it is recovered to a later moment than any snapshot
        raise UsageError(
            f"backup {job.name} of asset {asset.name!r} copies a whole cluster ({job.format}), which follows no "
            "snapshot. Give the job `quiesce: {lockTimeout: 100ms, attempts: 20}` to have the tables locked for a "
            "moment after each backup, and a restore point made that its manifest is true at; or run the command "
            "without `guardian manifest`: its drills prove sound"
        )
    return job


class _Source:
    """What is captured of one asset. conninfo: of its database, None for an asset of files alone."""

    def __init__(
        self, asset: Asset, conninfo: str | None, key: bytes | None, shelf: Shelf | None, command: Sequence[str]
    ) -> None:
        self._asset, self._conninfo, self._key, self._shelf, self._command = asset, conninfo, key, shelf, command

    def captured(self, progress: Callable[[str], None]) -> _Content:
        """Run the command, if there is one, and capture what it backed up."""
        job = self._shelf.job if self._shelf else None
        if self._conninfo is None:
            return self._files_alone(progress)
        if job is not None and job.quiesce is not None:
            return self._cluster(self._conninfo, job.quiesce, progress)
        return self._database(self._conninfo, progress)

    def _database(self, conninfo: str, progress: Callable[[str], None]) -> _Content:
        """The command runs inside the snapshot that is hashed."""
        with exported_snapshot(conninfo) as snapshot, ThreadPoolExecutor(1) as pool:
            progress("hashing the source" + (" while the backup runs" if self._shelf else ""))
            content = pool.submit(capture, conninfo, snapshot=snapshot, key=self._key)
            if self._shelf:
                self._shelf.run(self._command, conninfo, snapshot_id=snapshot.id)
            postgres = content.result()
            filestore_folder = self._asset.source.filestore
            names = filestore.names_in_snapshot(conninfo, snapshot.id) if filestore_folder else None
        files = None
        if filestore_folder and names is not None:
            progress("hashing the filestore")
            files = filestore.capture(Path(filestore_folder), names=names)
        return _Content(postgres, files)

    def _cluster(self, conninfo: str, patience: Patience, progress: Callable[[str], None]) -> _Content:
        """The command runs first; then a moment is found at which the content is known."""
        shelf = self._shelf
        if shelf is None:
            raise ValueError("a restore point belongs to a backup")
        try:
            check_can_quiesce(conninfo)
        except QuiesceError as error:
            raise BackupCommandError(f"{error}. The backup command was not run") from error
        progress("the backup runs")
        shelf.run(self._command, conninfo, snapshot_id=None)
        item = shelf.new()
        name = f"guardian-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        try:
            with quiesced(conninfo, name, patience, progress) as quiet:
                progress("hashing the source")
                postgres = capture(conninfo, snapshot=quiet.snapshot, key=self._key)
        except QuiesceError as error:
            raise BackupCommandError(
                f"{error}. No manifest was made; the backup {item.id} is taken, and its drill reaches sound at most"
            ) from error
        if not quiet.large_objects:
            unknown = replace(postgres.large_objects, bytes=None, hash=None)
            postgres = replace(postgres, large_objects=unknown)
            progress("large objects are not covered: the role may not lock pg_largeobject")
        measurements = {
            "quiesceAttempts": quiet.attempts,
            "quiesceHeldSeconds": round(quiet.held_s, 6),
            "quiesceWaitSecondsAtMost": round(quiet.waited_s, 6),
        }
        return _Content(postgres, None, quiet.point, measurements)

    def _files_alone(self, progress: Callable[[str], None]) -> _Content:
        """What is written while the command runs is named as not known: there is no snapshot of files."""
        folder = Path(str(self._asset.source.filestore))
        before = None
        if self._shelf:
            before = filestore.states(folder)
            self._shelf.run(self._command, None, snapshot_id=None)
        progress("hashing the files")
        files = filestore.capture_plain(folder, before=before)
        return _Content(None, files, measurements={"filesMoving": len(files.moving)} if files.moving else {})
