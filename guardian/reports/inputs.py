"""What a report is made from, handed in complete by the caller. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from guardian.model import Drill, Evaluation, Service


@dataclass(frozen=True, slots=True)
class ReportInput:
    """All that one report says; the same input gives the same bytes.

    generated_at: aware. evaluation: None if the environment was never scanned. controls: metadata by control id, as the
    catalogue describes it (title, description, remediation, frameworks). drills: the newest of each asset.
    records: dicts `{index, recordId, kind, asset, result, time}` of the whole log, in its order. log: `{origin, size,
    root}` of the checkpoint, empty without one. verify_command: what a reader runs to verify the pack.
    witnesses: names of those who cosigned the checkpoint; timestamped: whether a timestamp authority's token is there.
    """

    environment: str
    generated_at: datetime
    evaluation: Evaluation | None
    controls: Mapping[str, Mapping[str, Any]]
    services: Sequence[Service]
    drills: Sequence[Drill]
    records: Sequence[Mapping[str, Any]]
    log: Mapping[str, Any]
    verify_command: str
    witnesses: Sequence[str] = ()
    timestamped: bool = False
