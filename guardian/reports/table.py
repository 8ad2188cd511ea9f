"""Evaluations, drills and records as tables for a terminal. Pure: returns what rich prints, prints nothing.

Invariant: a verdict is a word, coloured where there is colour; ids and causes are folded, never cut; text of others is
shown as it is, with no markup and no control character in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from guardian.model import Mode, Verdict
from guardian.reports import meanings, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from guardian.model import Drill, Evaluation, Finding
    from verifiers.result import Check

_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.ERROR: "bold yellow", Verdict.SKIP: "dim"}
_RESULTS = {"PASSED": "green", "FAILED": "red", "ERROR": "yellow", "MISSED": "yellow", "SKIPPED": "dim"}
# Cells of these columns are ours and short; the others fold where they must, ids last of all.
_NEVER_LONG = {"verdict", ">index"}
_KEPT_WHOLE = {"subject and record id": 36, "asset": 14, "planted": 40}


class Planted(Protocol):
    """One fact that the demo planted, and whether it came out."""

    @property
    def what(self) -> str:
        """Asset or control, with its resource."""

    @property
    def planted(self) -> str:
        """What was done."""

    @property
    def expected(self) -> str:
        """What must come out."""

    @property
    def observed(self) -> str:
        """What came out."""

    @property
    def why(self) -> str:
        """What was found, in a sentence."""

    @property
    def occurred(self) -> bool:
        """Whether it came out as it must."""


def evaluation_table(judged: Evaluation) -> RenderableType:
    """Return one line a control, then every finding that is a fail or an error, with its message."""
    controls = _table("verdict", "control", "severity", ">judged", ">fail", ">error", ">skip", "title")
    for summary in judged.summaries:
        counts = [str(summary.counts.get(verdict, 0)) for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.SKIP)]
        if summary.scope == "judged":
            verdict = verdict_of(summary.counts)
            label = _verdict(verdict)
        else:
            label = Text("OFF" if summary.scope == "off" else "SKIP", style="dim")
        title = summary.title if not summary.reason else f"{summary.title} ({summary.scope}: {summary.reason})"
        controls.add_row(
            label, _text(summary.control), summary.severity, str(summary.population), *counts, _text(title)
        )
    bad = [f for f in judged.findings if f.verdict in {Verdict.FAIL, Verdict.ERROR} and f.mode is not Mode.OFF]
    parts: list[RenderableType] = [controls]
    for finding in bad:
        parts += _finding(finding)
    counts_said = ", ".join(
        f"{sum(1 for f in judged.findings if f.verdict is verdict)} {verdict.value}" for verdict in Verdict
    )
    parts.append(Text(f"{counts_said}; engine {judged.engine} {words.plain(judged.engine_version)}"))
    return Group(*parts)


def verdict_of(counts: Mapping[Verdict, int]) -> Verdict:
    """Return the verdict of a judged control: fail before error before pass; an empty population passes."""
    for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.PASS):
        if counts.get(verdict, 0):
            return verdict
    return Verdict.SKIP if counts.get(Verdict.SKIP, 0) else Verdict.PASS


def drill_report(drill: Drill, evidence_ref: str) -> RenderableType:
    """Return one drill as a short report. evidence_ref: where its record lies, such as `record 7 (<id>)`."""
    result = drill.result
    backup = words.plain(result.backup.get("id") or "no backup")
    heading = Text.assemble(
        _verdict(result.verdict),
        f"  {words.plain(drill.asset.name)}",
        f"  backup {backup}",
        f"  assurance {result.assurance or 'none'} (required {result.required})",
    )
    rows = [("proved", meanings.proved(drill)), ("not proved", meanings.not_proved(drill)), ("took", _took(drill))]
    rows.append(
        ("RTO", _against(drill.estimated_rto_s, drill.service.rto_s, "an estimate: restore plus declared times"))
    )
    rows.append(("RPO", _against(meanings.rpo_s(drill), drill.service.rpo_s, "age of the backup's data at the drill")))
    passed = [check.id for check in result.checks if check.verdict is Verdict.PASS]
    rows.append(("passed", ", ".join(passed) or "nothing"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True, style="bold")
    facts.add_column(overflow="fold")
    for name, said in rows:
        if said:
            facts.add_row(name, _text(said))
    parts: list[RenderableType] = [Text(), heading, Padding(facts, (0, 0, 0, 2))]
    others = [check for check in result.checks if check.verdict is not Verdict.PASS]
    others.sort(key=lambda check: list(Verdict).index(check.verdict))
    if others:
        parts.append(Padding(_checks(others), (0, 0, 0, 2)))
    parts.append(Text(f"  evidence: {words.plain(evidence_ref)}"))
    return Group(*parts)


def drills_table(drills: Sequence[Drill]) -> RenderableType:
    """Return one line a drill, measured times against objectives, then below it why each one came out as it did."""
    table = _table("verdict", "asset", "assurance", ">restore", ">RTO estimate", ">goal", ">RPO", ">goal")
    reasons = Table.grid(padding=(0, 2))
    reasons.add_column(overflow="fold", min_width=16)
    reasons.add_column(overflow="fold")
    for drill in drills:
        result, service = drill.result, drill.service
        table.add_row(
            _verdict(result.verdict),
            _text(drill.asset.name),
            Text(f"{result.assurance or 'none'} of {result.required}"),
            *(
                _text("-" if seconds is None else words.duration(seconds))
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
        reasons.add_row(named, _text(meanings.why(drill)))
    return Group(table, Text(), reasons)


def records_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return two lines a record, from the dicts of `guardian evidence list`."""
    table = _table(">index", "kind, result and time (UTC)", "subject and record id")
    for row in rows:
        result = words.plain(row["result"])
        what = Text(f"{words.plain(row['kind'])} ").append(result, style=_RESULTS.get(result, ""))
        what.append(f" {words.plain(row['assurance'])}" if row.get("assurance") else "")
        what.append("\n" + words.plain(row["time"]).replace("T", " ").split(".")[0].removesuffix("Z"))
        named = Text(f"{words.plain(row['subject'])}\n{words.plain(row['recordId'])}")
        table.add_row(_text(row["index"]), what, named)
    return table


def tokens_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return two lines a token, from the dicts of `guardian token list`."""
    table = _table("name and id", "role and state", "may read", "holds until (UTC), last used")
    styles = {"active": "green", "expired": "yellow", "revoked": "red"}
    for row in rows:
        state = words.plain(row["state"])
        what = Text(f"{words.plain(row['role'])}\n").append(state, style=styles.get(state, ""))
        services = ", ".join(row["services"]) if row["services"] else "every service"
        period = [f"{word} {row[word]}" for word in ("since", "until") if row[word]]
        when = f"{words.plain(row['expiresAt'])}\n{words.plain(row['lastUsedAt'] or 'never')}"
        named = Text(f"{words.plain(row['name'])}\n{words.plain(row['id'])}")
        table.add_row(named, what, _text(words.plain("\n".join([services, *period]))), _text(when))
    return table


def replay_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return one line a record judged again, from `Replayed.to_json`, then each finding that came out otherwise."""
    table = _table("", ">index", "kind and record id", "findings")
    parts: list[RenderableType] = [table]
    for row in rows:
        if row["whyNot"]:
            mark, said = Text("NOT REPLAYED", style="bold yellow"), words.plain(row["whyNot"])
        elif row["same"]:
            mark, said = Text("SAME", style="green"), f"{row['findings']}, equal byte for byte"
        else:
            mark, said = Text("DIFFERS", style="bold red"), f"{len(row['changed'])} of {row['findings']} differ"
        if row["bundle"] != row["recordedBundle"] and not row["whyNot"]:
            said += f"; judged by policies {row['bundle'][:16]}, recorded under {row['recordedBundle'][:16]}"
        table.add_row(mark, _text(row["index"]), Text(f"{row['kind']}\n{row['recordId']}"), Text(said))
        for change in row["changed"]:
            parts.append(_text(f"{row['index']}: {change['control']}  {change['resource']}"))
            parts += [
                Padding(_text(f"{when}: {_said(change[when])}"), (0, 0, 0, 4)) for when in ("recorded", "replayed")
            ]
    return Group(*parts)


def _said(finding: Mapping[str, Any] | None) -> str:
    return f"{finding['verdict']} {finding['message']}".rstrip() if finding else "no finding"


def demo_table(outcomes: Sequence[Planted]) -> Table:
    """Return one line a planted fact: what was done, what came out and why, and whether that is what had to."""
    table = _table("", "planted", "found")
    for outcome in outcomes:
        mark = Text("as planted", style="green") if outcome.occurred else Text("WRONG", style="bold red")
        planted = Text(words.plain(outcome.what), style="bold").append(
            f"\n{words.plain(outcome.planted)}", style="not bold"
        )
        found = Text(words.plain(outcome.observed), style="bold")
        if not outcome.occurred:
            found.append(f"\nexpected: {words.plain(outcome.expected)}", style="bold red")
        if outcome.why:
            found.append(f"\n{words.plain(outcome.why)}", style="not bold")
        table.add_row(mark, planted, found)
    return table


def _took(drill: Drill) -> str:
    phases = ", ".join(f"{phase.name} {words.duration(phase.seconds)}" for phase in drill.result.phases)
    restore = drill.result.restore_seconds
    total = "not restored" if restore is None else f"restored in {words.duration(restore)}"
    return f"{total}; {phases}" if phases else total


def _against(seconds: float | None, objective: float | None, note: str) -> str:
    measured = words.duration(seconds) if seconds is not None else "not measured"
    if objective is None:
        return f"{measured}; no objective is declared"
    if seconds is None:
        return f"{measured}; objective {words.duration(objective)}"
    where = "within" if seconds <= objective else "BEYOND"
    return f"{measured}, {where} the objective of {words.duration(objective)} ({note})"


def _checks(checks: Sequence[Check]) -> Table:
    """Return the checks given, those of one verdict and message (not reached, out of scope) on one line."""
    alike: dict[tuple[Verdict, str], list[Check]] = {}
    for check in checks:
        alike.setdefault((check.verdict, check.message or meanings.asks(check.id)), []).append(check)
    table = _table("verdict", "check", "what was found, and what to do")
    for (verdict, message), same in alike.items():
        said = Text(words.plain(message))
        if verdict is Verdict.FAIL:
            said.append(f"\nexpected {_value(same[0].expected)}, observed {_value(same[0].observed)}", style="dim")
        names = "\n".join(check.id for check in same) if len(same) < 3 else f"{len(same)} checks"
        if len(same) > 2:
            said.append("\n" + words.plain(", ".join(check.id for check in same)), style="dim")
        table.add_row(_verdict(verdict), _text(names), said)
    return table


def _finding(finding: Finding) -> list[RenderableType]:
    heading = Text.assemble(
        _verdict(finding.verdict),
        f"  {words.plain(finding.control)}  {words.plain(finding.resource)}  ({finding.mode})",
    )
    if finding.waiver:
        heading.append("  waived", style="italic")
    return [heading, Padding(_text(finding.message), (0, 0, 0, 4))]


def _value(value: object) -> str:
    return words.plain(words.compact(value))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.lstrip(">"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=name in _NEVER_LONG,
            min_width=_KEPT_WHOLE.get(name),
        )
    return table


def _verdict(verdict: Verdict) -> Text:
    return Text(words.VERDICT_WORDS[verdict], style=_STYLES[verdict])


def _text(value: object) -> Text:
    return Text(words.plain(value))
