"""What the demo must find, and whether it did. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardian.model import Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardian.model import Evaluation
    from guardian.usecases.demo_plants import Plant
    from guardian.usecases.drill import DrillOutcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """One planted fact. what: asset or control with its resource; why: what was observed, in a sentence."""

    what: str
    planted: str
    expected: str
    observed: str
    why: str
    occurred: bool


def judge(plants: Sequence[Plant], drills: Sequence[DrillOutcome], evaluation: Evaluation) -> list[Outcome]:
    """Return every planted outcome, then every verdict nobody planted. All must have occurred."""
    by_asset = {outcome.drill.asset.name: outcome for outcome in drills}
    outcomes = [_drill_outcome(plant, by_asset[plant.asset]) for plant in plants]
    outcomes.extend(_control_outcomes(plants, by_asset, evaluation))
    return outcomes


def _drill_outcome(plant: Plant, outcome: DrillOutcome) -> Outcome:
    result = outcome.drill.result
    failed = {check.id for check in result.checks if check.verdict is Verdict.FAIL}
    reasons = [check.message for check in result.checks if check.verdict is Verdict.FAIL and check.id in plant.expected]
    right = (
        result.verdict is plant.verdict
        and plant.expected <= failed <= plant.expected | plant.also
        and (plant.expected or result.assurance is plant.assurance)
    )
    assurance = result.assurance or "none"
    return Outcome(
        what=f"drill {plant.asset}",
        planted=plant.what,
        expected=f"fail at {', '.join(sorted(plant.expected))}" if plant.expected else f"pass, {plant.assurance}",
        observed=f"{result.verdict}" + (f" at {', '.join(sorted(failed))}" if failed else f", {assurance}"),
        why=" ".join(reasons) or ("restored and equal to its source, row by row and file by file" if right else ""),
        occurred=bool(right),
    )


def _control_outcomes(
    plants: Sequence[Plant], by_asset: dict[str, DrillOutcome], evaluation: Evaluation
) -> Iterator[Outcome]:
    """Yield the planted verdicts of controls, the durability that must pass, and every verdict not foreseen."""
    wanted = {("postgres.superusers", "pg:erp-db/role/old_admin"): (Verdict.FAIL, "a login superuser nobody allowed")}
    for plant in plants:
        resource = f"declared:production/asset/{plant.asset}"
        if plant.expected:
            wanted["backup.restore-tested", resource] = (Verdict.FAIL, "follows from its failed drill")
            if "archive.complete" in plant.expected:
                wanted["backup.fresh", resource] = (Verdict.FAIL, "follows: its only backup is visibly cut short")
            wanted["recovery.rpo", resource] = (
                Verdict.ERROR,
                "follows: what came back is not all of the backup, so how much would be lost is not known",
            )
            if "filestore.bijection" in plant.expected:
                wanted["backup.pair-consistent", resource] = (Verdict.FAIL, "follows: files that rows name are gone")
            if by_asset[plant.asset].drill.result.restore_seconds is None:
                wanted["recovery.rto", resource] = (Verdict.ERROR, "follows: nothing restored, so no time was measured")
                wanted["backup.pair-consistent", resource] = (
                    Verdict.ERROR,
                    "follows: nothing restored, so database and filestore were not compared",
                )
    bad = {
        (finding.control, finding.resource): finding
        for finding in evaluation.findings
        if finding.mode is not Mode.OFF and finding.verdict in {Verdict.FAIL, Verdict.ERROR}
    }
    for key, (verdict, planted) in wanted.items():
        found = bad.pop(key, None)
        yield Outcome(
            what=f"{key[0]} on {key[1]}",
            planted=planted,
            expected=verdict,
            observed=found.verdict if found else "no such finding",
            why=found.message if found else "",
            occurred=found is not None and found.verdict is verdict,
        )
    passed = [f for f in evaluation.findings if f.control == "postgres.durability" and f.verdict is Verdict.PASS]
    yield Outcome(
        what="postgres.durability on pg:erp-db/server",
        planted="nothing",
        expected=Verdict.PASS,
        observed=Verdict.PASS if passed else "no pass",
        why="fsync, full_page_writes and data checksums are on" if passed else "",
        occurred=bool(passed),
    )
    for (control, resource), finding in bad.items():
        yield Outcome(
            f"{control} on {resource}", "nothing", "no finding", finding.verdict, finding.message, occurred=False
        )
