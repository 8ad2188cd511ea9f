"""`guardian policy list|show|test|build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.usecases import policy as usecase

if TYPE_CHECKING:
    from guardian.settings import Settings

app = typer.Typer(help="The controls: what they require and what to do about a violation.", no_args_is_help=True)


def _settings(config_file: Path | None) -> Settings | None:
    path = config.find(config_file)
    return config.load(path) if path else None


@app.command("list")
def list_controls(config_file: ConfigOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the controls: those that ship, and your own if guardian.yaml names their folder."""
    controls = usecase.describe(_settings(config_file))
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
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show one control: description, remediation, inputs, frameworks, parameters."""
    described = usecase.show(control, _settings(config_file))
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


@app.command("test")
def run_tests(
    config_file: ConfigOption = None,
    bundled: Annotated[bool, typer.Option("--all", help="Run the tests of the bundled controls too.")] = False,
) -> None:
    """Run the tests beside your own controls with `opa test`. Exit 1 if one fails."""
    tests = usecase.run_tests(_settings(config_file), bundled=bundled)
    failed = [entry for entry in tests if entry.reason]
    for entry in failed:
        terminal.say(f"{entry.place}: {entry.name}: {entry.reason}")
    terminal.say(
        f"{len(tests)} tests, {len(failed)} failed" if tests else "no tests: put <name>_test.rego beside yours"
    )
    sys.exit(1 if failed else 0)


@app.command("build")
def build(
    target: Annotated[Path, typer.Option("--output", metavar="FILE", dir_okay=False, help="Write the bundle here.")],
    config_file: ConfigOption = None,
) -> None:
    """Write all controls as an OPA bundle, for an OPA server that guardian.yaml names as `engine: {type: opa, url}`."""
    content, digest = usecase.pack(_settings(config_file))
    target.write_bytes(content)
    terminal.note(f"wrote {target}: {len(content)} bytes, bundle {digest}")
    terminal.note(f"load it: opa run --server --bundle {target} (with your own authentication and TLS)")
