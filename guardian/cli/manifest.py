"""`guardian manifest`."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.errors import UsageError
from guardian.usecases import manifest as usecase


def manifest(
    asset: Annotated[str, typer.Argument(help="Asset whose live source is captured.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- CMD...", help="Backup command, after `--`; run without a shell.", show_default=False
        ),
    ] = None,
    backup: Annotated[bool, typer.Option("--backup", help="Run CMD inside the manifest's snapshot.")] = False,
    job: Annotated[
        str | None,
        typer.Option("--job", metavar="NAME", help="Which backup job of the asset; needed if it has several."),
    ] = None,
    config_file: ConfigOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Capture the content manifest of the live source, and with --backup take the backup in the same snapshot.

    CMD finds GUARDIAN_SNAPSHOT, GUARDIAN_BACKUP_DIR and libpq variables in its environment and must leave one new
    backup in that folder. Example:

    guardian manifest erp --backup -- sh -c 'exec pg_dump -Fc --snapshot="$GUARDIAN_SNAPSHOT"
    -f "$GUARDIAN_BACKUP_DIR/$(date -u +%Y%m%dT%H%M%SZ).dump"'
    """
    if backup and not command:
        raise UsageError("--backup needs a command after `--`; see `guardian manifest --help`")
    if command and not backup:
        raise UsageError("a command was given without --backup; write: guardian manifest ASSET --backup -- CMD...")
    settings = config.load(config_file, check_secrets=True)
    with terminal.steps() as progress:
        captured = usecase.manifest(settings, asset, command or [], job_name=job, progress=progress)
    if output is Format.JSON:
        terminal.print_json(
            {
                "schema": "guardian/captured/v1",
                "asset": captured.asset,
                "backupId": captured.backup_id,
                "tables": captured.tables,
                "rows": captured.rows,
                "files": captured.files,
                "seconds": round(captured.seconds, 3),
                "record": {"index": captured.record.index, "recordId": captured.record.record_id},
            }
        )
        return
    files = "" if captured.files is None else f", {captured.files:,} files"
    what = f"backup {captured.backup_id}" if captured.backup_id else "no backup (content of the live source only)"
    terminal.say(
        f"manifest of {captured.asset}: {captured.tables} tables, {captured.rows:,} rows{files} "
        f"in {captured.seconds:.1f} s; {what}; record {captured.record.index} ({captured.record.record_id})"
    )
