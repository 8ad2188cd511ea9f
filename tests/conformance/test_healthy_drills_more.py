"""The second hundred of test_healthy_drills.py: a file of its own, so that both workers have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.healthy_support import Healthy

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer


@pytest.mark.parametrize("seed", range(100, 200), ids=lambda seed: f"seed-{seed}")
def test_healthy_backup_raises_no_alarm(
    postgres_server: SandboxServer, sandbox_provider: Provider, tmp_path: Path, seed: int
) -> None:
    healthy = Healthy.of(seed)
    assert healthy.alarms(postgres_server, sandbox_provider.name, tmp_path) == {}, healthy
