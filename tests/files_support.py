"""Plain folders of files, their backups in every form that a drill reads, and drills of them."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Drill, Service, Source
from guardian.model.drill_policy import DrillPolicy
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from verifiers.filestore.manifest import capture_plain
from verifiers.manifest import Manifest
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardian.drills.history import PastDrill
    from verifiers.filestore import FilestoreManifest

STAMP = "20260301T110000Z"


@dataclass
class Folder:
    """A plain folder of files with its backups. format: of guardian.yaml."""

    folder: Path
    format: str = "directory"
    reverify_s: int | None = None
    assurance: Assurance | None = None
    manifest: bytes | None = None
    told: list[str] = field(default_factory=list)
    history: Sequence[PastDrill] = ()

    @property
    def live(self) -> Path:
        """The source."""
        return self.folder / "live"

    @property
    def backups(self) -> Path:
        """What guardian.yaml calls the path of the job."""
        return self.folder / "backups"

    @property
    def place(self) -> Place:
        """The place of the job."""
        return Place(self.format, str(self.backups), filestore=str(self.live))

    @property
    def asset(self) -> Asset:
        """The asset as guardian.yaml would declare it."""
        return Asset(
            "papers",
            "filestore",
            "plant",
            self.assurance,
            Source(None, None, str(self.live)),
            (BackupJob("nightly", self.place, 86400),),
            drill=DrillPolicy(reverify_s=self.reverify_s),
        )

    def fill(self, files: int = 40) -> Folder:
        """Make the source: text in folders, one empty file, one that takes several reads, names that are no UTF-8."""
        rng = random.Random(7)
        for number in range(files):
            path = self.live / f"year{number % 4}" / f"paper {number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(rng.choices("abcdefgh ", k=50 + 200 * number)))
        (self.live / "empty").touch()
        (self.live / "year0.index").write_bytes(b"x" * 300_000)
        (self.live / "deep" / "er").mkdir(parents=True)
        (self.live / "deep" / "er" / "paper").write_text("deep")
        (self.live / "caf\udce9").write_text("latin")
        return self

    def mirror(self) -> Path:
        """Copy the source as rsync would, with its times; return the copy."""
        shutil.copytree(self.live, self.backups, dirs_exist_ok=True)
        return self.backups

    def stamped(self, stamp: str = STAMP) -> Path:
        """Copy the source into a folder of its own."""
        shutil.copytree(self.live, self.backups / stamp)
        return self.backups / stamp

    def take_manifest(self, files: FilestoreManifest | None = None) -> Folder:
        """Take the manifest of the newest backup from the source."""
        source = open_source("filestore", self.place)
        item = source.locate()[-1]
        taken = files or capture_plain(self.live)
        document = Manifest.of("papers", (item.id, *source.digest(item)), datetime.now(UTC), None, taken)
        self.manifest = document.to_json()
        return self

    def drill(self, required: Assurance = Assurance.EXACT) -> Drill:
        """Drill the newest backup."""
        asset = self.asset
        chosen = choose(asset)
        return run_drill(
            run_id=RUN_1,
            asset=asset,
            service=Service("plant", assets=(asset,)),
            job=chosen.job,
            backup=chosen.backup,
            required=required,
            manifest=self.manifest,
            key=KEY,
            settings=SandboxSettings("none", (), 5 << 30, self.folder / "sandbox", False),
            plan=replace(chosen.plan, history=self.history),
            progress=lambda phase, _done, _total: self.told.append(phase),
        )
