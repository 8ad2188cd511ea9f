"""Which backup of an asset is drilled, and what has to be proved of it. Looks into backup folders, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from guardian.drills.plan import plan, sample
from guardian.errors import UsageError
from guardian.model import Assurance
from guardian.model.drill_policy import Choice
from verifiers.errors import VerifierError
from verifiers.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.drills.history import PastDrill
    from guardian.drills.plan import DrillPlan
    from guardian.model import Asset, BackupJob
    from verifiers.sources import BackupItem

_NEVER = datetime.min.replace(tzinfo=UTC)


class Chosen(NamedTuple):
    """What is drilled, and how. backup: None where there is none."""

    job: BackupJob
    backup: BackupItem | None
    plan: DrillPlan


def choose(
    asset: Asset,
    backup_id: str | None = None,
    *,
    being_taken_since: datetime | None = None,
    history: Sequence[PastDrill] = (),
    now: datetime | None = None,
    accepted: str | None = None,
) -> Chosen:
    """Return the backup to drill, with its job: the one called `backup_id`, else by the asset's policy over all jobs.

    being_taken_since: when `guardian manifest` began a backup that is not finished; what is newer is passed over.
    history: earlier drills, newest first. now: None for this moment. accepted: see `DrillPlan`.

    The newest counts also when it is visibly incomplete: that is a finding, not a reason to take an older one. None for
    the backup when there is none; the drill then says why.
    Raises UsageError if the asset has no backup job, or no backup of that id.
    """
    if not asset.backups:
        raise UsageError(f"asset {asset.name!r} has no backup job; add `backups:` to it in guardian.yaml")
    found: list[tuple[BackupJob, BackupItem]] = []
    unread: list[str] = []
    for job in asset.backups:
        try:
            found += [(job, item) for item in open_source(asset.type, job.place).locate()]
        except VerifierError as error:  # another job may still have backups; if none has, `why_none` tells
            unread.append(f"job {job.name}: {error}")
    if backup_id is not None:
        found = [(job, item) for job, item in found if item.id == backup_id]
        if not found:
            there = ", ".join(job.path for job in asset.backups)
            raise UsageError(f"asset {asset.name!r} has no backup {backup_id!r} in {there}")
    elif being_taken_since is not None:
        found = [(job, item) for job, item in found if item.taken_at and item.taken_at < being_taken_since]
    policy, now = asset.drill, now or datetime.now(UTC)
    if not found:
        return Chosen(asset.backups[0], None, plan(policy, history, now, accepted=accepted))
    if backup_id is not None:
        job, item = _newest(found)
        return Chosen(job, item, plan(policy, history, now, accepted=accepted))
    if policy.choose is Choice.SAMPLED:
        job, item = sample(found, history, policy.period_s, now)
        sampled = (found, job.name, item.id)
        made = plan(policy, history, now, sampled=sampled, accepted=accepted)
    else:
        job, item = _newest(found)
        made = plan(policy, history, now, newest=True, accepted=accepted)
    return Chosen(job, item, replace(made, unread="; ".join(unread)))


def _newest(found: Sequence[tuple[BackupJob, BackupItem]]) -> tuple[BackupJob, BackupItem]:
    return max(found, key=lambda pair: (pair[1].taken_at or _NEVER, pair[1].id))


def required_assurance(asset: Asset, *, any_manifest_logged: bool) -> Assurance:
    """Return the level a drill of this asset has to reach.

    What guardian.yaml says; without it `sound`, and `exact` from the first manifest logged for the asset on: a backup
    that comes without one later is then an error, until somebody writes the lower level down.
    """
    if asset.assurance is not None:
        return asset.assurance
    return Assurance.EXACT if any_manifest_logged else Assurance.SOUND


def why_none(asset: Asset, job: BackupJob) -> str:
    """Say why there is no backup of the asset to drill."""
    try:
        open_source(asset.type, job.place).locate()
    except VerifierError as error:
        return str(error)
    return f"there is no backup in {job.path}; take one, or correct `path` of backup {job.name} in guardian.yaml"
