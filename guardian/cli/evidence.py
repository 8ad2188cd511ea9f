"""`guardian evidence list|show|verify|replay|coverage|export|reindex`."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.cli.verify import print_report
from guardian.reports import coverage_table, table
from guardian.usecases import coverage as covering
from guardian.usecases import evidence as usecase
from guardian.usecases import export as exporting
from guardian.usecases import indexing
from guardian.usecases import replay as replaying
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
    """Verify the whole live log: signatures, tree, checkpoint, attachments; and that the index says what it says."""
    settings = config.load(config_file)
    print_report("the log", verifying.verify_live(settings), output)


@app.command("reindex")
def reindex(config_file: ConfigOption = None, output: FormatOption = Format.TABLE) -> None:
    """Make the index of records anew from the log; each record is verified on the way. The log is not changed."""
    settings = config.load(config_file)
    with terminal.counted() as bar:
        records = indexing.reindex(settings, progress=lambda done, total: bar("indexing", done, total))
    if output is Format.JSON:
        terminal.print_json({"records": records})
    else:
        terminal.say(f"indexed {records} records")


@app.command("replay")
def replay(
    records: Annotated[
        list[str] | None, typer.Argument(help="Indexes or record ids; without any, every scan and admission decision.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="current|DIR",
            help="Judge by the policies loaded now, or by compiled ones in DIR, not only by those recorded.",
        ),
    ] = None,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Judge recorded scans and admission reviews again, and compare the findings byte for byte.

    Exit 0 if all are the same, 1 if one differs, 3 if one could not be replayed.
    """
    with terminal.steps() as progress:
        progress("judging again")
        done = replaying.replay(config.load(config_file), records or (), bundle=bundle)
    if output is Format.JSON:
        terminal.print_json({"schema": "guardian/replay/v1", "records": [entry.to_json() for entry in done]})
    else:
        terminal.out().print(table.replay_table([entry.to_json() for entry in done]))
    if not done:
        terminal.note("nothing to replay: the log holds no scan and no admission decision yet")
    unknown = [entry for entry in done if entry.why_not]
    differs = [entry for entry in done if not entry.same and not entry.why_not]
    sys.exit(1 if differs else 3 if unknown or not done else 0)


@app.command("coverage")
def coverage(
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Slots due from here: a date or an RFC 3339 time. Default: the first."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Slots due before here; a date is its midnight. Default: now."),
    ] = None,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List every slot that the recorded schedules made due, and name those that nobody ran.

    Judges whether the evidence is complete, not what it says: a drill that failed counts as run.
    Exit 0 if no slot is missing, 1 if one is, or a record contradicts the schedule, 3 if no schedule was recorded for
    the whole period.
    """
    settings = config.load(config_file)
    document = covering.coverage(
        settings,
        since=covering.moment(since, option="--from") if since else None,
        until=covering.moment(until, option="--to") if until else None,
        now=datetime.now(UTC),
    )
    if output is Format.JSON:
        terminal.print_json(document)
    else:
        terminal.out().print(coverage_table.coverage_report(document))
    sys.exit(1 if document["missing"] or document["astray"] else 0 if document["promised"] else 3)


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
