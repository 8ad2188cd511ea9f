"""Whether a copy of a backup is still the copy of it: their digests, both read where they lie.

Invariant: a copy that differs from an original which is still there fails; one whose original is gone is not compared,
and that is said. Reads both places, changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from verifiers.errors import VerifierError
from verifiers.result import Check, Verdict
from verifiers.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.model import Asset, BackupJob
    from verifiers.sources import BackupItem, BackupSource, Fetched


def compared(check: Check, asset: Asset, job: BackupJob, item: BackupItem, fetched: Fetched) -> Check:
    """Return `backup.digest` of what was fetched, for a copy with what its original says.

    check: the same, of the manifest alone.
    """
    if job.copy_of is None:
        return check
    original = next((other for other in asset.backups if other.name == job.copy_of), None)
    if original is None:
        return _unchecked(check, f"there is no job {job.copy_of} that this backup is a copy of")
    try:
        source = open_source(asset.type, original.place)
        there = _named_alike(source.locate(), original, _names(job, item))
        if not there:
            name = min(_names(job, item), key=len)
            gone = f"Job {original.name} has no backup {name} any more: not compared with it."
            return replace(check, message=f"{check.message} {gone}")
        return _judged(check, original, fetched, _digests(source, there, fetched))
    except (VerifierError, OSError) as error:
        return _unchecked(check, f"the original in job {original.name} could not be read: {error}")


def _judged(check: Check, original: BackupJob, fetched: Fetched, digests: dict[str, str]) -> Check:
    same = next((identity for identity, sha256 in digests.items() if sha256 == fetched.sha256), None)
    identity = same or next(iter(digests))
    expected = {**(check.expected if isinstance(check.expected, dict) else {}), "original": digests[identity]}
    by_manifest = "" if check.verdict is Verdict.SKIP else f" {check.message}"
    if same is not None:
        message = f"The copy is the same as its original, {identity} in job {original.name}.{by_manifest}"
        verdict = Verdict.PASS if check.verdict is Verdict.SKIP else check.verdict
    else:
        message = f"The copy differs from its original, {identity} in job {original.name}.{by_manifest}"
        verdict = Verdict.FAIL
        if check.verdict is Verdict.PASS:
            message += " So it is the original that was changed."
        elif check.verdict is Verdict.SKIP:
            message += " Which of the two was changed, a manifest would tell; drill the original."
    return replace(check, verdict=verdict, expected=expected, observed={"sha256": fetched.sha256}, message=message)


def _digests(source: BackupSource, there: Sequence[BackupItem], fetched: Fetched) -> dict[str, str]:
    """Return the digests of originals by id, newest first, until one is the copy's.

    A place with versions may have several uploads of one name: a copy of any of them is a copy.
    """
    found: dict[str, str] = {}
    for item in reversed(there):
        found[item.id] = source.digest(item)[0]
        if found[item.id] == fetched.sha256:
            break
    return found


def _named_alike(items: Sequence[BackupItem], job: BackupJob, names: set[str]) -> list[BackupItem]:
    return [item for item in items if _names(job, item) & names]


def _names(job: BackupJob, item: BackupItem) -> set[str]:
    """Return what a backup may be called in another place: in a bucket with versions its id carries the version."""
    name, _, version = item.id.rpartition("@")
    return {item.id, name} if job.format == "s3" and version and name else {item.id}


def _unchecked(check: Check, why: str) -> Check:
    """Return that the copy could not be compared; what the manifest found wrong stays found."""
    verdict = Verdict.FAIL if check.verdict is Verdict.FAIL else Verdict.ERROR
    return replace(check, verdict=verdict, message=f"Not compared with its original: {why}. {check.message}")
