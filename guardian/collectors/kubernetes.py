"""A Kubernetes cluster: every object of the configured kinds, read in pages, one kind after the other.

Invariant: what one kind costs is its own: a kind that is denied, not served or broken off is Unreadable, the others are
read all the same. Nothing is kept of what was yielded. No connection is made before `collect` is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from guardian.collectors.kubernetes_objects import DEFAULT_KINDS, sensitive_paths
from guardian.kubernetes_kinds import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from guardian.collectors import Observed, Unreadable
    from guardian.settings import KubernetesCollector


class _Sensitive(Mapping[str, "Sequence[str]"]):
    """Sensitive paths of every Kubernetes kind, also of those that nobody configured."""

    def __getitem__(self, kind: str) -> Sequence[str]:
        if not kind.startswith(PREFIX):
            raise KeyError(kind)
        return sensitive_paths(kind)

    def __iter__(self) -> Iterator[str]:
        return iter(DEFAULT_KINDS)

    def __len__(self) -> int:
        return len(DEFAULT_KINDS)


class Kubernetes:
    """The collector of one cluster."""

    type = "kubernetes"
    id_scheme = "k8s"
    sensitive: Mapping[str, Sequence[str]] = _Sensitive()

    def __init__(self, settings: KubernetesCollector) -> None:
        self.name = settings.name
        self.kinds: Sequence[str] = tuple(settings.kinds) or DEFAULT_KINDS
        self._settings = settings

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        """Yield every object of the configured kinds."""
        raise NotImplementedError
