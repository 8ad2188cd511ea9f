"""A check as text for a terminal: what to mend, by file and line, then what was not looked at. Pure.

Invariant: text of others is shown without markup and control characters; a place is written `file:line`, so that
terminals and editors can open it, and is never cut.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from guardian.model import Verdict
from guardian.reports import words
from guardian.reports.judged import Located, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from guardian.model import Mode
    from guardian.reports.judged import Checked

_STYLES = {Verdict.FAIL: "bold red", Verdict.ERROR: "bold yellow"}
_MOST_NAMED = 6


def check_report(checked: Checked, least_mode: Mode) -> RenderableType:
    """Return every fail and error with place, message and remedy, what could not be read, and the summary.

    least_mode: the mildest mode whose fails count in the exit code; milder ones are marked.
    """
    by_file: dict[str, list[Located | Problem]] = {}
    for one in checked.located:
        if one.finding.verdict in {Verdict.FAIL, Verdict.ERROR}:
            by_file.setdefault(one.places[0].file, []).append(one)
    for problem in checked.problems:
        by_file.setdefault(problem.file, []).append(problem)
    parts: list[RenderableType] = []
    for file, found in by_file.items():
        parts += [Text(words.plain(file), style="bold"), *_of_file(found, checked, least_mode), Text()]
    parts += [Text(line) for line in _left_out(checked)]
    parts.append(Text(_summary(checked)))
    return Group(*parts)


def _of_file(found: Sequence[Located | Problem], checked: Checked, least_mode: Mode) -> list[RenderableType]:
    parts: list[RenderableType] = []
    told: set[str] = set()
    for one in sorted(found, key=_line):
        if isinstance(one, Problem):
            parts += _entry(f"{one.file}:{one.line}", Verdict.ERROR, "could not be read", one.message)
            continue
        finding = one.finding
        counts = finding.mode.rank >= least_mode.rank
        said = "waived" if finding.waiver else finding.mode if counts else f"{finding.mode}: not counted"
        heading = f"{finding.control}  {finding.resource}  ({said})"
        first, *more = dict.fromkeys(f"{place.file}:{place.line}" for place in one.places)
        parts += _entry(first, finding.verdict, heading, finding.message)
        if more:
            parts.append(_below(f"also at {words.listed(more, _MOST_NAMED)}"))
        remedy = checked.controls[finding.control].get("remediation")
        if remedy and finding.verdict is Verdict.FAIL and finding.control not in told:
            told.add(finding.control)
            parts.append(_below(f"how to fix: {remedy}"))
    return parts


def _line(one: Located | Problem) -> int:
    return one.places[0].line if isinstance(one, Located) else one.line


def _entry(place: str, verdict: Verdict, heading: str, message: str) -> list[RenderableType]:
    line = Text(f"{words.plain(place)}  ", overflow="fold")
    line.append(words.VERDICT_WORDS[verdict], style=_STYLES[verdict])
    return [line.append(f"  {words.plain(heading)}"), _below(message)]


def _below(text: str) -> Text:
    """Return indented lines as long as they are: the terminal folds them, a pipe keeps them whole."""
    return Text(textwrap.indent(words.plain(text), "    "))


def _left_out(checked: Checked) -> list[str]:
    said = []
    kinds = checked.kinds_not_judged()
    if kinds:
        named = ", ".join(f"{words.plain(kind)} {count}" for kind, count in kinds.items())
        said.append(f"not judged, no control is about them: {named}")
    by_reason: dict[str, list[str]] = {}
    for control, reason in checked.not_judged.items():
        by_reason.setdefault(reason, []).append(control)
    said += [f"not judged here ({reason}): {', '.join(controls)}" for reason, controls in by_reason.items()]
    return said


def _summary(checked: Checked) -> str:
    counts: Mapping[str, int] = checked.counts()
    return (
        f"{words.counted(counts['judged'], 'object')} judged: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['errors']} could not be checked; {counts['notJudged']} not judged, {counts['unreadable']} unreadable"
    )
