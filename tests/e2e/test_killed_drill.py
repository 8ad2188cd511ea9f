"""A drill that is killed leaves nothing running, is reported, swept, and stands in the log as an error."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guardian.usecases.demo import demo
from guardian.usecases.demo_plants import PLANTS
from tests.support import guardian


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "demo"
    assert demo(folder, plants=PLANTS[:1], progress=lambda _step: None).occurred
    return folder / "guardian.yaml"


def test_killed_drill_is_reported_swept_and_logged_as_an_error(environment: Path) -> None:
    sandboxes = environment.parent / ".guardian" / "sandbox"
    process = subprocess.Popen(
        [sys.executable, "-m", "guardian", "drill", "erp-good", "--config", str(environment)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for_server(sandboxes, process)
    process.kill()
    process.wait()

    looked = guardian("doctor", "--config", str(environment), "--format", "json")
    assert looked.code == 3
    assert [i["state"] for i in json.loads(looked.stdout)["items"] if i["name"] == "leftovers"] == ["leftover"]
    assert not _alive_below(sandboxes)

    fixed = guardian("doctor", "--fix", "--config", str(environment), "--format", "json")
    assert fixed.code == 0, fixed.stdout + fixed.stderr
    assert {entry.name for entry in sandboxes.iterdir()} == {".turns"}
    rows = json.loads(guardian("evidence", "list", "--config", str(environment), "--format", "json").stdout)["records"]
    assert (rows[-1]["kind"], rows[-1]["asset"], rows[-1]["result"]) == ("restore-drill", "erp-good", "ERROR")
    assert guardian("doctor", "--config", str(environment)).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_drill_tears_its_sandbox_down_and_is_logged_as_an_error(
    environment: Path, number: signal.Signals
) -> None:
    sandboxes = environment.parent / ".guardian" / "sandbox"
    process = subprocess.Popen(
        [sys.executable, "-m", "guardian", "drill", "erp-good", "--config", str(environment)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for_server(sandboxes, process)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert {entry.name for entry in sandboxes.iterdir()} == {".turns"}
    rows = json.loads(guardian("evidence", "list", "--config", str(environment), "--format", "json").stdout)["records"]
    assert (rows[-1]["kind"], rows[-1]["result"]) == ("restore-drill", "ERROR")


def _wait_for_server(sandboxes: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not list(sandboxes.glob("*/box/data/postmaster.pid")):
        assert process.poll() is None, "the drill ended before its server started"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive_below(folder: Path) -> list[str]:
    alive = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(str(folder)):
                    alive.append(entry.name)
            except OSError:
                continue
    return alive
