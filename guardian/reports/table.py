"""Evaluations and records as tables for a terminal. Pure: returns what rich prints, prints nothing.

Invariant: a verdict is a word, coloured where there is colour; ids and causes are folded, never cut; text of others is
shown as it is, with no markup and no control character in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from guardian.model import Mode, Verdict
from guardian.reports import cells, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from guardian.model import Evaluation, Finding

_RESULTS = {"PASSED": "green", "FAILED": "red", "ERROR": "yellow", "MISSED": "yellow", "SKIPPED": "dim"}


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
    controls = cells.table("verdict", "control", "severity", ">judged", ">fail", ">error", ">skip", "title")
    for summary in judged.summaries:
        counts = [str(summary.counts.get(verdict, 0)) for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.SKIP)]
        if summary.scope == "judged":
            verdict = verdict_of(summary.counts)
            label = cells.verdict(verdict)
        else:
            label = Text("OFF" if summary.scope == "off" else "SKIP", style="dim")
        title = summary.title if not summary.reason else f"{summary.title} ({summary.scope}: {summary.reason})"
        controls.add_row(
            label, cells.text(summary.control), summary.severity, str(summary.population), *counts, cells.text(title)
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


def records_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return two lines a record, from the dicts of `guardian evidence list`."""
    table = cells.table(">index", "kind, result and time (UTC)", "subject and record id")
    for row in rows:
        result = words.plain(row["result"])
        what = Text(f"{words.plain(row['kind'])} ").append(result, style=_RESULTS.get(result, ""))
        what.append(f" {words.plain(row['assurance'])}" if row.get("assurance") else "")
        what.append("\n" + words.plain(row["time"]).replace("T", " ").split(".")[0].removesuffix("Z"))
        named = Text(f"{words.plain(row['subject'])}\n{words.plain(row['recordId'])}")
        table.add_row(cells.text(row["index"]), what, named)
    return table


def tokens_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return two lines a token, from the dicts of `guardian token list`."""
    table = cells.table("name and id", "role and state", "may read", "holds until (UTC), last used")
    styles = {"active": "green", "expired": "yellow", "revoked": "red"}
    for row in rows:
        state = words.plain(row["state"])
        what = Text(f"{words.plain(row['role'])}\n").append(state, style=styles.get(state, ""))
        services = ", ".join(row["services"]) if row["services"] else "every service"
        period = [f"{word} {row[word]}" for word in ("since", "until") if row[word]]
        when = f"{words.plain(row['expiresAt'])}\n{words.plain(row['lastUsedAt'] or 'never')}"
        named = Text(f"{words.plain(row['name'])}\n{words.plain(row['id'])}")
        table.add_row(named, what, cells.text(words.plain("\n".join([services, *period]))), cells.text(when))
    return table


def replay_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return one line a record judged again, from `Replayed.to_json`, then each finding that came out otherwise."""
    table = cells.table("", ">index", "kind and record id", "findings")
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
        table.add_row(mark, cells.text(row["index"]), Text(f"{row['kind']}\n{row['recordId']}"), Text(said))
        for change in row["changed"]:
            parts.append(cells.text(f"{row['index']}: {change['control']}  {change['resource']}"))
            parts += [
                Padding(cells.text(f"{when}: {_said(change[when])}"), (0, 0, 0, 4)) for when in ("recorded", "replayed")
            ]
    return Group(*parts)


def _said(finding: Mapping[str, Any] | None) -> str:
    return f"{finding['verdict']} {finding['message']}".rstrip() if finding else "no finding"


def demo_table(outcomes: Sequence[Planted]) -> Table:
    """Return one line a planted fact: what was done, what came out and why, and whether that is what had to."""
    table = cells.table("", "planted", "found")
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


def _finding(finding: Finding) -> list[RenderableType]:
    heading = Text.assemble(
        cells.verdict(finding.verdict),
        f"  {words.plain(finding.control)}  {words.plain(finding.resource)}  ({finding.mode})",
    )
    if finding.waiver:
        heading.append("  waived", style="italic")
    return [heading, Padding(cells.text(finding.message), (0, 0, 0, 4))]
