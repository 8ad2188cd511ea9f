"""Run somebody's backup command, and find the one new backup that it must leave in its place.

Invariant: the command is run without a shell, and no password is in its environment or on its command line.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from guardian.errors import FailedError
from verifiers.errors import VerifierError
from verifiers.sources import BackupItem, open_source
from verifiers.sources.directory import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardian.model import Asset, BackupJob

# Formats whose place is a plain folder, which the first backup may find missing; a repository is made by its program.
_FOLDERS = frozenset({"pg_dump", "pg_basebackup", "tar", "directory", "odoo_zip", "click_odoo"})


class BackupCommandError(FailedError):
    """The wrapped command failed, or did not leave one new backup. Exit 1: no manifest was made."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The place of one backup job, as it was before the command. entries: of a folder; None for a repository."""

    asset: Asset
    job: BackupJob
    ids: frozenset[str]
    entries: frozenset[Path] | None

    @classmethod
    def look(cls, asset: Asset, job: BackupJob) -> Shelf:
        """Look at the place; a plain folder is made where it is missing. Raises SourceError."""
        entries = None
        if job.format in _FOLDERS and not job.place.remote:
            Path(job.path).mkdir(mode=0o700, parents=True, exist_ok=True)
            entries = frozenset(Path(job.path).iterdir())
        return cls(asset, job, frozenset(item.id for item in _items(asset, job)), entries)

    def run(self, command: Sequence[str], conninfo: str | None, *, snapshot_id: str | None) -> None:
        """Run the command. conninfo: of the source, None for one without a database. Raises BackupCommandError."""
        with _libpq_environment(conninfo) as variables:
            environment = {**os.environ, **variables, "GUARDIAN_BACKUP_DIR": self.job.place.path}
            environment.pop("GUARDIAN_SNAPSHOT", None)
            if snapshot_id is not None:
                environment["GUARDIAN_SNAPSHOT"] = snapshot_id
            try:
                # No deadline of ours: how long a backup may take is the operator's decision, and Ctrl-C ends it.
                completed = subprocess.run(list(command), env=environment, check=False)
            except OSError as error:
                raise BackupCommandError(f"cannot run the backup command {command[0]!r}: {error}") from error
        if completed.returncode != 0:
            raise BackupCommandError(
                f"the backup command {command[0]!r} exited {completed.returncode}; "
                f"its messages stand above. No manifest was made{self._left_behind()}"
            )

    def new(self) -> BackupItem:
        """Return the one backup that was not there before. Raises BackupCommandError for none, or several."""
        there = _items(self.asset, self.job)
        items = [item for item in there if item.id not in self.ids]
        if not items and [item.id for item in there] == [CURRENT]:
            return there[0]  # a mirror is brought up to date where it lies
        if len(items) == 1:
            return items[0]
        found = "no new backup" if not items else f"{len(items)} new backups ({', '.join(item.id for item in items)})"
        raise BackupCommandError(
            f"the backup command of asset {self.asset.name!r} succeeded but left {found} in {self.job.path}; it must "
            "leave exactly one, in GUARDIAN_BACKUP_DIR. No manifest was made"
        )

    def _left_behind(self) -> str:
        """Say what a failed command left: a drill would take it for the newest backup."""
        if self.entries is not None:
            left = [str(path) for path in set(Path(self.job.path).iterdir()) - self.entries]
        else:
            try:
                left = [item.id for item in _items(self.asset, self.job) if item.id not in self.ids]
            except VerifierError as error:
                return f"; and whether it left anything is not known: {error}"
        if not left:
            return ""
        return f". It left {', '.join(sorted(left))}, which is no whole backup: remove it"


def _items(asset: Asset, job: BackupJob) -> Sequence[BackupItem]:
    return open_source(asset.type, job.place).locate()


@contextmanager
def _libpq_environment(conninfo: str | None) -> Iterator[Mapping[str, str]]:
    """Yield libpq variables of `conninfo`; a password goes through a private passfile, not the environment."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo or "").items() if value is not None}
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
