"""`guardian drill`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from guardian import config
from guardian.cli import drill_progress, terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.model import Verdict
from guardian.reports import as_json, drill_report
from guardian.usecases import drill as usecase


def drill(
    asset: Annotated[str | None, typer.Argument(help="Asset to drill. Default: every asset with a backup.")] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="ID", help="A particular backup. Default: by the asset's policy.")
    ] = None,
    accept_anomaly: Annotated[
        str | None,
        typer.Option("--accept-anomaly", metavar="REASON", help="Why it is right that it is unlike earlier backups."),
    ] = None,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Restore backups into a throwaway server, compare them with what the source was, and sign what came out."""
    settings = config.load(config_file)
    with drill_progress.shown() as progress:
        outcomes = usecase.drill_assets(
            settings,
            [asset] if asset else [],
            backup_id=backup,
            progress=progress,
            accept_anomaly=accept_anomaly,
            waits=lambda name, why: terminal.note(f"drill of {name} waits: {why}"),
        )
    if output is Format.JSON:
        terminal.print_json({"schema": "guardian/drills/v1", "drills": [_as_json(outcome) for outcome in outcomes]})
    else:
        console = terminal.out()
        for outcome in outcomes:
            console.print(
                drill_report.drill_report(outcome.drill, f"record {outcome.record.index} ({outcome.record.record_id})")
            )
        if len(outcomes) > 1:
            console.print(drill_report.drills_table([outcome.drill for outcome in outcomes]))
    verdicts = {outcome.drill.result.verdict for outcome in outcomes}
    sys.exit(1 if Verdict.FAIL in verdicts else 0 if verdicts == {Verdict.PASS} else 3)


def _as_json(outcome: usecase.DrillOutcome) -> dict[str, object]:
    record = {"index": outcome.record.index, "recordId": outcome.record.record_id}
    return as_json.drill(outcome.drill) | {"record": record, "manifest": outcome.manifest}
