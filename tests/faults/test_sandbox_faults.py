"""Killed, out of disk, out of time: nothing of a sandbox is left running, and what lies about is known and swept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from verifiers.sandbox import LimitError, SandboxError
from verifiers.sandbox.isolation import Provider, provider
from verifiers.sandbox.process import kill_in, processes_in
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import Leftover, Watch, Workspace, leftovers, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

_KILLED = """
import sys, time
from pathlib import Path
from verifiers.sandbox.isolation import provider
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import Workspace

isolation = provider(sys.argv[2])
workspace = Workspace.create(Path(sys.argv[1]), "run-killed", {"asset": "erp"}, isolation)
with SandboxServer(workspace.folder, find_programs(18), isolation) as server:
    print(workspace.folder, flush=True)
    server.run(["psql", "-c", "SELECT pg_sleep(600)"], deadline_s=600)
"""


@pytest.fixture(params=["bwrap", "none"])
def isolation(request: pytest.FixtureRequest, sandbox_provider: Provider) -> Provider:
    if request.param == "bwrap" and sandbox_provider.name != "bwrap":
        pytest.skip("bubblewrap does not run on this machine")
    return provider(request.param)


@pytest.fixture
def killed(isolation: Provider, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Kill a process that had a server and a client running; yield the root and the run's folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / "root"), isolation.name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    with process.stdout:
        folder = Path(process.stdout.readline().strip())
        _wait(lambda: any(_comm(pid) == "psql" for pid in processes_in(folder)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    yield tmp_path / "root", folder
    sweep(tmp_path / "root")


def test_kill_9_leaves_no_process_alive(killed: tuple[Path, Path]) -> None:
    _, folder = killed
    _wait(lambda: not processes_in(folder))


def test_leftovers_of_a_killed_run_are_reported_then_swept(killed: tuple[Path, Path]) -> None:
    root, folder = killed
    [leftover] = leftovers(root)
    assert (leftover.run_id, leftover.info["asset"], leftover.path) == ("run-killed", "erp", folder)
    assert leftover.size_bytes > 1 << 20
    assert folder.exists(), "looking changes nothing"

    told: list[tuple[str, bool]] = []
    [swept] = sweep(root, before_removal=lambda each: told.append((each.run_id, each.path.exists())))
    assert swept == leftover
    assert told == [("run-killed", True)], "it is told while the folder is still there"
    assert not folder.exists()
    assert leftovers(root) == []


def test_leftover_stays_when_telling_of_it_fails(killed: tuple[Path, Path]) -> None:
    root, folder = killed

    def refuse(leftover: Leftover) -> None:
        raise RuntimeError(leftover.run_id)

    with pytest.raises(RuntimeError, match="run-killed"):
        sweep(root, before_removal=refuse)
    assert folder.exists()
    assert [leftover.run_id for leftover in leftovers(root)] == ["run-killed"]


def test_sweep_ends_a_server_that_still_runs_in_a_dead_runs_folder(isolation: Provider, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path, "run-1", {}, isolation)
    with SandboxServer(workspace.folder, find_programs(18), isolation):
        os.close(workspace._lease)
        workspace._lease = -1
        assert processes_in(workspace.folder)
        assert [leftover.run_id for leftover in sweep(tmp_path)] == ["run-1"]
        assert not processes_in(workspace.folder)
    assert not workspace.folder.exists()


def test_sweep_spares_a_run_that_is_alive(isolation: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, "run-1", {}, isolation) as workspace,
        SandboxServer(workspace.folder, find_programs(18), isolation) as server,
    ):
        assert leftovers(tmp_path) == []
        assert sweep(tmp_path) == []
        with psycopg.connect(server.conninfo()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_persons_shell_in_a_leftover_folder_is_not_killed(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    with subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path / "box") as shell:
        assert kill_in(tmp_path / "box") == 0
        assert shell.poll() is None
        shell.kill()


def test_sweep_neither_follows_nor_removes_links(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    root = tmp_path / "root"
    root.mkdir()
    (root / "run-link").symlink_to(precious)
    dead = root / "run-dead"
    dead.mkdir()
    (dead / "link").symlink_to(precious)
    assert [leftover.run_id for leftover in sweep(root)] == ["run-dead"]
    assert (precious / "file").read_text() == "kept"
    assert (root / "run-link").is_symlink()


@pytest.mark.parametrize("lease", [b"", b"[1]", b"{", b'"x"', b"\xff"])
def test_leftover_with_a_broken_lease_is_swept_all_the_same(lease: bytes, tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1/lease").write_bytes(lease)
    [leftover] = sweep(tmp_path)
    assert leftover.info == {}
    assert list(tmp_path.iterdir()) == []


def test_lease_tells_who_runs_and_since_when(tmp_path: Path) -> None:
    with Workspace.create(tmp_path, "run-1", {"asset": "erp", "startedOn": "2026-11-23T11:00:00Z"}) as workspace:
        told = json.loads((workspace.folder / "lease").read_text())
    assert told == {"runId": "run-1", "pid": os.getpid(), "asset": "erp", "startedOn": "2026-11-23T11:00:00Z"}


@pytest.mark.parametrize("run_id", ["../up", "a", ".hidden", "a/b", "", "logs and more"])
def test_run_id_that_cannot_name_a_folder_is_refused(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot name a folder"):
        Workspace.create(tmp_path / "root", run_id, {})


def test_used_up_disk_quota_ends_the_server_and_says_so(isolation: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, "run-1", {}, isolation) as workspace,
        SandboxServer(workspace.folder, find_programs(18), isolation) as server,
    ):
        watch = Watch(workspace.folder, quota_bytes=150 << 20, deadline_s=60, stop=server.kill)
        watch.start()
        with psycopg.connect(server.conninfo(), autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
            connection.execute("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 100000000)")
        watch.close()
        assert watch.breach == "the disk quota of 0.15 GiB was used up"
        with pytest.raises(SandboxError, match="stopped"):
            server.run(["psql", "-c", "SELECT 1"], deadline_s=10)


def test_passed_deadline_ends_the_server_and_says_so(isolation: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, "run-1", {}, isolation) as workspace,
        SandboxServer(workspace.folder, find_programs(18), isolation) as server,
    ):
        watch = Watch(workspace.folder, quota_bytes=1 << 40, deadline_s=0.1, stop=server.kill)
        watch.start()
        with pytest.raises(SandboxError, match="stopped"):
            server.run(["psql", "-c", "SELECT pg_sleep(600)"], deadline_s=600)
        watch.close()
        assert watch.breach == "the deadline of 0 s passed"


def test_client_program_past_its_deadline_is_killed(postgres_server: SandboxServer) -> None:
    with pytest.raises(LimitError, match="had not finished after 1 s"):
        postgres_server.run(["psql", "-c", "SELECT pg_sleep(600)"], deadline_s=1)
    assert not [pid for pid in processes_in(postgres_server.folder) if _comm(pid) == "psql"]


def test_server_outlives_the_thread_that_started_it(isolation: Provider, tmp_path: Path) -> None:
    with Workspace.create(tmp_path, "run-1", {}, isolation) as workspace:
        server = SandboxServer(workspace.folder, find_programs(18), isolation)
        thread = threading.Thread(target=server.__enter__)
        thread.start()
        thread.join()
        try:
            with psycopg.connect(server.conninfo()) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            server.stop()


def test_two_drills_of_one_asset_at_once_keep_apart(isolation: Provider, tmp_path: Path) -> None:
    with Workspace.create(tmp_path, "run-1", {}), pytest.raises(SandboxError, match="cannot make"):
        Workspace.create(tmp_path, "run-1", {})
    with (
        Workspace.create(tmp_path, "run-1", {}, isolation) as one,
        Workspace.create(tmp_path, "run-2", {}, isolation) as two,
        SandboxServer(one.folder, find_programs(18), isolation) as first,
        SandboxServer(two.folder, find_programs(18), isolation) as second,
    ):
        with psycopg.connect(first.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE only_here")
        with psycopg.connect(second.conninfo()) as connection:
            found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = 'only_here'").fetchone()
        assert found == (0,)


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _wait(until: object) -> None:
    assert callable(until)
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)
