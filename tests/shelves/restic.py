"""A restic repository."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.shelves.base import PASSPHRASE, Shelf, Text, cases, moment
from verifiers.sources import Place
from verifiers.sources.restic import Restic

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "db1"


class ResticShelf(Shelf):
    """Snapshots of one host."""

    format = "restic"
    programs: ClassVar = {"restic": "restic"}

    def make(self) -> None:
        """See Shelf."""
        for path, data in _empty().items():
            if data is None:
                (self.folder / path).mkdir()
            else:
                (self.folder / path).write_bytes(data)

    def put(self, backup: str, *, link: bool = False) -> None:
        """See Shelf."""
        made = self.content.make(backup, link=link)
        self.restic(
            "backup", "--host", HOST, "--time", f"{moment(backup):%Y-%m-%d %H:%M:%S}", "--tag", backup, str(made)
        )

    def remove(self, backup: str) -> None:
        """See Shelf."""
        [found] = [snapshot["id"] for snapshot in self.snapshots() if snapshot["tags"] == [backup]]
        self.restic("forget", found)

    def place(self, passphrase: str | None = PASSPHRASE) -> Place:
        """See Shelf."""
        secret = Text(passphrase) if passphrase is not None else None
        return Place("restic", str(self.folder), holds=self.holds, server=HOST, secret=secret)

    def damage(self) -> None:
        """See Shelf. Every pack of data is changed in its middle."""
        for pack in packs(self.folder):
            flip(pack)

    def impatient(self, deadline_s: float) -> Restic:
        """See Shelf."""
        return Restic(self.asset_type, self.place(), deadline_s=deadline_s)

    def snapshots(self) -> list[dict[str, Any]]:
        """Return what restic lists."""
        found: list[dict[str, Any]] = json.loads(self.restic("snapshots", "--json"))
        return found

    def restic(self, *arguments: str) -> str:
        """Run restic on the repository."""
        return restic(self.folder, *arguments)


@cache
def _empty() -> Mapping[str, bytes | None]:
    """Return folders (None) and files of an empty repository, made once: restic takes a second for its key."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        restic(root, "init")
        found = sorted(root.rglob("*"))
        return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in found}


CASES = cases(ResticShelf, ["dump", "pair", "files", "cluster"])


def restic(repository: Path, *arguments: str) -> str:
    """Run restic and return what it said."""
    environment = {**os.environ, "RESTIC_PASSWORD": PASSPHRASE, "TZ": "UTC", "GOMAXPROCS": "1"}
    argv = ["restic", "--repo", str(repository), "--no-cache", *arguments]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120, env=environment)
    return done.stdout


def packs(repository: Path) -> list[Path]:
    """Return the packs of a repository, the largest last."""
    return sorted(
        (path for path in (repository / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )


def flip(path: Path, at: float = 0.4) -> None:
    """Change one byte of a file. at: where, as a part of its length."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0x40
    path.write_bytes(data)
