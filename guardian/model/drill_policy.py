"""How an asset is drilled, as guardian.yaml declares it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PERIOD_S: Final = 30 * 86_400
FULL_EVERY_S: Final = 7 * 86_400


class Choice(StrEnum):
    """Which backup a drill takes that was told none."""

    NEWEST = "newest"
    SAMPLED = "sampled"


class ScopePolicy(StrEnum):
    """What drills of dumps restore. ROTATE: the data alone, and everything when the last time is long enough ago."""

    FULL = "full"
    DATA_ONLY = "data-only"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class DrillPolicy:
    """How an asset is drilled.

    period_s: within which a sampled drill covers every backup kept. full_every_s: of ROTATE. heapallindexed_every_s:
    how often the expensive amcheck is due, None for every copy of a cluster and no dump. deadline_s, disk_quota: None
    for what counts everywhere. reverify_s: within which every file of a folder that is verified in place is read again;
    None for every drill.
    """

    choose: Choice = Choice.NEWEST
    period_s: int = PERIOD_S
    scope: ScopePolicy = ScopePolicy.FULL
    full_every_s: int = FULL_EVERY_S
    heapallindexed_every_s: int | None = None
    deadline_s: int | None = None
    disk_quota: int | None = None
    reverify_s: int | None = None
