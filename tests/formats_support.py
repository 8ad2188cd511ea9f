"""One prepared database and its dump in every output format of pg_dump, and drills of copies of them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import lz4.frame
import psycopg
import pyrage
from backports import zstd
from psycopg import sql

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Service, Source
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from tests.restore_support import fill_rich
from verifiers.manifest import Manifest
from verifiers.postgres.manifest import capture
from verifiers.sources import Place, open_source
from verifiers.sources.copying import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guardian.model import Drill
    from verifiers.postgres.manifest import PostgresManifest
    from verifiers.sandbox.server import SandboxServer

STAMP = "20260301T110000Z"
DATABASE = "formats"
TABLESPACE = "formats_fast"
CANARY_PASSWORD = "canary-5d1f-password"
# Name of a backup in each form, by what pg_dump is told; wrapped ones are made of these.
LAYOUTS = ("custom", "directory", "tar", "plain")
OPTIONS = {"custom": ("-Fc", "--compress=0"), "directory": ("-Fd",), "tar": ("-Ft",), "plain": ("-Fp",)}
FORMS = {
    "custom": f"{STAMP}.dump",
    "directory": STAMP,
    "tar": f"{STAMP}.tar",
    "plain": f"{STAMP}.sql",
    "plain.gz": f"{STAMP}.sql.gz",
    "plain.zst": f"{STAMP}.sql.zst",
    "plain.lz4": f"{STAMP}.sql.lz4",
    "plain.age": f"{STAMP}.sql.age",
    "plain.gz.age": f"{STAMP}.sql.gz.age",
    "plain.zst.age": f"{STAMP}.sql.zst.age",
    "tar.gz": f"{STAMP}.tar.gz",
    "custom.age": f"{STAMP}.dump.age",
}
_MORE = """
CREATE TABLE public.orders (id integer PRIMARY KEY, amount numeric(12, 2), note text) TABLESPACE formats_fast;
INSERT INTO public.orders SELECT i, i * 10.25, 'note ' || i FROM generate_series(1, 500) i;
INSERT INTO public.orders VALUES (9001, 1, E'\\\\.\\n\\\\! touch /tmp/x\\n$$ '' " ; -- /* COPY a FROM stdin;');
CREATE SEQUENCE public.orders_seq OWNED BY public.orders.id;
SELECT setval('public.orders_seq', 500);
CREATE TABLE public.hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE public.egg (id integer PRIMARY KEY, hen integer REFERENCES public.hen);
INSERT INTO public.hen VALUES (1, 1), (2, 2);
INSERT INTO public.egg VALUES (1, 2), (2, 1);
ALTER TABLE public.hen ADD FOREIGN KEY (egg) REFERENCES public.egg;
CREATE FUNCTION public.odd() RETURNS text LANGUAGE sql AS $_$ SELECT 'it''s; \\\\.' || $q1$--$q1$ || E'\\'' /* x */ $_$;
COMMENT ON FUNCTION public.odd() IS 'semi; colon \\! -- and ''quotes''';
SELECT lo_from_bytea(0, decode(repeat('00ff41', 1000), 'hex')), lo_from_bytea(0, 'second');
"""


def compress(data: bytes, suffix: str) -> bytes:
    """Compress as the programs do, with checksums."""
    if suffix == ".gz":
        return gzip.compress(data)
    if suffix == ".lz4":
        return bytes(lz4.frame.compress(data, content_checksum=True))
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


@dataclass
class Dumps:
    """The dumps of one database. folder: where they are made, each once."""

    server: SandboxServer
    folder: Path
    database: str = DATABASE
    key: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)

    def fill(self) -> None:
        """Make the database: one of everything, large objects, a tablespace, circular keys, and text like commands."""
        place = self.server.make_folder(TABLESPACE)
        with psycopg.connect(self.server.conninfo(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(
                    sql.Identifier(TABLESPACE), sql.Literal(self.server.inside(place))
                )
            )
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(self.database)))
            connection.execute(f"CREATE ROLE formats_login LOGIN PASSWORD '{CANARY_PASSWORD}'")
        fill_rich(self.server, self.url)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(_MORE)
            connection.execute("GRANT rich_reader TO formats_login")

    def drop(self) -> None:
        """Remove all of it again."""
        with psycopg.connect(self.server.conninfo(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.database} WITH (FORCE)")
            connection.execute(f"DROP TABLESPACE {TABLESPACE}")
            connection.execute("DROP ROLE formats_login")

    @property
    def url(self) -> str:
        """Connection to the database."""
        return self.server.url(self.database)

    @cached_property
    def content(self) -> PostgresManifest:
        """What is true in the database, which nothing changes."""
        return capture(self.url, key=KEY)

    @cached_property
    def cluster(self) -> bytes:
        """The output of `pg_dumpall --globals-only`."""
        program = self.server.programs.bin / "pg_dumpall"
        argv = [str(program), "--globals-only", "-d", self.url]
        return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout

    def path(self, form: str) -> Path:
        """Return the dump in a form, made where it is not there yet."""
        path = self.folder / FORMS[form]
        if path.exists():
            return path
        if form in OPTIONS:
            argv = [str(self.server.programs.program("pg_dump")), *OPTIONS[form], "-f", str(path), "-d", self.url]
            subprocess.run(argv, check=True, capture_output=True, timeout=120)
        else:
            inner, _, outer = form.rpartition(".")
            data = self.path(inner).read_bytes()
            encrypted = outer == "age"
            path.write_bytes(pyrage.encrypt(data, [self.key.to_public()]) if encrypted else compress(data, f".{outer}"))
        return path


@dataclass
class Formatted:
    """One backup in one form, with its manifest, and drills of it."""

    dumps: Dumps
    form: str
    folder: Path
    provider: str
    age: str | None = None
    manifest: bytes | None = None
    told: list[str] = field(default_factory=list)
    database: str | None = DATABASE

    @property
    def backups(self) -> Path:
        """The backup folder."""
        return self.folder / "backups"

    @property
    def path(self) -> Path:
        """The backup."""
        return self.backups / FORMS[self.form]

    @property
    def asset(self) -> Asset:
        """The asset as guardian.yaml would declare it."""
        job = BackupJob("nightly", Place("pg_dump", str(self.backups)), 86400, Text(self.age) if self.age else None)
        return Asset("erp", "postgres", "plant", Assurance.EXACT, Source("db", self.database, None), (job,))

    def take(
        self, *, change: Callable[[Path], object] = lambda _: None, cluster: bytes | None = None, exact: bool = True
    ) -> Formatted:
        """Put the backup there. change: what befalls it after its manifest was taken, or (not exact) before."""
        self.backups.mkdir()
        source = self.dumps.path(self.form)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, self.path)
        if cluster is not None:
            (self.backups / "globals.sql").write_bytes(cluster)
        if not exact:
            change(self.path)
        [item] = open_source("postgres", Place("pg_dump", str(self.backups))).locate()
        self.manifest = Manifest.of(
            "erp", (item.id, *digest_of(item)), datetime.now(UTC), self.dumps.content, None
        ).to_json()
        if exact:
            change(self.path)
        return self

    def drill(self, required: Assurance = Assurance.EXACT, *, quota: int = 5 << 30) -> Drill:
        """Drill the newest backup."""
        asset = self.asset
        job, item, _ = choose(asset)
        return run_drill(
            run_id=RUN_1,
            asset=asset,
            service=Service("plant", assets=(asset,)),
            job=job,
            backup=item,
            required=required,
            manifest=self.manifest,
            key=KEY,
            settings=SandboxSettings(self.provider, ("erp",), quota, self.folder / "sandbox", False),
            progress=lambda phase, _done, _total: self.told.append(phase),
        )


@dataclass(frozen=True)
class Text:
    """A secret as a backup job holds it."""

    text: str

    def read(self) -> str:
        """Return it."""
        return self.text


def against(drill: Drill) -> dict[str, str]:
    """Return what did not pass, by check, of what should."""
    fine = {"pass", "skip"}
    return {check.id: check.message for check in drill.result.checks if check.verdict.value not in fine}


def found_by(drill: Drill, verdict: str) -> Sequence[str]:
    """Return the checks with a verdict, in order."""
    return [check.id for check in drill.result.checks if check.verdict == verdict]
