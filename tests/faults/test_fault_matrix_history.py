"""Faults that one backup alone does not show: only its age, or what earlier drills found, gives them away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.drill_support import by_id, verdicts
from tests.integration.test_drill_policy import SCHEMA, Shop, drilled
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer


@pytest.fixture
def shop(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Shop:
    made = Shop(postgres_server, postgres_url, tmp_path, sandbox_provider.name)
    made.run(SCHEMA)
    return made


def test_22_stale_copy_is_told_by_its_heartbeat(shop: Shop, caught: Caught) -> None:
    shop.run("INSERT INTO guardian_heartbeat VALUES (now() - interval '12 days')")
    shop.back_up()
    drill = drilled(shop.settings(source=', heartbeat: "SELECT max(at) FROM guardian_heartbeat"'))
    caught(22, "custom", drill, by="freshness", says="12 d older than the backup itself: it was taken of a copy that")


def test_39_database_held_to_ransom_is_unlike_every_backup_before_it(shop: Shop, caught: Caught) -> None:
    settings = shop.settings()
    shop.back_up(timedelta(hours=1))
    assert drilled(settings).result.verdict is Verdict.PASS
    shop.run(
        "DROP TABLE orders CASCADE; DROP TABLE customer CASCADE;"
        "CREATE TABLE readme (note text); INSERT INTO readme VALUES ('your data is encrypted, send money')"
    )
    shop.back_up()
    drill = drilled(settings)
    assert drill.result.verdict is Verdict.FAIL
    assert verdicts(drill, "fail") == {"anomaly"}
    caught.told(39, "custom", by="anomaly", message=by_id(drill)["anomaly"].message, says="1 rows, less than half")


def test_40_job_that_stopped_weeks_ago_is_named_with_the_age_of_its_newest_backup(shop: Shop, caught: Caught) -> None:
    shop.back_up(timedelta(days=24))
    says = "The newest backup of shop is 24 d old, and job nightly should make one every 24 h"
    caught(40, "custom", drilled(shop.settings()), by="freshness", says=says)
