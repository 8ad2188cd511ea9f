"""`guardian demo --serve`: the console on the evidence that the demo just made."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import requests

from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path


def test_demo_serves_its_evidence_to_the_token_it_prints_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "guardian", "demo", "--serve", "--dir", str(tmp_path / "demo")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = threading.Timer(200, process.kill)
        deadline.start()
        said = ""
        for line in process.stderr or ():
            said += line
            if line.startswith("Ctrl-C"):
                break
        url, token = re.findall(r"^(?:console|token): +(\S+)$", said, re.MULTILINE)
        page = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert page.status_code == 200
        for shown in ("erp-plant1", "1 of 4 assets", "erp-digit, erp-files and erp-truncated"):
            assert shown in page.text
        assert requests.get(url, timeout=60).url.endswith("/console/login")
        process.send_signal(signal.SIGINT)
        for _line in process.stderr or ():  # until it has ended
            pass
        deadline.cancel()
    assert process.returncode == 0


def test_a_port_without_serving_is_refused_before_anything_runs(tmp_path: Path) -> None:
    ran = guardian("demo", "--port", "8480", "--dir", str(tmp_path / "demo"))
    assert ran.code == 2
    assert "--serve" in ran.stderr
    assert not (tmp_path / "demo").exists()
