"""`guardian run` with everything configured: one command schedules, admits and answers auditors."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import requests

from guardian import config
from tests.daemon_support import Process, eventually, is_alive, records
from tests.support import guardian
from tests.webhook_support import HOST, Site, free_port, post, review

if TYPE_CHECKING:
    from pathlib import Path


def answer(url: str, token: str = "") -> int:
    """Return the status of a GET, 0 while nobody answers."""
    try:
        return requests.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=20).status_code
    except requests.RequestException:
        return 0


def api_of(daemon: Process) -> int:
    """Return the process id of the API that was started last."""
    found = re.findall(r"service_started\s+pid=(\d+) service=api", daemon.said)
    return int(found[-1])


def test_daemon_runs_schedule_webhook_and_api_and_ends_them_all(tmp_path: Path) -> None:
    health, api = free_port(), free_port()
    extra = (
        f'daemon: {{listen: "{HOST}:{health}"}}\napi: {{listen: "{HOST}:{api}"}}\n'
        'schedules: [{job: scan, cron: "0 0 1 1 *"}]'
    )
    site = Site.make(tmp_path, extra=extra)
    settings = config.load(site.config)
    token = guardian("token", "add", "jane", "--role", "auditor", "--config", str(site.config)).stdout.strip()
    with Process(["-m", "guardian", "run", "--config", str(site.config)], tmp_path / "daemon.log") as daemon:
        ready = f"http://{HOST}:{health}/readyz"
        eventually(lambda: answer(ready) == 200, seconds=90, why=lambda: daemon.said)
        eventually(lambda: answer(f"http://{HOST}:{api}/v1/records", token) == 200, seconds=60, why=lambda: daemon.said)
        assert answer(f"http://{HOST}:{api}/v1/records") == 401
        eventually(lambda: "guardian webhook answers" in daemon.said, seconds=60, why=lambda: daemon.said)
        assert post(site.connect(), review(namespace="shop")).response["allowed"] is not None

        os.kill(api_of(daemon), signal.SIGKILL)  # it is started again
        eventually(lambda: answer(f"http://{HOST}:{api}/v1/records", token) == 0, seconds=60)
        eventually(lambda: answer(f"http://{HOST}:{api}/v1/records", token) == 200, seconds=60, why=lambda: daemon.said)

        children = daemon.children()
        assert daemon.terminate() == 0, daemon.said
        assert not any(is_alive(child) for child in children)
    kinds = [record.kind for record in records(settings)]
    assert "schedule" in kinds
    assert kinds.count("admission-decision") == 1
    assert "access-event" in kinds
