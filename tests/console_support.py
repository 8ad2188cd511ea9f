"""Weeks of an environment's evidence for the console: schedules, drills, scans, misses, and text that would do harm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from evidence import statement
from guardian import config
from guardian.model import (
    Assurance,
    CollectorStatus,
    ControlSummary,
    Drill,
    Evaluation,
    Finding,
    Mode,
    Resource,
    Severity,
    Slot,
    Verdict,
)
from guardian.records import Run, access_event, missed_slot, policy_evaluation, restore_drill, schedule
from guardian.usecases import tokens
from guardian.usecases.collect import build
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger
from verifiers.result import Check, DrillResult, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings

HOSTILE = (
    "</pre></script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>\" onclick='window.harmed=1' "
    "`{{ 7*7 }}` javascript:alert(1) \u202e\u2066&amp;"
)
DAYS = 40
CONFIG = """\
environment: production
services:
- name: erp-plant1
  owner: ops
  escalation: oncall
  tier: critical
  tenancy: dedicated
  dataClass: confidential
  rto: 4h
  rpo: 24h
  recovery: {detect: 5m, decide: 10m, redirect: 5m}
  dependsOn: []
  match: [{collector: erp-db}]
  assets:
  - {name: erp, type: odoo, assurance: exact, source: {postgres: erp-db, database: erp, filestore: fs},
     backups: [{name: nightly, format: pg_dump, path: backups/erp, every: 24h}]}
  - {name: erp-archive, type: postgres, assurance: sound, source: {postgres: erp-db, database: archive},
     backups: [{name: weekly, format: pg_dump, path: backups/archive, every: 168h}]}
- name: shop-north
  owner: web
  tier: standard
  rto: 8h
  rpo: 24h
  match: [{collector: shop-db}]
  assets:
  - {name: shop, type: postgres, assurance: sound, source: {postgres: shop-db, database: shop},
     backups: [{name: nightly, format: pg_dump, path: backups/shop, every: 24h}]}
- name: wiki
  owner: office
  tier: low
  rto: 72h
  rpo: 48h
  match: [{collector: shop-db, idPrefix: "pg:shop-db/database/wiki"}]
  assets:
  - {name: wiki, type: postgres, source: {postgres: shop-db, database: wiki},
     backups: [{name: nightly, format: pg_dump, path: backups/wiki, every: 24h}]}
collectors:
- {name: erp-db, type: postgres, dsn: "env:ERP_DSN"}
- {name: shop-db, type: postgres, dsn: "env:SHOP_DSN"}
schedules:
- {job: scan, cron: "0 18 * * *", timeZone: UTC, grace: 30m}
- {job: drill, asset: erp, cron: "0 3 * * *", timeZone: UTC, grace: 1h}
- {job: drill, asset: erp-archive, cron: "0 5 * * 1", timeZone: UTC, grace: 1h}
- {job: drill, asset: shop, cron: "30 4 * * *", timeZone: UTC, grace: 1h}
sandbox: {provider: bwrap, acceptNone: [], diskQuota: 5GiB}
storage: {database: .guardian/guardian.db, objects: .guardian/objects}
keys: {record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}
api: {listen: "127.0.0.1:0", requestsPerMinute: 100000}
"""
_JOBS = [
    ("drill:erp", "erp", "erp-plant1", "0 3 * * *"),
    ("drill:erp-archive", "erp-archive", "erp-plant1", "0 5 * * 1"),
    ("drill:shop", "shop", "shop-north", "30 4 * * *"),
    ("scan", None, None, "0 18 * * *"),
]
_CHECKS = {
    Assurance.RESTORED: ("backup.digest", "archive.complete", "restore.messages", "catalog.readable"),
    Assurance.SOUND: ("amcheck", "constraints", "indexes"),
    Assurance.EXACT: ("content.rows", "content.hashes", "sequences"),
}


@dataclass(frozen=True)
class Estate:
    """The environment, tokens of an auditor of everything and of one of shop-north alone, and when it all began."""

    settings: Settings
    token: str
    limited: str
    began: datetime

    @property
    def month(self) -> str:
        """A month in which drills ran, as the console's addresses name it."""
        return f"{self.began + timedelta(days=10):%Y-%m}"


def make_estate(folder: Path, *, now: datetime | None = None, hostile: bool = True) -> Estate:
    """Write DAYS of evidence that end yesterday. hostile: whether texts of others try to do harm."""
    (folder / "guardian.yaml").write_text(CONFIG, encoding="utf-8")
    settings = config.load(folder / "guardian.yaml")
    init_keys(settings)
    today = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    began = today - timedelta(days=DAYS)
    _Story(settings, began, HOSTILE if hostile else "").tell()
    added = [tokens.add(settings, name, "auditor", services=services)
             for name, services in (("auditor", ()), ("shop-only", ("shop-north",)))]  # fmt: skip
    return Estate(settings, added[0].token, added[1].token, began)


class _Story:
    def __init__(self, settings: Settings, began: datetime, hostile: str) -> None:
        self._settings, self._began, self._hostile = settings, began, hostile
        self._statements: list[bytes] = []

    def tell(self) -> None:
        with Ledger(self._settings, writable=True) as ledger:
            self._context: Any = ledger.context()
            self._schedule()
            for number in range(DAYS):
                self._day(number, self._began + timedelta(days=number))
                self._scan(ledger, self._began + timedelta(days=number, hours=18))
            self._accesses()
            ledger.append(self._statements)

    def _run(self, job: str, due: datetime, took_s: float, *, slot: bool = True) -> Run:
        started = due + timedelta(seconds=3)
        return Run(statement.new_record_id(), job, started, started + timedelta(seconds=took_s), "guardian@plant",
                   trigger="schedule" if slot else "manual", slot=Slot(job, due) if slot else None)  # fmt: skip

    def _schedule(self) -> None:
        jobs = [{"job": job, "asset": asset, "service": service, "schedules": [{"cron": cron, "timeZone": "UTC"}],
                 "graceSeconds": 3600, "attempts": 1} for job, asset, service, cron in _JOBS]  # fmt: skip
        run = self._run("schedule", self._began, 0, slot=False)
        self._statements.append(schedule(run, self._context, jobs, digest="ab" * 32, supersedes=None))

    def _day(self, number: int, day: datetime) -> None:
        """One day: mostly good, with a failure, an error, a miss, and slots that nobody closed."""
        due = day + timedelta(hours=3)
        if number == 21:
            self._miss("erp", due)
        elif number not in {22, 23}:  # nobody was there, and nobody closed them
            verdict = {12: "fail", 30: "error"}.get(number, "pass")
            restore_s = 3 * 3600 + 3600 if number == 15 else 540 + 23 * (number % 7)
            self._drill("erp", due, verdict, restore_s, rpo_s=7200 + 60 * number)
        if day.isoweekday() == 1:
            self._drill("erp-archive", day + timedelta(hours=5), "pass", 95, rpo_s=3 * 86400)
        self._drill("shop", day + timedelta(hours=4, minutes=30), "pass", 61 + number % 5, rpo_s=3600)

    def _drill(self, asset: str, due: datetime, verdict: str, restore_s: float, rpo_s: float) -> None:
        known = self._settings.assets()[asset]
        top = Assurance.EXACT if asset == "erp" else Assurance.SOUND
        bad = {"fail": "content.hashes", "error": "amcheck"}.get(verdict)
        said = f"1 of 39 tables differs from the source: public.account_move_line {self._hostile}".strip()
        checks = [
            Check(name, level, Verdict(verdict) if name == bad else Verdict.PASS, None, None,
                  said if name == bad else "", 0.4)
            for level, names in _CHECKS.items() if level.rank <= top.rank for name in names
        ]  # fmt: skip
        phases = [Phase("fetch", 12), Phase("verify archive", 8), Phase("restore", restore_s - 22), Phase("start", 2)]
        run = self._run(f"drill:{asset}", due, restore_s + 60)
        backup = {"id": f"{due - timedelta(hours=2):%Y%m%dT%H%M%SZ}", "takenAt": f"{due - timedelta(hours=2):%FT%TZ}",
                  "sha256": "cd" * 32, "format": "pg_dump", "sizeBytes": 22_654_956}  # fmt: skip
        result = DrillResult(
            required=top,
            checks=checks,
            phases=[*phases, Phase("compare", 41), Phase("teardown", 1)],
            backup=backup,
            restored=True,
            sandbox={"provider": "bwrap", "postgresVersion": "18.6", "cpus": 4},
            measurements={"rpoSeconds": rpo_s, "rows": 80_486, "tables": 39},
        )
        service = self._settings.service(known.service)
        drill = Drill(run.run_id, known, service, run.started_on, run.finished_on, result)
        self._statements.append(restore_drill(run, self._context, drill, None))

    def _miss(self, asset: str, due: datetime) -> None:
        run = self._run(f"drill:{asset}", due, 3600)
        reason = f"no daemon was alive {self._hostile}".strip()
        service = self._settings.assets()[asset].service
        self._statements.append(missed_slot(run, self._context, asset=asset, service=service, reason=reason))

    def _accesses(self) -> None:
        moment = f"{self._began + timedelta(days=3):%FT%T.000Z}"
        access = {"token": f"auditor {self._hostile}".strip(), "role": "auditor", "route": "GET /v1/records",
                  "status": 200, "count": 3, "from": moment, "until": moment}  # fmt: skip
        run = self._run("access", self._began + timedelta(days=3), 60, slot=False)
        self._statements.append(access_event(run, self._context, accesses=[access], omitted=0))

    def _scan(self, ledger: Ledger, due: datetime) -> None:
        """A scan of real controls: one violated, one not checked, the rest held."""
        run = self._run("scan", due, 20)
        told = [
            ("postgres.superusers", "erp-plant1", Verdict.FAIL, "old_admin can log in and is a superuser"),
            ("postgres.durability", "erp-plant1", Verdict.PASS, ""),
            ("postgres.durability", "shop-north", Verdict.PASS, ""),
            ("backup.restore-tested", "erp-plant1", Verdict.PASS, ""),
            ("backup.restore-tested", "shop-north", Verdict.PASS, ""),
            ("recovery.rto", "erp-plant1", Verdict.ERROR, "the drill did not finish"),
            ("service.declared", "erp-plant1", Verdict.PASS, ""),
            ("service.declared", "shop-north", Verdict.PASS, ""),
        ]
        resources, findings = [], []
        for control, service, verdict, said in told:
            name = f"pg:erp-db/role/{control}-{service}"
            source = {"collector": "postgres", "name": "erp-db"}
            resources.append(Resource("postgres.Role", name, service, None, None, {}, source, {}))
            message = f"{said} {self._hostile}".strip() if said else ""
            findings.append(Finding(control, name, verdict, Severity.HIGH, message, None, None, Mode.DENY))
        statuses = [CollectorStatus("postgres", name, ["postgres.Role"], "complete") for name in ("erp-db", "shop-db")]
        snapshot = build("production", run.started_on, statuses, resources)
        summaries = [
            ControlSummary(control, control, Severity.HIGH, sum(f.control == control for f in findings),
                           {v: sum(f.control == control and f.verdict is v for f in findings) for v in Verdict})
            for control in dict.fromkeys(entry[0] for entry in told)
        ]  # fmt: skip
        attached = [
            ledger.attach("snapshot.jsonl", "application/jsonl", snapshot.data),
            ledger.attach("findings.json", "application/json", orjson.dumps([one.to_json() for one in findings])),
        ]
        evaluation = Evaluation(findings, summaries, "ab" * 32, "wasm", "1")
        self._statements.append(policy_evaluation(run, self._context, snapshot, evaluation, attached))
