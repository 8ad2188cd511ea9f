"""The coverage of a period for a terminal: one line a job, then every slot that is missing, by name. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from guardian.reports import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

_MOST_NAMED: Final = 200
_COLUMNS: Final = {
    "passed": "green",
    "failed": "red",
    "error": "yellow",
    "skipped": "",
    "missed": "bold red",
    "absent": "bold red",
    "open": "",
}


def coverage_report(document: Mapping[str, Any]) -> RenderableType:
    """Return the report of a coverage document (`guardian/coverage/v2`)."""
    table = Table("job", "slots", *_COLUMNS, title=None, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for job in document["jobs"]:
        table.add_row(words.plain(job["job"]), str(len(job["slots"])), *_cells(job["counts"]))
    if len(document["jobs"]) > 1:
        table.add_section()
        table.add_row("all", str(sum(document["counts"].values())), *_cells(document["counts"]))
    parts: list[RenderableType] = [Text(f"slots due from {document['from']} to {document['to']}")]
    if document["jobs"]:
        parts += [Text(), table]
    parts += [Text(), _conclusion(document)]
    missing = document["missing"]
    parts += [
        Text(f"  {entry['state']:<7} {entry['slot']}  {words.plain(entry['reason'] or '')}") for entry in missing
    ][:_MOST_NAMED]
    if len(missing) > _MOST_NAMED:
        parts.append(Text(f"  ... and {len(missing) - _MOST_NAMED} more; --format json lists all"))
    astray = document["astray"]
    if astray:
        parts.append(Text(f"ASTRAY: {len(astray)} record(s) name slots for which they do not count:", style="bold red"))
        parts += [
            Text(f"  record {entry['index']} {entry['result']} {words.plain(entry['slot'])}  {entry['reason']}")
            for entry in astray[:_MOST_NAMED]
        ]
    by_hand = sum(entry["runs"] for entry in document["manual"])
    if by_hand:
        parts.append(Text(f"runs by hand, which no schedule asked for: {by_hand}", style="dim"))
    parts.append(Text(document["note"], style="dim"))
    return Group(*parts)


def _cells(counts: Mapping[str, int]) -> list[Text]:
    return [
        Text(str(counts[state] or "-"), style=style if counts[state] else "dim") for state, style in _COLUMNS.items()
    ]


def _conclusion(document: Mapping[str, Any]) -> Text:
    missing, waiting = len(document["missing"]), document["counts"]["open"]
    if missing:
        return Text(f"MISSING: {missing} slot(s) were not run:", style="bold red")
    if not document["promised"]:
        return Text("NOT KNOWN: no schedule was recorded for the whole period", style="bold yellow")
    if document["astray"]:
        return Text("NOT KNOWN: records contradict the schedule", style="bold yellow")
    if waiting:
        return Text(f"none missing so far; {waiting} slot(s) are open: due, and still within their grace")
    return Text("complete: every slot was run", style="green")
