"""What `guardian webhook manifests` prints: the objects that install the webhook, for the kinds that are judged here.

I/O: reads guardian.yaml and its policies, the CA file, and the certificate that the webhook would answer with.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from guardian.errors import ConfigError
from guardian.policy import users
from guardian.policy.bundle import PARAMS_NAME
from guardian.usecases.certificates import need_host, read_bundle
from guardian.usecases.webhook_manifests import (
    Install,
    admission_kinds,
    by_url,
    in_cluster,
    preparations,
    service_hosts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardian.settings import Settings


def elsewhere(settings: Settings, url: str, *, ca_file: Path | None) -> list[dict[str, Any]]:
    """Return what makes an API server ask a webhook at `url` that runs elsewhere.

    ca_file: PEM certificates that the webhook's own is checked with, None if the API server's system trusts it.
    Raises UsageError, ConfigError.
    """
    bundle = None if ca_file is None else read_bundle(ca_file)
    registered = by_url(settings, url, kinds=_kinds(settings), ca_bundle=bundle)
    _need_host(settings, urlsplit(url).hostname or "")
    return registered


def here(
    settings: Settings, *, image: str, namespace: str, ca_file: Path | None, cert_manager: bool
) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """Return what runs the webhook in the cluster, and the commands to run before it is applied.

    Raises UsageError, ConfigError.
    """
    bundle = None if ca_file is None else read_bundle(ca_file)
    policies = _policies(settings)
    install = Install(
        image=image,
        namespace=namespace,
        ca_bundle=bundle,
        cert_manager=cert_manager,
        policies=tuple(policies),
        configuration=_digest(settings, policies),
    )
    objects = in_cluster(settings, install, kinds=_kinds(settings))
    if not cert_manager:
        _need_host(settings, service_hosts(namespace)[0])  # API servers use this name alone
    return objects, preparations(settings, install)


def notes(settings: Settings, *, image: str | None) -> list[str]:
    """Return what works and is not as safe as it could be. image: None if the webhook runs elsewhere."""
    found = []
    if image is not None and "@sha256:" not in image:
        found.append(
            f"{image} is not named by digest (@sha256:…): its tag can be moved to another image, and Guardian's own "
            "control workload.image-digest refuses such images"
        )
    if settings.webhook is not None and settings.webhook.client_ca is None:
        found.append(
            "webhook.clientCA is not set: anyone who reaches the port can have reviews recorded that no API server "
            "asked for"
        )
    return found


def _need_host(settings: Settings, host: str) -> None:
    if settings.webhook is not None:
        need_host(settings.webhook.certificate, host)


def _policies(settings: Settings) -> dict[str, bytes]:
    """Return what Guardian reads of the users' folder, by path below it."""
    if settings.policies is None:
        return {}
    found = users.read(settings.policies)
    return dict(sorted({**found.modules, **({PARAMS_NAME: found.params} if found.params else {})}.items()))


def _digest(settings: Settings, policies: Mapping[str, bytes]) -> str:
    """Return a digest of what the Pods read once, when they start: guardian.yaml and the users' policies."""
    digest = hashlib.sha256()
    try:
        files = {"": settings.path.read_bytes(), **policies}
    except OSError as error:
        raise ConfigError(f"cannot read {settings.path}: {error.strerror}") from error
    for name, content in files.items():
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"


def _kinds(settings: Settings) -> list[str]:
    return admission_kinds(users.load(settings).catalogue)
