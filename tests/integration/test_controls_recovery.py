"""Controls of backup and recovery on real drills of a real backup, and on what guardian.yaml declares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from jsonschema import Draft202012Validator

from guardian import config
from guardian.model import Slot, Verdict
from guardian.policy.evaluate import evaluate
from guardian.policy.standards import Standards
from guardian.usecases.collect import collect
from guardian.usecases.drill import drill_assets
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger
from tests.drill_support import STAMP, Estate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardian.model import Finding, Snapshot
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine
    from guardian.settings import Settings
    from verifiers.sandbox.isolation import Provider
    from verifiers.sandbox.server import SandboxServer

NIGHTLY = '{job: drill, asset: erp, cron: "0 3 * * *", timeZone: UTC, grace: 1h}'


def configured(
    folder: Path,
    estate: Estate | None = None,
    *,
    rpo: str = "5200w",
    schedules: str = f"[{NIGHTLY}]",
    backups: str = "[{name: nightly, format: pg_dump, path: backups, every: 520w}]",
    environment: str = "production",
    kind: str = "odoo",
) -> Settings:
    """Return settings of one asset; STAMP, the time of its backup, lies months back, so the usual RPO is long."""
    database = estate.database if estate else "erp"
    source = f"{{database: {database}{', filestore: filestore' if kind == 'odoo' else ''}}}"
    provider = estate.provider if estate else "bwrap"
    accepted = "[erp]" if provider == "none" else "[]"
    (folder / "guardian.yaml").write_text(
        f"environment: {environment}\n"
        f"services: [{{name: plant, tier: critical, rto: 4h, rpo: {rpo}, assets: [{{name: erp, type: {kind}, "
        f"assurance: sound, source: {source}, backups: {backups}}}]}}]\n"
        f"schedules: {schedules}\nsandbox: {{provider: {provider}, acceptNone: {accepted}, diskQuota: 5GiB}}\n",
        encoding="utf-8",
    )
    return config.load(folder / "guardian.yaml")


@dataclass
class Judged:
    """Judges a snapshot of `settings` with the drills of its log, where there is one."""

    bundle: Bundle
    engine: WasmEngine

    def __call__(self, settings: Settings, *, slots: Sequence[dict[str, Any]] = ()) -> dict[str, Finding]:
        """Return the finding of every control on the asset."""
        now = datetime.now(UTC)
        with Ledger(settings, writable=False) as ledger:
            snapshot = collect(settings, now=now, drills=ledger.drills(now), slots=slots)
        valid(snapshot)
        standards = Standards.of(self.bundle.catalogue, settings)
        found = evaluate(snapshot, engine=self.engine, catalogue=self.bundle.catalogue, standards=standards)
        asset = f"declared:{settings.environment}/asset/erp"
        return {finding.control: finding for finding in found.findings if finding.resource == asset}


def valid(snapshot: Snapshot) -> None:
    """See that every resource is what the schema says."""
    schema = json.loads(files("guardian.schemas").joinpath("resource.schema.json").read_text(encoding="utf-8"))
    for resource in snapshot.resources:
        Draft202012Validator(schema).validate(json.loads(json.dumps(resource.to_json())))


@pytest.fixture
def judged(policy_bundle: Bundle, wasm_engine: WasmEngine) -> Judged:
    return Judged(policy_bundle, wasm_engine)


@pytest.fixture
def estate(postgres_server: SandboxServer, postgres_url: str, sandbox_provider: Provider, tmp_path: Path) -> Estate:
    """A pair with one whole backup."""
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    made = Estate(postgres_server, str(database), tmp_path, sandbox_provider.name)
    made.fill()
    made.back_up()
    return made


def drilled(settings: Settings) -> None:
    drill_assets(settings, ["erp"], backup_id=None, progress=lambda *_: None)


def missed(ago: timedelta, **changes: Any) -> dict[str, Any]:
    """Return the attributes of a slot of the asset's drill that was missed so long ago."""
    due = datetime.now(UTC) - ago
    slot = Slot("drill:erp", due)
    return {
        "slot": slot.id,
        "job": slot.job,
        "asset": slot.asset,
        "due": f"{due:%Y-%m-%dT%H:%M:%SZ}",
        "ageSeconds": int(ago.total_seconds()),
        "state": "missed",
        "reason": "nobody ran it before its grace of 1 h ended",
        "recordId": "0193",
        "logIndex": 3,
        **changes,
    }


def test_pair_that_restores_whole_passes_and_the_loss_of_one_file_is_seen_by_the_newest_drill(
    estate: Estate, judged: Judged, tmp_path: Path
) -> None:
    settings = configured(tmp_path, estate)
    init_keys(settings)
    assert judged(settings)["backup.pair-consistent"].verdict is Verdict.ERROR  # never drilled
    drilled(settings)
    found = judged(settings)
    assert {name: finding.verdict for name, finding in found.items()} == {
        "backup.fresh": Verdict.PASS,
        "backup.pair-consistent": Verdict.PASS,
        "backup.restore-tested": Verdict.PASS,
        "backup.scheduled": Verdict.PASS,
        "recovery.rpo": Verdict.PASS,
        "recovery.rto": Verdict.PASS,
    }
    next(path for path in (estate.dump.parent / "filestore").rglob("*") if path.is_file()).unlink()
    drilled(settings)
    found = judged(settings)
    assert found["backup.pair-consistent"].verdict is Verdict.FAIL
    assert f"after the restore of backup {STAMP}: filestore.bijection failed" in found["backup.pair-consistent"].message
    assert found["recovery.rpo"].verdict is Verdict.ERROR
    assert "did not pass, so more than that may be lost" in found["recovery.rpo"].message
    (estate.dump.parent / "filestore" / "aa").mkdir(exist_ok=True)
    (estate.dump.parent / "filestore" / "aa" / ("aa" * 20)).write_bytes(b"another's content")
    drilled(settings)
    message = judged(settings)["backup.pair-consistent"].message
    assert "filestore.bijection, filestore.content failed" in message


def test_backup_cut_short_leaves_open_whether_the_pair_matches(estate: Estate, judged: Judged, tmp_path: Path) -> None:
    settings = configured(tmp_path, estate)
    init_keys(settings)
    whole = estate.dump.read_bytes()
    estate.dump.write_bytes(whole[: len(whole) // 2])
    drilled(settings)
    found = judged(settings)["backup.pair-consistent"]
    assert (found.verdict, "did not come to filestore.bijection" in found.message) == (Verdict.ERROR, True)


def test_data_loss_is_the_age_of_the_restored_backup_against_the_objective(
    estate: Estate, judged: Judged, tmp_path: Path
) -> None:
    settings = configured(tmp_path, estate)
    init_keys(settings)
    assert "no drill has measured one" in judged(settings)["recovery.rpo"].message
    drilled(settings)
    assert judged(settings)["recovery.rpo"].verdict is Verdict.PASS
    found = judged(configured(tmp_path, estate, rpo="15m"))
    assert found["recovery.rpo"].verdict is Verdict.FAIL
    age = datetime.now(UTC) - datetime.strptime(STAMP, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert f"would have lost at least {age.days} d" in found["recovery.rpo"].message
    assert found["recovery.rpo"].observed["backupId"] == STAMP


def test_missed_slot_fails_until_a_drill_passes_after_it(estate: Estate, judged: Judged, tmp_path: Path) -> None:
    settings = configured(tmp_path, estate)
    init_keys(settings)
    drilled(settings)
    before = missed(timedelta(days=1))
    assert judged(settings, slots=[before])["backup.restore-tested"].verdict is Verdict.PASS
    after = missed(timedelta(0))
    absent = missed(timedelta(0), state="absent", reason="no daemon was alive", recordId=None, logIndex=None)
    for slot, said in ((after, "was missed (nobody ran it"), (absent, "was closed by nobody (no daemon was alive)")):
        slot["ageSeconds"] = -1  # due after the drill, however fast this runs
        found = judged(settings, slots=[before, slot])["backup.restore-tested"]
        assert found.verdict is Verdict.FAIL
        assert f"{slot['slot']} {said}" in found.message
        assert before["slot"] not in found.message
    elsewhere = missed(timedelta(0), asset="crm", job="drill:crm", slot="drill:crm@2026-11-23T10:00:00Z")
    assert judged(settings, slots=[elsewhere])["backup.restore-tested"].verdict is Verdict.PASS


def test_drill_attributes_tell_what_passed_and_for_which_slot(estate: Estate, tmp_path: Path) -> None:
    settings = configured(tmp_path, estate)
    init_keys(settings)
    drilled(settings)
    with Ledger(settings, writable=False) as ledger:
        [drill] = ledger.drills(datetime.now(UTC))
    assert {"filestore.bijection", "filestore.content", "identity"} <= set(drill["passedChecks"])
    assert set(drill["passedChecks"]).isdisjoint([*drill["failedChecks"], *drill["erredChecks"]])
    assert drill["slot"] is None


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({}, Verdict.PASS, ""),
        ({"backups": "[]"}, Verdict.FAIL, "asset erp has no backup job"),
        ({"backups": "[{name: n, format: pg_dump, path: backups}]"}, Verdict.FAIL, "none says how often it runs"),
        ({"schedules": "[]"}, Verdict.FAIL, "asset erp has no scheduled drill"),
        (
            {"schedules": '[{job: scan, cron: "0 * * * *", timeZone: UTC, grace: 1h}]'},
            Verdict.FAIL,
            "no scheduled drill",
        ),
        ({"schedules": "[]", "environment": "development"}, Verdict.PASS, ""),
    ],
)
def test_asset_is_scheduled_when_guardian_yaml_gives_it_a_period_and_a_drill(
    changes: dict[str, Any], verdict: Verdict, said: str, judged: Judged, tmp_path: Path
) -> None:
    settings = configured(tmp_path, **changes)
    init_keys(settings)
    found = judged(settings)["backup.scheduled"]
    assert (found.verdict, said in found.message) == (verdict, True), found.message


def test_database_alone_is_passed_over_by_the_control_of_pairs(judged: Judged, tmp_path: Path) -> None:
    settings = configured(tmp_path, kind="postgres")
    init_keys(settings)
    assert judged(settings)["backup.pair-consistent"].verdict is Verdict.SKIP
