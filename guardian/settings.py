"""guardian.yaml as frozen settings: what `config.load` returns and everything else reads. No I/O.

Durations are seconds, sizes bytes, paths absolute. Secrets are held as `Secret`, read only when used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardian.errors import ConfigError
from verifiers.sources.base import KeyMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import Asset, Mode, Service, Tier


@dataclass(frozen=True, slots=True)
class RepositorySecret:
    """A secret that opens a backup repository: without it the backups cannot be read, which a drill has to tell."""

    secret: Secret

    def read(self) -> str:
        """Return the value. Raises KeyMissingError."""
        try:
            return self.secret.read()
        except ConfigError as error:
            raise KeyMissingError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret, `env:NAME` or `file:PATH` (absolute here). Its repr never shows a value."""

    reference: str
    where: str = ""

    def read(self) -> str:
        """Return the value, without a trailing newline.

        Raises ConfigError naming the reference and its place in guardian.yaml if it is missing, unreadable or empty.
        """
        scheme, _, rest = self.reference.partition(":")
        if scheme == "env":
            value = os.environ.get(rest)
            if value is None:
                raise ConfigError(
                    f"{self.where}the environment variable {rest} is not set; set it, or change {self.reference}"
                )
        else:
            try:
                value = self.path.read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{self.where}cannot read the secret {self.reference}: {error}") from error
        if not value:
            raise ConfigError(f"{self.where}the secret {self.reference} is empty")
        return value

    @property
    def path(self) -> Path:
        """The file of a `file:` reference. Raises ConfigError for `env:`."""
        scheme, _, rest = self.reference.partition(":")
        if scheme != "file":
            raise ConfigError(f"{self.where}{self.reference} must be a file: reference")
        return Path(rest)


@dataclass(frozen=True, slots=True)
class PostgresCollector:
    """A live PostgreSQL server to collect from."""

    name: str
    dsn: Secret


@dataclass(frozen=True, slots=True)
class KubernetesCollector:
    """A cluster to collect from.

    kubeconfig: None for the pod's own service account. context: None for the file's current one.
    kinds: resource kinds such as `k8s.apps.Deployment`; empty for all that the bundled controls read.
    """

    name: str
    kubeconfig: Path | None = None
    context: str | None = None
    kinds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AwsCollector:
    """An AWS account to collect from.

    regions: where security groups are read; buckets and identities are global. profile: of the shared AWS
    configuration, None for boto3's own chain (environment, container, instance role). role_arn: role to assume first;
    external_id: a Secret for it. endpoint: URL of another server that speaks AWS, None for AWS itself.
    backup_buckets: names of buckets that hold backups, which `backup.immutable` and `iam.backup-deletion-path` judge.
    """

    name: str
    regions: Sequence[str]
    profile: str | None = None
    role_arn: str | None = None
    external_id: Secret | None = None
    endpoint: str | None = None
    backup_buckets: Sequence[str] = ()


CollectorSettings = PostgresCollector | KubernetesCollector | AwsCollector


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What evaluates the policies: `wasm`, or `opa`: a server at `url`, else a child process of `command`.

    url: https, or http on this machine. token: bearer token of a remote server. ca: PEM file that its certificate is
    checked with, None for the system's. command: the opa program, None for the one on PATH.
    """

    type: str = "wasm"
    url: str | None = None
    token: Secret | None = None
    ca: Path | None = None
    command: Path | None = None


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """The admission webhook.

    collector: the kubernetes collector whose name the ids carry. host, port: where it listens.
    certificate: PEM chain; key: its private key, a PEM file; both are read again when they change.
    client_ca: PEM file; where set, only callers with a certificate of it are served.
    timeout_s: seconds the API server waits; deadline_s: seconds after which Guardian answers what is declared.
    fail_closed: namespaces in which what could not be judged in time is denied; elsewhere it is allowed, with warning.
    exempt: namespaces that are never judged. workers: processes. queue: reviews that may wait for a worker; the next is
    answered as overdue at once. spool: folder of decisions that are not signed yet.
    """

    collector: str
    certificate: Path
    key: Path
    spool: Path
    host: str = "0.0.0.0"  # noqa: S104 -- an API server calls it from another machine
    port: int = 8443
    client_ca: Path | None = None
    timeout_s: int = 5
    deadline_s: float = 4.0
    fail_closed: Sequence[str] = ()
    exempt: Sequence[str] = ("kube-system", "guardian")
    workers: int = 1
    queue: int = 64


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """What guardian.yaml says of one control: mode by tier (None key: every tier) and parameter overrides.

    where: `file:line: ` for messages.
    """

    mode: Mapping[Tier | None, Mode] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One scheduled job. job: `scan` or `drill`; grace_s: seconds after which a slot that nobody ran counts as missed.

    attempts: how often a slot is tried, within its grace, while the result is that nothing could be checked.
    """

    job: str
    cron: str
    time_zone: str
    grace_s: int
    asset: str | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`guardian run`.

    host, port: where /healthz, /readyz and /metrics are served. lease_s: seconds after which a slot whose daemon gave
    no sign of life is closed as an error. jobs: how many run at once here.
    """

    host: str = "127.0.0.1"
    port: int = 9465
    lease_s: int = 60
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The evidence API and its console.

    certificate, key: PEM files; without them plain HTTP, which is accepted on this machine only, or behind a proxy.
    behind_proxy: a proxy on the way ends TLS, and names the caller in X-Forwarded-For. public_log: checkpoint and tiles
    need no token. requests_per_minute: of one token, or of one address without. hosts: names in the Host header that
    are answered; empty for any.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    public_log: bool = False
    requests_per_minute: int = 600
    hosts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where restores run. accept_none: assets that may be drilled without isolation. disk_quota: bytes.

    concurrent: drills at once on this host, of all that share the folder.
    """

    provider: str
    accept_none: Sequence[str]
    disk_quota: int
    folder: Path
    keep_logs: bool = False
    concurrent: int = 2


@dataclass(frozen=True, slots=True)
class Storage:
    """Where evidence lives. database: a SQLite file, or a Secret holding a postgresql:// URL."""

    database: Path | Secret
    objects: Path


@dataclass(frozen=True, slots=True)
class Keys:
    """Signing and redaction keys. root: the private root key if it is kept on this machine (better offline)."""

    record: Secret
    log: Secret
    redaction: Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """All of guardian.yaml. policies: folder of the users' own Rego, compiled at load, None without.

    webhook, api: None where not configured; the daemon then does not run them.
    """

    path: Path
    environment: str
    services: Sequence[Service]
    collectors: Sequence[CollectorSettings]
    engine: EngineSettings
    controls: Mapping[str, ControlSettings]
    schedules: Sequence[Schedule]
    sandbox: SandboxSettings
    storage: Storage
    keys: Keys
    redact_keep: Sequence[str] = ()
    policies: Path | None = None
    webhook: WebhookSettings | None = None
    daemon: DaemonSettings = DaemonSettings()
    api: ApiSettings | None = None

    def assets(self) -> Mapping[str, Asset]:
        """Every asset by name; names are unique in an environment."""
        return {asset.name: asset for service in self.services for asset in service.assets}

    def service(self, name: str) -> Service:
        """Return the service called `name`. Raises KeyError."""
        return {service.name: service for service in self.services}[name]
