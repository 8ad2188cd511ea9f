"""What a drill found: the contract of this package with everything outside it.

Invariant: a result never claims more than its checks. `DrillResult.verdict` and `.assurance` are derived from the
checks and cannot be set. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Verdict(StrEnum):
    """Outcome of one check. `ERROR` means: could not be checked, which is never a pass."""

    PASS = "pass"  # noqa: S105 -- the verdict, not a password
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


class Assurance(StrEnum):
    """How much a drill proved, weakest first."""

    RESTORED = "restored"
    SOUND = "sound"
    EXACT = "exact"

    @property
    def rank(self) -> int:
        """Position in the order of strength: 0, 1, 2."""
        return list(Assurance).index(self)


class Scope(StrEnum):
    """How much of a backup was restored: all of it, or a dump without its indexes and constraints."""

    FULL = "full"
    DATA_ONLY = "data-only"

    @property
    def most(self) -> Assurance:
        """The highest assurance that a drill of this scope can give."""
        return Assurance.EXACT if self is Scope.FULL else Assurance.RESTORED


@dataclass(frozen=True, slots=True)
class Check:
    """One verification inside a drill.

    level: the assurance this check counts towards; None for checks that never raise it (`neutralised`, `anomaly`).
    expected, observed: JSON values without any row content, DETAIL or CONTEXT: SQLSTATEs, object names, counts, hashes.
    message: one sentence for a person: what was found, and what to do when it is not a pass.
    """

    id: str
    level: Assurance | None
    verdict: Verdict
    expected: Any = None
    observed: Any = None
    message: str = ""
    duration_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the check as its JSON shape; durations in seconds, to the millisecond."""
        return {
            "id": self.id,
            "level": self.level,
            "verdict": self.verdict,
            "expected": self.expected,
            "observed": self.observed,
            "message": self.message,
            "durationSeconds": round(self.duration_s, 3),
        }


@dataclass(frozen=True, slots=True)
class Phase:
    """One timed phase of a drill, in the order of DRILL_PHASES. Phases that were not reached are absent."""

    name: str
    seconds: float


RESTORE_PHASES = ("locate", "fetch", "decrypt", "verify archive", "restore", "start", "recover to target")
VERIFY_PHASES = ("compare", "application checks", "teardown")
DRILL_PHASES = RESTORE_PHASES + VERIFY_PHASES


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What one drill of one backup proved.

    backup: id, format, takenAt (RFC 3339 UTC or None), sizeBytes, sha256 of what was restored.
    restored: True once a server with the restored data accepted connections and the restore phases are complete.
    sandbox: provider, postgres version, cpus, settings such as fsync: what the timings were measured on.
    measurements: numbers only (bytes, rows, tables, files, ...Seconds).
    scope: of a drill of the data alone no more than `restored` is ever claimed, and no restore time.
    """

    required: Assurance
    checks: Sequence[Check]
    phases: Sequence[Phase]
    backup: Mapping[str, Any]
    restored: bool
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    measurements: Mapping[str, float | int] = field(default_factory=dict)
    scope: Scope = Scope.FULL

    @property
    def verdict(self) -> Verdict:
        """FAIL if any check failed, else ERROR if any could not run (or none ran), else PASS."""
        verdicts = {check.verdict for check in self.checks}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        if Verdict.ERROR in verdicts or Verdict.PASS not in verdicts:
            return Verdict.ERROR
        needed = min(self.required, self.scope.most, key=lambda level: level.rank)
        return Verdict.PASS if self.assurance is not None and self.assurance.rank >= needed.rank else Verdict.ERROR

    @property
    def assurance(self) -> Assurance | None:
        """The highest level at which every check of it and of all lower levels passed (or does not apply).

        A level counts only if at least one of its checks passed and none failed or erred, and only if a drill of this
        scope can give it.
        """
        reached: Assurance | None = None
        for level in Assurance:
            if level.rank > self.scope.most.rank:
                break
            verdicts = {check.verdict for check in self.checks if check.level is level}
            if Verdict.PASS not in verdicts or verdicts & {Verdict.FAIL, Verdict.ERROR}:
                break
            reached = level
        return reached

    @property
    def restore_seconds(self) -> float | None:
        """Sum of the restore phases, None unless a full restore completed. Source of the RTO estimate."""
        if not self.restored or self.scope is not Scope.FULL:
            return None
        return sum(phase.seconds for phase in self.phases if phase.name in RESTORE_PHASES)

    def to_json(self) -> dict[str, Any]:
        """Return the result as its JSON shape, with what is derived written out too."""
        restore_seconds = self.restore_seconds
        return {
            "verdict": self.verdict,
            "assurance": self.assurance,
            "requiredAssurance": self.required,
            "scope": self.scope,
            "backup": dict(self.backup),
            "checks": [check.to_json() for check in self.checks],
            "phases": [{"name": phase.name, "seconds": round(phase.seconds, 3)} for phase in self.phases],
            "restored": self.restored,
            "restoreSeconds": None if restore_seconds is None else round(restore_seconds, 3),
            "sandbox": dict(self.sandbox),
            "measurements": dict(self.measurements),
        }
