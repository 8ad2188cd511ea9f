"""A safe backup of an Odoo pair: `guardian manifest ASSET --backup -- python -m guardian.usecases.odoo_backup …`.

Invariant: the finished folder holds the database as of one snapshot and exactly the files that its rows name, no fewer
and no more. Dump first, then copy: a filestore only gains files while Odoo's garbage collector is held off, so every
file of the snapshot is still there afterwards. (Odoo's own zip copies first, and misses attachments made meanwhile.)
A folder appears under its final name only when it is complete and on disk. Nothing is verified here; drills do that.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from guardian.errors import GuardianError

if TYPE_CHECKING:
    from collections.abc import Sequence

_STORED = re.compile(r"[0-9a-f]{2}/[0-9a-f]{40}")
# What a child needs besides libpq's own variables; nothing else of ours is its business.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_STDERR_KEPT = 4_000


class BackupError(GuardianError):
    """The backup could not be taken; nothing was left under its final name."""


@dataclass(frozen=True, slots=True)
class PairBackup:
    """A finished backup.

    missing: files that rows name and the source lacks; elsewhere: number of names that are no filestore's.
    """

    folder: Path
    dump_bytes: int
    files: int
    file_bytes: int
    missing: Sequence[str]
    elsewhere: int


def backup_odoo_pair(
    *,
    snapshot: str,
    filestore: Path,
    backup_dir: Path,
    now: datetime,
    pg_dump: str = "pg_dump",
    compress: str | None = None,
    deadline_s: float | None = None,
) -> PairBackup:
    """Take `<UTC stamp>/` with `db.dump` and `filestore/` in `backup_dir`, of the database that libpq's variables name.

    snapshot: an exported snapshot that stays open meanwhile. compress: pg_dump's --compress, None for its default.
    The role needs to read everything, and to write ir_attachment for the lock that holds off the garbage collector;
    that lock stops no user, but a collector that starts meanwhile gives up after its own lock_timeout of 10 s.
    Raises BackupError.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    final, partial = backup_dir / stamp, backup_dir / f".{stamp}.partial"
    if final.exists():
        raise BackupError(f"{final} exists: a backup was taken in the same second; take this one again")
    try:
        partial.mkdir(mode=0o700)
    except OSError as error:
        raise BackupError(f"cannot create {partial}: {error.strerror}; check GUARDIAN_BACKUP_DIR") from error
    try:
        done = _fill(partial, snapshot, filestore, pg_dump, compress, deadline_s)
        os.sync()  # one flush for thousands of files: each fsync of a new file would cost a journal commit
        partial.rename(final)
        _sync_folder(backup_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return PairBackup(final, *done)


def _fill(
    folder: Path, snapshot: str, filestore: Path, pg_dump: str, compress: str | None, deadline_s: float | None
) -> tuple[int, int, int, Sequence[str], int]:
    try:
        with psycopg.connect("", application_name="guardian-backup") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            # Conflicts with the collector's SHARE lock and with no ordinary write.
            connection.execute("LOCK TABLE ir_attachment IN ROW EXCLUSIVE MODE")
            dump_bytes = _dump(folder / "db.dump", snapshot, pg_dump, compress, deadline_s)
            return (dump_bytes, *_copy_files(connection, filestore, folder / "filestore"))
    except psycopg.Error as error:
        raise BackupError(f"the database refused: {str(error).strip()}") from error


def _dump(target: Path, snapshot: str, pg_dump: str, compress: str | None, deadline_s: float | None) -> int:
    command = [pg_dump, "--format=custom", f"--snapshot={snapshot}", f"--file={target}", "--no-password"]
    if compress is not None:
        command.append(f"--compress={compress}")
    environment = {k: v for k, v in os.environ.items() if k.startswith("PG") or k in _PASSED_ON}
    try:
        run = subprocess.run(
            command, env=environment, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline_s
        )
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{pg_dump} did not finish within {deadline_s:.0f} s; give it a longer --deadline") from error
    except OSError as error:
        raise BackupError(f"cannot run {pg_dump}: {error.strerror}; name it with --pg-dump") from error
    if run.returncode != 0:
        said = run.stderr.decode(errors="replace").strip()[-_STDERR_KEPT:]
        raise BackupError(f"{pg_dump} exited {run.returncode}: {said}")
    target.chmod(0o600)
    return target.stat().st_size


def _copy_files(connection: psycopg.Connection, source: Path, target: Path) -> tuple[int, int, Sequence[str], int]:
    """Copy what the snapshot's rows name. Returns files, bytes, names missing at the source, rows stored elsewhere."""
    target.mkdir(mode=0o700)
    copied, size, elsewhere = 0, 0, 0
    missing: list[str] = []
    with connection.cursor(name="guardian_files") as cursor:
        cursor.itersize = 10_000
        cursor.execute("SELECT DISTINCT store_fname FROM ir_attachment WHERE store_fname IS NOT NULL ORDER BY 1")
        for (name,) in cursor:
            if not _STORED.fullmatch(name):
                elsewhere += 1  # an object store, or a path that must not be followed
                continue
            try:
                size += _copy_file(source / name, target / name)
                copied += 1
            except FileNotFoundError:
                missing.append(name)
            except OSError as error:
                raise BackupError(f"cannot copy {source / name}: {error.strerror}") from error
    return copied, size, missing, elsewhere


def _copy_file(source: Path, target: Path) -> int:
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as reading:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(target, flags, 0o600), "wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            return writing.tell()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parser() -> argparse.ArgumentParser:
    """Return the options that every backup program of an Odoo pair takes."""
    options = argparse.ArgumentParser(
        description="Back up an Odoo database and its filestore as one, inside `guardian manifest ASSET --backup -- …`."
    )
    options.add_argument(
        "--filestore", type=Path, required=True, metavar="DIR", help="Odoo's filestore/<database> folder"
    )
    options.add_argument(
        "--pg-dump", default="pg_dump", metavar="PROGRAM", help="pg_dump of the server's major or newer"
    )
    options.add_argument("--compress", metavar="HOW", help="pg_dump's --compress; its own default if not given")
    options.add_argument("--deadline", type=float, metavar="SECONDS", help="give up after this long; default: never")
    return options


def run(options: argparse.Namespace) -> PairBackup:
    """Take the backup that the parsed options and Guardian's variables ask for. Raises BackupError."""
    wanted = {name: os.environ.get(name) for name in ("GUARDIAN_SNAPSHOT", "GUARDIAN_BACKUP_DIR")}
    for name, value in wanted.items():
        if not value:
            raise BackupError(f"{name} is not set; run this inside `guardian manifest ASSET --backup -- …`")
    return backup_odoo_pair(
        snapshot=str(wanted["GUARDIAN_SNAPSHOT"]),
        filestore=options.filestore,
        backup_dir=Path(str(wanted["GUARDIAN_BACKUP_DIR"])),
        now=datetime.now(UTC),
        pg_dump=options.pg_dump,
        compress=options.compress,
        deadline_s=options.deadline,
    )


def report(backup: PairBackup) -> None:
    """Say on stderr what was taken, and what the source itself lacks."""
    sizes = f"dump {backup.dump_bytes:,} bytes, {backup.files} files of {backup.file_bytes:,} bytes"
    said = [f"backup {backup.folder.name}: {sizes}"]
    if backup.missing:
        said.append(f"warning: {len(backup.missing)} attachments have no file at the source, first {backup.missing[0]}")
    if backup.elsewhere:
        said.append(f"warning: {backup.elsewhere} attachments are stored outside the filestore and were not copied")
    sys.stderr.write("\n".join(said) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program. Returns the exit code."""
    try:
        report(run(parser().parse_args(arguments)))
    except BackupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
