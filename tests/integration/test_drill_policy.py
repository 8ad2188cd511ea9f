"""Drills by an asset's policy and its signed history, each a real drill of a real backup."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg
import pytest
from jsonschema import Draft202012Validator

from guardian import config
from guardian.drills.turns import turn
from guardian.errors import GuardianError
from guardian.model import Assurance, Verdict
from guardian.usecases.drill import drill_assets
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger
from tests.drill_support import by_id, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.model import Drill
    from guardian.settings import Settings
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

SCHEMA = """
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id integer PRIMARY KEY, customer integer REFERENCES customer, amount numeric);
CREATE INDEX orders_customer ON orders (customer);
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(amount) FROM orders GROUP BY 1;
CREATE TABLE guardian_heartbeat (at timestamptz NOT NULL);
INSERT INTO customer SELECT i, 'name ' || i FROM generate_series(1, 200) i;
INSERT INTO orders SELECT i, 1 + i % 200, i FROM generate_series(1, 1000) i;
REFRESH MATERIALIZED VIEW totals;
"""


@dataclass
class Shop:
    """One database, its backup folder, and guardian.yaml beside it."""

    server: SandboxServer
    url: str
    folder: Path
    provider: str

    def settings(self, asset: str = "", *, every: str = "24h", sandbox: str = "", source: str = "") -> Settings:
        database = psycopg.conninfo.conninfo_to_dict(self.url)["dbname"]
        accepted = "[shop]" if self.provider == "none" else "[]"
        path = self.folder / "guardian.yaml"
        path.write_text(
            "environment: production\nservices:\n- name: plant\n  assets:\n"
            f"  - {{name: shop, type: postgres, source: {{database: {database}{source}}}, {asset}"
            f"backups: [{{name: nightly, format: pg_dump, path: backups, every: {every}}}]}}\n"
            f"sandbox: {{provider: {self.provider}, acceptNone: {accepted}, diskQuota: 5GiB{sandbox}}}\n"
        )
        settings = config.load(path)
        if not (self.folder / "root.json").exists():
            init_keys(settings)
        return settings

    def back_up(self, ago: timedelta = timedelta(0), form: str = "-Fc") -> str:
        """Take a backup and return its id. ago: how long ago it says it was taken."""
        stamp = f"{datetime.now(UTC) - ago:%Y%m%dT%H%M%SZ}"
        folder = self.folder / "backups"
        folder.mkdir(exist_ok=True)
        target = folder / f"{stamp}{'.dump' if form == '-Fc' else '.sql'}"
        argv = [str(self.server.programs.program("pg_dump")), form, f"--file={target}", f"--dbname={self.url}"]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        return stamp

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def shop(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Shop:
    made = Shop(postgres_server, postgres_url, tmp_path, sandbox_provider.name)
    made.run(SCHEMA)
    return made


def drilled(settings: Settings, backup_id: str | None = None, accept: str | None = None) -> Drill:
    """Drill the shop once; the result is what the schema says."""
    [done] = drill_assets(settings, ["shop"], backup_id=backup_id, progress=lambda *_: None, accept_anomaly=accept)
    schema = json.loads(files("guardian.schemas").joinpath("drill.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(json.loads(json.dumps(done.drill.to_json())))
    return done.drill


def test_rotation_restores_the_data_alone_between_full_drills_and_says_so(shop: Shop) -> None:
    settings = shop.settings("drill: {scope: rotate, fullEvery: 7d}, ")
    shop.back_up()
    full, data = drilled(settings), drilled(settings)
    assert (full.result.scope, full.result.assurance, full.result.verdict) == ("full", "sound", "pass")
    assert (data.result.scope, data.result.assurance, data.result.verdict) == ("data-only", "restored", "pass")
    checks = by_id(data)
    for check_id in ("amcheck", "constraints", "indexes"):
        assert checks[check_id].verdict is Verdict.SKIP
        assert checks[check_id].message.startswith("data-only drill; the last full one was 20")
    assert data.result.required is Assurance.SOUND
    assert data.result.restore_seconds is None
    assert data.result.measurements["dataRestoreSeconds"] > 0
    assert data.result.measurements["rows"] == full.result.measurements["rows"] == 1200
    with Ledger(settings, writable=False) as ledger:
        told = ledger.drills(datetime.now(UTC))
    assert [(drill["scope"], drill["assurance"]) for drill in told] == [("full", "sound"), ("data-only", "restored")]
    assert told[1]["restoreSeconds"] is None


def test_data_only_drill_finds_a_backup_cut_short_and_a_plain_dump_is_restored_whole(shop: Shop) -> None:
    settings = shop.settings("drill: {scope: data-only}, ")
    stamp = shop.back_up()
    dump = shop.folder / "backups" / f"{stamp}.dump"
    dump.write_bytes(dump.read_bytes()[:-2000])
    cut = drilled(settings)
    assert (cut.result.verdict, cut.result.scope) == (Verdict.FAIL, "data-only")
    dump.unlink()
    shop.back_up(form="-Fp")
    plain = drilled(settings)
    assert (plain.result.scope, plain.result.assurance) == ("full", "sound")


def test_sampled_drills_go_through_all_that_is_kept_and_tell_the_coverage(shop: Shop) -> None:
    settings = shop.settings("drill: {choose: sampled, period: 7d}, ")
    kept = [shop.back_up(timedelta(days=days)) for days in (3, 2, 1)]
    drills = [drilled(settings) for _ in range(4)]
    assert [drill.result.backup["id"] for drill in drills] == [*kept, kept[0]]
    covered = [drill.result.measurements["keptBackupsDrilled"] for drill in drills]
    assert covered == [1, 2, 3, 3]
    assert {drill.result.measurements["keptBackups"] for drill in drills} == {3}
    assert {drill.result.verdict for drill in drills} == {Verdict.PASS}, "an old backup is not late when it was sampled"
    assert "forecastRestoreSeconds" not in drills[2].result.measurements
    measured = drills[3].result.measurements
    assert measured["forecastRestoreSeconds"] > 0
    assert measured["forecastErrorSeconds"] > 0


def test_expensive_amcheck_runs_when_due_and_otherwise_says_when_it_last_did(shop: Shop) -> None:
    settings = shop.settings("drill: {heapallindexedEvery: 7d}, ")
    shop.back_up()
    first, second = (by_id(drilled(settings))["amcheck"] for _ in range(2))
    assert (first.verdict, first.observed["heapallindexed"]) == (Verdict.PASS, True)
    assert (second.verdict, second.observed["heapallindexed"]) == (Verdict.PASS, False)
    assert "was last proved 20" in second.message


def test_rpo_is_told_by_the_heartbeat_row_to_the_second(shop: Shop) -> None:
    asked = ', heartbeat: "SELECT max(at) FROM guardian_heartbeat"'
    shop.run("INSERT INTO guardian_heartbeat VALUES (now() - interval '90 seconds')")
    shop.back_up()
    drill = drilled(shop.settings(source=asked))
    assert drill.result.verdict is Verdict.PASS
    assert 90 <= drill.result.measurements["rpoSeconds"] <= 120
    assert by_id(drill)["freshness"].observed["rpoSource"] == "heartbeat"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("TRUNCATE guardian_heartbeat", "it gave NULL, so there is no heartbeat row"),
        ("DROP TABLE guardian_heartbeat", "42P01"),
        ("INSERT INTO guardian_heartbeat VALUES (now() - interval '9 days')", "older than the backup itself"),
    ],
)
def test_heartbeat_that_is_missing_is_an_error_and_one_that_stands_still_a_failure(
    shop: Shop, change: str, said: str
) -> None:
    shop.run(change)
    shop.back_up()
    drill = drilled(shop.settings(source=', heartbeat: "SELECT max(at) FROM guardian_heartbeat"'))
    check = by_id(drill)["freshness"]
    assert check.verdict is (Verdict.FAIL if "days" in change else Verdict.ERROR)
    assert said in check.message


def test_half_of_the_rows_gone_fails_until_somebody_accepts_it_with_a_reason(shop: Shop) -> None:
    settings = shop.settings()
    shop.back_up(timedelta(hours=2))
    assert drilled(settings).result.verdict is Verdict.PASS
    shop.run("DELETE FROM orders WHERE id > 300")
    shop.back_up(timedelta(hours=1))
    odd = drilled(settings)
    assert verdicts(odd, "fail") == {"anomaly"}
    assert "500 rows, less than half of the usual 1,200" in by_id(odd)["anomaly"].message
    accepted = drilled(settings, accept="orders of before 2020 were archived")
    assert accepted.result.verdict is Verdict.PASS
    with Ledger(settings, writable=False) as ledger:
        [check] = [each for each in ledger.records()[-1].predicate["checks"] if each["id"] == "anomaly"]
    assert (check["verdict"], check["observed"]["accepted"]) == ("skip", "orders of before 2020 were archived")
    shop.back_up()
    assert drilled(settings).result.verdict is Verdict.PASS, "what was accepted is the new measure"


def test_newest_backup_of_a_job_that_stopped_fails_but_not_one_that_was_asked_for_by_name(shop: Shop) -> None:
    stamp = shop.back_up(timedelta(days=21))
    settings = shop.settings()
    drill = drilled(settings)
    assert verdicts(drill, "fail") == {"freshness"}
    assert "21 d old, and job nightly should make one every 24 h" in by_id(drill)["freshness"].message
    assert drilled(settings, stamp).result.verdict is Verdict.PASS


def test_deadline_and_quota_of_an_asset_are_kept(shop: Shop) -> None:
    shop.back_up()
    over = drilled(shop.settings("drill: {diskQuota: 1MiB}, "))
    assert over.result.verdict is Verdict.ERROR
    assert any("diskQuota" in check.message for check in over.result.checks)
    late = drilled(shop.settings("drill: {deadline: 1s}, "))
    assert late.result.verdict is Verdict.ERROR
    assert any("deadline of 1 s passed" in check.message for check in late.result.checks)


def test_drill_waits_for_another_of_its_asset_and_says_so(shop: Shop) -> None:
    shop.back_up()
    settings = shop.settings(sandbox=", concurrent: 1")
    command = [sys.executable, "-m", "guardian", "drill", "shop", "--config", str(settings.path), "--format", "json"]
    err = settings.path.with_name("stderr")
    with err.open("wb") as sink:
        with turn(settings.sandbox.folder, settings.environment, "shop", concurrent=1, deadline_s=60, waits=print):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True)
            deadline = time.monotonic() + 60
            while "another drill of shop is under way" not in err.read_text():
                assert child.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            released = datetime.now(UTC)
        out, _ = child.communicate(timeout=120)
    assert child.returncode == 0, err.read_text()
    assert datetime.fromisoformat(json.loads(out)["drills"][0]["startedOn"]) >= released - timedelta(seconds=1)


def test_drill_that_waits_past_its_deadline_ends_and_says_for_what_it_waited(shop: Shop) -> None:
    shop.back_up()
    settings = shop.settings("drill: {deadline: 1s}, ", sandbox=", concurrent: 1")
    told: list[str] = []
    with (
        turn(settings.sandbox.folder, "other", "else", concurrent=1, deadline_s=1, waits=told.append),
        pytest.raises(GuardianError, match=r"1 drills are under way .* the deadline of this one passed"),
    ):
        drilled(settings)
    assert told == []
