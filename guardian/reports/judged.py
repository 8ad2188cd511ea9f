"""What the machine formats and the table of `guardian check` are made from: findings with their places. Pure data.

Invariant: a scan and a check hand SARIF and JUnit the same shape, `Judged`; only a check knows files and lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardian.model import Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import Evaluation, Finding, Tier

_WORST_FIRST: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.PASS, Verdict.SKIP)


@dataclass(frozen=True, slots=True)
class Place:
    """One place in a file; line and column count from 1. field: the path inside the object, empty for all of it."""

    file: str
    line: int
    column: int = 1
    field: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the place as its JSON shape."""
        return {"file": self.file, "line": self.line, "column": self.column, "field": self.field or None}


@dataclass(frozen=True, slots=True)
class Located:
    """One finding and the places where it can be mended; none where only a running system was looked at."""

    finding: Finding
    places: Sequence[Place] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read at all, where, and the way out."""

    file: str
    line: int
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the problem as its JSON shape."""
        return {"file": self.file, "line": self.line, "message": self.message}


@dataclass(frozen=True, slots=True)
class Subject:
    """One object of a manifest, where it begins, and every finding on it, passes included, by control."""

    id: str
    kind: str
    service: str | None
    tier: Tier | None
    place: Place
    located: Sequence[Located]

    @property
    def verdict(self) -> Verdict | None:
        """The worst that was found, None if no control judges this; what is waived counts as a pass."""
        verdicts = {
            Verdict.PASS if one.finding.verdict is Verdict.FAIL and one.finding.waiver else one.finding.verdict
            for one in self.located
        }
        return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), None)


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check found.

    controls: metadata of the whole catalogue by id. subjects: every object, in the order of the files.
    not_judged: control id -> why it judged nothing here. notes: what a person should know of how it was judged.
    """

    environment: str
    collector: str
    engine: str
    engine_version: str
    bundle_digest: str
    controls: Mapping[str, Mapping[str, Any]]
    subjects: Sequence[Subject]
    problems: Sequence[Problem]
    not_judged: Mapping[str, str]
    notes: Sequence[str]

    @property
    def located(self) -> list[Located]:
        """Every finding, in the order of the files."""
        return [one for subject in self.subjects for one in subject.located]

    def exit_code(self, least_mode: Mode) -> int:
        """Return 0, 1 or 3: unwaived fails in `least_mode` or sterner come first, then what could not be checked."""
        findings = [one.finding for one in self.located]
        if any(f.verdict is Verdict.FAIL and not f.waiver and f.mode.rank >= least_mode.rank for f in findings):
            return 1
        return 3 if self.problems or any(f.verdict is Verdict.ERROR for f in findings) else 0

    def counts(self) -> dict[str, int]:
        """Return how many objects there are, how many were judged, and how those came out."""
        verdicts = [subject.verdict for subject in self.subjects]
        return {
            "objects": len(verdicts),
            "judged": sum(verdict is not None for verdict in verdicts),
            "passed": sum(verdict in (Verdict.PASS, Verdict.SKIP) for verdict in verdicts),
            "failed": sum(verdict is Verdict.FAIL for verdict in verdicts),
            "errors": sum(verdict is Verdict.ERROR for verdict in verdicts),
            "notJudged": sum(verdict is None for verdict in verdicts),
            "unreadable": len(self.problems),
        }

    def kinds_not_judged(self) -> dict[str, int]:
        """Return how many objects there are of each kind that no control judged, by kind."""
        found: dict[str, int] = {}
        for subject in self.subjects:
            if subject.verdict is None:
                found[subject.kind] = found.get(subject.kind, 0) + 1
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Judged:
    """One run, as SARIF and JUnit tell it.

    controls: metadata by id of those that judged something. exit_code: what the command ends with.
    """

    command: str
    environment: str
    engine: str
    engine_version: str
    bundle_digest: str
    controls: Mapping[str, Mapping[str, Any]]
    located: Sequence[Located]
    problems: Sequence[Problem]
    exit_code: int

    @property
    def complete(self) -> bool:
        """Whether everything that was to be checked could be."""
        return not self.problems and all(one.finding.verdict is not Verdict.ERROR for one in self.located)


def of_check(checked: Checked, exit_code: int) -> Judged:
    """Return a check as Judged."""
    located = checked.located
    return Judged(
        command="check",
        environment=checked.environment,
        engine=checked.engine,
        engine_version=checked.engine_version,
        bundle_digest=checked.bundle_digest,
        controls=_of(located, checked.controls),
        located=located,
        problems=checked.problems,
        exit_code=exit_code,
    )


def of_scan(
    evaluation: Evaluation, environment: str, controls: Mapping[str, Mapping[str, Any]], exit_code: int
) -> Judged:
    """Return a scan as Judged. controls: metadata by id; what it lacks is taken from the evaluation."""
    located = [Located(finding) for finding in evaluation.findings]
    known = {
        summary.control: controls.get(summary.control, {"title": summary.title, "severity": summary.severity})
        for summary in evaluation.summaries
    }
    return Judged(
        command="scan",
        environment=environment,
        engine=evaluation.engine,
        engine_version=evaluation.engine_version,
        bundle_digest=evaluation.bundle_digest,
        controls=_of(located, known),
        located=located,
        problems=(),
        exit_code=exit_code,
    )


def _of(located: Sequence[Located], controls: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    named = sorted({one.finding.control for one in located})
    return {name: controls.get(name, {"title": name, "severity": "medium"}) for name in named}
