"""The hooks of contributors and users name programs that are there, and do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardian import config_yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
OWN: list[dict[str, Any]] = config_yaml.parse((ROOT / ".pre-commit-config.yaml").read_bytes()).value["repos"][0][
    "hooks"
]
(USERS,) = config_yaml.parse((ROOT / ".pre-commit-hooks.yaml").read_bytes()).value
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: erp}
spec: {hostNetwork: true, containers: [{name: c, image: nginx}]}
"""
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: erp}
data: {colour: blue}
"""


def run(entry: str, *files: str, folder: Path) -> subprocess.CompletedProcess[str]:
    name, *arguments = entry.split()
    return subprocess.run(
        [PROGRAMS / Path(name).name, *arguments, *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.defpath, "HOME": str(folder)},
        check=False,
    )


def test_own_hooks_need_no_network_and_only_programs_of_the_environment() -> None:
    assert {hook["language"] for hook in OWN} == {"system"}
    for hook in OWN:
        name = hook["entry"].split()[0]
        assert name.startswith(".venv/bin/")
        assert (PROGRAMS / Path(name).name).exists(), name


@pytest.mark.parametrize("name", ["ruff-format", "ruff-check", "config-schema"])
def test_own_hooks_refuse_nothing_that_is_in_order(name: str) -> None:
    (hook,) = (hook for hook in OWN if hook["id"] == name)
    files = () if hook.get("pass_filenames") is False else ("--no-cache", "guardian/__init__.py")
    done = run(hook["entry"], *files, folder=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_users_hook_refuses_a_manifest_that_admission_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD, encoding="utf-8")
    (tmp_path / "map.yaml").write_text(SETTINGS, encoding="utf-8")
    assert run(USERS["entry"], "map.yaml", folder=tmp_path).returncode == 0
    refused = run(USERS["entry"], "map.yaml", "pod.yaml", folder=tmp_path)
    assert refused.returncode == 1, refused.stderr
    assert "pod.yaml:4" in refused.stdout
