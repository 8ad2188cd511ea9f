"""`guardian run` as an operator meets it: real drills, stopped and killed half-way."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config, config_yaml
from guardian.model import rfc3339
from guardian.store import slots
from guardian.store.database import Database
from guardian.usecases import planning
from guardian.usecases.demo import demo
from guardian.usecases.demo_plants import PLANTS
from tests.daemon_support import Process, eventually, is_alive, of_slots, records
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

_USED: set[datetime] = set()


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with one asset and a good backup of it."""
    folder = tmp_path_factory.mktemp("daemon") / "demo"
    assert demo(folder, plants=PLANTS[:1], progress=lambda _step: None).occurred
    return folder / "guardian.yaml"


@pytest.fixture
def due(estate: Path) -> Settings:
    """The same with a drill that became due a moment ago, at another minute for each test."""
    moment = datetime.now(UTC).replace(second=0, microsecond=0)
    while moment in _USED:
        moment -= timedelta(minutes=1)
    _USED.add(moment)
    job = {"job": "drill", "asset": "erp-good", "cron": f"{moment.minute} {moment.hour} * * *", "grace": "30m"}
    told: dict[str, Any] = {
        **config_yaml.parse(estate.read_bytes()).value,
        "schedules": [job],
        "daemon": {"listen": "127.0.0.1:0"},
    }  # JSON is YAML
    told.pop("api", None)
    estate.write_text(json.dumps(told))
    settings = config.load(estate)
    begun = moment - timedelta(seconds=1)
    with Database(settings) as database:
        database.migrate()
        planning.bring_in_force(settings, database, planning.jobs_of(settings), lambda: begun)
        _begin_earlier(database, begun)
    return settings


def _begin_earlier(database: Database, begun: datetime) -> None:
    """A schedule begins no earlier than the newest record; here the minute that is just over counts too."""
    with database.writing() as session:
        row = slots.in_force(session)
        assert row is not None
        row.made_until = rfc3339(begun)


def start(settings: Settings, tmp_path: Path) -> Process:
    return Process(["-m", "guardian", "run", "--config", str(settings.path)], tmp_path / "daemon.log")


def wait_for_drill(settings: Settings, daemon: Process) -> int:
    """Return the process id of a job once its sandbox runs a server."""
    eventually(lambda: list(settings.sandbox.folder.glob("*/box/data/postmaster.pid")), why=lambda: daemon.said)
    return daemon.children()[0]


def last(settings: Settings) -> Any:
    return [record for record in records(settings) if record.kind == "restore-drill"][-1]


def test_sigterm_ends_a_drill_closes_its_slot_as_an_error_and_leaves_no_sandbox(due: Settings, tmp_path: Path) -> None:
    with start(due, tmp_path) as daemon:
        job = wait_for_drill(due, daemon)
        assert daemon.terminate() == 0, daemon.said
        assert not is_alive(job)
        assert {entry.name for entry in due.sandbox.folder.iterdir()} == {".turns"}
        record = last(due).predicate
        assert record["result"] == "ERROR"
        assert record["reason"].startswith("stopped: ")
        assert record["run"]["slot"].startswith("drill:erp-good@")
        assert len(of_slots(due)[record["run"]["slot"]]) == 1
        assert "slot_closed" in daemon.said
        assert "Traceback" not in daemon.said


def test_kill_9_of_the_daemon_ends_its_drill_too_and_the_next_daemon_finds_nothing_open(
    due: Settings, tmp_path: Path
) -> None:
    with start(due, tmp_path) as daemon:
        job = wait_for_drill(due, daemon)
        daemon.kill()
        eventually(lambda: not is_alive(job))
        assert {entry.name for entry in due.sandbox.folder.iterdir()} == {".turns"}
        record = last(due).predicate
        assert (record["result"], record["reason"].partition(":")[0]) == ("ERROR", "stopped")


def test_a_drill_that_was_due_passes_and_is_told_in_one_line(due: Settings, tmp_path: Path) -> None:
    with start(due, tmp_path) as daemon:
        eventually(lambda: "slot_closed" in daemon.said, seconds=120, why=lambda: daemon.said)
        assert daemon.terminate() == 0
        [line] = [line for line in daemon.said.splitlines() if "slot_closed" in line]
        record = last(due)
        assert "PASSED" in line
        assert record.record_id in line
        assert record.predicate["run"]["trigger"] == "schedule"
    shown = guardian("evidence", "list", "--config", str(due.path), "--format", "json")
    assert json.loads(shown.stdout)["records"][-1]["recordId"] == record.record_id


def test_a_configuration_with_nothing_to_do_says_what_to_add(tmp_path: Path) -> None:
    assert guardian("init", "--config", str(tmp_path / "guardian.yaml")).code == 0
    ran = guardian("run", "--config", str(tmp_path / "guardian.yaml"))
    assert ran.code == 2
    for word in ("schedules:", "api:", "webhook:"):
        assert word in ran.stderr


def test_an_address_that_is_taken_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    assert guardian("init", "--config", str(path)).code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with path.open("a") as file:
            file.write(f'schedules: [{{job: scan, cron: "0 0 1 1 *"}}]\ndaemon: {{listen: "127.0.0.1:{port}"}}\n')
        ran = guardian("run", "--config", str(path))
    assert ran.code == 2
    assert f"127.0.0.1:{port}" in ran.stderr
