"""The shapes of answers, for OpenAPI: each with an example. Answers are made by the use cases and sent as they are.

Invariant: a test holds every answer, and every example, against its schema here. No I/O.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Verdict = Literal["pass", "fail", "error", "skip"]
Result = Literal["PASSED", "FAILED", "ERROR", "SKIPPED", "MISSED"]
Held = Literal["within", "beyond", "unknown", "undeclared"]

_ID = "019aaf00-6f2e-7c1a-9d2b-5d8f3b1c2a10"
_TIME = "2026-11-24T03:04:11.250Z"
_ROW: dict[str, Any] = {
    "index": 41,
    "recordId": _ID,
    "kind": "restore-drill",
    "subject": "backup:erp/nightly-2026-11-24",
    "asset": "erp",
    "service": "erp-plant1",
    "result": "PASSED",
    "assurance": "exact",
    "slot": "drill:erp@2026-11-24T03:00:00Z",
    "time": _TIME,
}
_DRILL: dict[str, Any] = {
    "index": 41,
    "recordId": _ID,
    "asset": "erp",
    "service": "erp-plant1",
    "backup": {"id": "nightly-2026-11-24", "takenAt": "2026-11-24T01:00:02Z"},
    "result": "PASSED",
    "verdict": "pass",
    "assurance": "exact",
    "requiredAssurance": "exact",
    "restoreSeconds": 212.4,
    "estimatedRtoSeconds": 1412.4,
    "rpoSeconds": 7449,
    "objectives": {"rtoSeconds": 14400, "rpoSeconds": 900},
    "rto": "within",
    "rpo": "beyond",
    "slot": "drill:erp@2026-11-24T03:00:00Z",
    "startedOn": "2026-11-24T03:00:00.100Z",
    "finishedOn": _TIME,
    "phases": [{"name": "restore", "seconds": 212.4}],
    "failedChecks": [],
    "erredChecks": [],
    "reason": None,
}
_COUNTS: dict[str, Any] = {"pass": 3, "fail": 1, "error": 0, "skip": 0}
_SERVICE: dict[str, Any] = {
    "name": "erp-plant1",
    "owner": "ops",
    "escalation": "oncall",
    "tier": "critical",
    "tenancy": "dedicated",
    "dataClass": "confidential",
    "objectives": {"rtoSeconds": 14400, "rpoSeconds": 900},
    "verdict": "fail",
    "reason": None,
    "controls": [
        {
            "control": "backup.restore-tested",
            "title": "Backups are restored and verified",
            "severity": "high",
            "verdict": "fail",
            "counts": _COUNTS,
            "record": 40,
            "recordId": _ID,
            "time": _TIME,
        }
    ],
    "assets": [
        {
            "name": "erp",
            "type": "odoo",
            "requiredAssurance": "exact",
            "backups": [{"name": "nightly", "format": "pg_dump", "everySeconds": 86400}],
            "drill": _DRILL,
        }
    ],
    "waivers": [],
    "nextSlots": [{"job": "drill:erp", "due": "2026-11-25T03:00:00Z"}],
}


class Shape(BaseModel):
    """JSON names are camelCase; nothing is there that is not said."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ProblemDocument(Shape):
    """RFC 9457. `type` ends in a name that stays; `detail` is for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:guardian:problem:not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no record '99'",
                    "instance": "/v1/records/99",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, Any]] | None = None


class Row(Shape):
    """One record, in brief. index: its place in the log; subject: what was judged."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ROW]})
    index: int
    record_id: str
    kind: str
    subject: str
    asset: str | None
    service: str | None
    result: Result
    assurance: str | None
    slot: str | None
    time: str


class Records(Shape):
    """One page. next: the following one, null on the last. size: records in the log; behind: how many of them the
    index does not know yet.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"records": [_ROW], "next": "/v1/records?service=erp-plant1&cursor=41", "size": 42, "behind": 0}
            ]
        }
    )
    records: list[Row]
    next: str | None
    size: int
    behind: int


class Proof(Shape):
    """The audit path of RFC 6962, bottom first, base64."""

    origin: str
    leaf_index: int
    tree_size: int
    hashes: list[str]


class Key(Shape):
    """An Ed25519 key of the keyring in force. publicKey: its SubjectPublicKeyInfo, DER in base64."""

    id: str
    public_key: str


class Keys(Shape):
    """What the record and the checkpoint are signed with."""

    record: list[Key]
    log: list[Key]


class Record(Shape):
    """One record with all that proves it. envelope, entry: the exact bytes, base64. previous, next: indexes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "record": _ROW,
                    "statement": {"_type": "https://in-toto.io/Statement/v1"},
                    "envelope": "eyJwYXlsb2FkIjoi",
                    "entry": "eyJ2IjoxfQ==",
                    "proof": {
                        "origin": "guardian/production/1a2b3c4d",
                        "leafIndex": 41,
                        "treeSize": 42,
                        "hashes": ["m7qJpP1zYV0l6mO8wq0sT6nC3xk0Yq0l2m1n4o5p6q8="],
                    },
                    "checkpoint": "guardian/production/1a2b3c4d\n42\nm7qJpP1zYV0l6mO8wq0sT6nC3xk0Yq0l2m1n4o5p6q8=\n",
                    "keys": {"record": [], "log": []},
                    "previous": 40,
                    "next": None,
                }
            ]
        }
    )
    record: Row
    statement: dict[str, Any]
    envelope: str
    entry: str
    proof: Proof
    checkpoint: str
    keys: Keys
    previous: int | None
    next: int | None


class Signature(Shape):
    """One signature of a DSSE envelope."""

    keyid: str
    sig: str


class Envelope(Shape):
    """A DSSE envelope. payload: an in-toto statement, base64."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payload": "eyJfdHlwZSI6",
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"keyid": "1f3a", "sig": "c2ln"}],
                }
            ]
        }
    )
    payload: str
    payload_type: str
    signatures: list[Signature]


class Objectives(Shape):
    """What is declared, in seconds."""

    rto_seconds: int | None
    rpo_seconds: int | None


class Backup(Shape):
    """The backup that was restored."""

    id: str
    taken_at: str | None


class Phase(Shape):
    """One part of a drill."""

    name: str
    seconds: float


class Drill(Shape):
    """One drill, against its objectives."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DRILL]})
    index: int
    record_id: str
    asset: str | None
    service: str | None
    backup: Backup | None
    result: Result
    verdict: Verdict
    assurance: str | None
    required_assurance: str | None
    restore_seconds: float | None
    estimated_rto_seconds: float | None
    rpo_seconds: float | None
    objectives: Objectives
    rto: Held
    rpo: Held
    slot: str | None
    started_on: str
    finished_on: str
    phases: list[Phase]
    failed_checks: list[str]
    erred_checks: list[str]
    reason: str | None


class Drills(Shape):
    """One page, as of records."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"drills": [_DRILL], "next": None, "size": 42, "behind": 0}]}
    )
    drills: list[Drill]
    next: str | None
    size: int
    behind: int


class Judged(Shape):
    """What one control came to on the resources of a service. record: the scan, null if the caller may not open it."""

    control: str
    title: str
    severity: str | None
    verdict: Verdict
    counts: dict[Verdict, int]
    record: int | None
    record_id: str | None
    time: str


class BackupJob(Shape):
    """A configured backup."""

    name: str
    format: str
    every_seconds: int | None


class Asset(Shape):
    """Something that must be restorable, with its newest drill."""

    name: str
    type: str
    required_assurance: str | None
    backups: list[BackupJob]
    drill: Drill | None


class NextSlot(Shape):
    """When a job is due next."""

    job: str
    due: str


class Service(Shape):
    """What the business runs: its last verdicts, drills and objectives. verdict: the worst; reason: why unknown."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SERVICE]})
    name: str
    owner: str | None
    escalation: str | None
    tier: str | None
    tenancy: str | None
    data_class: str | None
    objectives: Objectives
    verdict: Verdict
    reason: str | None
    controls: list[Judged]
    assets: list[Asset]
    waivers: list[dict[str, Any]]
    next_slots: list[NextSlot]


class Services(Shape):
    """The services that the caller may read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": [_SERVICE]}]})
    services: list[Service]


class LastJudged(Shape):
    """What the newest scan counted."""

    record: int | None
    record_id: str | None
    time: str
    counts: dict[Verdict, int]


class Control(Shape):
    """One requirement. modes: what it does here, by tier."""

    id: str
    title: str
    description: str
    severity: str
    scope: str
    stages: list[str]
    frameworks: Any
    remediation: str
    modes: dict[str, str]
    last: LastJudged | None


class Controls(Shape):
    """The catalogue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "controls": [
                        {
                            "id": "backup.restore-tested",
                            "title": "Backups are restored and verified",
                            "description": "Each asset had a drill that passed, lately.",
                            "severity": "high",
                            "scope": "snapshot",
                            "stages": ["scan"],
                            "frameworks": {"ISO27001": ["A.8.13"]},
                            "remediation": "Run `guardian drill`.",
                            "modes": {"critical": "deny", "standard": "warn", "low": "audit"},
                            "last": {"record": 40, "recordId": _ID, "time": _TIME, "counts": _COUNTS},
                        }
                    ]
                }
            ]
        }
    )
    controls: list[Control]


class Coverage(Shape):
    """The population of scheduled slots of a period, and what became of each (schema guardian/coverage/v2)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "schema": "guardian/coverage/v2",
                    "environment": "production",
                    "from": "2026-11-23T00:00:00.000Z",
                    "to": "2026-11-24T00:00:00.000Z",
                    "asOf": _TIME,
                    "schedules": [],
                    "jobs": [],
                    "counts": {"passed": 1, "missed": 1},
                    "missing": [
                        {
                            "slot": "drill:erp@2026-11-23T03:00:00Z",
                            "job": "drill:erp",
                            "due": "2026-11-23T03:00:00Z",
                            "state": "missed",
                            "reason": "no daemon ran",
                        }
                    ],
                    "manual": [],
                    "complete": False,
                    "note": "",
                }
            ]
        },
    )
    environment: str
    as_of: str
    schedules: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    counts: dict[str, int]
    missing: list[dict[str, Any]]
    manual: list[dict[str, Any]]
    complete: bool
    note: str


class PackRequest(Shape):
    """Nothing to choose: a pack holds all that the token may read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class Pack(Shape):
    """A pack asked for. done, total: members written, and how many there are. file: where it is fetched, once done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "state": "running",
                    "requestedAt": _TIME,
                    "done": 120,
                    "total": 4810,
                    "records": None,
                    "sizeBytes": None,
                    "sha256": None,
                    "finishedAt": None,
                    "expiresAt": None,
                    "problem": None,
                    "file": None,
                }
            ]
        }
    )
    id: str
    state: Literal["queued", "running", "done", "failed"]
    requested_at: str
    done: int
    total: int
    records: int | None
    size_bytes: int | None
    sha256: str | None
    finished_at: str | None
    expires_at: str | None
    problem: str | None
    file: str | None
