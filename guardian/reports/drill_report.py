"""Drills for a terminal: a report of each, and one line each of many. Pure: returns what rich prints, prints nothing.

Invariant: what was not proved always stands beside what was; nothing is cut, and text of others is shown as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from guardian.model import Assurance, Verdict
from guardian.reports import cells, meanings, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from guardian.model import Drill
    from verifiers.result import Check

# By phase: the measurement that it worked through, and what that counts.
_WORKED: Final = {
    "fetch": ("backupBytes", "bytes"),
    "decrypt": ("backupBytes", "bytes"),
    "verify archive": ("backupBytes", "bytes"),
    "compare": ("rows", "rows"),
}
_LEVELS: Final = tuple(reversed(Assurance))


def drill_report(drill: Drill, evidence_ref: str) -> RenderableType:
    """Return one drill as a report: verdict, what was proved and what not, how long it took, what to do.

    evidence_ref: where its record lies, such as `record 7 (<id>)`.
    """
    result = drill.result
    heading = Text.assemble(
        cells.verdict(result.verdict),
        f"  {words.plain(drill.asset.name)}",
        f"  backup {words.plain(result.backup.get('id') or 'no backup')}",
        f"  assurance {result.assurance or 'none'} (required {result.required})",
    )
    parts: list[RenderableType] = [Text(), heading, _block(_facts(drill))]
    passed = [check for check in result.checks if check.verdict is Verdict.PASS]
    if passed:
        parts += [_title("Passed"), _block(_by_level(passed))]
    open_ones = [check for check in result.checks if check.verdict in {Verdict.FAIL, Verdict.ERROR}]
    open_ones.sort(key=lambda check: list(Verdict).index(check.verdict))
    if open_ones:
        parts += [_title("Not proved"), _block(_checks(open_ones))]
    skipped = [check for check in result.checks if check.verdict is Verdict.SKIP]
    if skipped:
        parts += [_title("Not asked, or not applicable"), _block(_skipped(skipped))]
    if result.phases:
        parts += [_title("Time"), _block(_phases(drill))]
    steps = list(_steps(open_ones))
    if steps:
        parts.append(_title("What to do"))
        parts.append(_block(_numbered(steps)))
    parts.append(Text(f"  evidence: {words.plain(evidence_ref)}"))
    return Group(*parts)


def drills_table(drills: Sequence[Drill]) -> RenderableType:
    """Return one line a drill, measured times against objectives, then below it why each one came out as it did."""
    table = cells.table("verdict", "asset", "assurance", ">restore", ">RTO estimate", ">goal", ">RPO", ">goal")
    reasons = Table.grid(padding=(0, 2))
    reasons.add_column(overflow="fold", min_width=16)
    reasons.add_column(overflow="fold")
    for drill in drills:
        result, service = drill.result, drill.service
        table.add_row(
            cells.verdict(result.verdict),
            cells.text(drill.asset.name),
            Text(f"{result.assurance or 'none'} of {result.required}"),
            *(
                cells.text("-" if seconds is None else words.duration(seconds))
                for seconds in (
                    result.restore_seconds,
                    drill.estimated_rto_s,
                    service.rto_s,
                    meanings.rpo_s(drill),
                    service.rpo_s,
                )
            ),
        )
        named = Text(f"{words.plain(drill.asset.name)}\n{words.plain(result.backup.get('id') or 'no backup')}")
        reasons.add_row(named, cells.text(meanings.why(drill)))
    return Group(table, Text(), reasons)


def _facts(drill: Drill) -> Table:
    rows = [
        ("backup", _backup(drill)),
        ("proved", meanings.proved(drill)),
        ("not proved", meanings.not_proved(drill)),
        ("took", _took(drill)),
        ("RTO", _against(drill.estimated_rto_s, drill.service.rto_s, "an estimate: restore plus declared times")),
        ("", meanings.forecast(drill)),
        ("coverage", meanings.covered(drill)),
        ("RPO", _against(meanings.rpo_s(drill), drill.service.rpo_s, "age of the backup's data at the drill")),
    ]
    grid = _grid(2)
    for name, said in rows:
        if said:
            grid.add_row(Text(name, style="bold"), cells.text(said))
    return grid


def _backup(drill: Drill) -> str:
    backup = drill.result.backup
    said = [str(backup["format"])] if backup.get("format") else []
    if backup.get("sizeBytes"):
        said.append(words.size(backup["sizeBytes"]))
    if backup.get("takenAt"):
        said.append(f"taken {words.moment(datetime.fromisoformat(backup['takenAt']).astimezone(UTC))}")
    return ", ".join(said)


def _took(drill: Drill) -> str:
    restore = drill.result.restore_seconds
    total = "not restored" if restore is None else f"restored in {words.duration(restore)}"
    rest = [phase for phase in drill.result.phases if phase.name in {"compare", "application checks"}]
    if restore is None or not rest:
        return total
    return f"{total}, then looked at for {words.duration(sum(phase.seconds for phase in rest))}"


def _against(seconds: float | None, objective: float | None, note: str) -> str:
    measured = words.duration(seconds) if seconds is not None else "not measured"
    if objective is None:
        return f"{measured}; no objective is declared"
    if seconds is None:
        return f"{measured}; objective {words.duration(objective)}"
    where = "within" if seconds <= objective else "BEYOND"
    return f"{measured}, {where} the objective of {words.duration(objective)} ({note})"


def _by_level(passed: Sequence[Check]) -> Table:
    """Return what passed, the strongest level first."""
    grid = _grid(2)
    for level in (*_LEVELS, None):
        names = [check.id for check in passed if check.level is level]
        if names:
            grid.add_row(Text(level or "beside it", style="bold"), cells.text(", ".join(names)))
    return grid


def _checks(checks: Sequence[Check]) -> Table:
    """Return the checks given, those of one verdict and message (not reached, out of scope) on one line."""
    alike: dict[tuple[Verdict, str], list[Check]] = {}
    for check in checks:
        alike.setdefault((check.verdict, check.message or meanings.asks(check.id)), []).append(check)
    table = cells.table("verdict", "check", "what was found")
    for (verdict, message), same in alike.items():
        said = Text(words.plain(message))
        if verdict is Verdict.FAIL:
            said.append(f"\nexpected {cells.value(same[0].expected)}, observed {cells.value(same[0].observed)}", "dim")
        names = "\n".join(check.id for check in same) if len(same) < 3 else f"{len(same)} checks"
        if len(same) > 2:
            said.append("\n" + words.plain(", ".join(check.id for check in same)), style="dim")
        table.add_row(cells.verdict(verdict), cells.text(names), said)
    return table


def _skipped(checks: Sequence[Check]) -> Table:
    """Return what was not asked, those of one reason on one line."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        reasons.setdefault(check.message or meanings.asks(check.id), []).append(check.id)
    grid = _grid(2)
    for reason, names in reasons.items():
        grid.add_row(Text(words.plain("\n".join(names)), style="dim"), cells.text(reason))
    return grid


def _phases(drill: Drill) -> Table:
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left"):
        grid.add_column(justify=justify)
    for phase in drill.result.phases:
        key, noun = _WORKED.get(phase.name, ("", ""))
        grid.add_row(
            phase.name,
            words.duration(phase.seconds),
            throughput(drill.result.measurements.get(key), noun, phase.seconds),
        )
    return grid


def throughput(count: float | None, noun: str, seconds: float) -> str:
    """Return how fast a count was worked through, empty where nothing was counted or it took no time to speak of."""
    if not count or seconds < 0.05:
        return ""
    if noun == "bytes":
        return f"{words.size(count)}, {words.size(count / seconds)}/s"
    return f"{count:,.0f} {noun}, {count / seconds:,.0f}/s"


def _steps(open_ones: Sequence[Check]) -> Iterator[str]:
    """Yield what to do, each advice once: about what failed, else about what could not be checked."""
    failed = [check for check in open_ones if check.verdict is Verdict.FAIL]
    told = {meanings.next_step(check.id): check for check in failed}
    yield from (f"{check.id}: {step}" for step, check in told.items() if step)
    erred = [check.id for check in open_ones if not _unreached(check)]
    if erred and not failed:
        yield (
            f"{words.listed(erred)}: mend what kept Guardian from checking, as said above, and drill again; `guardian "
            "doctor` tells what this machine lacks."
        )


def _unreached(check: Check) -> bool:
    return check.message.startswith("not run: ")


def _numbered(steps: Sequence[str]) -> Table:
    grid = _grid(2)
    for number, step in enumerate(steps, 1):
        grid.add_row(f"{number}.", cells.text(step))
    return grid


def _grid(columns: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for _ in range(columns - 1):
        grid.add_column(overflow="fold")
    return grid


def _title(said: str) -> Text:
    return Text(f"  {said}", style="bold underline")


def _block(inside: RenderableType) -> Padding:
    return Padding(inside, (0, 0, 0, 4))
