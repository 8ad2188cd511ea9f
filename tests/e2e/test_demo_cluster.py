"""`make demo-cluster` as a new user runs it: a real API server, and everything comes out as planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_cluster_demo_finds_denies_admits_signs_and_replays_what_was_planted(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo_cluster", "--dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "22 of 22 as planted" in done.stderr
    assert "WRONG" not in done.stdout
    assert {path.name for path in folder.iterdir()} >= {"guardian.yaml", "pack.zip", "root.json", "webhook.log"}
