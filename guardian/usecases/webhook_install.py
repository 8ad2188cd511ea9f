"""What `guardian webhook manifests` prints: the objects that install the webhook, for the kinds that are judged here.

I/O: reads guardian.yaml's policies and the CA file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.policy import users
from guardian.usecases.certificates import read_bundle
from guardian.usecases.webhook_manifests import Install, admission_kinds, by_url, in_cluster, preparations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardian.settings import Settings


def elsewhere(settings: Settings, url: str, *, ca_file: Path | None) -> list[dict[str, Any]]:
    """Return what makes an API server ask a webhook at `url` that runs elsewhere.

    ca_file: PEM certificates that the webhook's own is checked with, None if the API server's system trusts it.
    Raises UsageError, ConfigError.
    """
    bundle = None if ca_file is None else read_bundle(ca_file)
    return by_url(settings, url, kinds=_kinds(settings), ca_bundle=bundle)


def here(
    settings: Settings, *, image: str, namespace: str, ca_file: Path | None, cert_manager: bool
) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """Return what runs the webhook in the cluster, and the commands to run before it is applied.

    Raises UsageError, ConfigError.
    """
    bundle = None if ca_file is None else read_bundle(ca_file)
    install = Install(image=image, namespace=namespace, ca_bundle=bundle, cert_manager=cert_manager)
    return in_cluster(settings, install, kinds=_kinds(settings)), preparations(settings, install)


def _kinds(settings: Settings) -> list[str]:
    return admission_kinds(users.load(settings).catalogue)
