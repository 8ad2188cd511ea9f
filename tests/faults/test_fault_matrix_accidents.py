"""Accidents on the way, in a real drill: a disk that fills up, a kill -9, two drills at once, a clock set back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from guardian.model import Assurance
from tests.drill_support import RUN_1, RUN_2, Estate, by_id
from verifiers.result import Verdict
from verifiers.sandbox.workspace import leftovers, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

DISK_MIB = 900


@pytest.fixture
def estate(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Estate:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name, type="postgres")
    made.fill()
    return made


@pytest.fixture
def disk(estate: Estate) -> Iterator[Path]:
    """A small disk of its own, at the place where drills restore."""
    estate.sandbox.mkdir(mode=0o700)
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(estate.sandbox)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: that needs root with the right to mount")
    yield estate.sandbox
    subprocess.run(["/bin/umount", "-l", str(estate.sandbox)], check=True)


def test_disk_that_fills_up_during_the_restore_is_an_error_and_never_a_fail(
    estate: Estate, disk: Path, caught: Caught
) -> None:
    with psycopg.connect(estate.conninfo()) as connection:
        connection.execute("CREATE TABLE bulk AS SELECT repeat(md5(n::text), 60) FROM generate_series(1, 40000) n")
    estate.back_up()
    filler = disk / "filler"

    def fill(phase: str) -> None:
        if phase == "restore" and not filler.exists():
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            with filler.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, max(4096, free - (12 << 20)))

    estate.on_phase = fill
    drill = estate.drill()
    assert filler.exists()
    filler.unlink()
    assert not any(check.verdict is Verdict.FAIL for check in drill.result.checks), "it is no defect of the backup"
    caught(41, "custom", drill, by="restore.messages", says="disk of .* is full|No space left", verdict="error")
    assert list(disk.iterdir()) == []


_KILLED = """
import os, sys
from pathlib import Path
from tests.faults.test_fault_matrix_accidents import drill_until_restored
drill_until_restored(*sys.argv[1:])
"""


def drill_until_restored(folder: str, provider: str) -> None:
    """Drill a dump in this process, and stand still in its restore. Run in a child of its own."""
    from guardian.drills.run import run_drill
    from guardian.model import Asset, BackupJob, Service, Source
    from guardian.settings import SandboxSettings
    from verifiers.sources import Place, open_source

    job = BackupJob("nightly", Place("pg_dump", f"{folder}/backups"), 86400)
    asset = Asset("erp", "postgres", "plant", Assurance.SOUND, Source("db", None, None), (job,), ())

    def stop(phase: str, done: int | None, total: int | None) -> None:  # noqa: ARG001 -- the protocol's
        if phase == "restore":
            print("restoring", flush=True)  # noqa: T201 -- read by the test
            time.sleep(600)

    run_drill(
        run_id=RUN_1,
        asset=asset,
        service=Service("plant", assets=(asset,)),
        job=job,
        backup=open_source("postgres", job.place).locate()[-1],
        required=Assurance.SOUND,
        manifest=None,
        key=bytes(32),
        settings=SandboxSettings(provider, ("erp",), 5 << 30, Path(folder, "sandbox"), False),
        progress=stop,
    )


def test_drill_killed_in_its_restore_leaves_nothing_but_what_a_sweep_finds(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(estate.folder), estate.provider],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout
    with child.stdout:
        assert child.stdout.readline() == "restoring\n"
        child.kill()
        child.wait()
    [left] = leftovers(estate.sandbox)
    assert (left.run_id, left.info["asset"]) == (RUN_1, "erp")
    swept = sweep(estate.sandbox)
    told = [f"run {found.run_id} of {found.info['asset']} was killed" for found in swept]
    assert list(estate.sandbox.iterdir()) == []
    caught.told(42, "custom", by="sweep", message=" ".join(told), says=f"run {RUN_1} of erp was killed")
    assert estate.drill(run_id=RUN_2).result.verdict is Verdict.PASS


def test_two_drills_of_one_asset_at_once_disturb_neither(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    both = threading.Barrier(2)
    here: set[int] = set()

    def meet(phase: str) -> None:
        if phase == "restore" and threading.get_ident() not in here:
            here.add(threading.get_ident())
            both.wait(60)

    estate.on_phase = meet
    with ThreadPoolExecutor(2) as pool:
        drills = list(pool.map(lambda run_id: estate.drill(run_id=run_id), (RUN_1, RUN_2)))
    told = [f"{drill.run_id} {drill.result.verdict} {drill.result.assurance}" for drill in drills]
    caught.told(43, "custom", by="workspace", message=" ".join(told), says=f"{RUN_1} pass exact {RUN_2} pass exact")
    assert list(estate.sandbox.iterdir()) == []


def test_backup_of_a_time_to_come_is_told_by_its_clock(estate: Estate, caught: Caught) -> None:
    estate.back_up()
    estate.dump.rename(estate.dump.with_name("20990301T110000Z.dump"))  # as if the clock was set back since
    estate.manifest = None
    drill = estate.drill(required=Assurance.SOUND)
    caught(44, "custom", drill, by="freshness", says="clock", verdict="error")
    assert by_id(drill)["restore.messages"].verdict is Verdict.PASS
