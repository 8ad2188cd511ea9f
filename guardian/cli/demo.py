"""`guardian demo`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardian.cli import terminal
from guardian.cli.terminal import Format, FormatOption
from guardian.reports import table
from guardian.usecases import demo as usecase

if TYPE_CHECKING:
    from guardian.usecases.demo import Demo


def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Made anew; keeps settings and evidence.")] = (
        Path("demo")
    ),
    output: FormatOption = Format.TABLE,
) -> None:
    """Run the whole loop here: a real PostgreSQL, real backups, real restores, signed evidence.

    One backup is good and three are damaged on purpose. Exit 0 only when every planted outcome occurred and nothing
    else failed.
    """
    started = time.monotonic()

    def step(text: str) -> None:
        terminal.note(f"[{time.monotonic() - started:5.1f} s] {text}")

    done = usecase.demo(folder, progress=step)
    if output is Format.JSON:
        terminal.print_json(done.to_json())
    else:
        _print(done, time.monotonic() - started)
    if not done.occurred:
        terminal.error("a planted outcome did not occur, or something failed that was not planted: see the table")
    sys.exit(0 if done.occurred else 1)


def _print(done: Demo, seconds: float) -> None:
    shown = Path(os.path.relpath(done.folder)) if done.folder.is_relative_to(Path.cwd()) else done.folder
    console = terminal.out()
    console.print(table.demo_table(done.outcomes))
    console.print(table.drills_table([outcome.drill for outcome in done.drills]))
    if done.isolation == "none":
        terminal.say("isolation: NONE. bubblewrap cannot run here; the demo accepts that for backups it made itself")
    verify = [sys.argv[0], "verify", str(shown / "pack.zip"), "--root", str(shown / "root.json")]
    terminal.say(
        f"{done.transactions:,} transactions were written while the backups were taken; {done.records} records signed "
        f"and verified; {seconds:.0f} s\n"
        f"evidence: {shown / 'pack.zip'}   report: {shown / 'report.html'}   configuration: {shown / 'guardian.yaml'}\n"
        f"verify it: {shlex.join(verify)}"
    )
