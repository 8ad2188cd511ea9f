"""A Borg repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

from tests.shelves.base import PASSPHRASE, Shelf, Text, cases, moment
from tests.shelves.restic import flip
from verifiers.sources import Place
from verifiers.sources.borg import Borg

if TYPE_CHECKING:
    from pathlib import Path


class BorgShelf(Shelf):
    """Archives named after the backups."""

    format = "borg"
    programs: ClassVar = {"borg": "borgbackup"}

    def make(self) -> None:
        """See Shelf."""
        borg(self.folder, "init", "-e", "repokey", "::")

    def put(self, backup: str, *, link: bool = False) -> None:
        """See Shelf."""
        made = self.content.make(backup, link=link)
        at = f"{moment(backup):%Y-%m-%dT%H:%M:%S}"
        borg(self.folder, "create", "--timestamp", at, f"::{backup}", str(made))

    def remove(self, backup: str) -> None:
        """See Shelf."""
        borg(self.folder, "delete", f"::{backup}")

    def place(self, passphrase: str | None = PASSPHRASE) -> Place:
        """See Shelf."""
        secret = Text(passphrase) if passphrase is not None else None
        return Place("borg", str(self.folder), holds=self.holds, server="erp-", secret=secret)

    def damage(self) -> None:
        """See Shelf. The largest segment holds the data."""
        flip(segments(self.folder)[-1])

    def impatient(self, deadline_s: float) -> Borg:
        """See Shelf."""
        return Borg(self.asset_type, self.place(), deadline_s=deadline_s)


CASES = cases(BorgShelf, ["dump", "pair", "files", "cluster"])


def borg(repository: Path, *arguments: str, passphrase: str = PASSPHRASE, folder: Path | None = None) -> str:
    """Run Borg and return what it said. folder: where it runs."""
    base = repository.with_name(f".{repository.name}.borg")
    environment = {"PATH": os.environ["PATH"], "HOME": str(base), "BORG_REPO": str(repository), "TZ": "UTC"}
    environment |= {"BORG_PASSPHRASE": passphrase, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    environment |= {"BORG_CHECK_I_KNOW_WHAT_I_AM_DOING": "YES"}
    argv = ["borg", *arguments]
    try:
        done = subprocess.run(
            argv, check=True, capture_output=True, text=True, timeout=120, env=environment, cwd=folder
        )
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return done.stdout


def segments(repository: Path) -> list[Path]:
    """Return the segments of a repository, the largest last."""
    found = [path for path in (repository / "data").rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_size)
