"""guardian.yaml -> frozen settings, or every mistake in it at once.

Each mistake is one line `file:line: path.to.key: what is wrong; the way out`, sorted by line. No value that could be a
secret is ever repeated. Secrets are not read here; `check_secrets` only looks whether they could be.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from guardian import config_checks, config_cluster, config_models, config_secrets, config_yaml
from guardian.config_yaml import Location, Problem, Tree
from guardian.errors import ConfigError, UsageError
from guardian.model import (
    Assertion,
    Asset,
    Assurance,
    BackupJob,
    Match,
    Patience,
    Place,
    Recovery,
    Service,
    Source,
    Target,
    TargetKind,
    Tier,
)
from guardian.model.drill_policy import Choice, DrillPolicy, ScopePolicy
from guardian.settings import (
    ApiSettings,
    AwsCollector,
    CollectorSettings,
    ControlSettings,
    DaemonSettings,
    EngineSettings,
    Keys,
    KubernetesCollector,
    PostgresCollector,
    RepositorySecret,
    SandboxSettings,
    Schedule,
    Secret,
    Settings,
    Storage,
    WebhookSettings,
)
from verifiers.sources.base import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardian.config_models import AssetModel, BackupModel, DrillModel, RootModel, ServiceModel

DEFAULT_PATHS = (Path("guardian.yaml"), Path("/etc/guardian/guardian.yaml"))


def load(path: Path | None, *, check_secrets: bool = False) -> Settings:
    """Read, validate and return the settings of the file at `path` (None: the first of DEFAULT_PATHS that exists).

    check_secrets: also complain about environment variables that are not set and secret files that cannot be read.
    Raises UsageError if there is no file, ConfigError with one line a mistake.
    """
    chosen = _choose(path)
    name, base = str(chosen), chosen.absolute().parent
    tree = config_yaml.parse(_read(chosen))
    problems = list(tree.problems)
    model: RootModel | None = None
    if tree.value is not None:
        model, wrong_shape = config_models.validate(tree)
        problems += wrong_shape
        problems += config_checks.check(tree)
        problems += config_cluster.check(tree)
    settings = None
    if model is not None:
        settings = _Builder(tree, name, base).settings(chosen, model)
        problems += config_secrets.check(tree, settings, check_secrets=check_secrets)
        problems += _same_folders(tree, settings)
    if problems or settings is None:
        raise ConfigError("\n".join(_lines(name, problems)))
    return settings


def find(path: Path | None) -> Path | None:
    """Return the file that `load` would read: `path`, else the first of DEFAULT_PATHS that exists, else None."""
    return path or next((candidate for candidate in DEFAULT_PATHS if candidate.exists()), None)


def _lines(name: str, problems: Sequence[Problem]) -> list[str]:
    seen = dict.fromkeys(
        (problem.line, config_yaml.show_path(problem.location), problem.message) for problem in problems
    )
    ordered = sorted(seen, key=lambda entry: entry[0])
    return [f"{name}:{line}: {where}: {what}" if where else f"{name}:{line}: {what}" for line, where, what in ordered]


def _choose(path: Path | None) -> Path:
    if path is not None:
        if path.exists():
            return path
        raise UsageError(f"there is no configuration at {path}; `guardian init` makes one, --config names another")
    for candidate in DEFAULT_PATHS:
        if candidate.exists():
            return candidate
    places = " or ".join(str(candidate) for candidate in DEFAULT_PATHS)
    raise UsageError(f"there is no configuration at {places}; `guardian init` makes one, --config names another")


def _read(path: Path) -> bytes:
    """Return the bytes of a regular file that not everyone may write, one more than the limit at most."""
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _refuse_unfit(path, os.fstat(descriptor).st_mode)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(config_yaml.MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{path}:1: cannot read the configuration: {error.strerror}") from error


def _refuse_unfit(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path}:1: not a regular file; name a guardian.yaml")
    if mode & stat.S_IWOTH:
        shown = f"{stat.S_IMODE(mode):04o}"
        raise ConfigError(f"{path}:1: anyone may write this file (mode {shown}); run: chmod o-w {path}")


class _Builder:
    """Makes settings of a valid model: absolute paths, seconds, bytes, secrets that know their line."""

    def __init__(self, tree: Tree, name: str, base: Path) -> None:
        self._tree, self._name, self._base = tree, name, base

    def _path(self, text: str) -> Path:
        return Path(os.path.normpath(self._base / text))

    def _secret(self, reference: str, at: Location) -> Secret:
        scheme, _, rest = reference.partition(":")
        absolute = reference if scheme == "env" else f"file:{self._path(rest)}"
        return Secret(absolute, f"{self._name}:{self._tree.line(at)}: {config_yaml.show_path(at)}: ")

    def settings(self, path: Path, model: RootModel) -> Settings:
        storage = self._storage(model)
        home = storage.database.parent if isinstance(storage.database, Path) else storage.objects.parent
        folder = model.sandbox.folder
        return Settings(
            path=path.absolute(),
            environment=model.environment,
            services=tuple(self._service(service, ("services", place)) for place, service in enumerate(model.services)),
            collectors=tuple(self._collectors(model)),
            engine=self._engine(model),
            controls={
                name: ControlSettings(
                    control.mode or {}, control.params, f"{self._name}:{self._tree.line(('controls', name))}: "
                )
                for name, control in model.controls.items()
            },
            schedules=tuple(
                Schedule(item.job, item.cron, item.time_zone, item.grace, item.asset, item.attempts)
                for item in model.schedules
            ),
            sandbox=SandboxSettings(
                provider=model.sandbox.provider,
                accept_none=tuple(model.sandbox.accept_none),
                disk_quota=model.sandbox.disk_quota,
                folder=self._path(folder) if folder else home / "sandbox",
                keep_logs=model.sandbox.keep_logs,
                concurrent=model.sandbox.concurrent,
            ),
            storage=storage,
            keys=Keys(
                record=self._secret(model.keys.record, ("keys", "record")),
                log=self._secret(model.keys.log, ("keys", "log")),
                redaction=self._secret(model.keys.redaction, ("keys", "redaction")),
            ),
            redact_keep=tuple(model.redact.keep),
            policies=self._path(model.policies.folder) if model.policies else None,
            webhook=self._webhook(model, home) if model.webhook else None,
            daemon=DaemonSettings(*model.daemon.listen, model.daemon.lease, model.daemon.jobs),
            api=self._api(model),
        )

    def _optional_path(self, text: str | None) -> Path | None:
        return None if text is None else self._path(text)

    def _collectors(self, model: RootModel) -> Iterator[CollectorSettings]:
        for place, item in enumerate(model.collectors):
            if item.type == "kubernetes":
                yield KubernetesCollector(
                    item.name, self._optional_path(item.kubeconfig), item.context, tuple(item.kinds)
                )
            elif item.type == "aws":
                external_id = item.external_id
                yield AwsCollector(
                    name=item.name,
                    regions=tuple(item.regions),
                    profile=item.profile,
                    role_arn=item.role_arn,
                    external_id=self._secret(external_id, ("collectors", place, "externalId")) if external_id else None,
                    endpoint=item.endpoint,
                    backup_buckets=tuple(item.backup_buckets),
                )
            elif item.dsn is not None:  # its absence is told already, by `config_cluster`
                yield PostgresCollector(item.name, self._secret(item.dsn, ("collectors", place, "dsn")))

    def _engine(self, model: RootModel) -> EngineSettings:
        engine = model.engine
        return EngineSettings(
            engine.type,
            engine.url,
            self._secret(engine.token, ("engine", "token")) if engine.token else None,
            self._optional_path(engine.ca),
            self._optional_path(engine.command),
        )

    def _webhook(self, model: RootModel, home: Path) -> WebhookSettings | None:
        """Return the webhook's settings, with what follows from the rest of the file where it is silent."""
        webhook = model.webhook
        clusters = [item.name for item in model.collectors if item.type == "kubernetes"]
        if webhook is None or not (webhook.collector or clusters):
            return None
        collector = webhook.collector or clusters[0]
        fail_closed = webhook.fail_closed
        if fail_closed is None:
            fail_closed = sorted(
                {
                    match.namespace
                    for service in model.services
                    if service.tier == Tier.CRITICAL
                    for match in service.match
                    if match.collector == collector and match.namespace and match.namespace not in webhook.exempt
                }
            )
        host, port = webhook.listen
        return WebhookSettings(
            collector=collector,
            certificate=self._path(webhook.certificate),
            key=self._path(webhook.key.removeprefix("file:")),
            spool=self._path(webhook.spool) if webhook.spool else home / "spool",
            host=host,
            port=port,
            client_ca=self._optional_path(webhook.client_ca),
            timeout_s=webhook.timeout,
            deadline_s=min(4.0, 0.8 * webhook.timeout) if webhook.deadline is None else webhook.deadline,
            fail_closed=tuple(fail_closed),
            exempt=tuple(webhook.exempt),
            workers=webhook.workers,
            queue=webhook.queue,
        )

    def _api(self, model: RootModel) -> ApiSettings | None:
        api = model.api
        if api is None:
            return None
        host, port = api.listen
        return ApiSettings(
            host=host,
            port=port,
            certificate=self._optional_path(api.certificate),
            key=self._path(api.key.removeprefix("file:")) if api.key else None,
            behind_proxy=api.behind_proxy,
            public_log=api.public_log,
            requests_per_minute=api.requests_per_minute,
            hosts=tuple(api.hosts),
        )

    def _storage(self, model: RootModel) -> Storage:
        text = model.storage.database
        is_secret = text.startswith(("env:", "file:"))
        database = self._secret(text, ("storage", "database")) if is_secret else self._path(text)
        return Storage(database, self._path(model.storage.objects))

    def _service(self, model: ServiceModel, at: Location) -> Service:
        return Service(
            name=model.name,
            owner=model.owner,
            escalation=model.escalation,
            tier=Tier(model.tier) if model.tier else None,
            tenancy=model.tenancy,
            data_class=model.data_class,
            rto_s=model.rto,
            rpo_s=model.rpo,
            recovery=Recovery(model.recovery.detect, model.recovery.decide, model.recovery.redirect),
            depends_on=None if model.depends_on is None else tuple(model.depends_on),
            match=tuple(
                Match(match.collector, match.namespace, match.labels, match.tags, match.id_prefix)
                for match in model.match
            ),
            assets=tuple(
                self._asset(asset, model.name, (*at, "assets", place)) for place, asset in enumerate(model.assets)
            ),
        )

    def _asset(self, model: AssetModel, service: str, at: Location) -> Asset:
        filestore = str(self._path(model.source.filestore)) if model.source.filestore else None
        return Asset(
            name=model.name,
            type=model.type,
            service=service,
            assurance=Assurance(model.assurance) if model.assurance else None,
            source=Source(model.source.postgres, model.source.database, filestore, model.source.heartbeat),
            backups=tuple(
                self._backup(job, filestore, (*at, "backups", place)) for place, job in enumerate(model.backups)
            ),
            assertions=tuple(Assertion(item.name, item.sql, *item.expect) for item in model.assertions),
            drill=self._drill(model.drill),
        )

    def _drill(self, model: DrillModel) -> DrillPolicy:
        return DrillPolicy(
            choose=Choice(model.choose),
            period_s=model.period,
            scope=ScopePolicy(model.scope),
            full_every_s=model.full_every,
            heapallindexed_every_s=model.heapallindexed_every,
            reverify_s=model.reverify,
            deadline_s=model.deadline,
            disk_quota=model.disk_quota,
        )

    def _backup(self, job: BackupModel, filestore: str | None, at: Location) -> BackupJob:
        archived = job.wal is not None or job.format in {"pgbackrest", "barman"}  # which keep the log themselves
        beyond = Target(TargetKind.LATEST if archived else TargetKind.END)
        return BackupJob(
            name=job.name,
            place=self._place(job, filestore, at),
            every_s=job.every,
            age=self._secret(job.decrypt.age, (*at, "decrypt", "age")) if job.decrypt and job.decrypt.age else None,
            target=job.recover or beyond,
            copy_of=job.copy_of,
            lock_s=job.lock,
            quiesce=Patience(job.quiesce.lock_timeout, job.quiesce.attempts) if job.quiesce else None,
            target_written=job.recover is not None,
        )

    def _place(self, job: BackupModel, filestore: str | None, at: Location) -> Place:
        secret = job.decrypt.password if job.decrypt else None
        age = job.decrypt.age if job.decrypt else None
        return Place(
            format=job.format,
            path=job.path if is_remote(job.path) else str(self._path(job.path)),
            holds=job.holds or "pg_dump",
            wal=str(self._path(job.wal)) if job.wal else None,
            server=job.server,
            secret=RepositorySecret(self._secret(secret, (*at, "decrypt", "password"))) if secret else None,
            environment={
                name: RepositorySecret(self._secret(value, (*at, "environment", name)))
                for name, value in job.environment.items()
            },
            endpoint=job.endpoint,
            region=job.region,
            filestore=filestore,
            identity=RepositorySecret(self._secret(age, (*at, "decrypt", "age"))) if age else None,
        )


def _same_folders(tree: Tree, settings: Settings) -> list[Problem]:
    """Two jobs over one folder would each claim the other's backups, however the folder is spelled."""
    problems: list[Problem] = []
    first: dict[tuple[str, str | None, str | None], str] = {}
    for service_place, service in enumerate(settings.services):
        for asset_place, asset in enumerate(service.assets):
            for job_place, job in enumerate(asset.backups):
                at: Location = ("services", service_place, "assets", asset_place, "backups", job_place, "path")
                key = (job.place.path, job.place.server, job.place.endpoint)  # a repository may serve several
                if key in first:
                    message = f"this backup folder is already that of {first[key]}; make them different"
                    problems.append(Problem(tree.line(at), at, message))
                first.setdefault(key, f"{asset.name}'s {job.name}")
    return problems
