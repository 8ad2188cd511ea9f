"""A full report's worth of data for tests: one good backup, three bad ones, controls of every outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from guardian.model import (
    Asset,
    Assurance,
    BackupJob,
    ControlSummary,
    Drill,
    Evaluation,
    Finding,
    Mode,
    Recovery,
    Service,
    Severity,
    Source,
    Tier,
    Verdict,
)
from guardian.reports.inputs import ReportInput
from verifiers.result import Check, DrillResult, Phase
from verifiers.sources import Place

NOW = datetime(2026, 11, 23, 11, 40, 54, tzinfo=UTC)

RESTORED = ("backup.digest", "archive.complete", "restore.messages", "server.started", "catalog.readable", "identity",
            "isolation", "freshness")  # fmt: skip
SOUND = ("pages", "amcheck", "constraints", "indexes", "extensions", "filestore.content", "filestore.bijection")
EXACT = ("catalog.diff", "content.rows", "content.hashes", "sequences", "large-objects", "materialized-views",
         "filestore.manifest")  # fmt: skip

FAILED = {
    "content.hashes": Check(
        "content.hashes",
        Assurance.EXACT,
        Verdict.FAIL,
        {"public.account_move_line": "…3a91c204"},
        {"public.account_move_line": "…77b0f1d9"},
        "1 of 39 tables differs from the source in content though not in row count: public.account_move_line",
        0.4,
    ),
    "filestore.bijection": Check(
        "filestore.bijection",
        Assurance.SOUND,
        Verdict.FAIL,
        {"rowsWithoutFile": 0},
        {"rowsWithoutFile": 3, "names": ["0a/0a5e", "7c/7c21", "e9/e9f0"]},
        "3 attachments have no file: 0a/0a5e, 7c/7c21, e9/e9f0",
        0.2,
    ),
    "archive.complete": Check(
        "archive.complete",
        Assurance.RESTORED,
        Verdict.FAIL,
        {"blocks": 39},
        {"blocks": 21, "bytes": 10_749_283},
        "the archive ends inside the data of public.sale_order_line, at byte 10,749,283",
        0.1,
    ),
}


def service(name: str = "erp-plant1") -> Service:
    """A service with every objective declared and four assets."""
    names = ("erp-good", "erp-digit", "erp-files", "erp-truncated")
    return Service(
        name=name,
        owner="ops",
        escalation="oncall",
        tier=Tier.CRITICAL,
        tenancy="dedicated",
        data_class="confidential",
        rto_s=4 * 3600,
        rpo_s=24 * 3600,
        recovery=Recovery(300, 600, 300),
        depends_on=(),
        assets=tuple(
            Asset(
                asset,
                "odoo",
                name,
                None,
                Source("erp-db", asset),
                (BackupJob("nightly", Place("pg_dump", "/b"), 86400),),
            )
            for asset in names
        ),
    )


def drill(asset: str, failed: str | None = None, **changes: Any) -> Drill:
    """One drill of `asset`; failed: the check that fails. What it makes unreachable is an error or a skip."""
    checks = []
    for level, ids in ((Assurance.RESTORED, RESTORED), (Assurance.SOUND, SOUND), (Assurance.EXACT, EXACT)):
        for name in ids:
            if name == failed:
                checks.append(FAILED[name])
            elif name == "pages":
                said = "a logical restore writes its own pages, so checksums say nothing of the backup"
                checks.append(Check(name, level, Verdict.SKIP, message=said))
            elif failed == "archive.complete" and name not in {"backup.digest", "isolation", "freshness"}:
                said = "not reached: the archive is not complete"
                checks.append(Check(name, level, Verdict.ERROR, message=said))
            else:
                checks.append(Check(name, level, Verdict.PASS, duration_s=0.1))
    phases = [Phase("locate", 0.01), Phase("fetch", 0.06), Phase("verify archive", 0.11)]
    if failed != "archive.complete":
        phases += [Phase("restore", 3.9), Phase("start", 0.42), Phase("compare", 1.7), Phase("application checks", 0.6)]
    phases.append(Phase("teardown", 0.2))
    result = DrillResult(
        required=Assurance.EXACT,
        checks=changes.pop("checks", checks),
        phases=changes.pop("phases", phases),
        backup={"id": "20261123T113944Z", "format": "pg_dump", "takenAt": "2026-11-23T11:39:44.000Z",
                "sizeBytes": 22_654_956, "sha256": "5d" * 32},
        restored=failed != "archive.complete",
        sandbox={"provider": "bwrap", "postgres": "18.6", "cpus": 2,
                 "settings": {"fsync": "off", "wal_level": "minimal"}},
        measurements={"bytes": 22_654_956, "rows": 80_486, "tables": 39, "files": 360, "rpoSeconds": 68.2},
    )  # fmt: skip
    owner = changes.pop("service", service())
    known = {one.name: one for one in owner.assets}
    return Drill(
        run_id="019abe6d-0000-7000-8000-0000000000ff",
        asset=known.get(asset) or Asset(asset, "odoo", owner.name, None, Source()),
        service=owner,
        started_on=NOW - timedelta(seconds=60),
        finished_on=NOW - timedelta(seconds=52),
        result=result,
    )


def drills() -> list[Drill]:
    """The four drills of the demo."""
    return [
        drill("erp-good"),
        drill("erp-digit", "content.hashes"),
        drill("erp-files", "filestore.bijection"),
        drill("erp-truncated", "archive.complete"),
    ]


def _passed(control: str, resource: str) -> Finding:
    return Finding(control, resource, Verdict.PASS, Severity.CRITICAL, "", None, None, Mode.DENY)


def evaluation() -> Evaluation:
    """Six controls: passes, a fail on a role, fails and an error on assets, one out of scope, one off."""
    asset = "declared:production/asset/"
    bad = ("erp-digit", "erp-files", "erp-truncated")
    findings = [
        Finding("backup.restore-tested", f"{asset}{name}", Verdict.FAIL, Severity.CRITICAL,
                f"the newest drill of asset {name} failed", "a passing drill", "fail", Mode.DENY)
        for name in bad
    ]  # fmt: skip
    findings += [
        _passed("backup.restore-tested", f"{asset}erp-good"),
        _passed("postgres.durability", "pg:erp-db/server"),
        Finding("postgres.superusers", "pg:erp-db/role/old_admin", Verdict.FAIL, Severity.CRITICAL,
                "old_admin can log in and is a superuser, and is not on the list of allowed ones", "not a superuser",
                "LOGIN SUPERUSER", Mode.DENY),
        _passed("postgres.superusers", "pg:erp-db/role/postgres"),
        Finding("recovery.rto", f"{asset}erp-truncated", Verdict.ERROR, Severity.HIGH,
                "no drill of asset erp-truncated restored, so its recovery time is not known", None, None, Mode.WARN),
        _passed("recovery.rto", f"{asset}erp-good"),
        _passed("service.declared", "declared:production/service/erp-plant1"),
    ]  # fmt: skip

    def summary(control: str, title: str, severity: Severity, **extra: Any) -> ControlSummary:
        mine = [finding for finding in findings if finding.control == control]
        counts = {verdict: sum(1 for f in mine if f.verdict is verdict) for verdict in Verdict}
        return ControlSummary(control, title, severity, len(mine), counts, **extra)

    summaries = [
        summary("backup.restore-tested", "Every asset has been restored and verified", Severity.CRITICAL),
        summary("ingress.tls", "Every route is served over TLS", Severity.HIGH, scope="out of scope",
                reason="no kubernetes collector is configured"),
        summary("postgres.durability", "What PostgreSQL has confirmed is on disk", Severity.CRITICAL),
        summary("postgres.superusers", "Superusers are on a list", Severity.CRITICAL),
        summary("recovery.rto", "The estimated recovery time is within the objective", Severity.HIGH),
        summary("service.declared", "Every service has an owner and objectives", Severity.MEDIUM),
        summary("workload.probes", "Workloads have probes", Severity.LOW, scope="off", reason="mode off"),
    ]  # fmt: skip
    return Evaluation(findings, summaries, "ab" * 32, "wasm", "wasmtime 50.0.1")


def controls() -> dict[str, dict[str, Any]]:
    """Metadata of the controls, as the catalogue describes it."""
    return {
        "postgres.superusers": {
            "title": "Superusers are on a list",
            "severity": "critical",
            "description": "No role that can log in is a superuser, unless it is on `allowed`.",
            "remediation": "Take the right away: `ALTER ROLE name NOSUPERUSER;`. Or list it in guardian.yaml.",
            "frameworks": {"nist-800-53r5": ["AC-6(5)"], "iso-27001-2022": ["A.8.2"], "soc2": ["CC6.3"]},
        },
        "backup.restore-tested": {
            "title": "Every asset has been restored and verified within its cadence",
            "severity": "critical",
            "description": "The newest drill of every asset passed.",
            "remediation": "Run `guardian drill ASSET` and read what it says.",
            "frameworks": {"nist-800-53r5": ["CP-4", "CP-9(1)"], "dora": ["12(2)"]},
        },
    }


def records() -> list[dict[str, Any]]:
    """A log of a few records, as `guardian evidence list` gives them."""
    kinds: list[tuple[str, str | None, str, str | None]] = [("key-event", None, "PASSED", None)]
    kinds += [("source-manifest", f"erp-{name}", "PASSED", None) for name in ("good", "digit", "files", "truncated")]
    kinds += [("restore-drill", "erp-good", "PASSED", "exact"), ("restore-drill", "erp-digit", "FAILED", "sound"),
              ("restore-drill", "erp-files", "FAILED", "restored"), ("restore-drill", "erp-truncated", "FAILED", None),
              ("policy-evaluation", None, "FAILED", None)]  # fmt: skip
    return [
        {
            "index": index,
            "recordId": f"019abe6d-0000-7000-8000-{index:012d}",
            "kind": kind,
            "subject": f"backup:{asset}/20261123T113944Z" if asset else f"{kind}:{index}",
            "asset": asset,
            "result": result,
            "assurance": assurance,
            "time": "2026-11-23T11:40:02.123Z",
        }
        for index, (kind, asset, result, assurance) in enumerate(kinds)
    ]


def report_input(**changes: Any) -> ReportInput:
    """The whole input of the demo's report, with changes."""
    given: dict[str, Any] = {
        "environment": "production",
        "generated_at": NOW,
        "evaluation": evaluation(),
        "controls": controls(),
        "services": [service()],
        "drills": drills(),
        "records": records(),
        "log": {"origin": "guardian/production/5a1c99e0", "size": 10, "root": "c4" * 32},
        "verify_command": "guardian verify pack.zip --root root.json",
    }
    return ReportInput(**{**given, **changes})
