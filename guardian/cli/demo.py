"""`guardian demo`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import Format, FormatOption
from guardian.errors import UsageError
from guardian.reports import drill_report, table
from guardian.settings import ApiSettings
from guardian.usecases import demo as usecase
from guardian.usecases import tokens

if TYPE_CHECKING:
    from guardian.usecases.demo import Demo

_TOKEN_S = 24 * 3600


def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Made anew; keeps settings and evidence.")] = (
        Path("demo")
    ),
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve API and console on its evidence, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="With --serve: of 127.0.0.1; else any free one.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run the whole loop here: a real PostgreSQL, real backups, real restores, signed evidence.

    One backup is good and three are damaged on purpose. Exit 0 only when every planted outcome occurred and nothing
    else failed. With --serve it prints the console's address and a token for it, and serves until it is stopped.
    """
    if port is not None and not serve:
        raise UsageError("--port says where to serve: it needs --serve")
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
        sys.exit(1)
    if serve:
        _serve(done.folder, port or 0)
    sys.exit(0)


def _serve(folder: Path, port: int) -> None:
    """Answer on loopback with the demo's evidence, for a token made now, until SIGINT or SIGTERM."""
    from guardian.api import serve as api  # noqa: PLC0415 -- few commands need a server

    settings = config.load(folder / "guardian.yaml")
    settings = replace(settings, api=ApiSettings(host="127.0.0.1", port=port))
    token = tokens.add(settings, "demo-auditor", "auditor", lifetime_s=_TOKEN_S).token

    def tell(url: str) -> None:
        # stderr: stdout may be JSON, and a token does not belong in a file that keeps it.
        terminal.note(f"console: {url}/console/\ntoken:   {token}\nCtrl-C ends it; the token holds for a day")

    api.serve(settings, listening=tell)


def _print(done: Demo, seconds: float) -> None:
    shown = Path(os.path.relpath(done.folder)) if done.folder.is_relative_to(Path.cwd()) else done.folder
    console = terminal.out()
    console.print(table.demo_table(done.outcomes))
    console.print(drill_report.drills_table([outcome.drill for outcome in done.drills]))
    if done.isolation == "none":
        terminal.say("isolation: NONE. bubblewrap cannot run here; the demo accepts that for backups it made itself")
    verify = [sys.argv[0], "verify", str(shown / "pack.zip"), "--root", str(shown / "root.json")]
    terminal.say(
        f"{done.transactions:,} transactions were written while the backups were taken; {done.records} records signed "
        f"and verified; {seconds:.0f} s\n"
        f"evidence: {shown / 'pack.zip'}   report: {shown / 'report.html'}   configuration: {shown / 'guardian.yaml'}\n"
        f"verify it: {shlex.join(verify)}"
    )
