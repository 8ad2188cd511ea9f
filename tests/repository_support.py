"""Real repositories by restic and Borg with real backups in them, and drills of those."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Service, Source, Target, TargetKind
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from tests.shelves.base import PASSPHRASE, Text
from tests.shelves.borg import borg, segments
from tests.shelves.restic import packs, restic
from verifiers.manifest import Manifest
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.model import Drill
    from verifiers.filestore import FilestoreManifest
    from verifiers.postgres.manifest import PostgresManifest

FORMATS = ("restic", "borg")
PROGRAMS = {"restic": "restic", "borg": "borgbackup"}


@dataclass
class Kept:
    """One repository and drills of the newest backup in it. source: of the asset, with database and filestore."""

    format: str
    folder: Path
    provider: str
    type: str = "postgres"
    holds: str = "pg_dump"
    source: Source = field(default_factory=lambda: Source("db", None, None))
    manifest: bytes | None = None

    @property
    def repository(self) -> Path:
        """Where it is."""
        return self.folder / f"{self.format}-repository"

    def store(self, content: Path, name: str = "erp-1") -> None:
        """Back up a folder or file, as a job at the source would."""
        if not self.repository.exists():
            if self.format == "restic":
                restic(self.repository, "init")
            else:
                borg(self.repository, "init", "-e", "repokey", "::")
        if self.format == "restic":
            restic(self.repository, "backup", "--host", "db1", str(content))
        else:
            borg(self.repository, "create", f"::{name}", str(content))

    @property
    def data(self) -> list[Path]:
        """The files that hold the data, the largest last."""
        return packs(self.repository) if self.format == "restic" else segments(self.repository)

    def place(self, passphrase: str | None = PASSPHRASE) -> Place:
        """The place of the job."""
        secret = Text(passphrase) if passphrase is not None else None
        return Place(
            self.format, str(self.repository), holds=self.holds, secret=secret, filestore=self.source.filestore
        )

    def asset(self, passphrase: str | None = PASSPHRASE) -> Asset:
        """The asset as guardian.yaml would declare it."""
        job = BackupJob("nightly", self.place(passphrase), None, target=Target(TargetKind.END))
        return Asset("erp", self.type, "plant", Assurance.SOUND, self.source, (job,))

    def describe(self, postgres: PostgresManifest | None, files: FilestoreManifest | None = None) -> None:
        """Make the manifest of the newest backup."""
        opened = open_source(self.type, self.place())
        item = opened.locate()[-1]
        taken = Manifest.of("erp", (item.id, *opened.digest(item)), datetime.now(UTC), postgres, files)
        self.manifest = taken.to_json()

    def drill(self, required: Assurance = Assurance.SOUND, *, passphrase: str | None = PASSPHRASE) -> Drill:
        """Drill the newest backup. passphrase: which Guardian has by the time of the fetch."""
        item = open_source(self.type, self.place()).locate()[-1]
        asset = self.asset(passphrase)
        return run_drill(
            run_id=RUN_1,
            asset=asset,
            service=Service("plant", assets=(asset,)),
            job=asset.backups[0],
            backup=item,
            required=required,
            manifest=self.manifest,
            key=KEY,
            settings=SandboxSettings(self.provider, ("erp",), 5 << 30, self.folder / "sandbox"),
            progress=lambda _phase, _done, _total: None,
        )
