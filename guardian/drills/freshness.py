"""How old the data of a backup is: by a heartbeat row, the write-ahead log, or when the backup was taken.

Invariant: the source with the best right to say is used and named; one that is asked for and does not answer is an
error, never a silent step down to the next. No I/O but one query of the restored copy, read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from verifiers.postgres.assertions import NoAnswerError, ask
from verifiers.postgres.checks import freshness
from verifiers.postgres.session import describe
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from guardian.model import BackupJob

HEARTBEAT, LOG, BACKUP, MANIFEST = "heartbeat", "write-ahead log", "backup", "manifest"
_LATE = 2  # times the period of the job
_CLOCKS_APART_S = 300
_STILL_S = 3600.0  # a heartbeat may stand still for that long at least


@dataclass(frozen=True, slots=True)
class Age:
    """What is known of the age of a backup's data. Times are aware.

    taken_at: of the backup. by_manifest: when the manifest of it was taken. newest: the newest commit that the recovery
    of a copy of a cluster reached. heartbeat: the newest heartbeat row, or why there is none.
    """

    now: datetime
    taken_at: datetime | None
    by_manifest: datetime | None = None
    newest: datetime | None = None
    heartbeat: datetime | str | None = None

    @property
    def source(self) -> str | None:
        """What tells the age, None where nothing does."""
        if isinstance(self.heartbeat, datetime):
            return HEARTBEAT
        if self.newest is not None:
            return LOG
        return BACKUP if self.taken_at is not None else MANIFEST if self.by_manifest is not None else None

    @property
    def moment(self) -> datetime | None:
        """Up to when the backup holds data, as far as the best source tells."""
        told = {HEARTBEAT: self.heartbeat, LOG: self.newest, BACKUP: self.taken_at, MANIFEST: self.by_manifest}
        moment = told[self.source] if self.source else None
        return moment if isinstance(moment, datetime) else None

    @property
    def seconds(self) -> int | None:
        """Whole seconds from then to now; None where nothing tells, or where a clock is wrong."""
        if self.moment is None or (seconds := (self.now - self.moment).total_seconds()) < -_CLOCKS_APART_S:
            return None
        return max(0, int(seconds))

    def check(self, job: BackupJob, asset: str, *, newest: bool, unread: str = "") -> Check:
        """Return `freshness`. newest: whether the newest backup is drilled, whose age speaks of its job.

        unread: which other jobs could not be read, so that it is not known whether this is the newest.
        """
        if isinstance(self.heartbeat, str):
            message = f"The heartbeat of {asset} was asked for and gave no answer: {self.heartbeat}"
            return self._said(Verdict.ERROR, message)
        taken_at = self.taken_at or self.moment
        told = freshness(taken_at=taken_at, now=self.now, rpo_s=None)
        if told.verdict is not Verdict.PASS or taken_at is None:
            return told
        age_s = (self.now - taken_at).total_seconds()
        if newest and job.every_s is not None and age_s > _LATE * job.every_s:
            message = (
                f"The newest backup of {asset} is {_long(age_s)} old, and job {job.name} should make one every "
                f"{_long(job.every_s)}: it seems to have stopped. See why, and who should have heard of it."
            )
            return self._said(Verdict.FAIL, message, {"atMostSeconds": _LATE * job.every_s})
        still = taken_at - self.heartbeat if isinstance(self.heartbeat, datetime) else timedelta(0)
        allowed = max(_STILL_S, float(job.every_s or 0))
        if still.total_seconds() > allowed:
            message = (
                f"The newest heartbeat in the backup is {_long(still.total_seconds())} older than the backup itself: "
                "it was taken of a copy that stood still, or nothing keeps the heartbeat."
            )
            return self._said(Verdict.FAIL, message, {"heartbeatAtMostSecondsBeforeBackup": int(allowed)})
        if unread:
            message = (
                f"Whether {asset} has a newer backup is not known, as not all of its jobs could be read: {unread}."
            )
            return self._said(Verdict.ERROR, message)
        return self._said(Verdict.PASS, f"Its data is {self.seconds or 0} s old, told by: {self.source}.")

    def _said(self, verdict: Verdict, message: str, expected: Any = None) -> Check:  # noqa: ANN401 -- a JSON value
        age_s = int((self.now - self.taken_at).total_seconds()) if self.taken_at else None
        observed = {"ageSeconds": age_s, "rpoSource": self.source, "rpoSeconds": self.seconds}
        return Check("freshness", Assurance.RESTORED, verdict, expected, observed, message)


def heartbeat(conninfo: str, query: str, deadline_s: float) -> datetime | str:
    """Return the moment that the query gives on the restored copy, or why it gives none."""
    try:
        answer = ask(conninfo, query, deadline_s)
    except psycopg.Error as error:
        return describe(error)
    except NoAnswerError as error:
        return f"{error}."
    if answer is None:
        return "it gave NULL, so there is no heartbeat row."
    if not isinstance(answer, datetime) or answer.tzinfo is None:
        return "it gave no timestamptz."
    return answer.astimezone(UTC)


def _long(seconds: float) -> str:
    """Return a duration in the largest unit that leaves at least two of it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
