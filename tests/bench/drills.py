"""`python -m tests.bench.drills`: drills beside the bare tools that they contain, on the same data in the same run.

Each pair is run in turn for some rounds and told as medians and their ratio. The bare tools get the same server
settings, the same number of jobs and the same disk; what Guardian does beyond them (copying, reading to the end,
comparing, checking, tearing down) is what the ratio shows. Both read the backup from the disk, not from memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Asset, Assurance, BackupJob, Place, Service, Source
from guardian.settings import SandboxSettings
from tests.bench import estate
from tests.tools import apt
from verifiers import filestore
from verifiers.manifest import Manifest
from verifiers.postgres.capture import capture
from verifiers.postgres.snapshot import exported_snapshot
from verifiers.result import Verdict
from verifiers.sandbox.isolation import holds, provider
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY = bytes(range(32))
DATABASE = "erp"
CORES = len(os.sched_getaffinity(0))
GOALS = {"manifest": 0.10, "logical": 1.35, "physical": 1.25}
PARTS = ("manifest", "logical", "physical", "filestore")


@dataclass
class Pair:
    """Two things measured in turn. goal: the ratio of ours to the other's that is aimed at; more is worse."""

    name: str
    other: str
    goal: float
    ours_s: list[float] = field(default_factory=list)
    other_s: list[float] = field(default_factory=list)

    def told(self) -> str:
        """One line: medians, ratio, goal."""
        ours, other = statistics.median(self.ours_s), statistics.median(self.other_s)
        met = "met" if ours / other <= self.goal else "MISSED"
        spread = " ".join(f"{a / b:.3f}" for a, b in zip(self.ours_s, self.other_s, strict=True))
        return (
            f"{self.name}: {ours:.2f} s beside {self.other} {other:.2f} s: ratio {ours / other:.3f},"
            f" goal <= {self.goal}: {met} (rounds {spread})"
        )


@dataclass
class Bench:
    """What the measurements share. server: the live one, with the database."""

    folder: Path
    server: SandboxServer
    rounds: int
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The live database."""
        return self.server.url(DATABASE)

    def say(self, line: str) -> None:
        """Print one result, and keep it for the end."""
        self.lines.append(line)
        print(line, flush=True)


def seconds(job: Callable[[], object]) -> float:
    """Return the wall seconds of a job."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def run(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a program to its good end."""
    subprocess.run([str(part) for part in argv], check=True, capture_output=True, cwd=cwd, env=env)


def cold(path: Path) -> None:
    """Let the system forget a backup's content, so that it is read from the disk, as a backup in real life is."""
    os.sync()
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def dropped(path: Path) -> None:
    """Remove what a round left."""
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def manifest(bench: Bench) -> None:
    """The manifest of the live database beside `pg_dump -Fc` of it, each alone."""
    pair = Pair("manifest", "pg_dump -Fc", GOALS["manifest"])
    program = bench.server.programs.program("pg_dump")
    for _ in range(bench.rounds):
        target = bench.folder / "measured.dump"
        pair.other_s.append(seconds(partial(run, program, "-Fc", "-f", target, "-d", bench.url)))
        dropped(target)
        pair.ours_s.append(seconds(lambda: capture(bench.url, key=KEY)))
    bench.say(pair.told())


def drilled(
    bench: Bench, job: BackupJob, required: Assurance, made: bytes | None, *, thorough: bool | None = None
) -> tuple[float, str]:
    """Drill the newest backup; return its wall seconds and its phases. Raises RuntimeError unless it passes.

    thorough: whether amcheck looks for every row in every index; None for what the kind of backup asks for.
    """
    asset = Asset("erp", "postgres", "plant", required, Source("db", DATABASE), (job,))
    chosen, item, plan = choose(asset)
    began = time.perf_counter()
    drill = run_drill(
        run_id=f"019abe6d-0000-7000-8000-{time.time_ns() % 10**12:012d}",
        asset=asset,
        service=Service("plant", assets=(asset,)),
        job=chosen,
        backup=item,
        required=required,
        manifest=made,
        key=KEY,
        settings=SandboxSettings(bench.server.provider.name, ("erp",), 50 << 30, bench.folder / "sandbox", False),
        progress=lambda _phase, _done, _total: None,
        plan=replace(plan, heapallindexed=thorough),
    )
    took = time.perf_counter() - began
    if drill.result.verdict is not Verdict.PASS:
        wrong = [f"{c.id}: {c.message}" for c in drill.result.checks if c.verdict in {Verdict.FAIL, Verdict.ERROR}]
        raise RuntimeError(f"the drill did not pass: {wrong}")
    slow = sorted(drill.result.checks, key=lambda check: -check.duration_s)
    phases = ", ".join(f"{phase.name} {phase.seconds:.1f}" for phase in drill.result.phases)
    return took, f"{phases}; of these {', '.join(f'{c.id} {c.duration_s:.2f}' for c in slow if c.duration_s >= 0.1)}"


def logical(bench: Bench) -> None:
    """An exact drill of a custom dump beside `pg_restore -j2` into a server with the same settings, already running."""
    backups = bench.folder / "dumps"
    backups.mkdir()
    with exported_snapshot(bench.url) as snapshot:
        path = backups / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
        program = bench.server.programs.program("pg_dump")
        run(program, "-Fc", f"--snapshot={snapshot.id}", "-f", path, "-d", bench.url)
        content = capture(bench.url, snapshot=snapshot, key=KEY)
    job = BackupJob("nightly", Place("pg_dump", str(backups)), 86400)
    source = open_source("postgres", job.place)
    [item] = source.locate()
    made = Manifest.of("erp", (item.id, *source.digest(item)), datetime.now(UTC), content, None).to_json()
    pair = Pair("logical drill, exact", "pg_restore -j2", GOALS["logical"])
    phases = ""
    for _ in range(bench.rounds):
        cold(path)
        pair.other_s.append(bare_restore(bench, path))
        cold(path)
        took, phases = drilled(bench, job, Assurance.EXACT, made)
        pair.ours_s.append(took)
    bench.say(pair.told())
    bench.say(f"  its phases: {phases}")
    dropped(backups)


def bare_restore(bench: Bench, dump: Path) -> float:
    """Return the seconds of pg_restore alone, into a server set up as that of a drill."""
    folder = bench.folder / "bare"
    folder.mkdir()
    with SandboxServer(folder, bench.server.programs, bench.server.provider) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0".encode())
        program = bench.server.programs.program("pg_restore")
        took = seconds(lambda: run(program, f"-j{CORES}", "-d", server.url(DATABASE), dump))
    dropped(folder)
    return took


def physical(bench: Bench) -> None:
    """A sound drill of tars by pg_basebackup beside untar, `pg_verifybackup` and a server's start on them.

    An ordinary one: `drill: {heapallindexedEvery: 7d}` makes the search for every row in every index due once a week.
    The tars as pg_basebackup makes them with --gzip, and without.
    """
    backups = bench.folder / "bases"
    backups.mkdir()
    program = bench.server.programs.program("pg_basebackup")
    job = BackupJob("base", Place("pg_basebackup", str(backups)), 86400)
    for kind, option in {"gzip": ["--gzip"], "uncompressed": []}.items():
        copy = backups / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        run(program, f"--dbname={bench.server.url('postgres')}", "-D", copy, "-Ft", *option, "-Xstream", "-c", "fast")
        pair = Pair(f"physical drill, sound, {kind}", "untar, pg_verifybackup, start", GOALS["physical"])
        phases = ""
        for _ in range(bench.rounds):
            cold(copy)
            pair.other_s.append(bare_start(bench, copy))
            cold(copy)
            took, phases = drilled(bench, job, Assurance.SOUND, None, thorough=False)
            pair.ours_s.append(took)
        bench.say(pair.told())
        bench.say(f"  its phases: {phases}")
        cold(copy)
        took, phases = drilled(bench, job, Assurance.SOUND, None)
        bench.say(f"  when every row is looked for in every index too: {took:.2f} s; {phases}")
        dropped(copy)
    dropped(backups)


def bare_start(bench: Bench, copy: Path) -> float:
    """Return the seconds of untar, pg_verifybackup, and a start to the end of recovery, with no check beside."""
    folder = bench.folder / "bare"
    folder.mkdir()
    server = SandboxServer(folder, bench.server.programs, bench.server.provider)
    server.prepare()
    data = folder / "box/data"
    data.mkdir(mode=0o700)

    def bare() -> None:
        for tars, target in (("base.tar*", data), ("pg_wal.tar*", data / "pg_wal")):
            [tar] = copy.glob(tars)
            run("tar", "-xf", tar, "-C", target)
        shutil.copy(copy / "backup_manifest", data)
        user = server.provider.user
        if user is not None:
            run("chown", "-R", f"{user}:{user}", data)
        done = server.run(["pg_verifybackup", "--quiet", server.inside(data)], deadline_s=600)
        if done.returncode:
            raise RuntimeError("pg_verifybackup did not pass")
        (data / "postgresql.auto.conf").unlink(missing_ok=True)
        server.__enter__()

    try:
        return seconds(bare)
    finally:
        server.stop()
        dropped(folder)


def files(bench: Bench) -> None:
    """Verify a filestore beside what openssl hashes on all cores, and beside `restic check --read-data` of it."""
    large, small = bench.folder / "large", bench.folder / "small"
    size = estate.store(large, files=96, size_bytes=8 << 20)
    count = 40_000
    estate.store(small, files=count, size_bytes=2048)
    limit = openssl_limit()
    repository = bench.folder / "repository"
    environment = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": "bench", "HOME": str(bench.folder)}
    restic = ("restic", "--no-cache", "-q", "-r", repository)
    run(*restic, "init", env=environment)
    run(*restic, "backup", large, env=environment)
    ours, reads, smalls = [], [], []
    for _ in range(bench.rounds):
        ours.append(size / seconds(lambda: passes(large)))
        reads.append(size / seconds(lambda: run(*restic, "check", "--read-data", env=environment)))
        smalls.append(count / seconds(lambda: passes(small)))
    rate, read, lower = statistics.median(ours), statistics.median(reads), min(limit, statistics.median(reads))
    bench.say(
        f"filestore, {size >> 20} MiB in files of 8 MiB: {rate / 1e6:.0f} MB/s beside openssl sha1 x {CORES} cores"
        f" {limit / 1e6:.0f} MB/s and restic check --read-data {read / 1e6:.0f} MB/s: {rate / lower:.2f} of the lower,"
        f" goal >= 0.8: {'met' if rate / lower >= 0.8 else 'MISSED'}"
    )
    rate = statistics.median(smalls)
    met = "met" if rate >= 20_000 else "MISSED"
    bench.say(f"filestore, {count} files of 2 KiB: {rate:,.0f} files/s, goal >= 20,000: {met}")
    for path in (large, small, repository):
        dropped(path)


def passes(root: Path) -> None:
    """Verify a filestore. Raises RuntimeError unless it passes."""
    check = filestore.content(root)
    if check.verdict is not Verdict.PASS:
        raise RuntimeError(check.message)


def openssl_limit() -> float:
    """Return the bytes a second that openssl hashes with SHA-1 on all cores at once."""
    argv = ["openssl", "speed", "-mr", "-seconds", "3", "-bytes", "1048576", "-multi", str(CORES), "-evp", "sha1"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("+F:") and "sha1" in line.lower()]
    return float(line.split(":")[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for, and tell all results again at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is a database of about 840 MB")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(argv)
    parts = chosen.only or PARTS
    if "filestore" in parts:
        apt.need({"restic": "restic", "openssl": "openssl"})
    found = provider("bwrap")
    isolation = found if holds(found) else provider("none")
    folder = Path(tempfile.mkdtemp(prefix="gb-"))
    try:
        options = ServerOptions(durable=True, settings={"shared_buffers": "1GB", "max_wal_size": "4GB"})
        programs = find_programs(18, exact=True, prefer_embedded=True)
        (folder / "live").mkdir()
        with SandboxServer(folder / "live", programs, isolation, options) as server:
            bench = Bench(folder, server, chosen.rounds)
            bench.say(
                f"{CORES} cores, PostgreSQL {programs.version}, isolation {isolation.name}, medians of {chosen.rounds}"
                f" rounds, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            )
            if set(parts) & {"manifest", "logical", "physical"}:
                print("==> filling the database", flush=True)
                with psycopg.connect(server.conninfo(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0".encode())
                size = estate.fill(bench.url, chosen.scale)
                bench.say(f"database: {size / 1e6:.0f} MB with its indexes")
            measure = {"manifest": manifest, "logical": logical, "physical": physical, "filestore": files}
            for part in parts:
                print(f"==> {part}", flush=True)
                measure[part](bench)
            print("\n".join(["", "== in short", *bench.lines]))
            return int(any("MISSED" in line for line in bench.lines))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
