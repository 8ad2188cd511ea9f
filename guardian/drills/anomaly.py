"""`anomaly`: is a backup like those that were drilled before it? What is far outside the usual fails, in a sentence.

Invariant: only green drills of other, earlier backups of the same job are compared with, so that a bad backup never
becomes the measure of the next. It never raises the assurance. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from guardian.drills.history import ACCEPTED
from verifiers.result import Check, Scope, Verdict
from verifiers.sources.directory import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.drills.history import PastDrill

MOST_USUAL: Final = 10  # drills that the usual is the median of
_SHRUNK, _GROWN = 0.5, 3.0
_ENOUGH_TO_GROW = 3  # a young estate grows fast; a few drills tell how fast
_MOST_CHANGED = 0.5  # of all files since the last green drill
_ENTROPY_JUMP = 0.3  # in the share of files that look encrypted
_FEW_FILES = 10


@dataclass(frozen=True, slots=True)
class _Measure:
    """least: below that nothing is compared, as small numbers move by much. can_grow: whether growth is an anomaly."""

    key: str
    words: str
    least: float
    can_grow: bool = True


_MEASURES: Final = (
    _Measure("backupBytes", "bytes in the backup", 1 << 16),
    _Measure("databaseBytes", "bytes in the database", 32 << 20),
    _Measure("tables", "tables", 4, can_grow=False),
    _Measure("rows", "rows", 100),
    _Measure("files", "files", _FEW_FILES),
    _Measure("fileBytes", "bytes in files", 1 << 16),
)


def anomaly(
    job: str,
    backup_id: str,
    taken_at: datetime | None,
    scope: Scope,
    measured: Mapping[str, float | int],
    history: Sequence[PastDrill],
    accepted: str | None = None,
) -> Check:
    """Return `anomaly`: fail where a measurement is far from what earlier drills of this job found.

    history: newest first. accepted: a person's reason why it is as it should be; then it is `skip` with that reason,
    and later drills are compared with this one and those after it.
    """
    usual = _usual(job, backup_id, taken_at, history)
    if not usual:
        if accepted:
            return _skip(f"No earlier drill of another backup to compare with. Accepted: {accepted}", accepted, {})
        return _skip("no earlier green drill of another backup of this job to compare with")
    comparable = [past for past in usual if past.scope is scope]
    odd = [*_sizes(measured, usual, comparable), *_files(measured, usual)]
    expected, observed = _compared(measured, usual), {key: measured[key] for key in _keys() if key in measured}
    if not observed:
        return _skip("nothing was measured that earlier drills measured too")
    said = "; ".join(odd)
    if accepted:
        return _skip(f"Accepted: {accepted} ({said or 'it is like earlier backups'})", accepted, observed)
    if odd:
        message = (
            f"Unlike the last {len(usual)} green drills: {said}. If that was meant, drill it with "
            "--accept-anomaly REASON; if not, look at the source before anything is deleted."
        )
        return Check("anomaly", None, Verdict.FAIL, expected, observed, message)
    message = f"It is like the last {len(usual)} green drills."
    return Check("anomaly", None, Verdict.PASS, expected, observed, message)


def _usual(job: str, backup_id: str, taken_at: datetime | None, history: Sequence[PastDrill]) -> list[PastDrill]:
    """Return the green drills to compare with, newest backup first, each backup once, back to an accepted change."""
    found: dict[tuple[str, datetime | None], PastDrill] = {}
    for past in history:
        if not past.passed or past.backup_id is None or past.job not in {job, None}:
            continue
        earlier = taken_at is None or past.taken_at is None or past.taken_at <= taken_at
        # A mirror keeps its name whenever it is brought up to date; what differs is when that was.
        moment = past.taken_at if past.backup_id == CURRENT else None
        another = past.backup_id != backup_id or (backup_id == CURRENT and past.taken_at != taken_at)
        if another and earlier:
            found.setdefault((past.backup_id, moment), past)
        if past.accepted or len(found) == MOST_USUAL:
            break
    return list(found.values())


def _sizes(
    measured: Mapping[str, float | int], usual: Sequence[PastDrill], comparable: Sequence[PastDrill]
) -> Iterator[str]:
    for measure in _MEASURES:
        # A database without its indexes is smaller; what it holds is the same.
        among = comparable if measure.key == "databaseBytes" else usual
        known = [past.measurements[measure.key] for past in among if measure.key in past.measurements]
        now = measured.get(measure.key)
        if now is None or not known:
            continue
        middle = median(known)
        if max(middle, now) < measure.least:
            continue
        if now < _SHRUNK * middle:
            yield f"{now:,.0f} {measure.words}, less than half of the usual {middle:,.0f}"
        elif measure.can_grow and len(known) >= _ENOUGH_TO_GROW and now > _GROWN * middle:
            yield f"{now:,.0f} {measure.words}, more than three times the usual {middle:,.0f}"


def _files(measured: Mapping[str, float | int], usual: Sequence[PastDrill]) -> Iterator[str]:
    files, changed, entropy = (measured.get(key) for key in ("files", "filesChanged", "filesHighEntropy"))
    if files is None or files < _FEW_FILES:
        return
    if changed is not None and changed > _MOST_CHANGED * files:
        yield f"{changed:,.0f} of {files:,.0f} files changed since the last green drill, as when somebody encrypts them"
    shares = [
        past.measurements["filesHighEntropy"] / past.measurements["files"]
        for past in usual
        if "filesHighEntropy" in past.measurements and past.measurements.get("files")
    ]
    if entropy is not None and shares and entropy / files > median(shares) + _ENTROPY_JUMP:
        yield f"{entropy / files:.0%} of the files look encrypted, and {median(shares):.0%} are usual"


def _keys() -> tuple[str, ...]:
    return (*(measure.key for measure in _MEASURES), "filesChanged", "filesHighEntropy")


def _compared(measured: Mapping[str, float | int], usual: Sequence[PastDrill]) -> dict[str, Any]:
    """Return the medians, and of how many drills."""
    medians = {
        key: median(known)
        for key in _keys()
        if key in measured and (known := [past.measurements[key] for past in usual if key in past.measurements])
    }
    return {"medians": medians, "drills": len(usual)}


def _skip(message: str, accepted: str | None = None, observed: Mapping[str, Any] | None = None) -> Check:
    told = {**(observed or {}), ACCEPTED: accepted} if accepted else None
    return Check("anomaly", None, Verdict.SKIP, None, told, message)
