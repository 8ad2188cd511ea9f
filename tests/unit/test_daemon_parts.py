"""What the daemon is made of: its HTTP server, its word to systemd, its trigger, its unit."""

from __future__ import annotations

import configparser
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from guardian.errors import UsageError
from guardian.schedule import notify
from guardian.schedule.children import Child, Service
from guardian.schedule.http import Monitor
from guardian.schedule.metrics import Metrics
from guardian.schedule.status import Status
from guardian.schedule.trigger import SlotTrigger
from guardian.settings import DaemonSettings
from guardian.usecases.planning import Job
from tests.daemon_support import eventually, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = Path(__file__).parents[2] / "deploy" / "guardian.service"


@pytest.fixture
def parts() -> tuple[Status, Metrics]:
    return Status(), Metrics("production", "1")


@pytest.fixture
def monitor(parts: tuple[Status, Metrics]) -> Iterator[Monitor]:
    made = Monitor(DaemonSettings(port=0), *parts)
    made.start()
    yield made
    made.close()


def get(monitor: Monitor, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{monitor.place}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


# -- HTTP


def test_readiness_says_what_is_lacking_and_health_does_not_depend_on_it(
    monitor: Monitor, parts: tuple[Status, Metrics]
) -> None:
    assert get(monitor, "/readyz")[0] == 503
    parts[0].tell(("another schedule is in force",))
    assert get(monitor, "/readyz") == (503, "another schedule is in force\n")
    assert get(monitor, "/healthz") == (200, "ok\n")
    parts[0].tell(())
    assert get(monitor, "/readyz") == (200, "ok\n")
    assert get(monitor, "/secrets")[0] == 404


def test_metrics_are_what_was_told(monitor: Monitor, parts: tuple[Status, Metrics]) -> None:
    parts[1].slots({"due": 3, "claimed": 1}, {"MISSED": 2})
    parts[1].lateness.observe(7)
    code, body = get(monitor, "/metrics")
    assert code == 200
    for line in (
        'guardian_slots{state="claimed"} 1.0',
        'guardian_queue_depth{queue="slots"} 3.0',
        'guardian_slots_closed{result="missed"} 2.0',
        'guardian_slot_lateness_seconds_bucket{le="5.0"} 0.0',
        'guardian_slot_lateness_seconds_bucket{le="15.0"} 1.0',
    ):
        assert line in body.splitlines()


def test_callers_that_say_nothing_do_not_keep_others_waiting(monitor: Monitor) -> None:
    host, _, port = monitor.place.rpartition(":")
    silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(10)]
    assert get(monitor, "/healthz") == (200, "ok\n")
    more = [socket.create_connection((host, int(port)), timeout=20) for _ in range(30)]
    # Beyond its share it hangs up at once, and what is silent for long it ends.
    eventually(lambda: any(_is_closed(one) for one in more), seconds=20)
    eventually(lambda: all(_is_closed(one) for one in silent), seconds=30)
    assert get(monitor, "/healthz") == (200, "ok\n")
    for one in (*silent, *more):
        one.close()


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_an_address_that_is_taken_is_named(monitor: Monitor, parts: tuple[Status, Metrics]) -> None:
    port = int(monitor.place.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"daemon.listen 127.0.0.1:{port}"):
        Monitor(DaemonSettings(port=port), *parts)


# -- systemd


def test_systemd_is_told_over_the_socket_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a short path: such an address holds 107 bytes
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"\0guardian-test-{os.getpid()}"
        manager.bind(name)
        manager.settimeout(10)
        notify.tell("READY=1", {"NOTIFY_SOCKET": "@" + name[1:]})
        assert manager.recv(100) == b"READY=1"
    notify.tell("READY=1", {"NOTIFY_SOCKET": "/nowhere/at/all"})
    notify.tell("READY=1", {})


def test_the_unit_lets_a_drill_build_its_sandbox_and_nothing_else() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # its names are case-sensitive
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert service["ExecStart"].split()[1:] == ["run", "--config", "/etc/guardian/guardian.yaml"]
    assert (service["Type"], service["KillMode"], service["ProtectSystem"]) == ("notify", "mixed", "strict")
    assert service["NoNewPrivileges"] == "yes"
    assert set(service["RestrictNamespaces"].split()) == {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}
    assert int(service["TimeoutStopSec"].rstrip("s")) > 60, "longer than the daemon gives its jobs"
    forbidden = (
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "ProtectProc",
        "ProtectHostname",
        "MemoryDenyWriteExecute",
    )
    assert not [name for name in forbidden if name in service]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "guardian.service"
    program.write_text(UNIT.read_text().replace("/usr/local/bin/guardian", shutil.which("true") or "/bin/true"))
    told = subprocess.run(
        [shutil.which("systemd-analyze") or "", "verify", str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_it = [line for line in told.stderr.splitlines() if "guardian" in line]
    assert (told.returncode, about_it) == (0, [])


# -- firing


def test_the_trigger_fires_at_every_slot_across_a_change_of_the_clock_and_never_twice_for_one() -> None:
    job = Job("scan", None, None, (("*/30 * * * *", "Europe/Berlin"), ("0 2 * * *", "Europe/Berlin")), 3600, 1)
    trigger = SlotTrigger(job)
    start = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)  # midnight before the clock goes back
    fired: list[datetime] = []
    previous, now = None, start + timedelta(seconds=1)
    while (found := trigger.get_next_fire_time(previous, now)) is not None and len(fired) < 48:
        fired.append(found)
        previous, now = found, found + timedelta(milliseconds=3)
    due = job.due(start + timedelta(seconds=1), fired[-1])
    assert [moment.replace(microsecond=0) for moment in fired] == due
    assert len(set(fired)) == 48


def test_a_job_that_is_due_on_29_february_only_fires_then() -> None:
    job = Job("scan", None, None, (("0 0 29 2 *", "UTC"),), 3600, 1)
    assert job.next_due(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)


# -- children

WAITS = (
    "import sys, time\n"
    "from guardian.schedule import lifeline\n"
    "lifeline.hold()\n"
    "print('begun', flush=True)\n"
    "time.sleep(120)\n"
)


def test_a_child_ends_when_its_pipe_is_closed(tmp_path: Path) -> None:
    ended = threading.Event()
    child = Child(_program(WAITS), ended.set)
    assert is_alive(child.pid)
    time.sleep(0.2)
    child.stop()
    assert ended.wait(30)
    assert child.status == -15
    assert child.ending == "killed by signal 15"
    assert not list(tmp_path.iterdir())


def test_a_service_that_ends_is_started_again_later_each_time() -> None:
    ended = threading.Event()
    service = Service("webhook", _program("raise SystemExit(3)"), ended.set)
    pauses = []
    now = 1000.0
    for _ in range(4):
        ended.clear()
        service.tend(now)
        assert ended.wait(30)
        service.tend(now)
        assert not service.runs
        pauses.append(service.not_before - now)
        service.tend(service.not_before - 0.01)
        assert not service.runs, "not before its time"
        now = service.not_before
    assert pauses == [2.0, 5.0, 10.0, 30.0]


def test_a_service_answers_once_it_has_said_so_and_not_before() -> None:
    told = threading.Event()
    code = "import sys\nfrom guardian.telemetry import announce\nsys.stdin.read(1)\nannounce()\nsys.stdin.read()"
    service = Service("api", _program(code), told.set)
    service.tend(1000.0)
    child = service.child
    assert child is not None
    assert (service.runs, service.answers) == (True, False)
    assert child._process.stdin is not None
    child._process.stdin.write(b"x")
    child._process.stdin.flush()
    assert told.wait(30)
    assert service.answers
    child.kill()
    assert not service.answers


def _program(code: str) -> list[str]:
    return [sys.executable, "-c", code]
