"""`guardian scan` and `guardian snapshot`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, ReportFormat, ReportFormatOption
from guardian.errors import UsageError
from guardian.model import Mode
from guardian.reports import as_json, judged, junit, sarif, table
from guardian.usecases import policy
from guardian.usecases import scan as usecase

_MOST_UNREAD = 5


def scan(
    config_file: ConfigOption = None,
    output: ReportFormatOption = ReportFormat.TABLE,
    snapshot_file: Annotated[
        Path | None,
        typer.Option("--snapshot", metavar="FILE", exists=True, dir_okay=False, help="Judge this snapshot instead."),
    ] = None,
    fail_on: Annotated[
        Mode, typer.Option("--fail-on", help="Mildest mode whose failures count in the exit code.")
    ] = Mode.AUDIT,
) -> None:
    """Collect the environment's state, judge it by every control, and sign the result into the log."""
    if fail_on is Mode.OFF:
        raise UsageError("--fail-on takes audit, warn or deny: controls in mode off are not evaluated")
    settings = config.load(config_file, check_secrets=True)
    with terminal.steps() as progress:
        done = usecase.scan(settings, snapshot_file=snapshot_file, progress=progress)
    record = done.record and {"index": done.record.index, "recordId": done.record.record_id}
    code = usecase.exit_code(done, fail_on)
    if output is ReportFormat.JSON:
        terminal.print_json(as_json.evaluation(done.evaluation) | {"snapshot": done.snapshot.digest, "record": record})
    elif output is ReportFormat.TABLE:
        terminal.out().print(table.evaluation_table(done.evaluation))
        terminal.say(f"snapshot {done.snapshot.digest}")
        if done.record:
            terminal.say(
                f"record {done.record.index} ({done.record.record_id}); "
                f"show it: guardian evidence show {done.record.index} --config {shlex.quote(str(settings.path))}"
            )
    else:
        report = judged.of_scan(done.evaluation, settings.environment, policy.describe(), code)
        if output is ReportFormat.SARIF:
            terminal.print_json(sarif.log(report))
        else:
            terminal.print_bytes(junit.document(report))
    unread = usecase.unread(done)
    for line in unread[:_MOST_UNREAD]:
        terminal.note(f"could not be read: {line}")
    if len(unread) > _MOST_UNREAD:
        terminal.note(f"and {len(unread) - _MOST_UNREAD} more; `guardian doctor` looks at each source")
    if record is None:
        terminal.note("not signed: this log does not know the snapshot, and a file may have been edited since")
    sys.exit(code)


def snapshot(
    config_file: ConfigOption = None,
    target: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write here instead of to standard output.")
    ] = None,
) -> None:
    """Collect only: write the snapshot as JSON Lines. Nothing is judged or recorded."""
    settings = config.load(config_file, check_secrets=True)
    taken = usecase.take_snapshot(settings)
    if target is None:
        sys.stdout.buffer.write(taken.data)
    else:
        target.write_bytes(taken.data)
        terminal.note(f"wrote {target}: {len(taken.resources)} resources, sha256 {taken.digest}")
    if any(status.status != "complete" for status in taken.collectors):
        terminal.error("some sources could not be read; they stand in the snapshot as guardian.CollectionError")
        sys.exit(3)
