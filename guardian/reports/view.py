"""What the HTML report shows, worked out before the template sees it: the template only lays out. Pure.

Invariant: the headline is never better than the worst thing on the page, and what was not checked is shown as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardian.model import Assurance, Mode, Verdict
from guardian.reports import meanings, words
from guardian.reports.table import verdict_of
from verifiers.result import DRILL_PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.model import ControlSummary, Drill, Finding, Service
    from guardian.reports.inputs import ReportInput
    from verifiers.result import Check

# More findings of one control than anyone reads; the rest is counted, and complete in the record's attachment.
MOST_FINDINGS = 40
_SANDBOX_WORDS = {
    "cpu": "CPU",
    "cpus": "CPUs",
    "memoryBytes": "memory",
    "postgresVersion": "PostgreSQL",
    "provider": "isolation",
    "sourceVersion": "source PostgreSQL",
}
_BAR_WIDTH = 1000.0  # user units of the bars' view boxes


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict over everything, and what it means."""

    verdict: Verdict
    title: str
    sentences: Sequence[str]


@dataclass(frozen=True, slots=True)
class Segment:
    """One phase in a drill's bar: x and width in user units, shade: its place in DRILL_PHASES."""

    name: str
    seconds: str
    x: float
    width: float
    shade: int


@dataclass(frozen=True, slots=True)
class Objective:
    """One measure against its objective.

    goal: empty where none is declared. state: within, beyond, moot (within, but of a backup that did not pass) or
    unknown. share: how much of the objective was used, at most 1; None where either is unknown.
    """

    measured: str
    goal: str
    state: str
    share: float | None


@dataclass(frozen=True, slots=True)
class DrillView:
    """One drill as the page shows it."""

    drill: Drill
    verdict: Verdict
    proved: str
    not_proved: str
    rto: Objective
    rpo: Objective
    segments: Sequence[Segment]
    bad: Sequence[Mapping[str, Any]]
    passed: Sequence[str]
    skipped: Sequence[tuple[str, int, Sequence[tuple[str, Sequence[str]]]]]
    numbers: Sequence[tuple[str, str]]
    measured_on: str
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ControlView:
    """One judged control. findings: fails and errors, the first MOST_FINDINGS; omitted: how many more there are."""

    summary: ControlSummary
    verdict: Verdict
    findings: Sequence[Finding]
    omitted: int
    about: Mapping[str, Any]
    clauses: Sequence[str]


@dataclass(frozen=True, slots=True)
class View:
    """The whole page."""

    given: ReportInput
    headline: Headline
    services: Sequence[tuple[Service, Sequence[tuple[str, DrillView | None]]]]
    drills: Sequence[DrillView]
    controls: Sequence[ControlView]
    not_judged: Sequence[tuple[str, str, str]]
    unchecked: Sequence[tuple[str, str, str]]
    limits: Sequence[str]


def view(given: ReportInput) -> View:
    """Return everything the page shows, in its order."""
    worst_first = [Verdict.FAIL, Verdict.ERROR, Verdict.SKIP, Verdict.PASS]
    drills = [drill_view(drill, given.records) for drill in given.drills]
    drills.sort(key=lambda one: worst_first.index(one.verdict))
    by_asset = {one.drill.asset.name: one for one in drills}
    return View(
        given=given,
        headline=headline(given),
        services=[
            (service, [(asset.name, by_asset.get(asset.name)) for asset in service.assets])
            for service in given.services
        ],
        drills=drills,
        controls=_controls(given),
        not_judged=_not_judged(given),
        unchecked=_unchecked(given),
        limits=_limits(given),
    )


def headline(given: ReportInput) -> Headline:
    """Return the worst verdict of drills, findings and gaps, and what it means in a few sentences."""
    names = {verdict: [d.asset.name for d in given.drills if d.result.verdict is verdict] for verdict in Verdict}
    undrilled = _undrilled(given)
    judged = _judged(given)
    failing = [s for s in judged if _verdict(given, s) is Verdict.FAIL]
    erring = [s for s in judged if _verdict(given, s) is Verdict.ERROR]
    sentences = []
    if given.drills:
        good, total = len(names[Verdict.PASS]), len(given.drills)
        sentences.append(
            f"{good} of {words.counted(total, 'drilled backup')} came back as {'it' if total == 1 else 'they'} should."
        )
    if names[Verdict.FAIL]:
        sentences.append(
            f"Do not rely on the backup of {words.listed(names[Verdict.FAIL])}: take a new one, and drill it."
        )
    if names[Verdict.ERROR]:
        sentences.append(
            f"Whether {words.listed(names[Verdict.ERROR])} can be restored is not known: the drill could not finish."
        )
    if undrilled:
        sentences.append(f"Never drilled: {words.listed(undrilled)}. Whether those backups restore is not known.")
    if given.evaluation is None:
        sentences.append("The environment was not scanned, so no control is judged.")
    else:
        said = [words.counted(len(judged), "control") + " judged", f"{len(failing)} violated"]
        sentences.append(", ".join([*said, f"{len(erring)} could not be checked"]) + ".")
    if names[Verdict.FAIL] or failing:
        return Headline(Verdict.FAIL, "Action is needed", sentences)
    if names[Verdict.ERROR] or undrilled or erring or given.evaluation is None or not given.drills:
        return Headline(Verdict.ERROR, "Not everything could be checked", sentences)
    return Headline(Verdict.PASS, "Everything that was checked passed", sentences)


def _judged(given: ReportInput) -> list[ControlSummary]:
    return [] if given.evaluation is None else [s for s in given.evaluation.summaries if s.scope == "judged"]


def _undrilled(given: ReportInput) -> list[str]:
    drilled = {drill.asset.name for drill in given.drills}
    return [a.name for service in given.services for a in service.assets if a.backups and a.name not in drilled]


def _verdict(given: ReportInput, summary: ControlSummary) -> Verdict:
    """Return a control's verdict; a waived fail does not count, but is shown."""
    open_fails = [f for f in _findings(given, summary.control) if f.verdict is Verdict.FAIL and f.waiver is None]
    verdict = verdict_of(summary.counts)
    if verdict is Verdict.FAIL and not open_fails:
        return verdict_of({**summary.counts, Verdict.FAIL: 0, Verdict.PASS: 1})
    return verdict


def _findings(given: ReportInput, control: str) -> list[Finding]:
    findings = given.evaluation.findings if given.evaluation else ()
    return [
        finding
        for verdict in (Verdict.FAIL, Verdict.ERROR)
        for finding in findings
        if finding.control == control and finding.verdict is verdict and finding.mode is not Mode.OFF
    ]


def _controls(given: ReportInput) -> list[ControlView]:
    """Return the judged controls, the worst and most severe first."""
    order = [Verdict.FAIL, Verdict.ERROR, Verdict.SKIP, Verdict.PASS]
    severities = ["critical", "high", "medium", "low"]
    shown = []
    for summary in _judged(given):
        findings = _findings(given, summary.control)
        about = given.controls.get(summary.control, {})
        clauses = [
            f"{words.FRAMEWORKS.get(name, name)} {', '.join(map(str, ids))}"
            for name, ids in sorted(about.get("frameworks", {}).items())
        ]
        omitted = max(0, len(findings) - MOST_FINDINGS)
        shown.append(ControlView(summary, _verdict(given, summary), findings[:MOST_FINDINGS], omitted, about, clauses))
    shown.sort(key=lambda c: (order.index(c.verdict), severities.index(c.summary.severity), c.summary.control))
    return shown


def _not_judged(given: ReportInput) -> list[tuple[str, str, str]]:
    """Return (control, title, reason) of every control that is off or out of scope."""
    summaries = given.evaluation.summaries if given.evaluation else ()
    return [(s.control, s.title, s.reason or s.scope) for s in summaries if s.scope != "judged"]


def _unchecked(given: ReportInput) -> list[tuple[str, str, str]]:
    """Return (what, where, why) of everything that should have been checked and could not be."""
    rows = [
        (finding.control, finding.resource, finding.message)
        for summary in _judged(given)
        for finding in _findings(given, summary.control)
        if finding.verdict is Verdict.ERROR
    ]
    for drill in given.drills:
        for message, ids in meanings.alike([c for c in drill.result.checks if c.verdict is Verdict.ERROR]):
            rows.append((f"drill of {drill.asset.name}", ", ".join(ids), message))
        if not drill.result.checks:
            rows.append((f"drill of {drill.asset.name}", "every check", "the drill ended before any check was made"))
    rows += [(f"drill of {name}", "every check", "this asset was never drilled") for name in _undrilled(given)]
    return rows


def drill_view(drill: Drill, records: Sequence[Mapping[str, Any]]) -> DrillView:
    """Return one drill as a page shows it. records: of the log, from which the newest of its asset is named."""
    result = drill.result
    bad = [check for check in result.checks if check.verdict is Verdict.FAIL]
    skips = [check for check in result.checks if check.verdict is Verdict.SKIP]
    unreached = [check for check in result.checks if check.verdict is Verdict.ERROR]
    return DrillView(
        drill=drill,
        verdict=result.verdict,
        proved=meanings.proved(drill),
        not_proved=meanings.not_proved(drill),
        rto=objective(drill.estimated_rto_s, drill.service.rto_s, result.verdict),
        rpo=objective(meanings.rpo_s(drill), drill.service.rpo_s, result.verdict),
        segments=_segments(drill),
        bad=[_bad(check) for check in bad],
        passed=[check.id for check in result.checks if check.verdict is Verdict.PASS],
        skipped=[
            (label, len(checks), meanings.alike(checks))
            for label, checks in (("Could not run", unreached), ("Does not apply", skips))
            if checks
        ],
        numbers=_numbers(drill),
        measured_on=_measured_on(drill),
        records=[r for r in records if r.get("asset") == drill.asset.name and r.get("kind") == "restore-drill"][-1:],
    )


def _bad(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "asks": meanings.asks(check.id),
        "message": check.message,
        "expected": "" if check.expected is None else words.compact(check.expected),
        "observed": "" if check.observed is None else words.compact(check.observed),
        "next": meanings.next_step(check.id),
    }


def objective(measured: float | None, goal: float | None, verdict: Verdict) -> Objective:
    """Return a measure against its objective, both in seconds. verdict: of the drill that measured it."""
    if measured is None or goal is None:
        said = "not measured" if measured is None else words.duration(measured)
        return Objective(said, words.duration(goal) if goal is not None else "", "unknown", None)
    # How fast a bad backup restores is no comfort, and must not look like one.
    state = "beyond" if measured > goal else "within" if verdict is Verdict.PASS else "moot"
    return Objective(words.duration(measured), words.duration(goal), state, min(1.0, measured / goal) if goal else 1.0)


def _segments(drill: Drill) -> list[Segment]:
    """Return the phases as parts of one bar; each keeps a sliver, so that none is invisible."""
    phases = drill.result.phases
    total = sum(phase.seconds for phase in phases)
    if not total:
        return []
    least = 4.0
    scale = (_BAR_WIDTH - least * len(phases)) / total
    x, segments = 0.0, []
    for phase in phases:
        width = least + phase.seconds * scale
        shade = DRILL_PHASES.index(phase.name) if phase.name in DRILL_PHASES else len(DRILL_PHASES) - 1
        segments.append(Segment(phase.name, words.duration(phase.seconds), round(x, 2), round(width, 2), shade))
        x += width
    return segments


def _numbers(drill: Drill) -> list[tuple[str, str]]:
    """Return what was restored, as names and values."""
    result, numbers = drill.result, []
    backup = result.backup
    if backup.get("takenAt"):
        taken = str(backup["takenAt"]).replace("T", " ").split(".")[0].removesuffix("Z")
        numbers.append(("Backup taken", f"{taken} UTC"))
    if backup.get("sizeBytes") is not None:
        numbers.append(("Size", words.size(backup["sizeBytes"])))
    if result.restore_seconds is not None:
        numbers.append(("Restored in", words.duration(result.restore_seconds)))
    counts = [name for name in ("tables", "rows", "files") if name in result.measurements]
    return numbers + [(name.capitalize(), f"{result.measurements[name]:,}") for name in counts]


def _measured_on(drill: Drill) -> str:
    """Return the sandbox that the times belong to, on one line."""
    parts = []
    for name, value in sorted(drill.result.sandbox.items()):
        if isinstance(value, dict):
            said = ", ".join(f"{key}={entry}" for key, entry in sorted(value.items()))
        else:
            said = words.size(value) if name.endswith("Bytes") and isinstance(value, int) else str(value)
        parts.append(f"{_SANDBOX_WORDS.get(name, name)} {said}")
    return "; ".join(parts)


def _limits(given: ReportInput) -> list[str]:
    """Return what this report does not prove, plainly."""
    limits = []
    if not given.witnesses:
        limits.append(
            "No witness outside this administration has cosigned the log. Whoever holds all of its keys could write "
            "another history."
        )
    if not given.timestamped:
        limits.append(
            "No timestamp authority has signed the log's head. The times stated are those of the machine that ran "
            "Guardian."
        )
    if given.drills:
        settings = {str(d.result.sandbox.get("settings", {}).get("fsync")) for d in given.drills if d.result.sandbox}
        fast = " with fsync=off" if settings == {"off"} else ""
        limits.append(
            f"Restore times were measured in a throwaway sandbox{fast}, on the machine described with each drill; "
            "other hardware takes another time. The recovery time is an estimate: measured restore plus declared times "
            "for detection, decision and redirection."
        )
        limits.append("A drill speaks of the one backup it restored, at the moment it did; not of those taken since.")
        if any(drill.result.assurance is not Assurance.EXACT for drill in given.drills):
            limits.append("Below assurance exact, a drill does not show that the data equals the source.")
    limits.append(
        "Controls judge what collectors could read. A source that lies before it is signed is not found out by a "
        "signature."
    )
    limits.append("This page is a view. The signed records are the evidence; verify them, not the page.")
    return limits
