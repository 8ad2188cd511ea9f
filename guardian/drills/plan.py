"""What one drill shall do, by the asset's policy and its history: which backup, how much of it, how thoroughly.

Invariant: the same backups, history and time give the same plan, so that anybody can work out from the signed log why
a backup was drilled. No I/O and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from guardian.model.drill_policy import ScopePolicy
from verifiers.result import Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.drills.history import PastDrill
    from guardian.model import BackupJob
    from guardian.model.drill_policy import DrillPolicy
    from verifiers.sources import BackupItem

    Kept = Sequence[tuple[BackupJob, BackupItem]]

MOST_COMPARED = 100  # earlier drills that a new one is compared with
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """What a drill is told beside backup and level.

    newest: whether the newest backup was asked for, so that its age speaks of the job. heapallindexed: None for what
    the kind of backup asks for. heapallindexed_said: when every row was last found in every index, where it is not due.
    last_full: what is known of the last drill of everything, in words. history: newest first. covered: how many of the
    backups kept were drilled within the period, of how many, without this drill; None unless sampled.
    fresh: whether this drill adds one to those. accepted: why what is unlike earlier drills is as it should be.
    unread: which other jobs of the asset could not be read, and why; a newer backup may be there.
    """

    newest: bool = False
    scope: Scope = Scope.FULL
    last_full: str = ""
    heapallindexed: bool | None = None
    heapallindexed_said: str = ""
    history: Sequence[PastDrill] = ()
    covered: tuple[int, int] | None = None
    fresh: bool = False
    accepted: str | None = None
    unread: str = ""


def plan(
    policy: DrillPolicy,
    history: Sequence[PastDrill],
    now: datetime,
    *,
    newest: bool = False,
    sampled: tuple[Kept, str, str] | None = None,
    accepted: str | None = None,
) -> DrillPlan:
    """Return the plan of a drill that begins `now`.

    sampled: the backups kept, with job and id of the one that is drilled, where the policy is to sample.
    """
    scope, last_full = _scope(policy, history, now)
    due, said = _heapallindexed(policy, history, now)
    covered, fresh = None, False
    if sampled is not None:
        kept, job, backup_id = sampled
        done = drilled_within(policy.period_s, kept, history, now)
        covered, fresh = (len(done), len(kept)), (job, backup_id) not in done
    return DrillPlan(newest, scope, last_full, due, said, history[:MOST_COMPARED], covered, fresh, accepted)


def sample(kept: Kept, history: Sequence[PastDrill], period_s: float, now: datetime) -> tuple[BackupJob, BackupItem]:
    """Return the backup whose turn it is, of at least one that is kept.

    First those that were not drilled within the period, the one that was tried longest ago (or never) first, and of
    those never tried the oldest; so one that cannot be checked does not keep the others waiting.
    """
    done = drilled_within(period_s, kept, history, now)

    def turn(pair: tuple[BackupJob, BackupItem]) -> tuple[bool, datetime, datetime, str, str]:
        job, item = pair
        tried = max((past.ended_on for past in history if past.is_of(job.name, item.id)), default=_NEVER)
        return (job.name, item.id) in done, tried, item.taken_at or _NEVER, job.name, item.id

    return min(kept, key=turn)


def drilled_within(period_s: float, kept: Kept, history: Sequence[PastDrill], now: datetime) -> set[tuple[str, str]]:
    """Return (job, backup id) of what is kept and was drilled within the period: with a result, good or bad."""
    since = now - timedelta(seconds=period_s)
    recent = [past for past in history if past.ended_on >= since and past.verdict is not Verdict.ERROR]
    return {(job.name, item.id) for job, item in kept if any(past.is_of(job.name, item.id) for past in recent)}


def _scope(policy: DrillPolicy, history: Sequence[PastDrill], now: datetime) -> tuple[Scope, str]:
    """Return the scope of a drill of a dump, and what is known of the last full one."""
    full = next((past for past in history if past.passed and past.scope is Scope.FULL), None)
    said = f"the last full one was {_moment(full.ended_on)}" if full else "there was no full one yet"
    match policy.scope:
        case ScopePolicy.FULL:
            return Scope.FULL, said
        case ScopePolicy.DATA_ONLY:
            return Scope.DATA_ONLY, said
        case ScopePolicy.ROTATE:
            due = full is None or now - full.ended_on >= timedelta(seconds=policy.full_every_s)
            return Scope.FULL if due else Scope.DATA_ONLY, said


def _heapallindexed(policy: DrillPolicy, history: Sequence[PastDrill], now: datetime) -> tuple[bool | None, str]:
    if policy.heapallindexed_every_s is None:
        return None, ""
    last = next((past for past in history if past.heapallindexed), None)
    if last is None or now - last.ended_on >= timedelta(seconds=policy.heapallindexed_every_s):
        return True, ""
    return False, f"That every row is in every index was last proved {_moment(last.ended_on)}, and is not due yet."


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
