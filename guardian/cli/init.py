"""`guardian init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardian.cli import terminal
from guardian.usecases import init as usecase


def init(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where guardian.yaml goes.")] = Path(),
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The configuration itself, instead of --dir.")
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option("--environment", metavar="NAME", help="production (the default), staging, development, ..."),
    ] = None,
) -> None:
    """Write guardian.yaml (unless there is one), keys and the evidence log of a new environment."""
    made = usecase.init(config_file or folder / "guardian.yaml", environment=environment)
    terminal.note(
        f"configuration {made.config}, keys in {made.root_key.parent} and the log {made.origin}\n"
        f"root of keys: {made.root} (sha256 {made.fingerprint})\n"
        f"  Give auditors that file by a way of its own: evidence verifies against it.\n"
        f"  Move {made.root_key} off this machine now: it is needed only to change keys.\n"
        f"next: describe your services in {made.config}, then run `guardian scan --config {made.config}`"
    )
