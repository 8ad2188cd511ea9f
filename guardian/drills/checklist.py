"""Which checks a drill has, in which order, and what becomes of each: none is ever left out.

Invariant: every check of the list stands in the result exactly once. What was not reached is `error` with the reason
if the required level asks for it, what lies above that level is `skip`; so a drill that broke off can never pass.
No I/O of its own: it runs what it is given.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from verifiers.errors import VerifierError
from verifiers.postgres.session import describe
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_RESTORED, _SOUND, _EXACT = Assurance.RESTORED, Assurance.SOUND, Assurance.EXACT
CHECKS: dict[str, Assurance | None] = {
    "backup.digest": _RESTORED,
    "backup.locked": _RESTORED,
    "archive.complete": _RESTORED,
    "restore.messages": _RESTORED,
    "server.started": _RESTORED,
    "recovery.target": _RESTORED,
    "catalog.readable": _RESTORED,
    "identity": _RESTORED,
    "isolation": _RESTORED,
    "freshness": _RESTORED,
    "pages": _SOUND,
    "amcheck": _SOUND,
    "constraints": _SOUND,
    "indexes": _SOUND,
    "extensions": _SOUND,
    "filestore.content": _SOUND,
    "filestore.bijection": _SOUND,
    "assertions": _SOUND,
    "catalog.diff": _EXACT,
    "content.rows": _EXACT,
    "content.hashes": _EXACT,
    "sequences": _EXACT,
    "large-objects": _EXACT,
    "materialized-views": _EXACT,
    "filestore.manifest": _EXACT,
    "neutralised": None,
    "anomaly": None,
}
# What a dump without its indexes and constraints has nothing to show for.
BEYOND_DATA = ("amcheck", "constraints", "indexes", "catalog.diff", "materialized-views")


class StopDrill(Exception):  # noqa: N818 -- an instruction, not an error: it ends the drill early with what it has
    """Nothing after this can be checked. The message says why, as in `not run: <why>`."""


class Checklist:
    """The checks of one drill as they come in.

    required: the level that decides which of them run at all. judge: has the last word on each check that is put.
    cannot: checks that this kind of drill cannot make, with the reason; they are skipped, whoever puts them.
    """

    def __init__(self, required: Assurance) -> None:
        self.required = required
        self.judge: Callable[[Check], Check] = lambda check: check
        self.cannot: Mapping[str, str] = {}
        self._done: dict[str, Check] = {}

    def put(self, check: Check) -> Check:
        """Take a finished check. Raises ValueError for one that is not on the list."""
        if check.id not in CHECKS:
            raise ValueError(f"{check.id} is no check of a drill")
        if check.id in self.cannot:
            check = Check(check.id, None, Verdict.SKIP, message=self.cannot[check.id])
        self._done[check.id] = replace(self.judge(check), level=CHECKS[check.id])
        return self._done[check.id]

    def skip(self, check_id: str, reason: str) -> None:
        """Enter a check that does not apply to this asset or backup."""
        self.put(Check(check_id, None, Verdict.SKIP, message=reason))

    def error(self, check_id: str, reason: str) -> None:
        """Enter a check that could not be made."""
        self.put(Check(check_id, None, Verdict.ERROR, message=reason))

    def wanted(self, check_id: str) -> bool:
        """Say whether the required level asks for this check, and this kind of drill can make it."""
        return self._within(check_id) and check_id not in self.cannot

    def _within(self, check_id: str) -> bool:
        level = CHECKS[check_id]
        return level is None or level.rank <= self.required.rank

    def run(self, ids: Sequence[str], job: Callable[[], Check | Sequence[Check]]) -> list[Check]:
        """Run a job that yields the checks `ids`, if they are wanted. What it does not yield, or raises, is `error`."""
        if not any(self.wanted(check_id) for check_id in ids):
            return []
        began = time.monotonic()
        why = "the check gave no result"
        yielded: Sequence[Check] = ()
        try:
            answer = job()
            yielded = [answer] if isinstance(answer, Check) else answer
        except psycopg.Error as error:
            why = f"could not be checked: {describe(error)}"
        except (VerifierError, OSError) as error:
            why = f"could not be checked: {error}"
        except StopDrill:
            raise
        except Exception as error:  # noqa: BLE001 -- a bug in one check must not cost the record; its text may hold rows
            why = f"could not be checked: {type(error).__name__}; this is a defect of Guardian, please report it"
        seconds = (time.monotonic() - began) / len(ids)
        for check in yielded:
            self.put(check if check.duration_s else replace(check, duration_s=seconds))
        for check_id in ids:
            if check_id not in self._done:
                self.put(Check(check_id, None, Verdict.ERROR, message=why, duration_s=seconds))
        return [self._done[check_id] for check_id in ids]

    def end(self, why: str, amiss: Sequence[str]) -> None:
        """Take in how the drill ended: what went wrong after its last check must not leave a pass.

        why: what ended it early, if anything did. amiss: what failed while the sandbox was torn down.
        """
        reasons = [f"the sandbox did not end cleanly: {reason}" for reason in amiss]
        if why and all(check_id in self._done for check_id in CHECKS if self.wanted(check_id)):
            reasons.insert(0, why)  # otherwise the checks that were not reached tell it
        if reasons:
            before = self._done.get("isolation") or Check("isolation", None, Verdict.ERROR)
            said = [before.message] if before.verdict is Verdict.ERROR and before.message else []
            message = "; ".join([*said, *reasons])
            self.put(replace(before, verdict=Verdict.ERROR, message=message[:1].upper() + message[1:]))

    def result(self, why: str) -> list[Check]:
        """Return every check of the list in its order. why: the reason for those that were not reached."""
        checks = []
        for check_id, level in CHECKS.items():
            if self._within(check_id) and check_id in self.cannot:
                checks.append(Check(check_id, level, Verdict.SKIP, message=self.cannot[check_id]))
            elif not self.wanted(check_id):
                reason = f"above the required level {self.required}; set `assurance: {level}` to have it"
                checks.append(Check(check_id, level, Verdict.SKIP, message=reason))
            elif check_id in self._done:
                checks.append(self._done[check_id])
            else:
                checks.append(Check(check_id, level, Verdict.ERROR, message=f"not run: {why}"))
        return checks
