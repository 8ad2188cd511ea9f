"""Real backups of small Odoo-shaped databases, and drills of them."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Assertion, Asset, Assurance, BackupJob, Drill, Recovery, Service, Source
from guardian.settings import SandboxSettings
from verifiers import filestore
from verifiers.manifest import Manifest
from verifiers.postgres.manifest import capture
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.sources import Place, open_source
from verifiers.sources.copying import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from verifiers.result import Check
    from verifiers.sandbox.server import SandboxServer

KEY = bytes(range(32))
RUN_1, RUN_2 = "019abe6d-0000-7000-8000-000000000001", "019abe6d-0000-7000-8000-000000000002"
ROWS = 500
STAMP = "20260301T110000Z"
SCHEMA = """
CREATE TABLE res_partner (id integer PRIMARY KEY, name varchar NOT NULL, vat varchar UNIQUE);
CREATE TABLE sale_order (
    id integer PRIMARY KEY, partner_id integer NOT NULL REFERENCES res_partner, amount numeric(12, 2), note text);
CREATE SEQUENCE sale_order_id_seq OWNED BY sale_order.id;
CREATE TABLE ir_config_parameter (id integer PRIMARY KEY, key varchar NOT NULL UNIQUE, value text NOT NULL);
INSERT INTO ir_config_parameter VALUES (1, 'database.uuid', 'a7b0c9c2-0000-4000-8000-000000000001');
CREATE TABLE ir_mail_server (id integer PRIMARY KEY, name varchar, active boolean);
INSERT INTO ir_mail_server VALUES (1, 'out', true), (2, 'old', false);
CREATE TABLE ir_cron (id integer PRIMARY KEY, active boolean);
INSERT INTO ir_cron VALUES (1, true);
CREATE TABLE ir_attachment (id integer PRIMARY KEY, store_fname varchar, checksum varchar(40), file_size integer,
    db_datas bytea);
CREATE VIEW big_orders AS SELECT * FROM sale_order WHERE amount > 100;
CREATE INDEX sale_order_partner ON sale_order (partner_id);
"""


@dataclass
class Estate:
    """One asset with its database, filestore and backup folder."""

    server: SandboxServer
    database: str
    folder: Path
    provider: str
    type: str = "odoo"
    assurance: Assurance | None = Assurance.EXACT
    accept_none: Sequence[str] = ("erp",)
    quota: int = 5 << 30
    keep_logs: bool = False
    sandbox_name: str = "sandbox"
    manifest: bytes | None = None
    assertions: Sequence[Assertion] = ()
    told: list[str] = field(default_factory=list)
    on_phase: Callable[[str], object] = lambda _phase: None

    @property
    def asset(self) -> Asset:
        """The asset as guardian.yaml would declare it."""
        job = BackupJob("nightly", Place("pg_dump", str(self.backups)), 86400)
        source = Source("db", self.database, str(self.filestore) if self.type == "odoo" else None)
        return Asset("erp", self.type, "plant", self.assurance, source, (job,), self.assertions)

    @property
    def service(self) -> Service:
        """A service with objectives."""
        return Service("plant", rto_s=3600, rpo_s=900, recovery=Recovery(60, 120, 30), assets=(self.asset,))

    @property
    def backups(self) -> Path:
        """Where backups lie."""
        return self.folder / "backups"

    @property
    def filestore(self) -> Path:
        """The live filestore."""
        return self.folder / "filestore"

    @property
    def sandbox(self) -> Path:
        """Where drills restore."""
        return self.folder / self.sandbox_name

    @property
    def dump(self) -> Path:
        """The dump of the one backup."""
        return self.backups / STAMP / "db.dump" if self.type == "odoo" else self.backups / f"{STAMP}.dump"

    def conninfo(self) -> str:
        """Connection to the live database."""
        return self.server.conninfo(self.database)

    def fill(self, extra: str = "") -> None:
        """Make the live database and its files."""
        with psycopg.connect(self.conninfo()) as connection:
            connection.execute(SCHEMA)
            connection.execute(
                "INSERT INTO res_partner SELECT i, 'Partner ' || i, 'DE' || (100000 + i) FROM generate_series(1, %s) i",
                [ROWS],
            )
            connection.execute(
                "INSERT INTO sale_order SELECT i, i, i * 10.25, 'note ' || i FROM generate_series(1, %s) i", [ROWS]
            )
            connection.execute("SELECT setval('sale_order_id_seq', %s)", [ROWS])
            for number in range(20):
                content = f"attachment {number}".encode() * (number + 1)
                digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
                path = self.filestore / digest[:2] / digest
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                connection.execute(
                    "INSERT INTO ir_attachment VALUES (%s, %s, %s, %s, NULL)",
                    [number, f"{digest[:2]}/{digest}", digest, len(content)],
                )
            if extra:
                connection.execute(extra)

    def back_up(self, *options: str, change: Callable[[Path], object] = lambda _dump: None) -> None:
        """Take a backup with its manifest. change: what happens to the dump before its digest is taken."""
        self.dump.parent.mkdir(parents=True, exist_ok=True)
        with exported_snapshot(self.conninfo()) as snapshot:
            url = self.server.url(self.database)
            argv = [str(self.server.programs.program("pg_dump")), "-Fc", f"--snapshot={snapshot.id}", f"--dbname={url}"]
            subprocess.run([*argv, f"--file={self.dump}", *options], check=True, timeout=120)
            postgres = capture(self.conninfo(), snapshot=snapshot, key=KEY)
        files = None
        if self.type == "odoo":
            subprocess.run(["/bin/cp", "-r", str(self.filestore), str(self.dump.parent / "filestore")], check=True)
            files = filestore.capture(self.filestore)
        change(self.dump)
        source = open_source(self.type, Place("pg_dump", str(self.backups)))
        [item] = source.locate()
        self.manifest = Manifest.of("erp", (item.id, *digest_of(item)), datetime.now(UTC), postgres, files).to_json()

    def drill(self, *, required: Assurance = Assurance.EXACT, run_id: str = RUN_1, deadline_s: float = 600) -> Drill:
        """Drill the newest backup."""
        job, item, _ = choose(self.asset)
        return run_drill(
            run_id=run_id,
            asset=self.asset,
            service=self.service,
            job=job,
            backup=item,
            required=required,
            manifest=self.manifest,
            key=KEY,
            settings=SandboxSettings(self.provider, self.accept_none, self.quota, self.sandbox, self.keep_logs),
            progress=self._progress,
            deadline_s=deadline_s,
        )

    def _progress(self, phase: str, done: int | None, total: int | None) -> None:  # noqa: ARG002 -- the protocol's
        self.told.append(phase)
        self.on_phase(phase)


def by_id(drill: Drill) -> dict[str, Check]:
    """Return the checks of a drill by their ids."""
    return {check.id: check for check in drill.result.checks}


def verdicts(drill: Drill, verdict: str) -> set[str]:
    """Return the ids of the checks with this verdict."""
    return {check.id for check in drill.result.checks if check.verdict == verdict}
