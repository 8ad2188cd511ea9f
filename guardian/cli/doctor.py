"""`guardian doctor`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.usecases import doctor as usecase
from guardian.usecases.doctor import State


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Sweep what killed drills left, and log those runs.")] = False,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say what is missing on this machine and how to get it; prove the isolation; report killed drills' leftovers.

    Exit 3 if anything required is missing or left over.
    """
    path = config.find(config_file)
    settings = config.load(path) if path else None
    with terminal.steps() as progress:
        items = usecase.examine(settings, fix=fix, progress=progress)
    if output is Format.JSON:
        terminal.print_json({"schema": "guardian/doctor/v1", "items": [item.to_json() for item in items]})
    else:
        table = Table("what", "state", "detail", box=None, pad_edge=False)
        for item in items:
            detail = item.detail + (f"\n→ {item.remedy}" if item.remedy else "")
            table.add_row(Text(item.name), item.state.value, Text(detail))  # Text: `[embedded]` is no markup
        terminal.out().print(table)
    sys.exit(3 if any(item.state in (State.MISSING, State.LEFTOVER) for item in items) else 0)
