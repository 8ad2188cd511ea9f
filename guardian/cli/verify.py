"""`guardian verify`, and how a verification report is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardian.cli import terminal
from guardian.cli.terminal import Format, FormatOption
from guardian.usecases import verify as usecase

if TYPE_CHECKING:
    from guardian.usecases.verify import Report


def verify(
    pack: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Pack to verify, offline.")],
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="FILE", exists=True, dir_okay=False, help="root.json, got by a way of its own."),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Verify a pack: every signature, proof and digest. Failed verdicts inside do not change the outcome.

    Without --root the pack is verified against its own keys, which proves only that it is consistent: exit 3.
    """
    report = usecase.verify_pack_file(pack, root)
    print_report(str(pack), report, output)


def print_report(name: str, report: Report, output: Format) -> None:
    """Print what was verified and exit 0, 1 (something is wrong) or 3 (only self-consistent)."""
    code = 1 if report.problems else 3 if report.self_asserted else 0
    if output is Format.JSON:
        terminal.print_json(report.to_json() | {"name": name})
        sys.exit(code)
    for member, message in report.problems:
        terminal.say(f"FAILED  {member}: {message}")
    if report.problems:
        terminal.error(f"{name} does not verify: {len(report.problems)} problem(s); do not rely on it")
        sys.exit(code)
    outcome = "agrees with its own keys" if report.self_asserted else "verifies"
    terminal.say(f"{name} {outcome}: {report.records} records of log {report.origin}, tree size {report.size}")
    if report.records < report.size:
        missing = report.size - report.records
        terminal.say(f"It is a selection: {missing} of the log's {report.size} records are not in it, and not judged.")
    terminal.say(report.independence)
    if report.self_asserted:
        terminal.error(
            "verified against the keys inside the pack only: whoever made it chose them. Their fingerprint is "
            f"{report.fingerprint}; give the environment's root.json with --root"
        )
    sys.exit(code)
