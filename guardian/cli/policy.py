"""`guardian policy list|show`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from guardian.cli import terminal
from guardian.cli.terminal import Format, FormatOption
from guardian.usecases import policy as usecase

app = typer.Typer(help="The controls: what they require and what to do about a violation.", no_args_is_help=True)


@app.command("list")
def list_controls(output: FormatOption = Format.TABLE) -> None:
    """List the bundled controls."""
    controls = usecase.describe()
    if output is Format.JSON:
        terminal.print_json({"schema": "guardian/controls/v1", "controls": controls})
        return
    table = Table("control", "severity", "title", box=None, pad_edge=False)
    for name, control in controls.items():
        table.add_row(name, control["severity"], control["title"])
    terminal.out().print(table)


@app.command("show")
def show(
    control: Annotated[str, typer.Argument(help="Control id, such as postgres.superusers.")],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show one control: description, remediation, inputs, frameworks, parameters."""
    described = usecase.show(control)
    if output is Format.JSON:
        terminal.print_json(described)
        return
    terminal.say(f"{control}: {described['title']}  [{described['severity']}]\n\n{described['description']}\n")
    terminal.say(f"What to do: {described['remediation']}\n")
    terminal.say(f"Reads: {', '.join(described['inputs'])}")
    for name, parameter in described["params"].items():
        terminal.say(f"Parameter {name} ({parameter['type']}): {parameter['about']}")
    for framework, clauses in described["frameworks"].items():
        terminal.say(f"{framework}: {', '.join(clauses)}")
