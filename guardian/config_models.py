"""The shape of guardian.yaml: pydantic models at this edge only, and how their complaints read. No I/O."""

from __future__ import annotations

import difflib
import types
import typing
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from guardian import config_scalars as scalars
from guardian.config_scalars import (
    AwsRegion,
    Duration,
    EnvironmentName,
    Expectation,
    FileReference,
    FineDuration,
    KubernetesKind,
    Listen,
    LockTimeout,
    Name,
    Namespace,
    PathText,
    Positive,
    RecoveryTarget,
    Reference,
    Size,
    Text,
    Url,
    modes,
    one_of,
    pointer,
    shown,
)
from guardian.config_yaml import Location, Problem, Tree
from guardian.model import Assurance, Mode, Tier
from guardian.model.drill_policy import FULL_EVERY_S, PERIOD_S, Choice, ScopePolicy
from verifiers.sources import FORMATS

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_TYPES = tuple(dict.fromkeys(kind for kind, _ in FORMATS))
_FORMATS = tuple(dict.fromkeys(known for _, known in FORMATS))


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=False
    )


class RecoveryModel(_Model):
    """Declared times around a restore."""

    detect: Duration | None = None
    decide: Duration | None = None
    redirect: Duration | None = None


class MatchModel(_Model):
    """Which resources belong to the service."""

    collector: str
    namespace: Text | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    id_prefix: Text | None = None


class SourceModel(_Model):
    """Where an asset lives."""

    postgres: str | None = None
    database: Text | None = None
    filestore: PathText | None = None
    heartbeat: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None


class DecryptModel(_Model):
    """What opens encrypted backups."""

    age: Reference | None = None
    password: Reference | None = None


class QuiesceModel(_Model):
    """How a moment without writers is found."""

    lock_timeout: LockTimeout = 0.1
    attempts: Annotated[int, AfterValidator(scalars.within(1, 1000))] = 20


class BackupModel(_Model):
    """One backup job of an asset."""

    name: Name
    format: Annotated[str, BeforeValidator(one_of("backup format", *_FORMATS))]
    path: PathText
    holds: Annotated[str, BeforeValidator(one_of("content", "pg_dump", "pg_basebackup"))] | None = None
    server: Text | None = None
    every: Positive | None = None
    decrypt: DecryptModel | None = None
    environment: dict[EnvironmentName, Reference] = Field(default_factory=dict)
    endpoint: Url | None = None
    region: AwsRegion | None = None
    wal: PathText | None = None
    recover: RecoveryTarget | None = None
    quiesce: QuiesceModel | None = None
    lock: Positive | None = None
    copy_of: str | None = None


class AssertionModel(_Model):
    """SQL that must hold on restored data."""

    name: Name
    sql: Annotated[str, Field(min_length=1, max_length=20_000)]
    expect: Expectation = (True, None, None)


class DrillModel(_Model):
    """How an asset is drilled."""

    choose: Annotated[str, BeforeValidator(one_of("choice", *Choice))] = "newest"
    period: Positive = PERIOD_S
    scope: Annotated[str, BeforeValidator(one_of("scope", *ScopePolicy))] = "full"
    full_every: Positive = FULL_EVERY_S
    heapallindexed_every: Positive | None = None
    reverify: Positive | None = None
    deadline: Positive | None = None
    disk_quota: Size | None = None


class AssetModel(_Model):
    """Something that must be restorable."""

    name: Name
    type: Annotated[str, BeforeValidator(one_of("asset type", *_TYPES))]
    assurance: Annotated[str, BeforeValidator(one_of("assurance", *Assurance))] | None = None
    source: SourceModel = SourceModel()
    backups: list[BackupModel] = Field(default_factory=list)
    assertions: list[AssertionModel] = Field(default_factory=list)
    drill: DrillModel = DrillModel()


class ServiceModel(_Model):
    """What the business runs; `service.declared` judges what is missing."""

    name: Name
    owner: Text | None = None
    escalation: Text | None = None
    tier: Annotated[str, BeforeValidator(one_of("tier", *Tier))] | None = None
    tenancy: Annotated[str, BeforeValidator(one_of("tenancy", "dedicated", "shared"))] | None = None
    data_class: Text | None = None
    rto: Positive | None = None
    rpo: Positive | None = None
    recovery: RecoveryModel = RecoveryModel()
    depends_on: list[str] | None = None
    match: list[MatchModel] = Field(default_factory=list)
    assets: list[AssetModel] = Field(default_factory=list)


class CollectorModel(_Model):
    """A source of truth. Which keys go with which type: `config_cluster`."""

    name: Name
    type: Annotated[str, BeforeValidator(one_of("collector type", "postgres", "kubernetes", "aws"))]
    dsn: Reference | None = None
    kubeconfig: PathText | None = None
    context: Text | None = None
    kinds: list[KubernetesKind] = Field(default_factory=list)
    regions: list[AwsRegion] = Field(default_factory=list)
    profile: Text | None = None
    role_arn: Text | None = None
    external_id: Reference | None = None
    endpoint: Url | None = None
    backup_buckets: list[Text] = Field(default_factory=list)


class EngineModel(_Model):
    """What evaluates the policies. Which keys go with which type: `config_cluster`."""

    type: Annotated[str, BeforeValidator(one_of("engine", "wasm", "opa"))] = "wasm"
    url: Url | None = None
    token: Reference | None = None
    ca: PathText | None = None
    command: PathText | None = None


class PoliciesModel(_Model):
    """The users' own Rego."""

    folder: PathText


class WebhookModel(_Model):
    """The admission webhook."""

    collector: str | None = None
    listen: Listen = ("0.0.0.0", 8443)  # noqa: S104 -- an API server calls it from another machine
    certificate: PathText
    key: FileReference
    client_ca: Annotated[PathText | None, Field(alias="clientCA")] = None
    timeout: Annotated[Positive, AfterValidator(scalars.within(1, 30, "s"))] = 5
    deadline: FineDuration | None = None
    fail_closed: list[Namespace] | None = None
    exempt: list[Namespace] = ["kube-system", "guardian"]
    workers: Annotated[int, AfterValidator(scalars.within(1, 64))] = 1
    queue: Annotated[int, AfterValidator(scalars.within(1, 10_000))] = 64
    spool: PathText | None = None

    @field_validator("deadline")
    @classmethod
    def _in_time(cls, value: float | None, info: ValidationInfo) -> float | None:
        return scalars.shorter(value, info.data.get("timeout"))


class ControlModel(_Model):
    """What one control does here."""

    mode: Annotated[dict[Tier | None, Mode], BeforeValidator(modes)] | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class ScheduleModel(_Model):
    """One job and when it is due."""

    job: Annotated[str, BeforeValidator(one_of("job", "scan", "drill"))]
    asset: str | None = None
    cron: Annotated[str, AfterValidator(scalars.cron)]
    time_zone: str = "UTC"
    grace: Positive = 3600
    attempts: Annotated[int, AfterValidator(scalars.within(1, 5))] = 1


class DaemonModel(_Model):
    """`guardian run`."""

    listen: Listen = ("127.0.0.1", 9465)
    lease: Annotated[Positive, AfterValidator(scalars.within(10, 3600, "s"))] = 60
    jobs: Annotated[int, AfterValidator(scalars.within(1, 16))] = 1


class ApiModel(_Model):
    """The evidence API and its console."""

    listen: Listen = ("127.0.0.1", 8480)
    certificate: PathText | None = None
    key: FileReference | None = None
    behind_proxy: bool = False
    public_log: bool = False
    requests_per_minute: Annotated[int, AfterValidator(scalars.within(1, 100_000))] = 600
    hosts: list[Text] = Field(default_factory=list)


class SandboxModel(_Model):
    """Where restores run."""

    provider: Annotated[str, BeforeValidator(one_of("sandbox provider", "bwrap", "none"))] = "bwrap"
    accept_none: list[str] = Field(default_factory=list)
    disk_quota: Size = 50 * 1024**3
    folder: PathText | None = None
    keep_logs: bool = False
    concurrent: Annotated[int, AfterValidator(scalars.within(1, 16))] = 2


class StorageModel(_Model):
    """Where evidence lives."""

    database: Annotated[str, AfterValidator(scalars.database)] = ".guardian/guardian.db"
    objects: PathText = ".guardian/objects"


class KeysModel(_Model):
    """References to signing and redaction keys."""

    record: Reference = "file:keys/record.pem"
    log: Reference = "file:keys/log.pem"
    redaction: Reference = "file:keys/redaction.key"


class RedactModel(_Model):
    """Exemptions from redaction."""

    keep: list[Annotated[str, AfterValidator(pointer)]] = Field(default_factory=list)


class RootModel(_Model):
    """All of guardian.yaml."""

    environment: Annotated[str, AfterValidator(scalars.environment)]
    services: list[ServiceModel] = Field(default_factory=list)
    collectors: list[CollectorModel] = Field(default_factory=list)
    engine: EngineModel = EngineModel()
    policies: PoliciesModel | None = None
    webhook: WebhookModel | None = None
    controls: dict[str, ControlModel] = Field(default_factory=dict)
    schedules: list[ScheduleModel] = Field(default_factory=list)
    daemon: DaemonModel = DaemonModel()
    api: ApiModel | None = None
    sandbox: SandboxModel = SandboxModel()
    storage: StorageModel = StorageModel()
    keys: KeysModel = KeysModel()
    redact: RedactModel = RedactModel()


def validate(tree: Tree) -> tuple[RootModel | None, list[Problem]]:
    """Return the validated model, or None and everything that is wrong with the shape, each with its line."""
    try:
        return RootModel.model_validate(tree.value), []
    except ValidationError as error:
        return None, [_problem(tree, details) for details in error.errors(include_url=False)]


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _problem(tree: Tree, details: ErrorDetails) -> Problem:
    at: Location = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _known_keys(at[:-1])
        near = difflib.get_close_matches(str(at[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        message = f"unknown key; {hint}"
    elif kind == "missing":
        message = "required, but missing; add it"
    elif kind in _EXPECTED:
        message = f"expected {_EXPECTED[kind]}, found {shown(details['input'])}"
    elif kind == "string_too_short":
        message = "must not be empty; write a value or leave the key out"
    else:
        message = details["msg"]  # our own words, or pydantic's, which do not repeat the value either
    return Problem(tree.line(at), at, message)


def _known_keys(at: Location) -> list[str]:
    """Return the keys the model at `at` knows, in the order of the model."""
    here: Any = RootModel
    for step in at:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {field.alias: field.annotation for field in here.model_fields.values()}
            here = _inner(fields.get(str(step)))
        else:
            here = _inner(typing.get_args(here)[-1])
    return [field.alias or name for name, field in here.model_fields.items()] if hasattr(here, "model_fields") else []


def _inner(annotation: object) -> object:
    """Return the annotation without `| None`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation
