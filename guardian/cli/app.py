"""The `guardian` command: its commands in the order a new user meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian import __version__, telemetry
from guardian.cli import (
    api,
    check,
    demo,
    doctor,
    drill,
    evidence,
    init,
    manifest,
    policy,
    run,
    scan,
    token,
    verify,
    webhook,
)

app = typer.Typer(
    name="guardian",
    help="Proves that an environment complies and that its backups restore, and keeps the proof as signed records.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 all passed; 1 something failed; 2 usage or configuration; 3 something could not be checked.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"guardian {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step on stderr.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Set up logging for every command."""
    telemetry.configure(verbose=verbose)


app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("run")(run.run)
app.command("scan")(scan.scan)
app.command("check")(check.check)
app.command("snapshot")(scan.snapshot)
app.command("manifest")(manifest.manifest)
app.command("drill")(drill.drill)
app.command("verify")(verify.verify)
app.command("api")(api.api)
app.add_typer(token.app, name="token")
app.add_typer(webhook.app, name="webhook")
app.add_typer(evidence.app, name="evidence")
app.add_typer(policy.app, name="policy")
