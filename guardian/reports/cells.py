"""What the tables of a terminal are made of: verdicts as coloured words, text of others without control characters."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from guardian.model import Verdict
from guardian.reports import words

STYLES: Final = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold yellow",
    Verdict.SKIP: "dim",
}
# Cells of these columns are ours and short; the others fold where they must, ids last of all.
_NEVER_LONG: Final = {"verdict", ">index"}
_KEPT_WHOLE: Final = {"subject and record id": 36, "asset": 14, "planted": 40}


def table(*columns: str) -> Table:
    """Return an empty table. columns: their names; `>` before one sets it to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        made.add_column(
            name.lstrip(">"),
            justify="right" if name.startswith(">") else "left",
            overflow="fold",
            no_wrap=name in _NEVER_LONG,
            min_width=_KEPT_WHOLE.get(name),
        )
    return made


def verdict(of: Verdict) -> Text:
    """Return a verdict as its word."""
    return Text(words.VERDICT_WORDS[of], style=STYLES[of])


def text(value: object) -> Text:
    """Return text of others as it is: no markup, no control character."""
    return Text(words.plain(value))


def value(of: object) -> str:
    """Return a JSON value on one line."""
    return words.plain(words.compact(of))
