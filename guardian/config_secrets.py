"""What guardian.yaml refers to and does not hold: key files that others may read, secrets that are not there.

Invariant: no value is repeated. I/O: the modes of key files; the secrets themselves, on request.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from guardian.config_yaml import Problem
from guardian.errors import ConfigError
from guardian.settings import AwsCollector, PostgresCollector, RepositorySecret, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.config_yaml import Location, Tree
    from guardian.settings import Settings

_KEY_MODE = 0o640


def check(tree: Tree, settings: Settings, *, check_secrets: bool) -> list[Problem]:
    """Return what is wrong with secrets: key files open to others; with check_secrets also what is missing."""
    keys: dict[Location, Secret] = {
        ("keys", "record"): settings.keys.record,
        ("keys", "log"): settings.keys.log,
        ("keys", "redaction"): settings.keys.redaction,
    }
    others: dict[Location, Secret] = {
        ("collectors", place, "dsn"): item.dsn
        for place, item in enumerate(settings.collectors)
        if isinstance(item, PostgresCollector)
    }
    if isinstance(settings.storage.database, Secret):
        others["storage", "database"] = settings.storage.database
    if settings.engine.token:
        others["engine", "token"] = settings.engine.token
    private: dict[Location, Secret] = {**keys, **dict(_backup_keys(settings))}
    if settings.webhook:
        private["webhook", "key"] = Secret(f"file:{settings.webhook.key}")
    if settings.api and settings.api.key:
        private["api", "key"] = Secret(f"file:{settings.api.key}")
    others |= {
        ("collectors", place, "externalId"): item.external_id
        for place, item in enumerate(settings.collectors)
        if isinstance(item, AwsCollector) and item.external_id
    }
    problems = []
    for at, secret in {**private, **others}.items():
        message = _open_to_others(secret) if at in private else None
        # The keys of certificates are read where webhook and API run; a scan elsewhere does without them.
        if message is None and check_secrets and at not in {("webhook", "key"), ("api", "key")}:
            message = _missing(secret)
            if message is not None and at in keys:
                message += "; `guardian init` makes the keys of a new environment"
        if message is not None:
            problems.append(Problem(tree.line(at), at, message))
    return problems


def _backup_keys(settings: Settings) -> Iterator[tuple[Location, Secret]]:
    for service_place, service in enumerate(settings.services):
        for asset_place, asset in enumerate(service.assets):
            for place, job in enumerate(asset.backups):
                at: Location = ("services", service_place, "assets", asset_place, "backups", place)
                if isinstance(job.age, Secret):
                    yield (*at, "decrypt", "age"), job.age
                if isinstance(job.place.secret, RepositorySecret):
                    yield (*at, "decrypt", "password"), job.place.secret.secret
                for name, value in job.place.environment.items():
                    if isinstance(value, RepositorySecret):
                        yield (*at, "environment", name), value.secret


def _open_to_others(secret: Secret) -> str | None:
    if not secret.reference.startswith("file:"):
        return None
    try:
        mode = stat.S_IMODE(secret.path.stat().st_mode)
    except OSError:
        return None  # a missing key is for `check_secrets`, or for whoever reads it
    if mode & ~_KEY_MODE:
        return f"the key file may be used by others (mode {mode:04o}); run: chmod 0600 {secret.path}"
    return None


def _missing(secret: Secret) -> str | None:
    try:
        secret.read()
    except ConfigError as error:
        return str(error).removeprefix(secret.where)
    return None
