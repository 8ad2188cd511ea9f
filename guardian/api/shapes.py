"""The shapes of answers, for OpenAPI: each with an example. Answers are made by the use cases and sent as they are.

Invariant: a test holds every answer, and every example, against its schema here. No I/O.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from guardian.api import examples

Verdict = Literal["pass", "fail", "error", "skip"]
Result = Literal["PASSED", "FAILED", "ERROR", "SKIPPED", "MISSED"]
Held = Literal["within", "beyond", "unknown", "undeclared"]


class Shape(BaseModel):
    """JSON names are camelCase; nothing is there that is not said."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ProblemDocument(Shape):
    """RFC 9457. `type` ends in a name that stays; `detail` is for people."""

    model_config = ConfigDict(json_schema_extra={"examples": examples.PROBLEMS})
    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, Any]] | None = None


class Row(Shape):
    """One record, in brief. index: its place in the log; subject: what was judged."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ROW]})
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

    model_config = ConfigDict(json_schema_extra={"examples": examples.RECORD_PAGES})
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

    model_config = ConfigDict(json_schema_extra={"examples": examples.RECORDS})
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

    model_config = ConfigDict(json_schema_extra={"examples": examples.ENVELOPES})
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

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DRILL]})
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

    model_config = ConfigDict(json_schema_extra={"examples": examples.DRILL_PAGES})
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

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SERVICE]})
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

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": [examples.SERVICE]}]})
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

    model_config = ConfigDict(json_schema_extra={"examples": examples.CONTROLS})
    controls: list[Control]


class Coverage(Shape):
    """The population of scheduled slots of a period, and what became of each (schema guardian/coverage/v2)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": examples.COVERAGES},
    )
    environment: str
    as_of: str
    schedules: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    counts: dict[str, int]
    missing: list[dict[str, Any]]
    astray: list[dict[str, Any]]
    manual: list[dict[str, Any]]
    complete: bool
    note: str


class PackRequest(Shape):
    """Nothing to choose: a pack holds all that the token may read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class Pack(Shape):
    """A pack asked for. done, total: members written, and how many there are. file: where it is fetched, once done."""

    model_config = ConfigDict(json_schema_extra={"examples": examples.PACKS})
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
