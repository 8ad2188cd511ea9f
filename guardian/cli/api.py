"""`guardian api`: the evidence API and its console, alone."""

from __future__ import annotations

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption


def api(context: typer.Context, config_file: ConfigOption = None) -> None:
    """Serve the evidence over HTTP to holders of tokens, until SIGTERM; what they read is signed into the log.

    `guardian token add` makes a token. guardian.yaml names address and certificate under `api:`; without, it listens on
    127.0.0.1:8480.
    """
    from guardian.api import serve  # noqa: PLC0415 -- few commands need a server

    serve.serve(
        config.load(config_file),
        verbose=bool(context.find_root().params.get("verbose")),
        listening=lambda url: terminal.answers(f"guardian api answers {url} (console: {url}/console/)"),
    )
