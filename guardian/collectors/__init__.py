"""Collectors: one file per source of truth. Each yields raw observations; `guardian.normalise` makes resources of them.

A collector never raises for a source that cannot be read: it yields an `Unreadable` for the kind concerned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """One raw thing as the source told it, not yet redacted.

    key: what follows `id_scheme:` in the id: the collector's name (for backups the asset's), `/`, and the natural key.
    sensitive: JSON pointers to secrets in this one, beside those that the collector declares for its kind.
    keep: JSON pointers to what stays whatever it looks like, as redact.keep of guardian.yaml.
    id_scheme: first part of the id of this one, None for the collector's.
    """

    kind: str
    key: str
    attributes: Mapping[str, Any]
    asset: str | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    sensitive: Sequence[str] = ()
    keep: Sequence[str] = ()
    id_scheme: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A source or kind that could not be read. detail: for a person, without secrets."""

    kind: str
    reason: str
    detail: str


class Collector(Protocol):
    """Reads one source of truth.

    type: its type in guardian.yaml, also its name in `source`; id_scheme: first part of the ids it yields (`pg`);
    sensitive: attribute paths whose values are secrets, JSON pointers per kind; `*` stands for any one segment.
    """

    type: str
    name: str
    id_scheme: str
    kinds: Sequence[str]
    sensitive: Mapping[str, Sequence[str]]

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        """Yield everything the source holds. now: UTC, the moment ages are computed against."""
        ...
