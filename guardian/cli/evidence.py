"""`guardian evidence list|show|verify|export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.cli.verify import print_report
from guardian.reports import table
from guardian.usecases import evidence as usecase
from guardian.usecases import export as exporting
from guardian.usecases import verify as verifying

app = typer.Typer(help="Read, verify and export the signed records.", no_args_is_help=True)


@app.command("list")
def list_records(
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind, such as restore-drill.")] = None,
    asset: Annotated[str | None, typer.Option("--asset", help="Only records of this asset.")] = None,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the records of the log, oldest first; each is verified on the way."""
    rows = usecase.list_records(config.load(config_file), kind=kind, asset=asset)
    if output is Format.JSON:
        terminal.print_json({"records": rows})
    else:
        terminal.out().print(table.records_table(rows))


@app.command("show")
def show(
    record: Annotated[str, typer.Argument(help="Index or record id, from `guardian evidence list`.")],
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show one record: its statement, and its place in the log with the proof."""
    shown = usecase.show_record(config.load(config_file), record)
    document = {"record": shown.row, "statement": shown.statement, "proof": shown.proof}
    if output is Format.TABLE:
        terminal.out().print(table.records_table([shown.row]))
    terminal.print_json(document)


@app.command("verify")
def verify(config_file: ConfigOption = None, output: FormatOption = Format.TABLE) -> None:
    """Verify the whole live log: signatures, tree, checkpoint, attachments."""
    settings = config.load(config_file)
    print_report("the log", verifying.verify_live(settings), output)


@app.command("export")
def export(
    target: Annotated[Path, typer.Option("--output", metavar="FILE", help="Pack to write.")] = Path("pack.zip"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Write the pack that an auditor verifies alone: `guardian verify PACK --root root.json`."""
    settings = config.load(config_file)
    with terminal.counted() as bar:
        made = exporting.export(
            settings, target, replace=force, progress=lambda done, total: bar("writing the pack", done, total)
        )
    if output is Format.JSON:
        terminal.print_json(
            {"pack": str(made.pack), "root": str(made.root), "records": made.records, "sizeBytes": made.size_bytes}
        )
        return
    terminal.say(
        f"wrote {made.pack}: {made.records} records, {made.size_bytes:,} bytes\n"
        f"verify it: {shlex.join(['guardian', 'verify', str(made.pack), '--root', str(made.root)])}"
    )
