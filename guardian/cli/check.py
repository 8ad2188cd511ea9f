"""`guardian check`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, ReportFormat, ReportFormatOption
from guardian.errors import UsageError
from guardian.model import Mode
from guardian.reports import as_json, judged, junit, sarif
from guardian.reports.check_table import check_report
from guardian.usecases import check as usecase


def check(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Manifests, folders of them, or - for standard input.")
    ],
    config_file: ConfigOption = None,
    output: ReportFormatOption = ReportFormat.TABLE,
    fail_on: Annotated[
        Mode, typer.Option("--fail-on", help="Mildest mode whose failures count in the exit code.")
    ] = Mode.DENY,
    collector: Annotated[
        str | None,
        typer.Option(
            "--collector", metavar="NAME", help="Cluster the objects are for. Default: the only one, else `cluster`."
        ),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", help="Namespace of objects that name none.")
    ] = "default",
) -> None:
    """Judge manifests as admission would, with file and line of what to mend. Nothing is recorded."""
    if fail_on is Mode.OFF:
        raise UsageError("--fail-on takes audit, warn or deny: controls in mode off are not evaluated")
    settings = config.load(config_file) if config.find(config_file) else None
    with terminal.steps() as progress:
        done = usecase.check(
            paths,
            settings,
            collector=collector,
            namespace=namespace,
            stdin=sys.stdin.buffer,
            now=datetime.now(UTC),
            progress=progress,
        )
    for note in done.notes:
        terminal.note(note)
    code = done.exit_code(fail_on)
    match output:
        case ReportFormat.JSON:
            terminal.print_json(as_json.check(done, code))
        case ReportFormat.SARIF:
            terminal.print_json(sarif.log(judged.of_check(done, code)))
        case ReportFormat.JUNIT:
            terminal.print_bytes(junit.document(judged.of_check(done, code)))
        case ReportFormat.TABLE:
            terminal.out().print(check_report(done, fail_on), soft_wrap=True)
    sys.exit(code)
