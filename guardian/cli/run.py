"""`guardian run`: the daemon."""

from __future__ import annotations

import typer

from guardian import config, telemetry
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption


def run(context: typer.Context, config_file: ConfigOption = None) -> None:
    """Scan and drill by `schedules:`, run webhook and API as configured, until SIGTERM; sign what became of every slot.

    Example: `guardian run --config /etc/guardian/guardian.yaml`; `docs/daemon.md` says how to install it.
    """
    settings = config.load(config_file)
    telemetry.configure(verbose=True)  # each slot that closes is a line of its log
    from guardian.schedule import daemon  # noqa: PLC0415 -- no other command needs a scheduler

    verbose = bool(context.find_root().params.get("verbose"))
    daemon.serve(settings, say=terminal.note, options=daemon.Options(verbose=verbose))
