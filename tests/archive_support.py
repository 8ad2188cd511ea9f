"""Backups packed as people and Odoo pack them, with their manifests, and drills of them.

Tars are made by GNU tar. Zips and folders are laid out as Odoo's `dump_db` and click-odoo-contrib's `backupdb` do it,
line by line, around the real pg_dump: the programs themselves need Odoo, which no package registry has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyrage

from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Service, Source
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1, STAMP, Estate
from tests.formats_support import Text, compress
from verifiers import filestore
from verifiers.manifest import Manifest
from verifiers.postgres.manifest import capture
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.sources import Place, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardian.model import Drill
    from verifiers.sources import BackupItem

# By form: the format's word in guardian.yaml, and what pg_dump writes.
FORMS: Mapping[str, tuple[str, str]] = {
    "tar": ("tar", "db.dump"),
    "tar.gz": ("tar", "db.dump"),
    "tar.zst": ("tar", "db.dump"),
    "tar.lz4": ("tar", "db.dump"),
    "tar.gz.age": ("tar", "db.dump"),
    "odoo_zip": ("odoo_zip", "dump.sql"),
    "click_odoo": ("click_odoo", "db.dump"),
    "click_odoo.zip": ("click_odoo", "dump.sql"),
}


def pack(folder: Path, path: Path, *, name: str = ".", key: pyrage.x25519.Recipient | None = None) -> None:
    """Pack a folder's entry `name` into a tar at `path`, wrapped by its suffixes."""
    made = path.with_name("unwrapped")
    subprocess.run(["/bin/tar", "-C", str(folder), "-cf", str(made), name], check=True, capture_output=True, timeout=60)
    data = made.read_bytes()
    made.unlink()
    for suffix in path.suffixes:
        if suffix in {".gz", ".tgz", ".zst", ".lz4"}:
            data = compress(data, ".gz" if suffix == ".tgz" else suffix)
        elif suffix == ".age":
            assert key is not None
            data = pyrage.encrypt(data, [key])
    path.write_bytes(data)


def zip_dir(folder: Path, path: Path) -> None:
    """Do as odoo.tools.osutil.zip_dir with what dump_db hands it: dump.sql first, no entries for folders."""
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for place, _, names in os.walk(folder):
            for name in sorted(names, key=lambda name: name != "dump.sql"):
                file = os.path.join(place, name)  # noqa: PTH118 -- as Odoo does
                archive.write(file, os.path.relpath(file, folder))


def manifest_json(database: str) -> str:
    """Return what odoo.service.db.dump_db_manifest gives."""
    manifest = {
        "odoo_dump": "1",
        "db_name": database,
        "version": "18.0",
        "version_info": [18, 0, 0, "final", 0, ""],
        "major_version": "18.0",
        "pg_version": "18.0",
        "modules": {"base": "18.0.1.3", "web": "18.0.1.0"},
    }
    return json.dumps(manifest, indent=4)


@dataclass
class Packed:
    """The backup of an estate in one form."""

    estate: Estate
    form: str
    manifest: bytes | None = None
    named: str | None = None  # in manifest.json, None for the right one
    configured: str | None = None  # in guardian.yaml, None for the right one
    identity: pyrage.x25519.Identity | None = field(default_factory=pyrage.x25519.Identity.generate)

    @property
    def folder(self) -> Path:
        """Where the backups lie."""
        return self.estate.folder / "packed"

    @property
    def path(self) -> Path:
        """The backup."""
        suffix = {"odoo_zip": ".zip", "click_odoo": "", "click_odoo.zip": ".zip"}.get(self.form, f".{self.form}")
        return self.folder / f"erp-{STAMP}{suffix}"

    @property
    def place(self) -> Place:
        """Where they lie, as a backup job has it."""
        identity = Text(str(self.identity)) if self.identity else None
        return Place(FORMS[self.form][0], str(self.folder), identity=identity)

    def take(
        self,
        *,
        during: Callable[[], object] = lambda: None,
        change: Callable[[Path], object] = lambda _folder: None,
        damage: Callable[[Path], object] = lambda _path: None,
        exact: bool = True,
    ) -> Packed:
        """Take the backup with its manifest.

        during: what happens between the copy of the filestore, which is first as with Odoo, and the dump. change: what
        happens to the files before they are packed. damage: what happens to the backup afterwards.
        exact: whether it gets a manifest.
        """
        estate, dump = self.estate, FORMS[self.form][1]
        content = estate.folder / "content" / "pair"
        content.mkdir(parents=True)
        self.folder.mkdir()
        shutil.copytree(estate.filestore, content / "filestore")
        during()
        (content / "manifest.json").write_text(manifest_json(self.named or estate.database))
        with exported_snapshot(estate.conninfo()) as snapshot:
            url = estate.server.url(estate.database)
            argv = [str(estate.server.programs.program("pg_dump")), "--no-owner", f"--snapshot={snapshot.id}"]
            argv += [] if dump == "dump.sql" else ["--format=c"]
            subprocess.run([*argv, f"--file={content / dump}", f"--dbname={url}"], check=True, timeout=120)
            postgres = capture(estate.conninfo(), snapshot=snapshot, key=KEY)
        files = filestore.capture(content / "filestore")
        change(content)
        if self.path.suffix == ".zip":
            zip_dir(content, self.path)
        elif self.form == "click_odoo":
            shutil.copytree(content, self.path)
        else:
            pack(content.parent, self.path, name="pair", key=self.identity.to_public() if self.identity else None)
        if exact:
            source = open_source("odoo", self.place)
            [item] = source.locate()
            self.manifest = Manifest.of(
                "erp", (item.id, *source.digest(item)), datetime.now(UTC), postgres, files
            ).to_json()
        damage(self.path)
        return self

    def drill(self, required: Assurance | None = None, *, quota: int = 5 << 30) -> Drill:
        """Drill the newest backup; required: exact where there is a manifest."""
        required = required or (Assurance.EXACT if self.manifest else Assurance.SOUND)
        source = Source("db", self.configured or self.estate.database, None)
        return drill_of("odoo", self.place, source, self.estate, required, self.manifest, quota=quota)


def drill_of(
    kind: str,
    place: Place,
    source: Source,
    estate: Estate,
    required: Assurance,
    manifest: bytes | None = None,
    *,
    quota: int = 5 << 30,
) -> Drill:
    """Drill the newest backup of a place."""
    job = BackupJob("packed", place, 86400)
    asset = Asset("erp", kind, "plant", required, source, (job,))
    items: list[BackupItem] = list(open_source(kind, place).locate())
    return run_drill(
        run_id=RUN_1,
        asset=asset,
        service=Service("plant", assets=(asset,)),
        job=job,
        backup=items[-1] if items else None,
        required=required,
        manifest=manifest,
        key=KEY,
        settings=SandboxSettings(estate.provider, ("erp",), quota, estate.sandbox, False),
        progress=lambda _phase, _done, _total: None,
        deadline_s=300,
    )
