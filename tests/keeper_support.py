"""A live PostgreSQL 15 outside any sandbox, kept by a real pgBackRest or Barman: both run beside their server.

Servers refuse root, so as root everything of the source runs as nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Drill, Recovery, Service, Source, Target, TargetKind
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from verifiers.sandbox.programs import find_programs

if TYPE_CHECKING:
    from verifiers.sources import Place

ROWS = 20_000
_USER = "nobody" if os.geteuid() == 0 else None


def drill(
    place: Place,
    provider: str,
    sandbox: Path,
    *,
    target: Target | None = None,
    database: str | None = "erp",
    backup_id: str | None = None,
) -> Drill:
    """Drill the newest backup of a place, or the one of that id."""
    job = BackupJob("base", place, 86400, target=target or Target(TargetKind.LATEST))
    asset = Asset("erp", "postgres", "plant", Assurance.SOUND, Source("db", database), (job,), ())
    job, item = choose(asset, backup_id)[:2]
    return run_drill(
        run_id=RUN_1,
        asset=asset,
        service=Service("plant", rto_s=3600, rpo_s=900, recovery=Recovery(60, 120, 30), assets=(asset,)),
        job=job,
        backup=item,
        required=Assurance.SOUND,
        manifest=None,
        key=KEY,
        settings=SandboxSettings(provider, ("erp",), 5 << 30, sandbox),
        progress=lambda _phase, _done, _total: None,
        deadline_s=300,
    )


@dataclass(frozen=True)
class Secret:
    """A passphrase, as guardian.yaml refers to one."""

    value: str

    def read(self) -> str:
        """Return it."""
        return self.value


@dataclass
class Cluster:
    """A cluster with one database, `erp`, in a folder of its own with a short name."""

    superuser: str = "postgres"
    folder: Path = field(init=False)
    archive_command: str = "true"

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gk-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.bin = find_programs(15, exact=True).bin

    def make_folder(self, name: str) -> Path:
        """Make a folder that the server's user may write in."""
        made = self.folder / name
        made.mkdir(mode=0o700)
        if _USER is not None:
            shutil.chown(made, _USER)
        return made

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user."""
        done = subprocess.run(
            argv, user=_USER, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.folder)},
            extra_groups=[] if _USER else None,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{argv[0]} {argv[1]}: {done.stdout} {done.stderr}"
        return done

    def start(self) -> None:
        """Make and start it."""
        self.make_folder("db")
        self.make_folder("socket")
        self.run(
            "initdb", "-D", f"{self.folder}/db/data", "-U", self.superuser, "-A", "trust", "-E", "UTF8", "-k", "-N"
        )
        settings = (
            f"listen_addresses = ''\nunix_socket_directories = '{self.folder}/socket'\nfsync = off\n"
            f"wal_level = replica\narchive_mode = on\narchive_command = '{self.archive_command}'\n"
        )
        with (self.folder / "db/data/postgresql.conf").open("a") as file:
            file.write(settings)
        self.run("pg_ctl", "-D", f"{self.folder}/db/data", "-l", f"{self.folder}/db/log", "-w", "start")
        self.sql("CREATE DATABASE erp", database="postgres")
        self.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        self.sql(f"INSERT INTO orders SELECT n, repeat('x', 50) || n FROM generate_series(1, {ROWS}) n")
        self.sql("CREATE INDEX ON orders (note)")

    def stop(self, *, remove: bool = True) -> None:
        """Stop it, and remove all of it."""
        self.run("pg_ctl", "-D", f"{self.folder}/db/data", "-m", "immediate", "-w", "stop", check=False)
        if remove:
            shutil.rmtree(self.folder)

    def sql(self, statement: str, *, database: str = "erp") -> Any:
        """Run one statement and return its single value, if it has one."""
        conninfo = f"host={self.folder}/socket port=5432 user={self.superuser} dbname={database}"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def insert(self) -> str:
        """Add one order; return the id of the transaction."""
        added = "INSERT INTO orders SELECT max(id) + 1, 'one more' FROM orders"
        return str(self.sql(f"{added} RETURNING pg_current_xact_id()::xid::text"))

    def switch(self) -> str:
        """Finish the segment under way and wait until it is archived; return its name."""
        self.sql("SELECT pg_create_restore_point('switch')")  # an empty segment would not be archived
        name = str(self.sql("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        self.sql("SELECT pg_switch_wal()")
        until = time.monotonic() + 60
        done = (
            f"SELECT bool_or(name = '{name}.done') AND NOT bool_or(name LIKE '%.ready') FROM pg_ls_archive_statusdir()"
        )
        while not self.sql(done):
            assert time.monotonic() < until, "the segment was not archived"
            time.sleep(0.02)
        return name


@dataclass
class Stanza:
    """A cluster that pgBackRest keeps in two repositories at once: one as it is, one encrypted."""

    PASSPHRASE = "sesame-opens-the-second"
    cluster: Cluster = field(default_factory=Cluster)

    def start(self) -> None:
        """Start the cluster with its stanza."""
        cluster = self.cluster
        for name in ("repo", "vault", "scratch"):
            cluster.make_folder(name)
        self.configure("zst")
        cluster.archive_command = f"{self._program} --stanza=main archive-push %p"
        # The archive is there before the server asks for it.
        cluster.start()
        self._run("stanza-create")
        cluster.switch()

    def stop(self) -> None:
        """Stop and remove all of it."""
        self.cluster.stop()

    def configure(self, compression: str) -> None:
        """Compress what comes from now on by `none`, `gz`, `lz4`, `zst` or `bz2`."""
        folder = self.cluster.folder
        (folder / "pgbackrest.conf").write_text(
            f"[global]\nrepo1-path={folder}/repo\nrepo2-path={folder}/vault\nrepo2-cipher-type=aes-256-cbc\n"
            f"repo2-cipher-pass={self.PASSPHRASE}\nrepo1-retention-full=9\nrepo2-retention-full=9\n"
            f"compress-type={compression}\nlog-level-file=off\nlock-path={folder}/scratch/lock\n"
            f"spool-path={folder}/scratch/spool\nstart-fast=y\n"
            f"[main]\npg1-path={folder}/db/data\npg1-socket-path={folder}/socket\npg1-user={self.cluster.superuser}\n"
        )

    def back_up(self, kind: str = "full", *, repo: int = 1) -> None:
        """Take a backup: full, diff or incr."""
        self._run(f"--type={kind}", f"--repo={repo}", "backup")

    def forget(self, label: str) -> None:
        """Remove a backup that is not the only whole one from the plain repository, and from its catalogue."""
        self._run(f"--set={label}", "--repo=1", "expire")

    @property
    def repository(self) -> Path:
        """The one that is not encrypted."""
        return self.cluster.folder / "repo"

    @property
    def vault(self) -> Path:
        """The encrypted one."""
        return self.cluster.folder / "vault"

    @property
    def _program(self) -> str:
        return f"pgbackrest --config={self.cluster.folder}/pgbackrest.conf"

    def _run(self, *arguments: str) -> None:
        self.cluster.run(*self._program.split(), "--stanza=main", *arguments)


@dataclass
class Catalogue:
    """A cluster that Barman keeps. settings: lines of its configuration."""

    settings: str = ""
    cluster: Cluster = field(default_factory=Cluster)

    def start(self) -> None:
        """Start the cluster, and let Barman know it."""
        cluster = self.cluster
        handed = cluster.make_folder("handed")
        cluster.archive_command = f"cp %p {handed}/new && mv {handed}/new {handed}/%f"
        cluster.start()
        self.home.mkdir()
        self.configure(self.settings)
        self.archive()  # Barman takes no backup before log has come

    def configure(self, settings: str) -> None:
        """Go on with other settings."""
        where = f"host={self.cluster.folder}/socket port=5432 user={self.cluster.superuser}"
        (self.cluster.folder / "barman.conf").write_text(
            f"[barman]\nbarman_home = {self.home}\nbarman_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
            f"log_file = {self.cluster.folder}/barman.log\n"
            f"[main]\ndescription = main\nconninfo = {where} dbname=postgres\nstreaming_conninfo = {where}\n"
            f"archiver = on\nimmediate_checkpoint = true\npath_prefix = {self.cluster.bin}\n{settings}\n"
        )
        self._run("check", check=False)  # makes the folders

    def stop(self) -> None:
        """Stop and remove all of it."""
        self.cluster.stop()

    def back_up(self) -> str:
        """Take a backup with the log it needs; return its id."""
        self._run("backup")
        self.archive()
        return max(path.name for path in (self.home / "main/base").iterdir())

    def archive(self) -> str:
        """Finish the segment under way, and let Barman take in what the server handed over; return its name."""
        name = self.cluster.switch()
        for path in (self.cluster.folder / "handed").iterdir():
            shutil.move(path, self.home / "main/incoming" / path.name)
        self._run("archive-wal")
        return name

    @property
    def home(self) -> Path:
        """The catalogue."""
        return self.cluster.folder / "barman"

    def _run(self, command: str, *, check: bool = True) -> None:
        program = Path(sys.prefix) / "bin/barman"
        done = subprocess.run(
            [program, "-c", self.cluster.folder / "barman.conf", command, "main"],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"barman {command}: {done.stdout} {done.stderr}"
