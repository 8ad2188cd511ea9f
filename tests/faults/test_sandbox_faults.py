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
from verifiers.sandbox.workspace import Leftover, Watch, Workspace, leftovers, refuse_overlap, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_1, RUN_2 = "019abe6d-0000-7000-8000-000000000001", "019abe6d-0000-7000-8000-000000000002"
_KILLED = """
import sys, time
from pathlib import Path
from verifiers.sandbox.isolation import provider
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import Workspace

isolation = provider(sys.argv[2])
workspace = Workspace.create(Path(sys.argv[1]), sys.argv[3], {"asset": "erp"}, isolation)
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
        [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / "root"), isolation.name, RUN_1],
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
    assert (leftover.run_id, leftover.info["asset"], leftover.path) == (RUN_1, "erp", folder)
    assert leftover.size_bytes > 1 << 20
    assert folder.exists(), "looking changes nothing"

    told: list[tuple[str, bool]] = []
    [swept] = sweep(root, before_removal=lambda each: told.append((each.run_id, each.path.exists())))
    assert swept == leftover
    assert told == [(RUN_1, True)], "it is told while the folder is still there"
    assert not folder.exists()
    assert leftovers(root) == []


def test_leftover_stays_when_telling_of_it_fails(killed: tuple[Path, Path]) -> None:
    root, folder = killed

    def refuse(leftover: Leftover) -> None:
        raise RuntimeError(leftover.run_id)

    with pytest.raises(RuntimeError, match=RUN_1):
        sweep(root, before_removal=refuse)
    assert folder.exists()
    assert [leftover.run_id for leftover in leftovers(root)] == [RUN_1]


def test_sweep_ends_a_server_that_still_runs_in_a_dead_runs_folder(isolation: Provider, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path, RUN_1, {}, isolation)
    with SandboxServer(workspace.folder, find_programs(18), isolation):
        os.close(workspace._lease)
        workspace._lease = -1
        assert processes_in(workspace.folder)
        assert [leftover.run_id for leftover in sweep(tmp_path)] == [RUN_1]
        assert not processes_in(workspace.folder)
    assert not workspace.folder.exists()


def test_sweep_spares_a_run_that_is_alive(isolation: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, RUN_1, {}, isolation) as workspace,
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
    (precious / "lease").write_text(json.dumps({"runId": RUN_2}))
    root = tmp_path / "root"
    (_dead_run(root, RUN_1) / "link").symlink_to(precious)
    (root / RUN_2).symlink_to(precious)
    assert [leftover.run_id for leftover in sweep(root)] == [RUN_1]
    assert (precious / "file").read_text() == "kept"
    assert (root / RUN_2).is_symlink()


def test_sweep_touches_nothing_but_folders_with_the_lease_of_a_run(tmp_path: Path) -> None:
    _dead_run(tmp_path, RUN_1)
    ours = json.dumps({"runId": RUN_1})
    others = {
        "postgresql/data/f": "a database",
        "20261123T110000Z/db.dump": "a backup",
        "backup-old/lease": ours,
        f"{RUN_2}/file": "a folder of somebody else's, named by a UUIDv7",
        f"{RUN_2[:-1]}3/lease": ours,
        f"{RUN_2[:-1]}4/lease": "",
        f"{RUN_2[:-1]}5/lease/file": "a lease that is no file",
        f"{RUN_2[:-1]}6/lease": "{",
        f"{RUN_2[:-1]}7/lease": "[1]",
        f".{RUN_2[:-1]}8/file": "under the name of a run that is being made",
        f".{RUN_2[:-1]}9/lease": ours,
        RUN_2[:-1] + "a": "a file",
    }
    for name, content in others.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / (RUN_2[:-1] + "b")).mkdir()
    before = {path for path in tmp_path.rglob("*") if RUN_1 not in path.relative_to(tmp_path).parts}
    assert [leftover.run_id for leftover in leftovers(tmp_path)] == [RUN_1]
    assert [leftover.run_id for leftover in sweep(tmp_path)] == [RUN_1]
    assert set(tmp_path.rglob("*")) == before
    assert {name: (tmp_path / name).read_text() for name in others} == others


@pytest.mark.parametrize("lease", [None, "", json.dumps({"runId": RUN_1})])
def test_run_killed_while_its_folder_was_made_is_swept(lease: str | None, tmp_path: Path) -> None:
    (tmp_path / f".{RUN_1}").mkdir()
    if lease is not None:
        (tmp_path / f".{RUN_1}/lease").write_text(lease)
    assert [leftover.run_id for leftover in sweep(tmp_path)] == [RUN_1]
    assert list(tmp_path.iterdir()) == []


def test_folder_that_could_not_be_removed_is_swept_without_telling_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    workspace = Workspace.create(root, RUN_1, {"asset": "erp"})
    in_the_way = root / f".{RUN_1}"
    in_the_way.mkdir()
    (in_the_way / "file").touch()
    with pytest.raises(SandboxError, match="cannot remove"):
        workspace.close()
    assert [leftover.info["asset"] for leftover in leftovers(root)] == ["erp"]
    (in_the_way / "file").unlink()
    in_the_way.rmdir()

    told: list[Leftover] = []
    assert [leftover.run_id for leftover in sweep(root, before_removal=told.append)] == [RUN_1]
    assert told == []
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("other", [".", "inner", ".."])
def test_sandbox_folder_is_kept_apart_from_backups(other: str, tmp_path: Path) -> None:
    root = tmp_path / "sandbox"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(SandboxError, match=r"the backups of erp .*set sandbox\.folder"):
        refuse_overlap(tmp_path / "link", {"the backups of erp": root / other})
    refuse_overlap(root, {"the backups of erp": tmp_path / "sandbox-backups"})


def test_lease_tells_who_runs_and_since_when(tmp_path: Path) -> None:
    with Workspace.create(tmp_path, RUN_1, {"asset": "erp", "startedOn": "2026-11-23T11:00:00Z"}) as workspace:
        told = json.loads((workspace.folder / "lease").read_text())
    assert told == {"runId": RUN_1, "pid": os.getpid(), "asset": "erp", "startedOn": "2026-11-23T11:00:00Z"}


@pytest.mark.parametrize("run_id", ["../up", "a", f".{RUN_1}", "a/b", "", "run-1", RUN_1.upper()])
def test_run_id_that_cannot_name_a_folder_is_refused(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot name a folder"):
        Workspace.create(tmp_path / "root", run_id, {})


def test_used_up_disk_quota_ends_the_server_and_says_so(isolation: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, RUN_1, {}, isolation) as workspace,
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
        Workspace.create(tmp_path, RUN_1, {}, isolation) as workspace,
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
    with Workspace.create(tmp_path, RUN_1, {}, isolation) as workspace:
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
    with Workspace.create(tmp_path, RUN_1, {}), pytest.raises(SandboxError, match="cannot make"):
        Workspace.create(tmp_path, RUN_1, {})
    with (
        Workspace.create(tmp_path, RUN_1, {}, isolation) as one,
        Workspace.create(tmp_path, RUN_2, {}, isolation) as two,
        SandboxServer(one.folder, find_programs(18), isolation) as first,
        SandboxServer(two.folder, find_programs(18), isolation) as second,
    ):
        with psycopg.connect(first.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE only_here")
        with psycopg.connect(second.conninfo()) as connection:
            found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = 'only_here'").fetchone()
        assert found == (0,)


def _dead_run(root: Path, run_id: str) -> Path:
    workspace = Workspace.create(root, run_id, {})
    os.close(workspace._lease)
    return workspace.folder


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
