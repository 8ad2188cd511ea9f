"""The words of the product as frozen data: what every other room passes around. No I/O.

JSON shapes are the ones in `guardian/schemas/`; `to_json` methods give exactly those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from guardian.model.drill_policy import DrillPolicy
from verifiers.postgres.assertions import Assertion
from verifiers.postgres.patience import Patience
from verifiers.postgres.physical import Target, TargetKind
from verifiers.result import Assurance, DrillResult, Scope, Verdict
from verifiers.sources.base import Place, Readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["Assertion", "Assurance", "Patience", "Place", "Readable", "Scope", "Target", "TargetKind", "Verdict"]

COLLECTION_ERROR = "guardian.CollectionError"


class Tier(StrEnum):
    """Criticality of a service, strictest first."""

    CRITICAL = "critical"
    STANDARD = "standard"
    LOW = "low"


class Mode(StrEnum):
    """What a control does here, mildest first."""

    OFF = "off"
    AUDIT = "audit"
    WARN = "warn"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """Position in the order of sternness: off 0 ... deny 3."""
        return list(Mode).index(self)


class Severity(StrEnum):
    """How bad a violation is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class BackupJob:
    """One configured backup of an asset.

    place: where the backups lie, and what opens their repository. every_s: seconds between backups, None if not stated.
    age: the age identities that open dumps, None if none are configured. target: where the recovery of a copy of a
    cluster ends; target_written: whether guardian.yaml says so itself. copy_of: name of the job whose backups these are
    copies of, None for a job of its own. quiesce: how a moment without writers is found for the manifest of a cluster's
    copy, None where none is to be. lock_s: seconds from when a backup was taken for which nobody may remove it, None
    where that is not asked for.
    """

    name: str
    place: Place
    every_s: int | None
    age: Readable | None = None
    target: Target = field(default_factory=Target)
    copy_of: str | None = None
    quiesce: Patience | None = None
    target_written: bool = False
    lock_s: int | None = None

    @property
    def format(self) -> str:
        """The word of guardian.yaml."""
        return self.place.format

    @property
    def physical(self) -> bool:
        """Whether it copies a whole cluster, which is recovered from its write-ahead log."""
        return self.format in {"pg_basebackup", "pgbackrest", "barman"} or self.place.holds == "pg_basebackup"

    @property
    def path(self) -> str:
        """Folder or URL as it is told: a password in the URL is masked. `place.path` opens it."""
        return self.place.shown


@dataclass(frozen=True, slots=True)
class Source:
    """Where an asset lives: the postgres collector's name, the database, and the filestore folder of an Odoo pair.

    heartbeat: SQL that gives the moment of the newest heartbeat row, None where none is kept.
    """

    postgres: str | None = None
    database: str | None = None
    filestore: str | None = None
    heartbeat: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that must be restorable.

    type: `postgres` or `odoo`. assurance: the level declared in guardian.yaml, None when not stated (then `sound`,
    or `exact` from the first manifest logged for the asset). assertions: what the user wants to hold on restored data.
    """

    name: str
    type: str
    service: str
    assurance: Assurance | None
    source: Source
    backups: Sequence[BackupJob] = ()
    assertions: Sequence[Assertion] = ()
    drill: DrillPolicy = field(default_factory=DrillPolicy)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Declared times of a recovery besides the restore itself, in seconds; None where not stated."""

    detect_s: int | None = None
    decide_s: int | None = None
    redirect_s: int | None = None

    @property
    def total_s(self) -> int:
        """Sum of what is declared, in seconds."""
        return sum(part or 0 for part in (self.detect_s, self.decide_s, self.redirect_s))

    def to_json(self) -> dict[str, int | None]:
        """Return the member `recovery` of a service's or an asset's attributes."""
        return {"detectSeconds": self.detect_s, "decideSeconds": self.decide_s, "redirectSeconds": self.redirect_s}


@dataclass(frozen=True, slots=True)
class Match:
    """Which resources belong to a service; the most specific match wins.

    Most specific first: id_prefix, labels and tags, namespace, collector alone.
    """

    collector: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str | None = None

    @property
    def specificity(self) -> tuple[int, int, int]:
        """How narrowly this matches; the greatest tuple wins: length of the id prefix, labels and tags, namespace."""
        return (len(self.id_prefix or ""), len(self.labels) + len(self.tags), int(self.namespace is not None))


@dataclass(frozen=True, slots=True)
class Service:
    """What the business runs. Everything but the name may be missing: `service.declared` says so."""

    name: str
    owner: str | None = None
    escalation: str | None = None
    tier: Tier | None = None
    tenancy: str | None = None
    data_class: str | None = None
    rto_s: int | None = None
    rpo_s: int | None = None
    recovery: Recovery = Recovery()
    depends_on: Sequence[str] | None = None
    match: Sequence[Match] = ()
    assets: Sequence[Asset] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the attributes of a `guardian.Service`; what is not declared is null."""
        return {
            "name": self.name,
            "owner": self.owner,
            "escalation": self.escalation,
            "tier": self.tier,
            "tenancy": self.tenancy,
            "dataClass": self.data_class,
            "rtoSeconds": self.rto_s,
            "rpoSeconds": self.rpo_s,
            "recovery": self.recovery.to_json(),
            "dependsOn": None if self.depends_on is None else list(self.depends_on),
            "assets": [asset.name for asset in self.assets],
        }


@dataclass(frozen=True, slots=True)
class Resource:
    """One observed thing, already redacted. `redacted` holds JSON pointers into `attributes`."""

    kind: str
    id: str
    service: str | None
    tier: Tier | None
    asset: str | None
    scope: Mapping[str, Any]
    source: Mapping[str, str]
    attributes: Mapping[str, Any]
    redacted: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the resource as its JSON shape."""
        return {
            "kind": self.kind,
            "id": self.id,
            "service": self.service,
            "tier": self.tier,
            "asset": self.asset,
            "scope": dict(self.scope),
            "source": dict(self.source),
            "attributes": dict(self.attributes),
            "redacted": list(self.redacted),
        }


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """How one configured collector fared: `complete`, `partial` (some kinds have a CollectionError) or `failed`."""

    type: str
    name: str
    kinds: Sequence[str]
    status: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the snapshot header."""
        return {"type": self.type, "name": self.name, "kinds": list(self.kinds), "status": self.status}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All resources of one collection.

    data: the bytes as written (JSON Lines, header first); digest: their SHA-256, hex. Never re-serialised.
    """

    environment: str
    taken_at: datetime
    collectors: Sequence[CollectorStatus]
    resources: Sequence[Resource]
    data: bytes
    digest: str

    @property
    def complete(self) -> bool:
        """Whether every collector read everything it was asked to."""
        return all(status.status == "complete" for status in self.collectors)


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict of one control on one resource. `waiver` is None or the waiver that covers it."""

    control: str
    resource: str
    verdict: Verdict
    severity: Severity
    message: str
    expected: Any
    observed: Any
    mode: Mode
    waiver: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as its JSON shape."""
        return {
            "control": self.control,
            "resource": self.resource,
            "verdict": self.verdict,
            "severity": self.severity,
            "message": self.message,
            "expected": self.expected,
            "observed": self.observed,
            "mode": self.mode,
            "waiver": dict(self.waiver) if self.waiver else None,
        }


@dataclass(frozen=True, slots=True)
class ControlSummary:
    """How one control came out over its population.

    counts: number of resources by verdict, all four verdicts present. scope: `judged`, `out of scope` (its collector is
    not configured) or `off` (mode off for every resource). reason: why, when not judged.
    """

    control: str
    title: str
    severity: Severity
    population: int
    counts: Mapping[Verdict, int]
    scope: str = "judged"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the policy engine made of one snapshot. findings: every verdict, sorted by (control, resource)."""

    findings: Sequence[Finding]
    summaries: Sequence[ControlSummary]
    bundle_digest: str
    engine: str
    engine_version: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One scheduled moment of one job. job: `scan`, or `drill:<asset>`; due: aware, UTC, whole seconds."""

    job: str
    due: datetime

    @property
    def id(self) -> str:
        """Return the slot's name in records, such as `drill:erp@2026-11-24T02:00:00Z`."""
        return f"{self.job}@{self.due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def asset(self) -> str | None:
        """The asset of a drill, None for a scan."""
        job, _, asset = self.job.partition(":")
        return asset if job == "drill" else None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one slot, until the lease ends.

    token: the fencing token; a slot whose token has moved on belongs to someone else, and takes no result of this one.
    attempt: from 1. final: whether no attempt follows this one, so that its result closes the slot whatever it is.
    """

    slot: Slot
    token: int
    attempt: int
    final: bool = True


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill of one asset with the objectives it is held against. Times are UTC."""

    run_id: str
    asset: Asset
    service: Service
    started_on: datetime
    finished_on: datetime
    result: DrillResult

    @property
    def estimated_rto_s(self) -> float | None:
        """Measured restore seconds plus the declared detection, decision and redirection times: an estimate."""
        seconds = self.result.restore_seconds
        return None if seconds is None else seconds + self.service.recovery.total_s

    def to_json(self) -> dict[str, Any]:
        """Return the drill as its JSON shape: the verifier's result with service, asset and objectives around it."""
        estimate = self.estimated_rto_s
        return {
            "schema": "guardian/drill/v1",
            "runId": self.run_id,
            "asset": self.asset.name,
            "service": self.service.name,
            "startedOn": rfc3339(self.started_on),
            "finishedOn": rfc3339(self.finished_on),
            "objectives": {"rtoSeconds": self.service.rto_s, "rpoSeconds": self.service.rpo_s},
            "estimatedRtoSeconds": None if estimate is None else round(estimate, 3),
            **self.result.to_json(),
        }


def rfc3339(moment: datetime) -> str:
    """Return an aware moment as RFC 3339 UTC with milliseconds, such as `2026-11-23T11:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
