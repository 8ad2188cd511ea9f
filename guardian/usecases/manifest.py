"""Capture what is true at the source, with the backup command inside the same snapshot, and sign it into the log.

Invariant: a manifest is logged only if the command succeeded and left exactly one new backup.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from guardian.errors import ConfigError, FailedError, UsageError
from guardian.records import source_manifest
from guardian.redact import parse_key
from guardian.settings import PostgresCollector
from guardian.usecases.backup_lock import taking_backup
from guardian.usecases.ledger import Appended, Ledger, new_run
from verifiers import filestore
from verifiers.manifest import Manifest
from verifiers.postgres.manifest import capture
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.sources import BackupItem, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guardian.model import Asset, BackupJob
    from guardian.settings import Settings


class BackupCommandError(FailedError):
    """The wrapped command failed, or did not leave one new backup. Exit 1: no manifest was made."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A logged manifest. backup_id: None when taken without a backup."""

    asset: str
    backup_id: str | None
    tables: int
    rows: int
    files: int | None
    seconds: float
    record: Appended


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
    conninfo = source_conninfo(settings, asset)
    job = _job(asset, job_name) if command else None
    with Ledger(settings, writable=True) as ledger, taking_backup(settings, asset.name, started_on):
        context = ledger.context()
        before = _backup_ids(asset, job) if job else set()
        with exported_snapshot(conninfo) as snapshot, ThreadPoolExecutor(1) as pool:
            progress("hashing the source" + (" while the backup runs" if command else ""))
            content = pool.submit(capture, conninfo, snapshot=snapshot, key=parse_key(settings.keys.redaction))
            if job:
                _run_backup(command, conninfo, snapshot_id=snapshot.id, folder=Path(job.path))
            postgres = content.result()
            names = filestore.names_in_snapshot(conninfo, snapshot.id) if asset.source.filestore else None
        files = None
        if asset.source.filestore and names is not None:
            progress("hashing the filestore")
            files = filestore.capture(Path(asset.source.filestore), names=names)
        item = _new_backup(asset, job, before) if job else None
        progress("signing")
        backup = (item.id, *open_source(asset.type, job.place).digest(item)) if item and job else None
        document = Manifest.of(asset.name, backup, started_on, postgres, files)
        data = document.to_json()
        measurements = {
            "tables": len(postgres.tables),
            "rows": postgres.rows,
            "seconds": round((datetime.now(UTC) - started_on).total_seconds(), 3),
        }
        if files is not None:
            measurements["files"] = len(files.files)
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
        len(postgres.tables),
        postgres.rows,
        None if files is None else len(files.files),
        (datetime.now(UTC) - started_on).total_seconds(),
        record,
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
    if job.format == "pg_basebackup":  # it is recovered to a later moment than any snapshot: right ones would fail
        raise UsageError(
            f"backup {job.name} of asset {asset.name!r} is made by pg_basebackup, which follows no snapshot: no "
            "manifest can be taken with it yet; run the command without `guardian manifest`: its drills prove sound"
        )
    return job


def _backup_ids(asset: Asset, job: BackupJob) -> set[str]:
    Path(job.path).mkdir(mode=0o700, parents=True, exist_ok=True)
    return {item.id for item in open_source(asset.type, job.place).locate()}


def _new_backup(asset: Asset, job: BackupJob, before: set[str]) -> BackupItem:
    items = [item for item in open_source(asset.type, job.place).locate() if item.id not in before]
    if len(items) == 1:
        return items[0]
    found = "no new backup" if not items else f"{len(items)} new backups ({', '.join(item.id for item in items)})"
    raise BackupCommandError(
        f"the backup command of asset {asset.name!r} succeeded but left {found} in {job.path}; it must leave exactly "
        "one, in GUARDIAN_BACKUP_DIR. No manifest was made"
    )


def _run_backup(command: Sequence[str], conninfo: str, *, snapshot_id: str, folder: Path) -> None:
    there = _entries(folder)
    with _libpq_environment(conninfo) as variables:
        environment = {
            **os.environ,
            **variables,
            "GUARDIAN_SNAPSHOT": snapshot_id,
            "GUARDIAN_BACKUP_DIR": str(folder),
        }
        try:
            # No deadline of ours: how long a backup may take is the operator's decision, and Ctrl-C ends it.
            completed = subprocess.run(list(command), env=environment, check=False)
        except OSError as error:
            raise BackupCommandError(f"cannot run the backup command {command[0]!r}: {error}") from error
    if completed.returncode != 0:
        raise BackupCommandError(
            f"the backup command {command[0]!r} exited {completed.returncode}; "
            f"its messages stand above. No manifest was made{_left_behind(_entries(folder) - there)}"
        )


def _entries(folder: Path) -> set[Path]:
    return set(folder.iterdir())


def _left_behind(paths: set[Path]) -> str:
    """Say what a failed command left: a drill would take it for the newest backup."""
    if not paths:
        return ""
    return f". It left {', '.join(str(path) for path in sorted(paths))}, which is no whole backup: remove it"


@contextmanager
def _libpq_environment(conninfo: str) -> Iterator[dict[str, str]]:
    """Yield libpq variables of `conninfo`; a password goes through a private passfile, not the environment."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value is not None}
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "sslmode": "PGSSLMODE",
             "sslrootcert": "PGSSLROOTCERT", "passfile": "PGPASSFILE", "service": "PGSERVICE"}  # fmt: skip
    variables = {names[key]: value for key, value in parts.items() if key in names}
    with tempfile.TemporaryDirectory(prefix="guardian-") as folder:
        if "password" in parts:
            passfile = Path(folder) / "pgpass"
            passfile.touch(mode=0o600)
            escaped = parts["password"].replace("\\", "\\\\").replace(":", "\\:")
            passfile.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
            variables["PGPASSFILE"] = str(passfile)
        yield variables
