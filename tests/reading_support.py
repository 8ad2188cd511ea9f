"""An environment with two services and a log of every kind of record, to be read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from evidence import statement
from guardian import config
from guardian.model import (
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
from guardian.records import (
    Run,
    access_event,
    missed_slot,
    policy_evaluation,
    restore_drill,
    unfinished_drill,
    unfinished_scan,
)
from guardian.usecases.collect import build
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger
from verifiers.result import Assurance, Check, DrillResult, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardian.settings import Settings

START = datetime(2026, 11, 1, tzinfo=UTC)
TRANSPORT, TESTED = "postgres.transport", "backup.restore-tested"
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
  rpo: 15m
  dependsOn: []
  match: [{{collector: erp-db}}]
  assets:
  - {{name: erp, type: postgres, assurance: sound, source: {{postgres: erp-db, database: erp}},
     backups: [{{name: nightly, format: pg_dump, path: backups/erp, every: 24h}}]}}
- name: secret-plant2
  owner: hidden-owner
  tier: low
  match: [{{collector: secret-db}}]
  assets:
  - {{name: secret-asset, type: postgres, source: {{postgres: secret-db, database: hidden}},
     backups: [{{name: weekly, format: pg_dump, path: backups/hidden, every: 168h}}]}}
collectors:
- {{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}}
- {{name: secret-db, type: postgres, dsn: "env:HIDDEN_DSN"}}
schedules:
- {{job: scan, cron: "0 * * * *", timeZone: UTC, grace: 30m}}
- {{job: drill, asset: erp, cron: "0 3 * * *", timeZone: Europe/Berlin, grace: 1h}}
- {{job: drill, asset: secret-asset, cron: "0 4 * * *", timeZone: Europe/Berlin, grace: 1h}}
sandbox: {{provider: bwrap, acceptNone: [], diskQuota: 5GiB}}
storage: {{database: {database}, objects: .guardian/objects}}
keys: {{record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}}
"""


def environment(folder: Path, *, database: str = ".guardian/guardian.db") -> Settings:
    """Make an initialised environment. database: a path, or `"env:NAME"` with its quotes."""
    (folder / "guardian.yaml").write_text(CONFIG.format(database=database), encoding="utf-8")
    settings = config.load(folder / "guardian.yaml")
    init_keys(settings)
    return settings


def run_of(job: str, minute: int, slot: Slot | None = None) -> Run:
    """Return a run that finished `minute` minutes after START."""
    finished = START + timedelta(minutes=minute)
    return Run(statement.new_record_id(), job, finished - timedelta(seconds=30), finished, "tester@here", slot=slot)


@dataclass
class Writer:
    """Appends records, one minute apart. appended: (index, record id) of each."""

    settings: Settings
    minute: int = 0
    appended: list[tuple[int, str]] = field(default_factory=list)

    def write(self, *statements: bytes) -> int:
        """Append in one commit and return the index of the last."""
        with Ledger(self.settings, writable=True) as ledger:
            done = ledger.append(statements)
        self.appended += [(one.index, one.record_id) for one in done]
        return done[-1].index

    def run(self, job: str, slot: Slot | None = None) -> Run:
        self.minute += 1
        return run_of(job, self.minute, slot)

    def scan(
        self,
        verdicts: Mapping[str, Mapping[str | None, Sequence[str]]],
        *,
        attach: bool = True,
        partial: Sequence[str] = (),
        waived: bool = False,
    ) -> int:
        """Append a scan. verdicts: by control and service, those of its resources."""
        run = self.run("scan")
        resources, findings = [], []
        for control, services in verdicts.items():
            for service, found in services.items():
                for number, verdict in enumerate(found):
                    named = f"pg:{service}/role/{control}-{number}"
                    source = {"collector": "postgres", "name": "erp-db"}
                    resources.append(Resource("postgres.Role", named, service, None, None, {}, source, {}))
                    waiver = {"id": "w1"} if waived and verdict == "fail" else None
                    findings.append(
                        Finding(control, named, Verdict(verdict), Severity.HIGH, "told", None, None, Mode.DENY, waiver)
                    )
        statuses = [
            CollectorStatus("postgres", name, ["postgres.Role"], "partial" if name in partial else "complete")
            for name in ("erp-db", "secret-db")
        ]
        snapshot = build("production", run.started_on, statuses, resources)
        summaries = [
            ControlSummary(
                control,
                control,
                Severity.HIGH,
                sum(len(found) for found in services.values()),
                {v: sum(found.count(v.value) for found in services.values()) for v in Verdict},
            )
            for control, services in verdicts.items()
        ]
        evaluation = Evaluation(findings, summaries, "ab" * 32, "wasm", "1")
        with Ledger(self.settings, writable=True) as ledger:
            attached = []
            if attach:
                attached = [
                    ledger.attach("snapshot.jsonl", "application/jsonl", snapshot.data),
                    ledger.attach(
                        "findings.json", "application/json", orjson.dumps([one.to_json() for one in findings])
                    ),
                ]
            return self.write(policy_evaluation(run, ledger.context(), snapshot, evaluation, attached))

    def unfinished_scan(self, reason: str) -> int:
        return self.write(unfinished_scan(self.run("scan"), self.context(), reason=reason))

    def drill(
        self,
        asset: str = "erp",
        verdict: str = "pass",
        *,
        slot: Slot | None = None,
        restore_s: float = 60.0,
        rpo_s: float | None = 600.0,
    ) -> int:
        """Append a drill of one check."""
        run = self.run("drill", slot)
        known = self.settings.assets()[asset]
        result = DrillResult(
            required=Assurance.RESTORED,
            checks=[Check("starts", Assurance.RESTORED, Verdict(verdict), message="told")],
            phases=[Phase("restore", restore_s)],
            backup={"id": f"{asset}-1", "takenAt": "2026-11-01T00:00:00Z", "sha256": "cd" * 32, "format": "pg_dump"},
            restored=True,
            measurements={} if rpo_s is None else {"rpoSeconds": rpo_s},
        )
        service = self.settings.service(known.service)
        drill = Drill(run.run_id, known, service, run.started_on, run.finished_on, result)
        return self.write(restore_drill(run, self.context(), drill, None))

    def killed_drill(self, asset: str | None = "erp", service: str | None = "erp-plant1") -> int:
        run = self.run("drill")
        return self.write(
            unfinished_drill(run, self.context(), asset=asset, service=service, reason="killed: it ended")
        )

    def missed(self, asset: str = "erp") -> int:
        known = self.settings.assets()[asset]
        run = self.run(f"drill:{asset}", Slot(f"drill:{asset}", START + timedelta(minutes=self.minute)))
        return self.write(missed_slot(run, self.context(), asset=asset, service=known.service, reason="nobody ran it"))

    def access(self) -> int:
        return self.write(access_event(self.run("access"), self.context(), accesses=[], omitted=0))

    def decision(self, service: str | None = "erp-plant1", control: str = TRANSPORT, verdict: str = "fail") -> int:
        """Append an admission decision, in the shape that the webhook signs."""
        run = replace(self.run("admission"), trigger="admission")
        result = {"pass": "PASSED", "fail": "FAILED", "error": "ERROR", "skip": "SKIPPED"}[verdict]
        found = {"control": control, "resource": "k8s:x", "verdict": verdict, "waiver": None}
        predicate: dict[str, Any] = {
            "recordId": statement.new_record_id(),
            "environment": "production",
            "run": run.to_json(),
            "service": service,
            "result": result,
            "findings": [found],
            "attachments": [],
        }
        subject = {"name": f"request:CREATE:of-{service}", "digest": {"sha256": "ef" * 32}}
        return self.write(statement.build("admission-decision", [subject], predicate))

    def some_of_all(self) -> None:
        """Append about twenty records of all kinds, of both services."""
        self.scan({TRANSPORT: {"erp-plant1": ["pass", "pass"], "secret-plant2": ["fail"] * 7}})
        self.drill()
        self.drill("secret-asset", "fail")
        self.decision()
        self.decision("secret-plant2", TESTED, "pass")
        self.decision(None, TRANSPORT, "error")
        self.missed()
        self.missed("secret-asset")
        self.access()
        self.unfinished_scan("job ended without a result: secret-plant2 fell over")
        self.killed_drill()
        self.killed_drill(None, None)
        self.drill("erp", "error")
        self.drill("secret-asset")
        self.scan(
            {
                TRANSPORT: {"erp-plant1": ["pass", "skip"], "secret-plant2": ["fail"] * 7, None: ["error"]},
                TESTED: {"erp-plant1": ["fail"], "secret-plant2": ["pass"] * 11},
            }
        )
        self.drill()

    def context(self) -> Any:
        with Ledger(self.settings, writable=False) as ledger:
            return ledger.context()
