"""Resources, snapshots and settings for tests of policies: complete and right by default, changed by keyword."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardian.model import CollectorStatus, Mode, Resource, Snapshot, Tier
from guardian.settings import ControlSettings, EngineSettings, Keys, SandboxSettings, Secret, Settings, Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
ENVIRONMENT = "production"
KINDS: Mapping[str, Sequence[str]] = {
    "declared": ("guardian.Asset", "guardian.Service"),
    "records": ("guardian.Drill", "guardian.Slot"),
    "backups": ("backup.Backup",),
    "postgres": ("postgres.Database", "postgres.HbaRule", "postgres.Replica", "postgres.Role", "postgres.Server"),
}


def settings(environment: str = ENVIRONMENT, /, **controls: ControlSettings) -> Settings:
    """Return settings that say nothing but what `controls` do, by id; `_` stands for `.`, `__` for `-`."""
    secret = Secret("file:/nowhere")
    return Settings(
        path=Path("guardian.yaml"),
        environment=environment,
        services=[],
        collectors=[],
        engine=EngineSettings(),
        controls={name.replace("__", "-").replace("_", "."): value for name, value in controls.items()},
        schedules=[],
        sandbox=SandboxSettings("bwrap", (), 1, Path("/nowhere")),
        storage=Storage(Path("/nowhere"), Path("/nowhere")),
        keys=Keys(secret, secret, secret),
    )


def off(*tiers: Tier) -> ControlSettings:
    """Return settings that turn a control off, for these tiers or for all."""
    return ControlSettings(mode=dict.fromkeys(tiers, Mode.OFF) if tiers else {None: Mode.OFF})


def resource(
    kind: str,
    identity: str,
    attributes: Mapping[str, Any],
    *,
    collector: tuple[str, str] = ("declared", ENVIRONMENT),
    service: str | None = "erp-plant1",
    tier: Tier | None = Tier.CRITICAL,
    asset: str | None = None,
) -> Resource:
    """Return one resource."""
    source = {"collector": collector[0], "name": collector[1]}
    return Resource(kind, identity, service, tier, asset, {}, source, attributes)


def role(name: str, *, server: str = "erp-db", tier: Tier | None = Tier.CRITICAL, **changes: Any) -> Resource:
    """Return a role that may log in and nothing else."""
    attributes = {
        "name": name,
        "superuser": False,
        "createRole": False,
        "createDatabase": False,
        "replication": False,
        "bypassRls": False,
        "canLogin": True,
        "inherit": True,
        "connectionLimit": -1,
        "validUntil": None,
        "passwordType": "scram-sha-256",
        "memberOf": [],
        "canBecome": [],
        "predefined": name.startswith("pg_"),
        **changes,
    }
    return resource("postgres.Role", f"pg:{server}/role/{name}", attributes, collector=("postgres", server), tier=tier)


def server(name: str = "erp-db", *, tier: Tier | None = Tier.CRITICAL, **changes: Any) -> Resource:
    """Return a durable server that listens on its socket alone."""
    attributes = {
        "version": "18.6",
        "versionNumber": 180006,
        "systemIdentifier": "7430000000000000000",
        "inRecovery": False,
        "settings": {
            "fsync": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "synchronous_commit": "on",
            "port": "5432",
            "listen_addresses": "",
            "ssl": "off",
        },
        "overrides": [],
        "hbaRules": 1,
        **changes,
    }
    return resource("postgres.Server", f"pg:{name}/server", attributes, collector=("postgres", name), tier=tier)


def hba_rule(line: int = 1, *, server: str = "erp-db", tier: Tier | None = Tier.CRITICAL, **changes: Any) -> Resource:
    """Return a rule of pg_hba.conf that admits from a network by SCRAM within TLS."""
    attributes = {
        "type": "hostssl",
        "databases": ["all"],
        "users": ["all"],
        "address": "10.0.0.0",
        "netmask": "255.0.0.0",
        "method": "scram-sha-256",
        "options": [],
        "error": None,
        "file": "/etc/postgresql/pg_hba.conf",
        "line": line,
        **changes,
    }
    identity = f"pg:{server}/hba/pg_hba.conf:{line}"
    return resource("postgres.HbaRule", identity, attributes, collector=("postgres", server), tier=tier)


def service(name: str = "erp-plant1", **changes: Any) -> Resource:
    """Return a completely declared service."""
    attributes = {
        "name": name,
        "owner": "ops",
        "escalation": "oncall",
        "tier": "critical",
        "tenancy": "dedicated",
        "dataClass": "confidential",
        "rtoSeconds": 14400,
        "rpoSeconds": 86400,
        "recovery": {"detectSeconds": 300, "decideSeconds": 600, "redirectSeconds": 300},
        "dependsOn": [],
        "assets": ["erp"],
        **changes,
    }
    return resource("guardian.Service", f"declared:{ENVIRONMENT}/service/{name}", attributes)


def asset(name: str = "erp", *, tier: Tier | None = Tier.CRITICAL, **changes: Any) -> Resource:
    """Return an asset with one backup job and a scheduled drill."""
    attributes = {
        "name": name,
        "type": "odoo",
        "service": "erp-plant1",
        "assurance": None,
        "rtoSeconds": 14400,
        "rpoSeconds": 86400,
        "recovery": {"detectSeconds": 300, "decideSeconds": 600, "redirectSeconds": 300},
        "database": "erp",
        "filestore": True,
        "backups": [{"name": "nightly", "format": "pg_dump", "everySeconds": 86400}],
        "schedules": [{"job": "drill", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"}],
        **changes,
    }
    return resource("guardian.Asset", f"declared:{ENVIRONMENT}/asset/{name}", attributes, tier=tier, asset=name)


def backup(identity: str = "20261123T090000Z", *, of: str = "erp", **changes: Any) -> Resource:
    """Return a complete backup, two hours old."""
    attributes = {
        "asset": of,
        "job": "nightly",
        "format": "pg_dump",
        "backupId": identity,
        "takenAt": "2026-11-23T09:00:00Z",
        "ageSeconds": 7200,
        "sizeBytes": 1000,
        "complete": True,
        "reason": "",
        **changes,
    }
    collector = ("backups", ENVIRONMENT)
    return resource("backup.Backup", f"backup:{of}/{identity}", attributes, collector=collector, asset=of)


def drill(record: str = "r1", *, of: str = "erp", **changes: Any) -> Resource:
    """Return a drill that passed an hour ago."""
    attributes = {
        "asset": of,
        "service": "erp-plant1",
        "backupId": "20261123T090000Z",
        "backupTakenAt": "2026-11-23T09:00:00Z",
        "backupAgeSeconds": 7200,
        "recordId": record,
        "logIndex": 1,
        "startedOn": "2026-11-23T09:58:00Z",
        "finishedOn": "2026-11-23T10:00:00Z",
        "ageSeconds": 3600,
        "verdict": "pass",
        "assurance": "exact",
        "requiredAssurance": "exact",
        "restoreSeconds": 60.25,
        "estimatedRtoSeconds": 1260.25,
        "rpoSeconds": 86400,
        "passedChecks": ["identity", "filestore.content", "filestore.bijection", "content.hashes"],
        "failedChecks": [],
        "erredChecks": [],
        "slot": None,
        "scope": "full",
        "restoreRegression": None,
        **changes,
    }
    collector = ("records", ENVIRONMENT)
    return resource(
        "guardian.Drill", f"records:{ENVIRONMENT}/drill/{record}", attributes, collector=collector, asset=of
    )


def slot(due: str = "2026-11-23T09:30:00Z", *, of: str = "erp", **changes: Any) -> Resource:
    """Return the slot of a drill that was missed half an hour before the drill of `drill` passed."""
    attributes = {
        "slot": f"drill:{of}@{due}",
        "job": f"drill:{of}",
        "asset": of,
        "due": due,
        "ageSeconds": int((NOW - datetime.fromisoformat(due)).total_seconds()),
        "state": "missed",
        "reason": "nobody ran it before its grace ended",
        "recordId": "m1",
        "logIndex": 0,
        **changes,
    }
    collector = ("records", ENVIRONMENT)
    return resource(
        "guardian.Slot", f"records:{ENVIRONMENT}/slot/{attributes['slot']}", attributes, collector=collector, asset=of
    )


def unreadable(collector: str, name: str, kind: str) -> Resource:
    """Return what a collector yields for a kind that it could not read."""
    attributes = {"reason": "connection refused", "detail": "port 5432", "kind": kind}
    identity = f"error:{collector}/{name}/{kind}"
    return resource("guardian.CollectionError", identity, attributes, collector=(collector, name), tier=None)


def snapshot(
    *resources: Resource,
    environment: str = ENVIRONMENT,
    collectors: Sequence[str] = tuple(KINDS),
    failed: Sequence[str] = (),
) -> Snapshot:
    """Return a snapshot of these resources, with these collectors configured and some of them failed."""
    statuses = [
        CollectorStatus(name, "erp-db" if name == "postgres" else environment, KINDS[name], state)
        for name in collectors
        for state in ["failed" if name in failed else "complete"]
    ]
    return Snapshot(environment, NOW, statuses, list(resources), b"", "0" * 64)
