"""A Kubernetes cluster: every object of the configured kinds, read in pages, one kind after the other.

Invariant: what one kind costs is its own: a kind that is denied, not served or broken off is Unreadable, the others are
read all the same. Nothing is kept of what was yielded. No connection is made before `collect` is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from guardian.collectors import Observed, Unreadable
from guardian.collectors.kubernetes_errors import ListError
from guardian.collectors.kubernetes_objects import DEFAULT_KINDS, TooDeepError, observe, runs_nothing, sensitive_paths
from guardian.kubernetes_kinds import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from guardian.collectors.kubernetes_session import Session
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

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:  # noqa: ARG002 -- no object has an age here
        """Yield every object of the configured kinds that runs something."""
        from guardian.collectors.kubernetes_session import Session  # noqa: PLC0415 -- takes a second and 50 MB

        left = list(self.kinds)
        try:
            with Session(self._settings) as session:
                while left:
                    yield from self._kind(session, left[0])
                    left.pop(0)
        except ListError as error:  # of the whole cluster: nobody waits for the same again
            for kind in left:
                yield Unreadable(kind, error.reason, error.detail)

    def examine(self) -> tuple[str, Sequence[Unreadable]]:
        """Return what the server says it is, and every kind that cannot be listed, asking for one object of each.

        The version is empty if there was no answer at all, and says so if the server keeps it to itself.
        """
        from guardian.collectors.kubernetes_session import Session  # noqa: PLC0415 -- takes a second and 50 MB

        unreadable = []
        try:
            with Session(self._settings) as session:
                try:
                    version = session.version()
                except ListError as error:
                    if error.whole:
                        raise
                    version = "of a version it does not tell"
                for kind in self.kinds:
                    try:
                        list(session.objects(kind, only_first=True))
                    except ListError as error:
                        if error.whole:
                            raise
                        unreadable.append(Unreadable(kind, error.reason, error.detail))
        except ListError as error:
            return "", [Unreadable(kind, error.reason, error.detail) for kind in self.kinds]
        return version, unreadable

    def _kind(self, session: Session, kind: str) -> Iterator[Observed | Unreadable]:
        """Yield the objects of one kind. Raises ListError only where it holds for every other kind too."""
        try:
            for found in session.objects(kind):
                if not runs_nothing(kind, found):
                    yield from self._object(kind, found)
        except ListError as error:
            if error.whole:
                raise
            yield Unreadable(kind, error.reason, error.detail)

    def _object(self, kind: str, found: dict[str, Any]) -> Iterator[Observed | Unreadable]:
        try:
            yield observe(found, cluster=self.name)
        except TooDeepError as error:
            yield Unreadable(kind, "too-deep", str(error))
        except ValueError as error:
            yield Unreadable(kind, "malformed", f"an object of its list is none: {error}")
