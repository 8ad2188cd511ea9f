"""A hundred healthy backups of random databases raise no alarm; another hundred are in test_healthy_drills_more.py.

The seed makes everything, so a failure is repeated with `-k 'seed-17'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.healthy_support import Healthy

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer


@pytest.mark.parametrize("seed", range(100), ids=lambda seed: f"seed-{seed}")
def test_healthy_backup_raises_no_alarm(
    postgres_server: SandboxServer, sandbox_provider: Provider, tmp_path: Path, seed: int
) -> None:
    healthy = Healthy.of(seed)
    assert healthy.alarms(postgres_server, sandbox_provider.name, tmp_path) == {}, healthy
