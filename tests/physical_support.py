"""A live cluster with archived log, and copies of it made by the real pg_basebackup."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Assertion, Asset, Assurance, BackupJob, Drill, Recovery, Service, Source, Target, TargetKind
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.server import SandboxServer
from verifiers.sources import Place

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.programs import ServerPrograms
    from verifiers.sandbox.providers import Provider

STAMP = "20260301T110000Z"
ROWS = 20_000


@dataclass
class Plant:
    """A cluster with one database, `erp`, whose log is archived into a folder."""

    folder: Path
    programs: ServerPrograms
    provider: Provider
    server: SandboxServer = field(init=False)
    assertion: str | None = None

    def start(self, **further: str) -> None:
        """Start the live server. It archives into its own box, for it sees nothing else."""
        settings = {
            "wal_level": "replica",
            "archive_mode": "on",
            "archive_command": "test ! -f ../wal/%f && cp %p ../wal/%f.new && mv ../wal/%f.new ../wal/%f",  # at once
            "max_wal_senders": "10",
            "fsync": "off",
            "summarize_wal": "on",
            **further,
        }
        if self.programs.major < 17:
            del settings["summarize_wal"]
        live = self.folder / "live"
        live.mkdir()
        self.server = SandboxServer(live, self.programs, self.provider, ServerOptions(durable=True, settings=settings))
        self.server.prepare()
        self.server.make_folder("wal")
        self.server.__enter__()
        self.sql("CREATE DATABASE erp", database="postgres")
        self.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        self.sql(f"INSERT INTO orders SELECT n, repeat('x', 50) || n FROM generate_series(1, {ROWS}) n")
        self.sql("CREATE INDEX ON orders (note)")

    def stop(self) -> None:
        """Stop the live server."""
        self.server.stop()

    def sql(self, statement: str, *, database: str = "erp") -> Any:
        """Run one statement and return its single value, if it has one."""
        with psycopg.connect(self.server.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    @property
    def wal(self) -> Path:
        """The archive."""
        return self.folder / "live/box/wal"

    @property
    def backups(self) -> Path:
        """Where copies lie."""
        return self.folder / "backups"

    @property
    def sandbox(self) -> Path:
        """Where drills restore."""
        return self.folder / "sandbox"

    def back_up(self, *options: str, name: str = STAMP) -> Path:
        """Take a copy with pg_basebackup; return its folder."""
        self.backups.mkdir(exist_ok=True)
        target = self.backups / name
        url = self.server.url("postgres")
        argv = [str(self.programs.program("pg_basebackup")), f"--dbname={url}", "-D", str(target), "-c", "fast"]
        subprocess.run([*argv, "--no-sync", *options], check=True, timeout=120, capture_output=True)
        return target

    def switch(self) -> str:
        """Finish the segment under way and wait until it is archived; return its name."""
        self.sql("SELECT pg_create_restore_point('switch')")  # an empty segment would not be archived
        name = str(self.sql("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        self.sql("SELECT pg_switch_wal()")
        until = time.monotonic() + 60
        while not (self.wal / name).exists():
            assert time.monotonic() < until, "the segment was not archived"
            time.sleep(0.05)
        return name

    def asset(self, target: Target | None = None, *, wal: bool = False, database: str | None = "erp") -> Asset:
        """The asset as guardian.yaml would declare it."""
        beyond = Target(TargetKind.LATEST if wal else TargetKind.END)
        archive = str(self.wal) if wal else None
        asked = (Assertion("asked", self.assertion, None, 0),) if self.assertion else ()
        job = BackupJob("base", Place("pg_basebackup", str(self.backups), wal=archive), 86400, target=target or beyond)
        return Asset("erp", "postgres", "plant", Assurance.SOUND, Source("db", database), (job,), asked)

    def drill(self, target: Target | None = None, *, wal: bool = False, database: str | None = "erp") -> Drill:
        """Drill the newest copy."""
        asset = self.asset(target, wal=wal, database=database)
        job, item, _ = choose(asset)
        return run_drill(
            run_id=RUN_1,
            asset=asset,
            service=Service("plant", rto_s=3600, rpo_s=900, recovery=Recovery(60, 120, 30), assets=(asset,)),
            job=job,
            backup=item,
            required=Assurance.SOUND,
            manifest=None,
            key=KEY,
            settings=SandboxSettings(self.provider.name, ("erp",), 5 << 30, self.sandbox),
            progress=lambda _phase, _done, _total: None,
            deadline_s=300,
        )

    def forget_backups(self) -> None:
        """Remove all copies."""
        shutil.rmtree(self.backups, ignore_errors=True)


def now() -> str:
    """Return the time as a target writes it."""
    return datetime.now(UTC).isoformat()
