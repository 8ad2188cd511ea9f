"""`guardian webhook`: serve it, or print what installs it."""

from __future__ import annotations

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption
from guardian.webhook import supervisor

app = typer.Typer(help="Answer the API server's AdmissionReviews over TLS, or print what installs that.")


@app.callback(invoke_without_command=True)
def serve(context: typer.Context, config_file: ConfigOption = None) -> None:
    """Answer the API server's AdmissionReviews over TLS, until SIGTERM; sign every decision into the log."""
    if context.invoked_subcommand is not None:
        return
    settings = config.load(config_file, check_secrets=True)
    supervisor.serve(
        settings,
        verbose=bool(context.find_root().params.get("verbose")),
        listening=lambda place: terminal.note(f"guardian webhook answers https://{place}/v1/admit"),
    )
